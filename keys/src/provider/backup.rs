//! A keyring's backup under a passphrase of its own: a head, then one sealed part.
//!
//! `head 52 · commitment 32 · keyring file and tag`.

use zeroize::Zeroizing;

use super::KeyringError;
use super::root_keys::MAX_FILE_BYTES;
use super::stretch::{self, HEAD_BYTES};
use crate::bytes::Reader;
use crate::digest::equal;
use crate::part::{self, SALT_BYTES, TAG_BYTES};

const MAGIC: [u8; 4] = *b"DCVB";
const VERSION: u8 = 1;
const COMMITMENT_BYTES: usize = 32;

/// Seals a keyring file's bytes.
pub(super) fn seal(keyring: &[u8], passphrase: &str) -> Result<Vec<u8>, KeyringError> {
    let (head, key) = stretch::make(MAGIC, VERSION, passphrase)?;
    let salt = &head[HEAD_BYTES - SALT_BYTES..];
    let mut out = Vec::with_capacity(HEAD_BYTES + COMMITMENT_BYTES + keyring.len() + TAG_BYTES);
    out.extend_from_slice(&head);
    out.extend_from_slice(&part::commitment(&key, salt, &[b"dcv1/backup/commit"]));
    out.extend_from_slice(&part::seal(&key, salt, &[b"dcv1/backup/keyring"], &head, keyring));
    Ok(out)
}

/// Opens a backup.
pub(super) fn open(backup: &[u8], passphrase: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    if backup.len() > 4 && backup[..4] == MAGIC && backup[4] != VERSION {
        return Err(KeyringError::UnknownVersion(backup[4]));
    }
    read(backup, passphrase).ok_or(KeyringError::BackupRefused)
}

fn read(backup: &[u8], passphrase: &str) -> Option<Zeroizing<Vec<u8>>> {
    if backup.len() > HEAD_BYTES + COMMITMENT_BYTES + MAX_FILE_BYTES + TAG_BYTES {
        return None;
    }
    let mut reader = Reader::new(backup);
    let head = reader.array()?;
    let commitment = reader.take(COMMITMENT_BYTES)?;
    let sealed = &backup[HEAD_BYTES + COMMITMENT_BYTES..];
    let (key, salt) = (
        stretch::again(&head, MAGIC, VERSION, passphrase)?,
        &head[HEAD_BYTES - SALT_BYTES..],
    );
    if !equal(&part::commitment(&key, salt, &[b"dcv1/backup/commit"]), commitment) {
        return None;
    }
    part::open(&key, salt, &[b"dcv1/backup/keyring"], &head, sealed)
}
