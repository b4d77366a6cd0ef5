//! Sessions, tokens, vehicles and links; the only place that can make a grant to read.
