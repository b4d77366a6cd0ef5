//! One sealed part of a record: AES-256-GCM under a key of its own, derived from a fresh salt, with nonce 0.
//!
//! aes-gcm does it, because it erases its keys when dropped; what it leaves on the stack is erased too. The derivation makes the key single-use: no two parts share
//! key, salt and purpose, so the nonce may stand still.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use zeroize::Zeroizing;

use crate::Secret32;
use crate::digest::{derive, derive_public, random};
use crate::stack::wiped;

/// Bytes of GCM's tag behind each part.
pub(crate) const TAG_BYTES: usize = 16;
/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 32;
/// HKDF-SHA256 and AES-256-GCM; the only suite there is.
pub(crate) const SUITE: u8 = 1;

/// A fresh salt.
pub(crate) fn make_salt() -> [u8; SALT_BYTES] {
    random()
}

/// Seals `plain` under `key`; `head` is the record's first bytes up to and including the salt, `info` says what the part is.
///
/// The caller makes the salt for this record and seals one part for each `info`.
pub(crate) fn seal(key: &Secret32, salt: &[u8], info: &[&[u8]], head: &[u8], plain: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: plain, aad: head };
    wiped(|| cipher(key, salt, info).encrypt(&[0; 12].into(), payload)).expect("a part is shorter than 64 GiB")
}

/// Opens a part; `None` when anything does not fit.
pub(crate) fn open(
    key: &Secret32,
    salt: &[u8],
    info: &[&[u8]],
    head: &[u8],
    sealed: &[u8],
) -> Option<Zeroizing<Vec<u8>>> {
    let payload = Payload { msg: sealed, aad: head };
    let plain = wiped(|| cipher(key, salt, info).decrypt(&[0; 12].into(), payload));
    plain.ok().map(Zeroizing::new)
}

/// The value that only this key gives: GCM alone lets one ciphertext open under two keys.
pub(crate) fn commitment(key: &Secret32, salt: &[u8], info: &[&[u8]]) -> [u8; 32] {
    derive_public(key, salt, info)
}

fn cipher(key: &Secret32, salt: &[u8], info: &[&[u8]]) -> Aes256Gcm {
    Aes256Gcm::new(derive(key, salt, info).expose().into())
}
