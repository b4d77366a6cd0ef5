//! Root keys in a file: versions within epochs, the newest wraps, every one still there unwraps.
//!
//! The file is looked at before each use, and read again when another process has changed it.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use super::file::Seen;
use super::key_file::{self, Found, KeyFile};
use super::root_keys::{Key, Keys};
use super::sealed::Seal;
use super::{
    KeyCondition, KeyringConfig, KeyringError, MAX_WRAPPED_BYTES, PROVIDER_KEYRING, ProviderError, RootKey,
    RootKeyState, RootState, Wrap, backup,
};
use crate::part::{self, SALT_BYTES, SUITE};

const WRAP_VERSION: u8 = 1;
const WRAP_HEAD_BYTES: usize = 2 + SALT_BYTES;

/// Root keys in a file; one a version, versions within epochs.
pub struct Keyring {
    file: KeyFile,
    held: Mutex<Held>,
}

/// What was read last.
struct Held {
    keys: Arc<Keys>,
    seal: Option<Arc<Seal>>,
    /// The file it was read from; none when it must be read again.
    seen: Option<Seen>,
}

impl Keyring {
    /// Makes a keyring with one key in epoch 1, readable by the owner of the file alone; never overwrites. It is sealed under
    /// the passphrase, if the configuration has one.
    ///
    /// # Errors
    /// [`KeyringError::Exists`], [`KeyringError::WeakPassphrase`], [`KeyringError::Secret`], [`KeyringError::Io`].
    pub fn create_as(config: &KeyringConfig) -> Result<Self, KeyringError> {
        Self::write_new(config, &Keys(vec![Key::make(1, 1)]))
    }

    /// As [`Self::create_as`], without a passphrase.
    ///
    /// # Errors
    /// As [`Self::create_as`].
    pub fn create(path: &Path) -> Result<Self, KeyringError> {
        Self::create_as(&KeyringConfig::plain(path))
    }

    /// Reads a keyring.
    ///
    /// # Errors
    /// One of its own for a file that is missing, readable by others, damaged, of another version, under a passphrase that is
    /// wrong or not given, and one without the passphrase that the configuration has.
    pub fn open_as(config: &KeyringConfig) -> Result<Self, KeyringError> {
        let file = KeyFile::new(config);
        let held = Mutex::new(Held::from(file.read(None)?));
        Ok(Self { file, held })
    }

    /// As [`Self::open_as`], of a keyring without a passphrase.
    ///
    /// # Errors
    /// As [`Self::open_as`].
    pub fn open(path: &Path) -> Result<Self, KeyringError> {
        Self::open_as(&KeyringConfig::plain(path))
    }

    /// The keyring's keys sealed under a passphrase of at least [`super::MIN_PASSPHRASE_CHARS`] characters, which need not be
    /// its own (Argon2id; some 0.2 s).
    ///
    /// # Errors
    /// [`KeyringError::WeakPassphrase`], and what [`Self::open_as`] says.
    pub fn backup(&self, passphrase: &str) -> Result<Vec<u8>, KeyringError> {
        backup::seal(&self.keys()?.to_bytes(), passphrase)
    }

    /// Writes a backup's keys into a new keyring, under the passphrase that the configuration has for it; never overwrites.
    ///
    /// # Errors
    /// [`KeyringError::BackupRefused`], [`KeyringError::UnknownVersion`], and as [`Self::create_as`].
    pub fn restore(backup: &[u8], passphrase: &str, config: &KeyringConfig) -> Result<Self, KeyringError> {
        KeyFile::new(config).require_free()?;
        let bytes = backup::open(backup, passphrase)?;
        let keys = Keys::from_bytes(&bytes).map_err(|bad| bad.at(&config.path))?;
        Self::write_new(config, &keys)
    }

    /// Seals the file under another passphrase, or lays it open; the keys stay. The configuration's passphrase is the one
    /// that it has now, and is not needed when it has none.
    ///
    /// Who has the file of before and its passphrase still has the keys.
    ///
    /// # Errors
    /// [`KeyringError::WeakPassphrase`], [`KeyringError::Busy`], and what [`Self::open_as`] says.
    pub fn change_passphrase(config: &KeyringConfig, new: Option<&str>) -> Result<(), KeyringError> {
        KeyFile::new(config).reseal(new)
    }

    /// Whether the file at `path` has a passphrase; it is not opened for that.
    ///
    /// # Errors
    /// What [`Self::open`] says of a file that cannot be read.
    pub fn has_passphrase(path: &Path) -> Result<bool, KeyringError> {
        key_file::has_passphrase(path)
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

    /// Adds a key in a new epoch, that wraps from now on, unless somebody added one after the epoch `after` already; gives the
    /// newest epoch.
    ///
    /// # Errors
    /// As [`Self::add_version`].
    pub fn add_epoch(&self, after: u32) -> Result<u32, KeyringError> {
        self.change(|keys| {
            let newest = keys.newest().epoch;
            if newest > after {
                return Ok(newest);
            }
            let epoch = newest.checked_add(1).ok_or(KeyringError::Full)?;
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

    fn write_new(config: &KeyringConfig, keys: &Keys) -> Result<Self, KeyringError> {
        KeyFile::new(config).create(keys)?;
        Self::open_as(config)
    }

    fn change<T>(&self, change: impl FnOnce(&mut Keys) -> Result<T, KeyringError>) -> Result<T, KeyringError> {
        let seal = self.held().seal.clone();
        // Whatever comes of the writing, the file has the last word.
        self.file.change(seal.as_ref(), change, || self.held().seen = None)
    }

    /// The keys as the file has them now.
    fn keys(&self) -> Result<Arc<Keys>, KeyringError> {
        let mut held = self.held();
        if held.seen != Some(self.file.look()?) {
            *held = self.file.read(held.seal.as_ref())?.into();
        }
        Ok(held.keys.clone())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Found> for Held {
    fn from(found: Found) -> Self {
        Self {
            keys: Arc::new(found.keys),
            seal: found.seal,
            seen: Some(found.seen),
        }
    }
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

    fn add_epoch(&self, after: u32) -> Result<u32, ProviderError> {
        Ok(self.add_epoch(after)?)
    }

    fn destroy_epoch(&self, epoch: u32) -> Result<(), ProviderError> {
        Ok(self.destroy_epoch(epoch)?)
    }
}
