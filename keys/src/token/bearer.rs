//! Random bearer secrets: API tokens, sign-in links, sessions. Only their hash is kept.

/// A new secret `prefix` + 52 characters of base32 (256 random bits), and the hash to keep.
pub fn make_bearer(_prefix: &str) -> (String, [u8; 32]) {
    todo!()
}

/// SHA-256 of the text; 256 random bits need no slow hash.
pub fn bearer_hash(_bearer: &str) -> [u8; 32] {
    todo!()
}
