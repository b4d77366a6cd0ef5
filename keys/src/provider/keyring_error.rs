//! Why a keyring is not made, opened or changed, each with what to do.

use std::path::PathBuf;

use super::{ProviderError, SecretError};

/// Why a keyring is not made, opened, changed, backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no file.
    #[error(
        "there is no keyring at {0}: restore it from its backup (`dashvault keys restore`), or make one for a new vault with `dashvault keys init`"
    )]
    Missing(PathBuf),
    /// There is a file already, and it is never overwritten.
    #[error(
        "there is a keyring at {0} already, and none is ever overwritten: name another file, or move that one away if it is not needed"
    )]
    Exists(PathBuf),
    /// Others may read the file, or it is no plain file.
    #[error("the keyring {path} has mode {mode:o}: a plain file with 600 or 400 is wanted; run chmod 600 on it")]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file is cut, or changed, or no keyring.
    #[error("the keyring {0} is damaged: bring it back from its backup with `dashvault keys restore`")]
    Damaged(PathBuf),
    /// A newer program wrote it.
    #[error("keyring version {0} is not known: run the newer program")]
    UnknownVersion(u8),
    /// Another change is under way, or was interrupted: see whether the file named may go.
    #[error("another change of the keyring is under way, or was interrupted and left {0}")]
    Busy(PathBuf),
    /// The passphrase is too short to be worth anything.
    #[error("a passphrase has at least {least} characters")]
    WeakPassphrase {
        /// The least number of characters.
        least: usize,
    },
    /// The file is sealed, and nobody says under what.
    #[error(
        "the keyring {0} has a passphrase: name its file with --keyring-passphrase-file, or hand it over as the credential \
         dashvault.keyring-passphrase or as DASHVAULT_KEYRING_PASSPHRASE"
    )]
    PassphraseWanted(PathBuf),
    /// Somebody says under what the file is sealed, and it lies open.
    #[error(
        "the keyring {0} has no passphrase, although one is given: seal it with `dashvault keys passphrase set`, or take the \
         passphrase out of the configuration"
    )]
    NoPassphrase(PathBuf),
    /// The file is sealed under another passphrase.
    #[error(
        "the passphrase does not open the keyring {0}, which is not damaged: give the one that it was sealed under"
    )]
    WrongPassphrase(PathBuf),
    /// The passphrase cannot be read.
    #[error("the keyring's passphrase is not to be had")]
    Secret(#[from] SecretError),
    /// The passphrase is wrong or the backup is damaged.
    #[error("the backup does not open: wrong passphrase, or damaged")]
    BackupRefused,
    /// The epoch is not there, or is the one that wraps now.
    #[error("epoch {0} cannot be destroyed: it is not there, or wraps now")]
    EpochInUse(u32),
    /// No more keys fit.
    #[error("the keyring is full")]
    Full,
    /// The file system fails.
    #[error("the keyring's file cannot be read or written")]
    Io(#[from] std::io::Error),
}

impl From<KeyringError> for ProviderError {
    fn from(error: KeyringError) -> Self {
        use std::error::Error as _;
        let text = match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        };
        match error {
            KeyringError::Busy(_) | KeyringError::EpochInUse(_) | KeyringError::Full => Self::NotChanged(text),
            // A file that is gone or broken may be put back while the service runs.
            _ => Self::Unavailable(text),
        }
    }
}
