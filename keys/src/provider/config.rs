//! Which provider has the root keys, and how to get at it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Keyring, KeyringError, ProviderError, RootKey, SecretSource};
#[cfg(feature = "aws-kms")]
use super::{Kms, KmsConfig, KmsError};
#[cfg(feature = "pkcs11")]
use super::{Pkcs11, Pkcs11Config, Pkcs11Error};

/// The provider of a vault's root keys. Its `Display` names it in a sentence: "the keyring /etc/dashvault/keyring".
#[derive(Debug, Clone)]
pub enum ProviderConfig {
    /// A file.
    Keyring(KeyringConfig),
    /// A PKCS#11 token.
    #[cfg(feature = "pkcs11")]
    Pkcs11(Pkcs11Config),
    /// AWS KMS.
    #[cfg(feature = "aws-kms")]
    AwsKms(KmsConfig),
}

/// A keyring file.
#[derive(Debug, Clone)]
pub struct KeyringConfig {
    /// Where it is.
    pub path: PathBuf,
    /// What it is sealed under, if it is.
    pub passphrase: Option<SecretSource>,
}

impl KeyringConfig {
    /// A keyring without a passphrase.
    pub fn plain(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            passphrase: None,
        }
    }
}

/// Why a provider does not open, or gets no root key. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The keyring's reason.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The token's reason.
    #[cfg(feature = "pkcs11")]
    #[error(transparent)]
    Pkcs11(#[from] Pkcs11Error),
    /// AWS KMS's reason.
    #[cfg(feature = "aws-kms")]
    #[error(transparent)]
    AwsKms(#[from] KmsError),
    /// The provider opened and does not say how its keys are.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

impl OpenError {
    /// There is no root key yet, or no longer.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Keyring(error) => matches!(error, KeyringError::Missing(_)),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(error) => matches!(error, Pkcs11Error::NoKey { .. }),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(error) => matches!(error, KmsError::NoKey { .. }),
            Self::Provider(_) => false,
        }
    }

    /// There is one already, and it stays.
    pub fn is_there_already(&self) -> bool {
        match self {
            Self::Keyring(error) => matches!(error, KeyringError::Exists(_)),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(error) => matches!(error, Pkcs11Error::Exists { .. }),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(error) => matches!(error, KmsError::Exists { .. }),
            Self::Provider(_) => false,
        }
    }

    /// Whether the same call may succeed later without anybody's help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Keyring(_) => false,
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(error) => matches!(error, Pkcs11Error::Provider(error) if error.is_passing()),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(error) => matches!(error, KmsError::Provider(error) if error.is_passing()),
            Self::Provider(error) => error.is_passing(),
        }
    }
}

impl ProviderConfig {
    /// A keyring file at `path`, without a passphrase.
    pub fn keyring(path: impl Into<PathBuf>) -> Self {
        Self::Keyring(KeyringConfig::plain(path))
    }

    /// Erases the secrets that the program was started with; those in files can be read again.
    pub fn forget_secrets(&self) {
        match self {
            Self::Keyring(keyring) => keyring.passphrase.iter().for_each(SecretSource::forget),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(token) => token.pin.forget(),
            // Each call is signed with them.
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => {}
        }
    }

    /// The keyring, if the root keys are in one.
    pub fn as_keyring(&self) -> Option<&KeyringConfig> {
        match self {
            Self::Keyring(keyring) => Some(keyring),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(_) => None,
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(_) => None,
        }
    }

    /// The file that the root keys lie in, if they lie in one.
    pub fn keyring_path(&self) -> Option<&Path> {
        self.as_keyring().map(|keyring| keyring.path.as_path())
    }
}

impl fmt::Display for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keyring(keyring) => write!(f, "the keyring {}", keyring.path.display()),
            #[cfg(feature = "pkcs11")]
            Self::Pkcs11(token) => write!(f, "the PKCS#11 token {}", token.token),
            #[cfg(feature = "aws-kms")]
            Self::AwsKms(kms) => write!(f, "AWS KMS in {} (alias/{}/…)", kms.region, kms.prefix),
        }
    }
}

/// Opens a provider that has root keys; may wait for a disk or a key service.
///
/// # Errors
/// [`OpenError::is_missing`] where there is no root key yet, and what the provider says.
pub fn open(config: &ProviderConfig) -> Result<Arc<dyn RootKey>, OpenError> {
    match config {
        ProviderConfig::Keyring(keyring) => Ok(Arc::new(Keyring::open_as(keyring)?)),
        #[cfg(feature = "pkcs11")]
        ProviderConfig::Pkcs11(token) => Ok(Arc::new(Pkcs11::open(token)?)),
        #[cfg(feature = "aws-kms")]
        ProviderConfig::AwsKms(kms) => Ok(Arc::new(Kms::open(kms)?)),
    }
}

/// Makes the first root key of a new vault: epoch 1, version 1.
///
/// # Errors
/// [`OpenError::is_there_already`] where there is one, and what the provider says.
pub fn create(config: &ProviderConfig) -> Result<Arc<dyn RootKey>, OpenError> {
    match config {
        ProviderConfig::Keyring(keyring) => Ok(Arc::new(Keyring::create_as(keyring)?)),
        #[cfg(feature = "pkcs11")]
        ProviderConfig::Pkcs11(token) => Ok(Arc::new(Pkcs11::create(token)?)),
        #[cfg(feature = "aws-kms")]
        ProviderConfig::AwsKms(kms) => Ok(Arc::new(Kms::create(kms)?)),
    }
}
