//! A keyring file under a passphrase.
//!
//! `head 52 · salt 32 · commitment 32 · keyring file of version 1 and tag · SHA-256 32`. The head stays while the passphrase
//! does, so that a change needs no second stretching; the salt is new in each writing. The sum is looked at first: it tells a
//! damaged file from a wrong passphrase.

#[cfg(test)]
mod tests;

use zeroize::Zeroizing;

use super::KeyringError;
use super::root_keys::{self, MAGIC};
use super::stretch::{self, HEAD_BYTES, Head};
use crate::Secret32;
use crate::bytes::Reader;
use crate::digest::{equal, sha256};
use crate::part::{self, SALT_BYTES, TAG_BYTES};

/// The file's version byte.
pub(super) const VERSION: u8 = 2;
const COMMITMENT_BYTES: usize = 32;
const SUM_BYTES: usize = 32;
const FRONT_BYTES: usize = HEAD_BYTES + SALT_BYTES;
/// Bytes of the largest keyring file.
pub(super) const MAX_FILE_BYTES: usize =
    FRONT_BYTES + COMMITMENT_BYTES + root_keys::MAX_FILE_BYTES + TAG_BYTES + SUM_BYTES;

/// What a passphrase became, with the head that says how.
pub(super) struct Seal {
    head: Head,
    key: Secret32,
}

impl Seal {
    /// A new one; some 0.2 s.
    pub fn make(passphrase: &str) -> Result<Self, KeyringError> {
        let (head, key) = stretch::make(*MAGIC, VERSION, passphrase)?;
        Ok(Self { head, key })
    }

    /// Seals a keyring file's bytes.
    pub fn close(&self, keyring: &[u8]) -> Vec<u8> {
        let salt = part::make_salt();
        let mut out = Vec::with_capacity(FRONT_BYTES + COMMITMENT_BYTES + keyring.len() + TAG_BYTES + SUM_BYTES);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(&salt);
        let keys = part::seal(&self.key, &salt, &[b"dcv1/keyring/keys"], &out, keyring);
        out.extend_from_slice(&part::commitment(&self.key, &salt, &[b"dcv1/keyring/commit"]));
        out.extend_from_slice(&keys);
        let sum = sha256(&out);
        out.extend_from_slice(&sum);
        out
    }
}

/// A sealed file that is whole.
pub(super) struct Sealed<'a> {
    head: Head,
    salt: &'a [u8],
    commitment: &'a [u8],
    front: &'a [u8],
    keys: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Of the bytes of a file whose version byte is [`VERSION`].
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (body, sum) = bytes.split_at_checked(bytes.len().checked_sub(SUM_BYTES)?)?;
        if !equal(&sha256(body), sum) {
            return None;
        }
        let mut reader = Reader::new(body);
        let (head, salt) = (reader.array()?, reader.take(SALT_BYTES)?);
        let commitment = reader.take(COMMITMENT_BYTES)?;
        Some(Self {
            head,
            salt,
            commitment,
            front: &body[..FRONT_BYTES],
            keys: &body[FRONT_BYTES + COMMITMENT_BYTES..],
        })
    }

    /// Whether `seal` was made for this head: its passphrase has not been changed since.
    pub fn is_of(&self, seal: &Seal) -> bool {
        self.head == seal.head
    }

    /// Stretches a passphrase for this head, some 0.2 s; none when the head asks for more than it may.
    pub fn stretch(&self, passphrase: &str) -> Option<Seal> {
        let key = stretch::again(&self.head, *MAGIC, VERSION, passphrase)?;
        Some(Seal { head: self.head, key })
    }

    /// Whether this is the passphrase.
    pub fn is_under(&self, seal: &Seal) -> bool {
        let commitment = part::commitment(&seal.key, self.salt, &[b"dcv1/keyring/commit"]);
        equal(&commitment, self.commitment)
    }

    /// The keyring file of version 1.
    pub fn open(&self, seal: &Seal) -> Option<Zeroizing<Vec<u8>>> {
        part::open(&seal.key, self.salt, &[b"dcv1/keyring/keys"], self.front, self.keys)
    }
}
