//! Root keys in a file: versions within epochs, the newest wraps, every one still there unwraps.
//!
//! The file is looked at before each use, and read again when another process has changed it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use zeroize::Zeroizing;

use super::file::{self, Seen};
use super::root_keys::{Key, Keys, MAX_FILE_BYTES};
use super::{
    KeyCondition, MAX_WRAPPED_BYTES, PROVIDER_KEYRING, ProviderError, RootKey, RootKeyState, RootState, Wrap, backup,
};
use crate::part::{self, SALT_BYTES, SUITE};

const WRAP_VERSION: u8 = 1;
const WRAP_HEAD_BYTES: usize = 2 + SALT_BYTES;

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

/// Root keys in a file; one a version, versions within epochs.
pub struct Keyring {
    path: PathBuf,
    held: Mutex<Held>,
}

/// What was read last.
struct Held {
    keys: Arc<Keys>,
    /// The file it was read from; none when it must be read again.
    seen: Option<Seen>,
}

impl Keyring {
    /// Makes a keyring with one key in epoch 1, readable by the owner of the file alone; never overwrites.
    ///
    /// # Errors
    /// [`KeyringError::Exists`], [`KeyringError::Io`].
    pub fn create(path: &Path) -> Result<Self, KeyringError> {
        Self::write_new(path, Keys(vec![Key::make(1, 1)]))
    }

    /// Reads a keyring.
    ///
    /// # Errors
    /// One of its own for a file that is missing, readable by others, damaged, or of another version.
    pub fn open(path: &Path) -> Result<Self, KeyringError> {
        Ok(Self {
            path: path.to_owned(),
            held: Mutex::new(Held::read(path)?),
        })
    }

    /// The keyring sealed under a passphrase of at least [`super::MIN_PASSPHRASE_CHARS`] characters (Argon2id; some 0.2 s).
    ///
    /// # Errors
    /// [`KeyringError::WeakPassphrase`], and what [`Self::open`] says.
    pub fn backup(&self, passphrase: &str) -> Result<Vec<u8>, KeyringError> {
        backup::seal(&self.keys()?.to_bytes(), passphrase)
    }

    /// Writes a backup's keyring to `path`; never overwrites.
    ///
    /// # Errors
    /// [`KeyringError::BackupRefused`], [`KeyringError::UnknownVersion`], [`KeyringError::Exists`], [`KeyringError::Io`].
    pub fn restore(backup: &[u8], passphrase: &str, path: &Path) -> Result<Self, KeyringError> {
        if path.symlink_metadata().is_ok() {
            return Err(KeyringError::Exists(path.to_owned()));
        }
        let bytes = backup::open(backup, passphrase)?;
        let keys = Keys::from_bytes(&bytes).map_err(|bad| bad.at(path))?;
        Self::write_new(path, keys)
    }

    /// Adds a key that wraps from now on, in the same epoch, and gives its version; the older ones still unwrap.
    ///
    /// # Errors
    /// [`KeyringError::Busy`], [`KeyringError::Full`], and what [`Self::open`] says.
    pub fn add_version(&self) -> Result<u32, KeyringError> {
        self.change(|keys| {
            let newest = keys.newest();
            let version = newest.version.checked_add(1).ok_or(KeyringError::Full)?;
            keys.add(Key::make(newest.epoch, version))?;
            Ok(version)
        })
    }

    /// Adds a key in a new epoch, that wraps from now on, and gives the epoch.
    ///
    /// # Errors
    /// As [`Self::add_version`].
    pub fn add_epoch(&self) -> Result<u32, KeyringError> {
        self.change(|keys| {
            let epoch = keys.newest().epoch.checked_add(1).ok_or(KeyringError::Full)?;
            keys.add(Key::make(epoch, 1))?;
            Ok(epoch)
        })
    }

    /// Forgets every key of an older epoch; what they wrapped is lost for ever. May be called again.
    ///
    /// # Errors
    /// [`KeyringError::EpochInUse`], and as [`Self::add_version`].
    pub fn destroy_epoch(&self, epoch: u32) -> Result<(), KeyringError> {
        self.change(|keys| {
            if epoch >= keys.newest().epoch {
                return Err(KeyringError::EpochInUse(epoch));
            }
            keys.0.retain(|key| key.epoch != epoch);
            Ok(())
        })
    }

