//! Owners' tokens, sessions and sign-in links, and links' viewing sessions; only hashes.
