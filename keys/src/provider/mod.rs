//! Providers of root keys: what wraps owners' KEKs and the system record.

mod backup;
mod config;
mod file;
mod key_file;
mod keyring;
mod keyring_error;
#[cfg(feature = "aws-kms")]
mod kms;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod root_keys;
mod sealed;
mod secret_source;
mod stretch;

#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

pub use config::{KeyringConfig, OpenError, ProviderConfig, create, open};
pub use keyring::Keyring;
pub use keyring_error::KeyringError;
#[cfg(feature = "aws-kms")]
pub use kms::{Authorization, CredentialSource, Credentials, Kms, KmsConfig, KmsError, PENDING_DAYS, PROVIDER_AWS_KMS};
#[cfg(feature = "pkcs11")]
pub use pkcs11::{MAX_WRAPS_A_KEY, PROVIDER_PKCS11, Pkcs11, Pkcs11Config, Pkcs11Error};
pub use secret_source::{SecretError, SecretSource};
pub use stretch::MIN_PASSPHRASE_CHARS;

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
    /// Authentication failed: the wrap or its place does not fit; deliberately nothing more.
    #[error("the wrap does not open")]
    Refused,
    /// The key is there and switched off, or waits for its deletion; somebody has to switch it on again.
    #[error("root key {reference} is switched off: {reason}")]
    Disabled {
        /// The provider's name for the key.
        reference: String,
        /// What the provider says.
        reason: String,
    },
    /// The provider does not let this service use its keys; somebody has to allow it. It was not asked again.
    #[error("the root key's provider denies its use: {0}")]
    Denied(String),
    /// The provider was asked too often; it was asked again for a while already.
    #[error("the root key's provider answers too many requests: {0}")]
    Throttled(String),
    /// The provider cannot be reached; try again later.
    #[error("the root key's provider is not available: {0}")]
    Unavailable(String),
    /// The root keys were not changed, and trying again will not help: the text says why and what does.
    #[error("the root keys were not changed: {0}")]
    NotChanged(String),
}

impl ProviderError {
    /// Whether the same call may succeed later without anybody's help. These two are retried inside the provider too, for a
    /// bounded time.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Throttled(_) | Self::Unavailable(_))
    }
}

/// A key wrapped by a root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrap {
    /// The kind of provider, such as [`PROVIDER_KEYRING`].
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
    /// Every key the provider has of this vault, by epoch and version.
    pub keys: Vec<RootKeyState>,
}

/// One root key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootKeyState {
    /// The provider's name for the key, as wraps have it.
    pub reference: String,
    /// Its epoch.
    pub epoch: u32,
    /// Its version within the epoch.
    pub version: u32,
    /// Whether it can be used.
    pub condition: KeyCondition,
}

/// Whether a root key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCondition {
    /// It wraps and unwraps.
    Enabled,
    /// It is switched off.
    Disabled,
    /// It is going to be deleted, and is switched off until then.
    PendingDeletion,
}

impl KeyCondition {
    /// The word for people and machines.
    pub fn word(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
            Self::PendingDeletion => "pending deletion",
        }
    }
}

/// Wraps and unwraps; the key itself never comes out. Calls may wait for a disk or a key service.
///
/// Other processes may add and destroy keys at the same time: what they did counts from the next call on.
pub trait RootKey: Send + Sync {
    /// Wraps at most [`MAX_WRAPPED_BYTES`] under the newest key, bound to `aad`.
    ///
    /// # Errors
    /// See [`ProviderError`]; [`ProviderError::Refused`] for what is too long.
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError>;

    /// Undoes a wrap made under any key that the provider still has.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError>;

    /// The keys as they are now, for one batch of uses from whatever threads: nobody asks for each use which keys there are.
    /// What another process adds counts from the next batch on. A key that it switches off or destroys counts as soon as the
    /// provider refuses its use, and from the next batch on at the latest. None where a use costs no more without it.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn batch(&self) -> Result<Option<Box<dyn RootKey + '_>>, ProviderError> {
        Ok(None)
    }

    /// How the root keys are.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn state(&self) -> Result<RootState, ProviderError>;

    /// The epoch that wraps now.
    ///
    /// # Errors
    /// See [`ProviderError`].
    fn epoch(&self) -> Result<u32, ProviderError>;

    /// Adds a key that wraps from now on, in the same epoch, and gives its version; the older ones still unwrap.
    ///
    /// # Errors
    /// [`ProviderError::NotChanged`], and see [`ProviderError`].
    fn add_version(&self) -> Result<u32, ProviderError>;

    /// Adds a key in a new epoch, that wraps from now on, unless somebody added one after the epoch `after` already; gives the newest epoch.
    ///
    /// # Errors
    /// As [`Self::add_version`].
    fn add_epoch(&self, after: u32) -> Result<u32, ProviderError>;

    /// Destroys every key of an epoch but the newest; what they wrapped is lost for ever. Done already is done.
    ///
    /// # Errors
    /// [`ProviderError::NotChanged`] for the epoch that wraps now, and see [`ProviderError`].
    fn destroy_epoch(&self, epoch: u32) -> Result<(), ProviderError>;
}
