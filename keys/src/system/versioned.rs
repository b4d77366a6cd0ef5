//! Keys with versions: which one signs now, which ones still verify, and the public halves of receipt keys, kept for ever.
//!
//! ```text
//! set:          count u8 · count times: version u32 · since i64 · until i64 · key 32
//! receipt keys: count u16 · count times: version u32 · since i64 · public key 32 · endorsement 64
//! ```
//! Times are unix milliseconds; an `until` of `i64::MAX` is none.

use crate::Secret32;
use crate::bytes::Reader;
use crate::signing::{self, SIGNATURE_BYTES};

/// Versions in one set. Links end after 30 days at most, so this is a rotation a day for two months.
pub(super) const MAX_VERSIONS: usize = 64;
/// A rotation a month for eighty years.
pub(super) const MAX_RECEIPT_KEYS: usize = 1000;
pub(super) const RECEIPT_KEY_BYTES: usize = 4 + 8 + 32 + SIGNATURE_BYTES;
const VERSION_BYTES: usize = 4 + 8 + 8 + 32;
const NO_END: i64 = i64::MAX;
/// Keeps an endorsement apart from every other signature of ours.
const DOMAIN: &[u8] = b"dcv1/receipt-key\0";

/// One version of a key.
pub struct VersionedKey {
    /// Counts up from 1.
    pub version: u32,
    /// Signs from then on, so that every node knows it before the first signature; unix milliseconds.
    pub since_ms: i64,
    /// Verifies until then; none for the newest.
    pub until_ms: Option<i64>,
    /// The key or seed.
    pub key: Secret32,
}

/// Versions of a key, ascending; never empty.
pub struct KeySet(Vec<VersionedKey>);

impl KeySet {
    pub(super) fn first(key: Secret32) -> Self {
        Self(vec![VersionedKey {
            version: 1,
            since_ms: 0,
            until_ms: None,
            key,
        }])
    }

    /// How many versions there are.
    #[expect(clippy::len_without_is_empty, reason = "a set is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The last one made, whether it signs already or not.
    pub fn newest(&self) -> &VersionedKey {
        self.0.last().expect("a set is never empty")
    }

    /// The one that signs at `now_ms`.
    pub fn signing(&self, now_ms: i64) -> &VersionedKey {
        let begun = self.0.iter().rev().find(|key| key.since_ms <= now_ms);
        begun.unwrap_or(&self.0[0])
    }

    /// Those that verify at `now_ms`, the newest first.
    pub fn verifying(&self, now_ms: i64) -> impl Iterator<Item = &VersionedKey> {
        self.0
            .iter()
            .rev()
            .filter(move |key| key.until_ms.is_none_or(|until| now_ms < until))
    }

    /// Adds a version that signs from `since_ms` on; those before it verify until `until_ms` at the latest. False, and
    /// nothing changes, when the set holds as many as it may.
    pub fn rotate(&mut self, key: Secret32, since_ms: i64, until_ms: i64) -> bool {
        let Some(version) = self.newest().version.checked_add(1) else {
            return false;
        };
        if self.0.len() >= MAX_VERSIONS {
            return false;
        }
        for old in &mut self.0 {
            old.until_ms = Some(old.until_ms.unwrap_or(until_ms).min(until_ms));
        }
        self.0.push(VersionedKey {
            version,
            since_ms,
            until_ms: None,
            key,
        });
        true
    }

    /// Takes out every version but the newest.
    pub fn forget_older(&mut self) {
        self.0.drain(..self.0.len() - 1);
    }

    /// Takes out the versions whose time is over.
    pub fn forget_ended(&mut self, now_ms: i64) {
        self.0.retain(|key| key.until_ms.is_none_or(|until| now_ms < until));
    }

    pub(super) fn len_bytes(&self) -> usize {
        1 + self.0.len() * VERSION_BYTES
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.0.len() as u8);
        for key in &self.0 {
            out.extend_from_slice(&key.version.to_be_bytes());
            out.extend_from_slice(&key.since_ms.to_be_bytes());
            out.extend_from_slice(&key.until_ms.unwrap_or(NO_END).to_be_bytes());
            out.extend_from_slice(key.key.expose());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let count = usize::from(reader.u8()?);
        if !(1..=MAX_VERSIONS).contains(&count) {
            return None;
        }
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            keys.push(VersionedKey {
                version: reader.u32()?,
                since_ms: reader.i64()?,
                until_ms: Some(reader.i64()?).filter(|until| *until != NO_END),
                key: Secret32::from_slice(reader.take(32)?).ok()?,
            });
        }
        let ascending = keys.is_sorted_by(|a, b| a.version < b.version);
        let newest_stays = keys.last().is_some_and(|key| key.until_ms.is_none());
        (ascending && newest_stays).then_some(Self(keys))
    }
}

/// The public half of a receipt key, and its predecessor's word for it: who trusts one trusts those that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptKey {
    /// Counts up from 1.
    pub version: u32,
    /// Signs from then on; unix milliseconds.
    pub since_ms: i64,
    /// Ed25519.
    pub public_key: [u8; 32],
    /// Signature of the key before; zeros for the first.
    pub endorsement: [u8; SIGNATURE_BYTES],
}

impl ReceiptKey {
    pub(super) fn first(seed: &Secret32) -> Self {
        Self {
            version: 1,
            since_ms: 0,
            public_key: signing::public_key(seed),
            endorsement: [0; SIGNATURE_BYTES],
        }
    }

    pub(super) fn endorsed(seed: &Secret32, since_ms: i64, by: &VersionedKey) -> Self {
        let mut key = Self {
            version: by.version + 1,
            since_ms,
            public_key: signing::public_key(seed),
            endorsement: [0; SIGNATURE_BYTES],
        };
        key.endorsement = signing::sign(&by.key, DOMAIN, &key.signed());
        key
    }

    /// Whether the key before endorsed this one.
    pub fn is_endorsed_by(&self, before: &[u8; 32]) -> bool {
        signing::verify(before, DOMAIN, &self.signed(), &self.endorsement)
    }

    fn signed(&self) -> [u8; 44] {
        let mut bytes = [0; 44];
        bytes[..4].copy_from_slice(&self.version.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.since_ms.to_be_bytes());
        bytes[12..].copy_from_slice(&self.public_key);
        bytes
    }

    pub(super) fn write_all(keys: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(&(keys.len() as u16).to_be_bytes());
        for key in keys {
            out.extend_from_slice(&key.signed());
            out.extend_from_slice(&key.endorsement);
        }
    }

    pub(super) fn read_all(reader: &mut Reader<'_>) -> Option<Vec<Self>> {
        let count = usize::from(reader.u16()?);
        if !(1..=MAX_RECEIPT_KEYS).contains(&count) {
            return None;
        }
        let mut next = || {
            Some(Self {
                version: reader.u32()?,
                since_ms: reader.i64()?,
                public_key: reader.array()?,
                endorsement: reader.array()?,
            })
        };
        (0..count).map(|_| next()).collect()
    }
}

/// Every key that follows from one that is trusted, itself included: each is endorsed by one before it.
pub fn trusted_from(trusted: &[u8; 32], keys: &[ReceiptKey]) -> Vec<[u8; 32]> {
    let mut found = vec![*trusted];
    let mut sorted: Vec<_> = keys.iter().collect();
    sorted.sort_by_key(|key| key.version);
    for key in sorted {
        if found.last().is_some_and(|before| key.is_endorsed_by(before)) {
            found.push(key.public_key);
        }
    }
    found
}
