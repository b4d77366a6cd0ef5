//! Providers of root keys: what wraps owners' KEKs and the system record.

mod keyring;

use zeroize::Zeroizing;

pub use keyring::{Keyring, KeyringError};

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
    /// The kind of provider: 1 keyring file.
    pub provider: u8,
    /// The provider's name for the key.
    pub reference: String,
    /// The root epoch.
    pub epoch: u32,
    /// What the provider made.
    pub blob: Vec<u8>,
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
    /// Wraps at most 4 KiB under the newest key, bound to `aad`.
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError>;

    /// Undoes a wrap made under any key that the provider still has.
    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError>;

    /// How the root key is.
    fn state(&self) -> RootState;

    /// The epoch that wraps now.
    fn epoch(&self) -> u32;
}
