//! Receipts: the vault's signed word that a clip is sealed and was read back, after which a vehicle may delete its own.

use crate::Secret32;

/// What a receipt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// The clip.
    pub clip: [u8; 16],
    /// SHA-256 of the bytes that were uploaded.
    pub sha256: [u8; 32],
    /// How many they were.
    pub length: u64,
    /// When the original was read back; unix milliseconds.
    pub at_ms: i64,
}

/// Signs receipts.
pub struct ReceiptSigner;

impl ReceiptSigner {
    /// From the system record's seed.
    pub fn new(_seed: &Secret32) -> Self {
        todo!()
    }

    /// The public half, which a vehicle keeps from its pairing.
    pub fn public_key(&self) -> [u8; 32] {
        todo!()
    }

    /// The receipt's text: `dvr_` and base64url.
    pub fn sign(&self, _receipt: &Receipt) -> String {
        todo!()
    }
}

/// The id of a public key: the first 8 bytes of its SHA-256 in hex.
pub fn key_id(_public_key: &[u8; 32]) -> String {
    todo!()
}

/// Which key a receipt says it was signed by; not checked.
pub fn signed_by(_text: &str) -> Option<String> {
    todo!()
}

/// The receipt, if `public_key` signed it.
pub fn verify(_text: &str, _public_key: &[u8; 32]) -> Option<Receipt> {
    todo!()
}
