//! The system record `DCVS`: every key of a deployment that is not an owner's, wrapped by the root key; one row a root epoch.
//!
//! ```text
//! magic 4 · version 2 · suite 1 · 0 · 0 · revision u32 · epoch u32 · salt 32      the head, 48 bytes
//! commitment 32 · wrap · u32 length · keys and tag
//! ```
//! The root key wraps a key of the record's own, which seals the others; so a provider wraps 32 bytes and nothing else.
//! Version 1 held six keys and no versions of them; it is read, and no longer written.

mod versioned;

#[cfg(test)]
mod tests;

pub use versioned::{KeySet, ReceiptKey, VersionedKey, trusted_from};

use zeroize::Zeroizing;

use crate::Secret32;
use crate::bytes::{Reader, put_long};
use crate::digest::{equal, lp};
use crate::ingest::IngestSecret;
use crate::part::{self, SALT_BYTES, SUITE, TAG_BYTES};
use crate::provider::{ProviderError, RootKey, Wrap};

const MAGIC: &[u8; 4] = b"DCVS";
/// Written.
const VERSION: u8 = 2;
/// Still read: six keys without versions.
const VERSION_1: u8 = 1;
const HEAD_BYTES: usize = 16 + SALT_BYTES;
const KEYS_1: usize = 6;
/// Lists at their bounds have some 130 KiB.
const MAX_KEYS_BYTES: usize = 1 << 18;

/// Why a system record is not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// The tenant or the bytes do not fit; deliberately nothing more.
    #[error("the system record does not open")]
    Refused,
    /// A newer program wrote it.
    #[error("system record version {0} is not known")]
    UnknownVersion(u8),
    /// The root key cannot wrap or unwrap it.
    #[error("the root key cannot unwrap the system record")]
    Provider(#[from] ProviderError),
}

/// The keys of a deployment.
pub struct SystemRecord {
    /// Hides owners in envelopes.
    pub locator: Secret32,
    /// What uploads' keys are sealed to.
    pub ingest: IngestSecret,
    /// Look-ups across owners (e-mail). A roll makes a new one, and the old one goes once every living owner's index is of
    /// the new.
    pub index: KeySet,
    /// Key the hashes of pairing codes.
    pub token: KeySet,
    /// Ed25519 seeds that sign links.
    pub link: KeySet,
    /// Ed25519 seeds that sign receipts and tombstones; one that signs no more leaves.
    pub receipt: KeySet,
    /// The public half of every receipt key there ever was, oldest first: what was signed is for ever.
    pub receipt_keys: Vec<ReceiptKey>,
}

impl SystemRecord {
    /// New keys for a new deployment.
    pub fn make() -> Self {
        Self::of_first_keys([(); KEYS_1].map(|()| Secret32::make_random()))
    }

    /// In version 1's order: locator, index, token, link, receipt, ingest.
    fn of_first_keys([locator, index, token, link, receipt, ingest]: [Secret32; KEYS_1]) -> Self {
        Self {
            locator,
            ingest: IngestSecret::from_secret(ingest),
            index: KeySet::first(index),
            token: KeySet::first(token),
            link: KeySet::first(link),
            receipt_keys: vec![ReceiptKey::first(&receipt)],
            receipt: KeySet::first(receipt),
        }
    }

    /// Adds a receipt key that signs from `since_ms` on, endorsed by the one that signs until then; false when the record
    /// holds as many as it may.
    pub fn rotate_receipts(&mut self, since_ms: i64) -> bool {
        let seed = Secret32::make_random();
        let endorsed = ReceiptKey::endorsed(&seed, since_ms, self.receipt.newest());
        if self.receipt_keys.len() >= versioned::MAX_RECEIPT_KEYS || !self.receipt.rotate(seed, since_ms, since_ms) {
            return false;
        }
        self.receipt_keys.push(endorsed);
        true
    }

    /// Takes out every key whose time is over.
    pub fn forget_ended(&mut self, now_ms: i64) {
        for set in [&mut self.index, &mut self.token, &mut self.link, &mut self.receipt] {
            set.forget_ended(now_ms);
        }
    }

