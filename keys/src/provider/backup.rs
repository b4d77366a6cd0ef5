//! A keyring under a passphrase: Argon2id (RFC 9106), then one sealed part.
//!
//! `magic 4 · version 1 · suite 1 · kdf 1 · 0 · memory KiB u32 · passes u32 · lanes u32 · salt 32` (the head, 52 bytes)
//! ` · commitment 32 · keyring file and tag`.

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::KeyringError;
use super::root_keys::MAX_FILE_BYTES;
use crate::Secret32;
use crate::bytes::Reader;
use crate::digest::equal;
use crate::part::{self, SALT_BYTES, SUITE, TAG_BYTES};

const MAGIC: &[u8; 4] = b"DCVB";
const VERSION: u8 = 1;
/// Argon2id, version 0x13.
const KDF: u8 = 1;
const HEAD_BYTES: usize = 20 + SALT_BYTES;
const COMMITMENT_BYTES: usize = 32;
/// A passphrase has at least so many characters. Six random words have more.
pub const MIN_PASSPHRASE_CHARS: usize = 12;
/// RFC 9106's second recommended option; its first wants 2 GiB, which a small vault has not.
const COST: Cost = Cost {
    memory_kib: 64 << 10,
    passes: 3,
    lanes: 4,
};
/// What a backup may ask of the reader: it comes from outside and is not authenticated before the work is done.
const MOST: Cost = Cost {
    memory_kib: 1 << 20,
    passes: 16,
    lanes: 16,
};

#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// Seals a keyring file's bytes.
pub(super) fn seal(keyring: &[u8], passphrase: &str) -> Result<Vec<u8>, KeyringError> {
    if passphrase.chars().count() < MIN_PASSPHRASE_CHARS {
        return Err(KeyringError::WeakPassphrase {
            least: MIN_PASSPHRASE_CHARS,
        });
    }
    let mut out = Vec::with_capacity(HEAD_BYTES + COMMITMENT_BYTES + keyring.len() + TAG_BYTES);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, SUITE, KDF, 0]);
    for number in [COST.memory_kib, COST.passes, COST.lanes] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    let salt = part::make_salt();
    out.extend_from_slice(&salt);
    let key = COST.stretch(passphrase, &salt).ok_or(KeyringError::BackupRefused)?;
    let sealed = part::seal(&key, &salt, &[b"dcv1/backup/keyring"], &out, keyring);
    out.extend_from_slice(&part::commitment(&key, &salt, &[b"dcv1/backup/commit"]));
    out.extend_from_slice(&sealed);
    Ok(out)
}

/// Opens a backup.
pub(super) fn open(backup: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    if backup.len() > 4 && backup[..4] == *MAGIC && backup[4] != VERSION {
        return Err(KeyringError::UnknownVersion(backup[4]));
    }
    read(backup, passphrase).ok_or(KeyringError::BackupRefused)
}

fn read(backup: &[u8], passphrase: &str) -> Option<Zeroizing<Vec<u8>>> {
    if backup.len() > HEAD_BYTES + COMMITMENT_BYTES + MAX_FILE_BYTES + TAG_BYTES {
        return None;
    }
    let mut reader = Reader::new(backup);
    let fixed: [u8; 8] = reader.array()?;
    if fixed[..4] != *MAGIC || fixed[4..] != [VERSION, SUITE, KDF, 0] {
        return None;
    }
    let cost = Cost {
        memory_kib: reader.u32()?,
        passes: reader.u32()?,
        lanes: reader.u32()?,
    };
    let salt = reader.take(SALT_BYTES)?;
    let commitment = reader.take(COMMITMENT_BYTES)?;
    let (head, sealed) = (&backup[..HEAD_BYTES], &backup[HEAD_BYTES + COMMITMENT_BYTES..]);
    let key = cost.bounded()?.stretch(passphrase, salt)?;
    if !equal(&part::commitment(&key, salt, &[b"dcv1/backup/commit"]), commitment) {
        return None;
    }
    part::open(&key, salt, &[b"dcv1/backup/keyring"], head, sealed)
}

impl Cost {
    fn bounded(self) -> Option<Self> {
        let within = self.memory_kib <= MOST.memory_kib && self.passes <= MOST.passes && self.lanes <= MOST.lanes;
        within.then_some(self)
    }

    fn stretch(self, passphrase: &str, salt: &[u8]) -> Option<Secret32> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut done = Ok(());
        let key = Secret32::filled(|key| done = argon2.hash_password_into(passphrase.as_bytes(), salt, key));
        done.ok().map(|()| key)
    }
}
