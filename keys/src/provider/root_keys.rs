//! The bytes of a keyring file.
//!
//! File: `magic 4 · version 1 · 3 zeros · count u32 · keys · SHA-256 32`, each key
//! `epoch u32 · version u32 · id 16 · key 32`, ascending.

use std::path::Path;

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::KeyringError;
use crate::Secret32;
use crate::bytes::Reader;
use crate::digest::{equal, lp, random, sha256};

pub(super) const MAGIC: &[u8; 4] = b"DCVR";
const VERSION: u8 = 1;
/// Keys in one keyring: a roll a day for two years. Bounds the file too.
const MAX_KEYS: usize = 1024;
const KEY_BYTES: usize = 56;
const HEAD_BYTES: usize = 12;
const CHECK_BYTES: usize = 32;
/// Bytes of the largest keyring file without a passphrase.
pub(super) const MAX_FILE_BYTES: usize = HEAD_BYTES + MAX_KEYS * KEY_BYTES + CHECK_BYTES;

/// The keys of a file, ascending by epoch and version; never empty.
pub(super) struct Keys(pub Vec<Key>);

pub(super) struct Key {
    pub epoch: u32,
    pub version: u32,
    pub id: [u8; 16],
    pub key: Secret32,
}

/// Why bytes are no keyring.
pub(super) enum Bad {
    Damaged,
    UnknownVersion(u8),
}

impl Bad {
    pub fn at(self, path: &Path) -> KeyringError {
        match self {
            Self::Damaged => KeyringError::Damaged(path.to_owned()),
            Self::UnknownVersion(version) => KeyringError::UnknownVersion(version),
        }
    }
}

impl Keys {
    pub fn newest(&self) -> &Key {
        self.0.last().expect("a keyring is never empty")
    }

    pub fn add(&mut self, key: Key) -> Result<(), KeyringError> {
        if self.0.len() == MAX_KEYS {
            return Err(KeyringError::Full);
        }
        self.0.push(key);
        Ok(())
    }

    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
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

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Bad> {
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
    pub fn make(epoch: u32, version: u32) -> Self {
        Self {
            epoch,
            version,
            id: random(),
            key: Secret32::make_random(),
        }
    }

    pub fn reference(&self) -> String {
        HEXLOWER.encode(&self.id)
    }

    pub fn info(&self, aad: &[u8]) -> Vec<u8> {
        lp(&[&self.id, &self.epoch.to_be_bytes(), aad])
    }
}
