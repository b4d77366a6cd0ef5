//! Root keys in a file: versions within epochs, the newest wraps, every one still there unwraps.
//!
//! File: `magic 4 · version 1 · 3 zeros · count u32 · keys · SHA-256 32`, each key
//! `epoch u32 · version u32 · id 16 · key 32`, ascending.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{MAX_WRAPPED_BYTES, PROVIDER_KEYRING, ProviderError, RootKey, RootState, Wrap, backup, file};
use crate::Secret32;
use crate::bytes::Reader;
use crate::digest::{equal, lp, random, sha256};
use crate::part::{self, SALT_BYTES, SUITE};

const MAGIC: &[u8; 4] = b"DCVR";
const VERSION: u8 = 1;
const WRAP_VERSION: u8 = 1;
const WRAP_HEAD_BYTES: usize = 2 + SALT_BYTES;
/// Keys in one keyring: a roll a day for two years. Bounds the file too.
const MAX_KEYS: usize = 1024;
const KEY_BYTES: usize = 56;
const HEAD_BYTES: usize = 12;
const CHECK_BYTES: usize = 32;
/// Bytes of the largest keyring file.
pub(super) const MAX_FILE_BYTES: usize = HEAD_BYTES + MAX_KEYS * KEY_BYTES + CHECK_BYTES;

/// Why a keyring is not made, opened, changed, backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no file.
    #[error("no keyring at {0}")]
    Missing(PathBuf),
    /// There is a file already, and it is never overwritten.
    #[error("there is a keyring at {0} already")]
    Exists(PathBuf),
    /// Others may read the file, or it is no plain file.
    #[error("the keyring {path} has mode {mode:o}: a plain file with 600 or 400 is wanted")]
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

/// Root keys in a file; one a version, versions within epochs.
pub struct Keyring {
    path: PathBuf,
    keys: Keys,
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
            keys: read_keys(path)?,
        })
    }

    /// The keyring sealed under a passphrase of at least [`super::MIN_PASSPHRASE_CHARS`] characters (Argon2id; some 0.2 s).
    ///
    /// # Errors
    /// [`KeyringError::WeakPassphrase`].
    pub fn backup(&self, passphrase: &str) -> Result<Vec<u8>, KeyringError> {
        backup::seal(&self.keys.to_bytes(), passphrase)
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

    /// Adds a key that wraps from now on, in the same epoch; the older ones still unwrap.
    ///
    /// # Errors
    /// [`KeyringError::Busy`], [`KeyringError::Full`], and what [`Self::open`] says.
    pub fn add_version(&mut self) -> Result<(), KeyringError> {
        self.change(|keys| {
            let newest = keys.newest();
            let next = Key::make(newest.epoch, newest.version.checked_add(1).ok_or(KeyringError::Full)?);
            keys.add(next)
        })
    }

    /// Adds a key in a new epoch, that wraps from now on.
    ///
    /// # Errors
    /// As [`Self::add_version`].
    pub fn add_epoch(&mut self) -> Result<(), KeyringError> {
        self.change(|keys| {
            let next = Key::make(keys.newest().epoch.checked_add(1).ok_or(KeyringError::Full)?, 1);
            keys.add(next)
        })
    }

    /// Forgets every key of an epoch; what they wrapped is lost for ever.
    ///
    /// # Errors
    /// [`KeyringError::EpochInUse`], and as [`Self::add_version`].
    pub fn destroy_epoch(&mut self, epoch: u32) -> Result<(), KeyringError> {
        self.change(|keys| {
            if keys.newest().epoch == epoch || !keys.0.iter().any(|key| key.epoch == epoch) {
                return Err(KeyringError::EpochInUse(epoch));
            }
            keys.0.retain(|key| key.epoch != epoch);
            Ok(())
        })
    }

    fn write_new(path: &Path, keys: Keys) -> Result<Self, KeyringError> {
        file::create(path, &keys.to_bytes())?;
        Ok(Self {
            path: path.to_owned(),
            keys,
        })
    }

    /// Changes what is in the file now, not what was in it when it was opened; one change at a time.
    fn change(&mut self, change: impl FnOnce(&mut Keys) -> Result<(), KeyringError>) -> Result<(), KeyringError> {
        let replacement = file::Replacement::begin(&self.path)?;
        let mut keys = read_keys(&self.path)?;
        change(&mut keys)?;
        replacement.commit(&keys.to_bytes())?;
        self.keys = keys;
        Ok(())
    }
}

