//! Sealing to the ingest key: HPKE base mode (RFC 9180), X25519, HKDF-SHA256, AES-256-GCM.

use zeroize::Zeroizing;

use crate::Secret32;

/// What was sealed to the ingest key does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was sealed to the ingest key does not open")]
pub struct IngestError;

/// The public half: all that receiving needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestPublic(pub [u8; 32]);

/// The secret half, in the system record.
pub struct IngestSecret;

/// Seals to the public half; 49 bytes longer than `plain` (version, encapsulated key, tag).
///
/// # Errors
/// When the public key is none (all zero, or of small order).
pub fn seal_to(_public: &IngestPublic, _info: &[u8], _aad: &[u8], _plain: &[u8]) -> Result<Vec<u8>, IngestError> {
    todo!()
}

impl IngestSecret {
    /// A new pair.
    pub fn make() -> Self {
        todo!()
    }

    /// From the 32 bytes of the secret half.
    pub fn from_secret(_secret: Secret32) -> Self {
        todo!()
    }

    /// The public half.
    pub fn public(&self) -> IngestPublic {
        todo!()
    }

    /// Opens what [`seal_to`] made with the same `info` and `aad`.
    pub fn open(&self, _info: &[u8], _aad: &[u8], _sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, IngestError> {
        todo!()
    }
}
