//! Signed links: the signature is checked before anything is looked up, the random secret against the row.

use crate::Secret32;

/// What a link's token holds.
pub struct LinkToken {
    /// The link's id.
    pub link: [u8; 16],
    /// Unix milliseconds.
    pub expires_at_ms: i64,
    /// The row keeps the SHA-256 of these.
    pub secret: [u8; 32],
}

/// Signs links' tokens.
pub struct LinkSigner;

/// Checks links' tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkVerifier;

impl LinkSigner {
    /// From the system record's seed.
    pub fn new(_seed: &Secret32) -> Self {
        todo!()
    }

    /// The token's text: base64url.
    pub fn sign(&self, _token: &LinkToken) -> String {
        todo!()
    }

    /// The other side.
    pub fn verifier(&self) -> LinkVerifier {
        todo!()
    }
}

impl LinkVerifier {
    /// From the public key.
    pub fn new(_public_key: [u8; 32]) -> Self {
        todo!()
    }

    /// The token, if it was signed by the vault. Its expiry is the caller's to judge.
    pub fn verify(&self, _text: &str) -> Option<LinkToken> {
        todo!()
    }
}