impl RootKey for Keyring {
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError> {
        if plain.len() > MAX_WRAPPED_BYTES {
            return Err(ProviderError::Refused);
        }
        let key = self.keys.newest();
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
        let key = self
            .keys
            .0
            .iter()
            .find(fits)
            .filter(|_| wrap.provider == PROVIDER_KEYRING);
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

    fn state(&self) -> RootState {
        let newest = self.keys.newest();
        let mut epochs: Vec<u32> = self.keys.0.iter().map(|key| key.epoch).collect();
        epochs.dedup();
        RootState {
            provider: "keyring file",
            reference: newest.reference(),
            epoch: newest.epoch,
            version: newest.version,
            epochs,
        }
    }

    fn epoch(&self) -> u32 {
        self.keys.newest().epoch
    }
}

/// The keys of a file, ascending by epoch and version; never empty.
struct Keys(Vec<Key>);

struct Key {
    epoch: u32,
    version: u32,
    id: [u8; 16],
    key: Secret32,
}

/// Why bytes are no keyring.
enum Bad {
    Damaged,
    UnknownVersion(u8),
}

impl Bad {
    fn at(self, path: &Path) -> KeyringError {
        match self {
            Self::Damaged => KeyringError::Damaged(path.to_owned()),
            Self::UnknownVersion(version) => KeyringError::UnknownVersion(version),
        }
    }
}

fn read_keys(path: &Path) -> Result<Keys, KeyringError> {
    Keys::from_bytes(&file::read(path, MAX_FILE_BYTES)?).map_err(|bad| bad.at(path))
}

impl Keys {
    fn newest(&self) -> &Key {
        self.0.last().expect("a keyring is never empty")
    }

    fn add(&mut self, key: Key) -> Result<(), KeyringError> {
        if self.0.len() == MAX_KEYS {
            return Err(KeyringError::Full);
        }
        self.0.push(key);
        Ok(())
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let length = HEAD_BYTES + self.0.len() * KEY_BYTES + CHECK_BYTES;
        let mut out = Zeroizing::new(Vec::with_capacity(length));
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, 0, 0, 0]);
        out.extend_from_slice(&(self.0.len() as u32).to_be_bytes());
        for key in &self.0 {
            out.extend_from_slice(&key.epoch.to_be_bytes());
            out.extend_from_slice(&key.version.to_be_bytes());
            out.extend_from_slice(&key.id);
            out.extend_from_slice(key.key.expose());
        }
        let check = sha256(&out);
        out.extend_from_slice(&check);
        out
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Bad> {
        if bytes.len() > 4 && bytes[..4] == *MAGIC && bytes[4] != VERSION {
            return Err(Bad::UnknownVersion(bytes[4]));
        }
        Self::read(bytes).ok_or(Bad::Damaged)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(CHECK_BYTES)?)?;
        let mut reader = Reader::new(body);
        let fixed: [u8; 8] = reader.array()?;
        if !equal(&sha256(body), check) || fixed[..4] != *MAGIC || fixed[4..] != [VERSION, 0, 0, 0] {
            return None;
        }
        let count = reader.u32()? as usize;
        if !(1..=MAX_KEYS).contains(&count) {
            return None;
        }
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(Key {
                epoch: reader.u32()?,
                version: reader.u32()?,
                id: reader.array()?,
                key: Secret32::from_slice(reader.take(32)?).ok()?,
            });
        }
        reader.end()?;
        let ascending = keys.is_sorted_by(|a, b| (a.epoch, a.version) < (b.epoch, b.version));
        ascending.then_some(Self(keys))
    }
}

impl Key {
    fn make(epoch: u32, version: u32) -> Self {
        Self {
            epoch,
            version,
            id: random(),
            key: Secret32::make_random(),
        }
    }

    fn reference(&self) -> String {
        HEXLOWER.encode(&self.id)
    }

    fn info(&self, aad: &[u8]) -> Vec<u8> {
        lp(&[&self.id, &self.epoch.to_be_bytes(), aad])
    }
}