    fn write_new(path: &Path, keys: Keys) -> Result<Self, KeyringError> {
        file::create(path, &keys.to_bytes())?;
        Self::open(path)
    }

    /// Changes what is in the file now, not what was in it when it was opened; one change at a time.
    fn change<T>(&self, change: impl FnOnce(&mut Keys) -> Result<T, KeyringError>) -> Result<T, KeyringError> {
        let replacement = file::Replacement::begin(&self.path)?;
        let mut keys = read(&self.path)?.0;
        let told = change(&mut keys)?;
        // Whatever comes of the writing, the file has the last word.
        self.held.lock().unwrap_or_else(PoisonError::into_inner).seen = None;
        replacement.commit(&keys.to_bytes())?;
        Ok(told)
    }

    /// The keys as the file has them now.
    fn keys(&self) -> Result<Arc<Keys>, KeyringError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = file::look(&self.path).map_err(|error| error.of_keyring(&self.path))?;
        if held.seen != Some(now) {
            *held = Held::read(&self.path)?;
        }
        Ok(held.keys.clone())
    }
}

impl Held {
    fn read(path: &Path) -> Result<Self, KeyringError> {
        let (keys, seen) = read(path)?;
        Ok(Self {
            keys: Arc::new(keys),
            seen: Some(seen),
        })
    }
}

fn read(path: &Path) -> Result<(Keys, Seen), KeyringError> {
    let read = file::read(path, MAX_FILE_BYTES, file::is_private);
    let (bytes, seen) = read.map_err(|error| error.of_keyring(path))?;
    let keys = Keys::from_bytes(&bytes).map_err(|bad| bad.at(path))?;
    Ok((keys, seen))
}

impl RootKey for Keyring {
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError> {
        if plain.len() > MAX_WRAPPED_BYTES {
            return Err(ProviderError::Refused);
        }
        let keys = self.keys()?;
        let key = keys.newest();
        let mut blob = vec![WRAP_VERSION, SUITE];
        blob.extend_from_slice(&part::make_salt());
        let info = key.info(aad);
        let sealed = part::seal(&key.key, &blob[2..], &[b"dcv1/root/wrap\0", &info], &blob, plain);
        blob.extend_from_slice(&sealed);
        Ok(Wrap {
            provider: PROVIDER_KEYRING,
            reference: key.reference(),
            epoch: key.epoch,
            blob,
        })
    }

    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        let fits = |key: &&Key| key.epoch == wrap.epoch && key.reference() == wrap.reference;
        let keys = self.keys()?;
        let key = keys.0.iter().find(fits).filter(|_| wrap.provider == PROVIDER_KEYRING);
        let key = key.ok_or_else(|| ProviderError::NoSuchKey {
            reference: wrap.reference.clone(),
            epoch: wrap.epoch,
        })?;
        let (head, sealed) = wrap
            .blob
            .split_at_checked(WRAP_HEAD_BYTES)
            .ok_or(ProviderError::Refused)?;
        if head[..2] != [WRAP_VERSION, SUITE] {
            return Err(ProviderError::Refused);
        }
        let info = key.info(aad);
        part::open(&key.key, &head[2..], &[b"dcv1/root/wrap\0", &info], head, sealed).ok_or(ProviderError::Refused)
    }

    fn state(&self) -> Result<RootState, ProviderError> {
        let keys = self.keys()?;
        let newest = keys.newest();
        let mut epochs: Vec<u32> = keys.0.iter().map(|key| key.epoch).collect();
        epochs.dedup();
        let state_of = |key: &Key| RootKeyState {
            reference: key.reference(),
            epoch: key.epoch,
            version: key.version,
            condition: KeyCondition::Enabled,
        };
        Ok(RootState {
            provider: "keyring file",
            reference: newest.reference(),
            epoch: newest.epoch,
            version: newest.version,
            epochs,
            keys: keys.0.iter().map(state_of).collect(),
        })
    }

    fn epoch(&self) -> Result<u32, ProviderError> {
        Ok(self.keys()?.newest().epoch)
    }

    fn add_version(&self) -> Result<u32, ProviderError> {
        Ok(self.add_version()?)
    }

    fn add_epoch(&self) -> Result<u32, ProviderError> {
        Ok(self.add_epoch()?)
    }

    fn destroy_epoch(&self, epoch: u32) -> Result<(), ProviderError> {
        Ok(self.destroy_epoch(epoch)?)
    }
}
