//! Root keys in a file of their own, readable by its owner alone.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{ProviderError, RootKey, RootState, Wrap};

/// Why a keyring is not made, opened, backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no file.
    #[error("no keyring at {0}")]
    Missing(PathBuf),
    /// There is a file already, and it is never overwritten.
    #[error("there is a keyring at {0} already")]
    Exists(PathBuf),
    /// Others may read the file.
    #[error("the keyring {path} has permissions {mode:o}: 600 or 400 is wanted")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is cut, or changed, or no keyring.
    #[error("the keyring {0} is damaged")]
    Damaged(PathBuf),
    /// A newer program wrote it.
    #[error("keyring version {0} is not known")]
    UnknownVersion(u8),
    /// The passphrase is too short to be worth anything.
    #[error("a passphrase has at least {least} characters")]
    WeakPassphrase {
        /// The least number of characters.
        least: usize,
    },
    /// The passphrase is wrong or the backup is damaged.
    #[error("the backup does not open: wrong passphrase, or damaged")]
    BackupRefused,
    /// The epoch is not there, or is the last one.
    #[error("epoch {0} cannot be destroyed: it is not there, or the last one")]
    LastEpoch(u32),
    /// The file system fails.
    #[error("the keyring's file cannot be read or written")]
    Io(#[from] std::io::Error),
}

/// Root keys in a file; one a version, versions within epochs.
pub struct Keyring;

impl Keyring {
    /// Makes a keyring with one key in epoch 1; never overwrites.
    pub fn create(_path: &Path) -> Result<Self, KeyringError> {
        todo!()
    }

    /// Reads a keyring.
    pub fn open(_path: &Path) -> Result<Self, KeyringError> {
        todo!()
    }

    /// The keyring sealed under a passphrase of at least 12 characters (Argon2id).
    pub fn backup(&self, _passphrase: &str) -> Result<Vec<u8>, KeyringError> {
        todo!()
    }

    /// Writes a backup's keyring to `path`; never overwrites.
    pub fn restore(_backup: &[u8], _passphrase: &str, _path: &Path) -> Result<Self, KeyringError> {
        todo!()
    }

    /// Adds a key that wraps from now on, in the same epoch; the older ones still unwrap.
    pub fn add_version(&mut self) -> Result<(), KeyringError> {
        todo!()
    }

    /// Adds a key in a new epoch, that wraps from now on.
    pub fn add_epoch(&mut self) -> Result<(), KeyringError> {
        todo!()
    }

    /// Forgets every key of an epoch; what they wrapped is lost.
    pub fn destroy_epoch(&mut self, _epoch: u32) -> Result<(), KeyringError> {
        todo!()
    }
}

impl RootKey for Keyring {
    fn wrap(&self, _plain: &[u8], _aad: &[u8]) -> Result<Wrap, ProviderError> {
        todo!()
    }

    fn unwrap(&self, _wrap: &Wrap, _aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        todo!()
    }

    fn state(&self) -> RootState {
        todo!()
    }

    fn epoch(&self) -> u32 {
        todo!()
    }
}
