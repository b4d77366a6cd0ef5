//! Owners' key-encryption keys.
