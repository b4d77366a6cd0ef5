//! Providers of root keys: what wraps owners' KEKs and the system record.

mod backup;
mod file;
mod keyring;

#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

pub use backup::MIN_PASSPHRASE_CHARS;
pub use keyring::{Keyring, KeyringError};

use crate::bytes::Reader;

/// [`Wrap::provider`] of a keyring file.
pub const PROVIDER_KEYRING: u8 = 1;
/// Bytes that one wrap may hold; what cloud services take.
pub const MAX_WRAPPED_BYTES: usize = 4096;
/// Bytes of a wrap's blob; ciphertexts of cloud services stay below.
const MAX_BLOB_BYTES: usize = 8192;
/// Bytes of a key reference; the longest names of cloud services stay below.
const MAX_REFERENCE_BYTES: usize = 512;

/// Why a root key does not wrap or unwrap.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// The provider has not, or no longer, the key that made the wrap.
    #[error("root key {reference} of epoch {epoch} is not here")]
    NoSuchKey {
        /// The wrap's key reference.
        reference: String,
        /// The wrap's epoch.
        epoch: u32,
    },
    /// The wrap or its place does not fit; deliberately nothing more.
    #[error("the wrap does not open")]
    Refused,
    /// The provider cannot be reached; try again later.
    #[error("the root key's provider is not available: {0}")]
    Unavailable(String),
}

/// A key wrapped by a root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrap {
    /// The kind of provider, [`PROVIDER_KEYRING`].
    pub provider: u8,
    /// The provider's name for the key.
    pub reference: String,
    /// The root epoch.
    pub epoch: u32,
    /// What the provider made.
    pub blob: Vec<u8>,
}

impl Wrap {
    /// provider u8 · epoch u32 · u16 length and reference · u16 length and blob.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.provider);
        out.extend_from_slice(&self.epoch.to_be_bytes());
        out.extend_from_slice(&crate::digest::lp(&[self.reference.as_bytes(), &self.blob]));
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (provider, epoch) = (reader.u8()?, reader.u32()?);
        let (reference, blob) = (reader.short()?, reader.short()?);
        if reference.len() > MAX_REFERENCE_BYTES || blob.len() > MAX_BLOB_BYTES {
            return None;
        }
        Some(Self {
            provider,
            reference: std::str::from_utf8(reference).ok()?.to_owned(),
            epoch,
            blob: blob.to_vec(),
        })
    }

    /// Whether a record may hold it.
    pub(crate) fn fits(&self) -> bool {
        self.reference.len() <= MAX_REFERENCE_BYTES && self.blob.len() <= MAX_BLOB_BYTES
    }
}

/// How the root key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootState {
    /// The kind of provider, for people.
    pub provider: &'static str,
    /// The provider's name for the key that wraps now.
    pub reference: String,
    /// The epoch that wraps now.
    pub epoch: u32,
    /// Version of the key within the epoch.
    pub version: u32,
    /// Every epoch that can still be unwrapped, oldest first.
    pub epochs: Vec<u32>,
}

/// Wraps and unwraps; the key itself never comes out.
pub trait RootKey: Send + Sync {
    /// Wraps at most [`MAX_WRAPPED_BYTES`] under the newest key, bound to `aad`.
    ///
    /// # Errors
    /// [`ProviderError::Unavailable`], and [`ProviderError::Refused`] for what is too long.
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError>;

    /// Undoes a wrap made under any key that the provider still has.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError>;

    /// How the root key is.
    fn state(&self) -> RootState;

    /// The epoch that wraps now.
    fn epoch(&self) -> u32;
}
