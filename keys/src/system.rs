//! The system record `DCVS`: every key of a deployment that is not an owner's, wrapped by the root key; one revision a root epoch.
//!
//! ```text
//! magic 4 · version 1 · suite 1 · 0 · 0 · revision u32 · epoch u32 · salt 32      the head, 48 bytes
//! commitment 32 · wrap · six keys of 32 bytes and tag
//! ```
//! The root key wraps a key of the record's own, which seals the six; so a provider wraps 32 bytes and nothing else.

use crate::Secret32;
use crate::bytes::Reader;
use crate::digest::{equal, lp};
use crate::ingest::IngestSecret;
use crate::part::{self, SALT_BYTES, SUITE, TAG_BYTES};
use crate::provider::{ProviderError, RootKey, Wrap};

const MAGIC: &[u8; 4] = b"DCVS";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 16 + SALT_BYTES;
const KEYS: usize = 6;

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
    /// Look-ups across owners (e-mail); dies with its root epoch.
    pub index: Secret32,
    /// Keys the hashes of pairing codes.
    pub token: Secret32,
    /// Ed25519 seed that signs links.
    pub link: Secret32,
    /// Ed25519 seed that signs receipts.
    pub receipt: Secret32,
    /// What uploads' keys are sealed to.
    pub ingest: IngestSecret,
}

impl SystemRecord {
    /// New keys for a new deployment.
    pub fn make() -> Self {
        Self {
            locator: Secret32::make_random(),
            index: Secret32::make_random(),
            token: Secret32::make_random(),
            link: Secret32::make_random(),
            receipt: Secret32::make_random(),
            ingest: IngestSecret::make(),
        }
    }

    /// The same keys for the next root epoch, with a new index key: look-ups of the old one die with it.
    pub fn roll(self) -> Self {
        Self {
            index: Secret32::make_random(),
            ..self
        }
    }

    /// Seals the record; the epoch is the root key's.
    ///
    /// # Errors
    /// The provider's.
    pub fn seal(&self, system: &[u8], revision: u32, root: &dyn RootKey) -> Result<Vec<u8>, SystemError> {
        let record_key = Secret32::make_random();
        let wrap = root.wrap(record_key.expose(), &wrap_place(system, revision))?;
        let salt = part::make_salt();
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[VERSION, SUITE, 0, 0]);
        out.extend_from_slice(&revision.to_be_bytes());
        out.extend_from_slice(&wrap.epoch.to_be_bytes());
        out.extend_from_slice(&salt);
        let here = lp(&[system]);
        let mut keys = zeroize::Zeroizing::new(Vec::with_capacity(KEYS * 32));
        for key in self.in_order() {
            keys.extend_from_slice(key.expose());
        }
        let sealed = part::seal(&record_key, &salt, &[b"dcv1/sys/keys\0", &here], &out, &keys);
        out.extend_from_slice(&part::commitment(&record_key, &salt, &[b"dcv1/sys/commit\0", &here]));
        wrap.write(&mut out);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens a record.
    ///
    /// # Errors
    /// See [`SystemError`].
    pub fn open(system: &[u8], bytes: &[u8], root: &dyn RootKey) -> Result<Self, SystemError> {
        if bytes.len() > 4 && bytes[..4] == *MAGIC && bytes[4] != VERSION {
            return Err(SystemError::UnknownVersion(bytes[4]));
        }
        let record = SealedSystem::read(bytes).ok_or(SystemError::Refused)?;
        let record_key = root.unwrap(&record.wrap, &wrap_place(system, record.revision))?;
        record.open(system, &record_key).ok_or(SystemError::Refused)
    }

    fn in_order(&self) -> [&Secret32; KEYS] {
        [
            &self.locator,
            &self.index,
            &self.token,
            &self.link,
            &self.receipt,
            self.ingest.secret(),
        ]
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
        let fixed: [u8; 8] = reader.array()?;
        if fixed[..4] != *MAGIC || fixed[4..] != [VERSION, SUITE, 0, 0] {
            return None;
        }
        let (revision, epoch) = (reader.u32()?, reader.u32()?);
        reader.take(SALT_BYTES)?;
        let commitment = reader.take(32)?;
        let wrap = Wrap::read(&mut reader)?;
        let keys = reader.take(KEYS * 32 + TAG_BYTES)?;
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
        let mut reader = Reader::new(&keys);
        let mut next = || Secret32::from_slice(reader.take(32)?).ok();
        Some(SystemRecord {
            locator: next()?,
            index: next()?,
            token: next()?,
            link: next()?,
            receipt: next()?,
            ingest: IngestSecret::from_secret(next()?),
        })
    }
}

fn wrap_place(system: &[u8], revision: u32) -> Vec<u8> {
    let mut place = b"dcv1/sys/wrap\0".to_vec();
    place.extend_from_slice(&lp(&[system, &revision.to_be_bytes()]));
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Keyring;

    fn keyring() -> (tempfile::TempDir, Keyring) {
        let dir = tempfile::tempdir().expect("a folder");
        let keyring = Keyring::create(&dir.path().join("keyring")).expect("a keyring");
        (dir, keyring)
    }

    #[test]
    fn a_system_record_gives_its_keys_back() {
        let (_dir, keyring) = keyring();
        let record = SystemRecord::make();
        let bytes = record.seal(b"tenant", 1, &keyring).expect("it is wrapped");
        let opened = SystemRecord::open(b"tenant", &bytes, &keyring).expect("it opens");
        for (made, found) in record.in_order().into_iter().zip(opened.in_order()) {
            assert_eq!(made.expose(), found.expose());
        }
        assert_eq!(record.ingest.public(), opened.ingest.public());
        let mut all: Vec<_> = record.in_order().map(Secret32::expose).to_vec();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), KEYS, "every key is another");
    }

    #[test]
    fn a_roll_keeps_every_key_but_the_index() {
        let record = SystemRecord::make();
        let before: Vec<_> = record.in_order().map(|key| *key.expose()).to_vec();
        let after: Vec<_> = record.roll().in_order().map(|key| *key.expose()).to_vec();
        let kept: Vec<_> = before.iter().zip(&after).map(|(b, a)| b == a).collect();
        assert_eq!(kept, [true, false, true, true, true, true]);
    }

    #[test]
    fn any_changed_bit_any_cut_another_tenant_and_another_root_key_are_refused() {
        let (_dir, keyring) = keyring();
        let bytes = SystemRecord::make()
            .seal(b"tenant", 1, &keyring)
            .expect("it is wrapped");
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(SystemRecord::open(b"tenant", &changed, &keyring).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert!(
                SystemRecord::open(b"tenant", &bytes[..cut], &keyring).is_err(),
                "cut at {cut}"
            );
        }
        let refused = SystemRecord::open(b"other", &bytes, &keyring).err();
        assert!(matches!(refused, Some(SystemError::Provider(ProviderError::Refused))));
        let (_other_dir, other) = self::keyring();
        let refused = SystemRecord::open(b"tenant", &bytes, &other).err();
        assert!(matches!(
            refused,
            Some(SystemError::Provider(ProviderError::NoSuchKey { .. }))
        ));
        let mut newer = bytes;
        newer[4] = 9;
        assert!(matches!(
            SystemRecord::open(b"tenant", &newer, &keyring).err(),
            Some(SystemError::UnknownVersion(9))
        ));
    }
}
