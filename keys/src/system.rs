//! The system record `DCVS`: every key of a deployment that is not an owner's, wrapped by the root key; one revision a root epoch.

use crate::Secret32;
use crate::ingest::IngestSecret;
use crate::provider::{ProviderError, RootKey};

/// Why a system record is not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The tenant or the bytes do not fit; deliberately nothing more.
    #[error("the system record does not open")]
    Refused,
    /// A newer program wrote it.
    #[error("system record version {0} is not known")]
    UnknownVersion(u8),
    /// The root key cannot wrap or unwrap it.
    #[error("the root key cannot unwrap the system record")]
    Provider(#[from] ProviderError),
}

/// The keys of a deployment.
pub struct SystemRecord {
    /// Hides owners in envelopes.
    pub locator: Secret32,
    /// Look-ups across owners (e-mail); dies with its root epoch.
    pub index: Secret32,
    /// Keys the hashes of pairing codes.
    pub token: Secret32,
    /// Ed25519 seed that signs links.
    pub link: Secret32,
    /// Ed25519 seed that signs receipts.
    pub receipt: Secret32,
    /// What uploads' keys are sealed to.
    pub ingest: IngestSecret,
}

impl SystemRecord {
    /// New keys for a new deployment.
    pub fn make() -> Self {
        todo!()
    }

    /// The same keys for the next root epoch, with a new index key.
    pub fn roll(self) -> Self {
        todo!()
    }

    /// Seals the record; the epoch is the root key's.
    pub fn seal(&self, _system: &[u8], _revision: u32, _root: &dyn RootKey) -> Result<Vec<u8>, SystemError> {
        todo!()
    }

    /// Opens a record.
    pub fn open(_system: &[u8], _bytes: &[u8], _root: &dyn RootKey) -> Result<Self, SystemError> {
        todo!()
    }
}
