//! What happened, append-only.
