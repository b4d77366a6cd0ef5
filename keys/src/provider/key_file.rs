//! The file of a keyring, open or under a passphrase: read, made, changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::file::{self, Replacement, Seen};
use super::root_keys::{Bad, Keys, MAGIC};
use super::sealed::{self, Seal, Sealed};
use super::{KeyringConfig, KeyringError, SecretSource};

/// Where a keyring lies and what opens it.
pub(super) struct KeyFile {
    pub path: PathBuf,
    passphrase: Option<SecretSource>,
}

/// What was in the file.
pub(super) struct Found {
    pub keys: Keys,
    pub seen: Seen,
    /// Of a file under a passphrase: what seals it again.
    pub seal: Option<Arc<Seal>>,
}

impl KeyFile {
    pub fn new(config: &KeyringConfig) -> Self {
        Self {
            path: config.path.clone(),
            passphrase: config.passphrase.clone(),
        }
    }

    /// Looks at the file without reading it.
    pub fn look(&self) -> Result<Seen, KeyringError> {
        file::look(&self.path).map_err(|error| error.of_keyring(&self.path))
    }

    /// Reads the keys. What an earlier reading found the passphrase to be (`known`) saves stretching it again.
    pub fn read(&self, known: Option<&Arc<Seal>>) -> Result<Found, KeyringError> {
        let (bytes, seen) = self.bytes()?;
        if !is_sealed(&bytes) {
            if self.passphrase.is_some() {
                return Err(KeyringError::NoPassphrase(self.path.clone()));
            }
            let keys = Keys::from_bytes(&bytes).map_err(|bad| bad.at(&self.path))?;
            return Ok(Found { keys, seen, seal: None });
        }
        let sealed = Sealed::parse(&bytes).ok_or_else(|| Bad::Damaged.at(&self.path))?;
        let seal = match known.filter(|known| sealed.is_of(known)) {
            Some(known) => known.clone(),
            None => Arc::new(self.stretch(&sealed)?),
        };
        if !sealed.is_under(&seal) {
            return Err(KeyringError::WrongPassphrase(self.path.clone()));
        }
        let keys = sealed.open(&seal).ok_or(Bad::Damaged);
        let keys = keys.and_then(|keys| Keys::from_bytes(&keys));
        Ok(Found {
            keys: keys.map_err(|bad| bad.at(&self.path))?,
            seen,
            seal: Some(seal),
        })
    }

    /// Makes the file; never overwrites.
    pub fn create(&self, keys: &Keys) -> Result<(), KeyringError> {
        self.require_free()?;
        let seal = match &self.passphrase {
            Some(source) => Some(Seal::make(&source.read()?)?),
            None => None,
        };
        file::create(&self.path, &written(keys, seal.as_ref()))
    }

    /// Whether nothing has the name; before the work, for it is looked at again when the name is given.
    pub fn require_free(&self) -> Result<(), KeyringError> {
        match self.path.symlink_metadata() {
            Ok(_) => Err(KeyringError::Exists(self.path.clone())),
            Err(_) => Ok(()),
        }
    }

    /// Changes what is in the file now, not what was in it when it was read; one change at a time. `before` is called once
    /// the change is certain, and before it is written.
    pub fn change<T>(
        &self,
        known: Option<&Arc<Seal>>,
        change: impl FnOnce(&mut Keys) -> Result<T, KeyringError>,
        before: impl FnOnce(),
    ) -> Result<T, KeyringError> {
        let replacement = Replacement::begin(&self.path)?;
        let mut found = self.read(known)?;
        let told = change(&mut found.keys)?;
        before();
        replacement.commit(&written(&found.keys, found.seal.as_deref()))?;
        Ok(told)
    }

    /// Seals the file under another passphrase, or lays it open. A file that lies open needs no passphrase to be read.
    pub fn reseal(&self, new: Option<&str>) -> Result<(), KeyringError> {
        let replacement = Replacement::begin(&self.path)?;
        let sealed = is_sealed(&self.bytes()?.0);
        let now = Self {
            path: self.path.clone(),
            passphrase: self.passphrase.clone().filter(|_| sealed),
        };
        let found = now.read(None)?;
        let seal = new.map(Seal::make).transpose()?;
        replacement.commit(&written(&found.keys, seal.as_ref()))
    }

    fn bytes(&self) -> Result<(Zeroizing<Vec<u8>>, Seen), KeyringError> {
        let read = file::read(&self.path, sealed::MAX_FILE_BYTES, file::is_private);
        read.map_err(|error| error.of_keyring(&self.path))
    }

    fn stretch(&self, sealed: &Sealed<'_>) -> Result<Seal, KeyringError> {
        let source = self.passphrase.as_ref();
        let source = source.ok_or_else(|| KeyringError::PassphraseWanted(self.path.clone()))?;
        sealed
            .stretch(&source.read()?)
            .ok_or_else(|| Bad::Damaged.at(&self.path))
    }
}

/// Whether the file at `path` is a keyring under a passphrase.
pub(super) fn has_passphrase(path: &Path) -> Result<bool, KeyringError> {
    let file = KeyFile {
        path: path.to_owned(),
        passphrase: None,
    };
    Ok(is_sealed(&file.bytes()?.0))
}

fn is_sealed(bytes: &[u8]) -> bool {
    bytes.len() > 4 && bytes[..4] == *MAGIC && bytes[4] == sealed::VERSION
}

fn written(keys: &Keys, seal: Option<&Seal>) -> Zeroizing<Vec<u8>> {
    let bytes = keys.to_bytes();
    match seal {
        Some(seal) => Zeroizing::new(seal.close(&bytes)),
        None => bytes,
    }
}