    /// Seals the record; the epoch is the root key's, and is given back.
    ///
    /// # Errors
    /// The provider's.
    pub fn seal(&self, system: &[u8], revision: u32, root: &dyn RootKey) -> Result<(u32, Vec<u8>), SystemError> {
        let record_key = Secret32::make_random();
        let wrap = root.wrap(record_key.expose(), &wrap_place(system, revision))?;
        let salt = part::make_salt();
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, SUITE, 0, 0]);
        out.extend_from_slice(&revision.to_be_bytes());
        out.extend_from_slice(&wrap.epoch.to_be_bytes());
        out.extend_from_slice(&salt);
        let here = lp(&[system]);
        let keys = self.to_bytes();
        let sealed = part::seal(&record_key, &salt, &[b"dcv1/sys/keys\0", &here], &out, &keys);
        out.extend_from_slice(&part::commitment(&record_key, &salt, &[b"dcv1/sys/commit\0", &here]));
        wrap.write(&mut out);
        put_long(&mut out, &sealed);
        Ok((wrap.epoch, out))
    }

    /// Opens a record.
    ///
    /// # Errors
    /// See [`SystemError`].
    pub fn open(system: &[u8], bytes: &[u8], root: &dyn RootKey) -> Result<Self, SystemError> {
        if bytes.len() > 4 && bytes[..4] == *MAGIC && ![VERSION_1, VERSION].contains(&bytes[4]) {
            return Err(SystemError::UnknownVersion(bytes[4]));
        }
        let record = SealedSystem::read(bytes).ok_or(SystemError::Refused)?;
        let record_key = root.unwrap(&record.wrap, &wrap_place(system, record.revision))?;
        record.open(system, &record_key).ok_or(SystemError::Refused)
    }

    /// The root epoch that a record's bytes say they are of; none for what is no system record.
    pub fn epoch_of(bytes: &[u8]) -> Option<u32> {
        SealedSystem::read(bytes).map(|record| record.wrap.epoch)
    }

    /// The revision that a record's bytes say they are; none for what is no system record.
    pub fn revision_of(bytes: &[u8]) -> Option<u32> {
        SealedSystem::read(bytes).map(|record| record.revision)
    }

    /// The root key that wrapped a record's bytes, as its provider names it; none for what is no system record.
    pub fn reference_of(bytes: &[u8]) -> Option<String> {
        SealedSystem::read(bytes).map(|record| record.wrap.reference)
    }

    /// locator 32 · ingest 32 · index, token, link, receipt keys · receipt public keys.
    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let sets = [&self.index, &self.token, &self.link, &self.receipt];
        let length = 64 + sets.iter().map(|set| set.len_bytes()).sum::<usize>();
        // All secrets are written within the first capacity: a vector that grows leaves a copy behind.
        let mut out = Zeroizing::new(Vec::with_capacity(
            length + 2 + self.receipt_keys.len() * versioned::RECEIPT_KEY_BYTES,
        ));
        out.extend_from_slice(self.locator.expose());
        out.extend_from_slice(self.ingest.secret().expose());
        for set in sets {
            set.write(&mut out);
        }
        ReceiptKey::write_all(&self.receipt_keys, &mut out);
        out
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut secret = || Secret32::from_slice(reader.take(32)?).ok();
        let (locator, ingest) = (secret()?, secret()?);
        let record = Self {
            locator,
            ingest: IngestSecret::from_secret(ingest),
            index: KeySet::read(&mut reader)?,
            token: KeySet::read(&mut reader)?,
            link: KeySet::read(&mut reader)?,
            receipt: KeySet::read(&mut reader)?,
            receipt_keys: ReceiptKey::read_all(&mut reader)?,
        };
        reader.end()?;
        Some(record)
    }
}

/// A system record's bytes, read but not opened.
struct SealedSystem<'a> {
    head: &'a [u8],
    revision: u32,
    commitment: &'a [u8],
    wrap: Wrap,
    keys: &'a [u8],
}

impl<'a> SealedSystem<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let [m0, m1, m2, m3, version, suite, zero, zero_too] = reader.array()?;
        if [m0, m1, m2, m3] != *MAGIC || [suite, zero, zero_too] != [SUITE, 0, 0] {
            return None;
        }
        let (revision, epoch) = (reader.u32()?, reader.u32()?);
        reader.take(SALT_BYTES)?;
        let commitment = reader.take(32)?;
        let wrap = Wrap::read(&mut reader)?;
        let keys = match version {
            VERSION_1 => reader.take(KEYS_1 * 32 + TAG_BYTES)?,
            VERSION => reader.long(MAX_KEYS_BYTES)?,
            _ => return None,
        };
        reader.end()?;
        (wrap.epoch == epoch).then_some(Self {
            head: &bytes[..HEAD_BYTES],
            revision,
            commitment,
            wrap,
            keys,
        })
    }

    fn open(&self, system: &[u8], record_key: &[u8]) -> Option<SystemRecord> {
        let record_key = Secret32::from_slice(record_key).ok()?;
        let salt = &self.head[HEAD_BYTES - SALT_BYTES..];
        let here = lp(&[system]);
        if !equal(
            &part::commitment(&record_key, salt, &[b"dcv1/sys/commit\0", &here]),
            self.commitment,
        ) {
            return None;
        }
        let keys = part::open(&record_key, salt, &[b"dcv1/sys/keys\0", &here], self.head, self.keys)?;
        if self.head[4] == VERSION {
            return SystemRecord::from_bytes(&keys);
        }
        let mut reader = Reader::new(&keys);
        let mut next = || Secret32::from_slice(reader.take(32)?).ok();
        Some(SystemRecord::of_first_keys([
            next()?,
            next()?,
            next()?,
            next()?,
            next()?,
            next()?,
        ]))
    }
}

fn wrap_place(system: &[u8], revision: u32) -> Vec<u8> {
    let mut place = b"dcv1/sys/wrap\0".to_vec();
    place.extend_from_slice(&lp(&[system, &revision.to_be_bytes()]));
    place
}
