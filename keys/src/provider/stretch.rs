//! A key from a passphrase: Argon2id (RFC 9106), and the head that tells how it was made.
//!
//! `magic 4 · version 1 · suite 1 · kdf 1 · 0 · memory KiB u32 · passes u32 · lanes u32 · salt 32`, 52 bytes.

use argon2::{Algorithm, Argon2, Params, Version};

use super::KeyringError;
use crate::Secret32;
use crate::bytes::Reader;
use crate::part::{self, SALT_BYTES, SUITE};
use crate::stack::wiped;

/// Argon2id, version 0x13.
const KDF: u8 = 1;
/// Bytes of the head; the last 32 are the salt.
pub(super) const HEAD_BYTES: usize = 20 + SALT_BYTES;
/// A passphrase has at least so many characters. Six random words have more.
pub const MIN_PASSPHRASE_CHARS: usize = 12;
/// RFC 9106's second recommended option; its first wants 2 GiB, which a small vault has not.
const COST: Cost = Cost {
    memory_kib: 64 << 10,
    passes: 3,
    lanes: 4,
};
/// What a file may ask of the reader: it comes from outside and is not authenticated before the work is done.
const MOST: Cost = Cost {
    memory_kib: 1 << 20,
    passes: 16,
    lanes: 16,
};

/// The first bytes of what is sealed under a passphrase.
pub(super) type Head = [u8; HEAD_BYTES];

#[derive(Clone, Copy)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// A head with a fresh salt, and its key.
pub(super) fn make(magic: [u8; 4], version: u8, passphrase: &str) -> Result<(Head, Secret32), KeyringError> {
    if passphrase.chars().count() < MIN_PASSPHRASE_CHARS {
        return Err(KeyringError::WeakPassphrase {
            least: MIN_PASSPHRASE_CHARS,
        });
    }
    let mut head = [0; HEAD_BYTES];
    head[..4].copy_from_slice(&magic);
    head[4..8].copy_from_slice(&[version, SUITE, KDF, 0]);
    let numbers = [COST.memory_kib, COST.passes, COST.lanes].map(u32::to_be_bytes);
    head[8..20].copy_from_slice(numbers.as_flattened());
    head[20..].copy_from_slice(&part::make_salt());
    let key = COST.stretch(passphrase, salt(&head));
    Ok((head, key.expect("the costs are within Argon2id's own bounds")))
}

/// The key of a head that was written before; none when the head is not of this kind, or asks for more work than any may.
pub(super) fn again(head: &Head, magic: [u8; 4], version: u8, passphrase: &str) -> Option<Secret32> {
    let mut reader = Reader::new(head);
    let fixed: [u8; 8] = reader.array()?;
    if fixed[..4] != magic || fixed[4..] != [version, SUITE, KDF, 0] {
        return None;
    }
    let cost = Cost {
        memory_kib: reader.u32()?,
        passes: reader.u32()?,
        lanes: reader.u32()?,
    };
    cost.bounded()?.stretch(passphrase, salt(head))
}

fn salt(head: &Head) -> &[u8] {
    &head[HEAD_BYTES - SALT_BYTES..]
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
        let key = Secret32::filled(|key| done = wiped(|| argon2.hash_password_into(passphrase.as_bytes(), salt, key)));
        done.ok().map(|()| key)
    }
}
