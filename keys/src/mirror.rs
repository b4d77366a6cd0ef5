//! The mirror object `DCVM`: the frame in which records of the key plane lie as objects in a bucket or folder of their own.
//!
//! ```text
//! magic 4 · version 1 · kind 1 · count u16 · object id 16 · tenant 16      the head, 40 bytes
//! count times: u32 length · record
//! SHA-256 of all before it
//! ```
//! The frame proves nothing: each record in it does that by itself (an envelope by its locator, a KEK record by its wraps, a
//! system record by its wrap, a tombstone by its signature). The sum tells a damaged object from a forged one, and the id one
//! that was copied to another name.

use crate::bytes::{Reader, put_long};
use crate::digest::{equal, sha256};

const MAGIC: &[u8; 4] = b"DCVM";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 40;
const SUM_BYTES: usize = 32;
/// Records of one object; so 2.15 million owners' KEK records are about 2,150 objects.
pub const MAX_RECORDS: usize = 1000;
/// An envelope's manifest may have 32 MiB and a KEK record's profile 1 MiB; nothing longer is read into memory.
pub const MAX_MIRROR_BYTES: usize = 40 << 20;

/// Why a mirror object is not made or not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MirrorError {
    /// No mirror object, or changed since it was written.
    #[error("the mirror object is damaged")]
    Damaged,
    /// A whole mirror object, under a name that is not its own.
    #[error("the mirror object lies under another's name")]
    OtherName,
    /// A newer program wrote it.
    #[error("mirror object version {0} is not known")]
    UnknownVersion(u8),
    /// No record, too many records, or too long ones.
    #[error("a mirror object holds 1 to 1000 records, of 40 MiB together")]
    TooLong,
}

/// What the records of an object are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MirrorKind {
    /// One envelope, `DCVE`.
    Envelope,
    /// A pack of KEK records, `DCVK`, of owners that have nothing to do with each other.
    Keks,
    /// One system record, `DCVS`.
    System,
    /// A pack of tombstones ([`crate::tombstone`]).
    Tombstones,
}

impl MirrorKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Envelope, Self::Keks, Self::System, Self::Tombstones];

    const fn to_byte(self) -> u8 {
        match self {
            Self::Envelope => 1,
            Self::Keks => 2,
            Self::System => 3,
            Self::Tombstones => 4,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.to_byte() == byte)
    }

    /// How many records an object of this kind may hold.
    pub const fn most_records(self) -> usize {
        match self {
            Self::Envelope | Self::System => 1,
            Self::Keks | Self::Tombstones => MAX_RECORDS,
        }
    }
}

/// A mirror object's bytes, read: whole, and not yet believed.
#[derive(Debug)]
pub struct MirrorObject<'a> {
    /// What the records are.
    pub kind: MirrorKind,
    /// The tenant's id, `SYS` of every derivation: the only place that tells it without a catalogue.
    pub system: [u8; 16],
    /// The records, each still sealed or signed.
    pub records: Vec<&'a [u8]>,
}

/// The bytes of a mirror object that lies under the name of `id`.
///
/// # Errors
/// [`MirrorError::TooLong`].
pub fn make(system: &[u8; 16], id: &[u8; 16], kind: MirrorKind, records: &[&[u8]]) -> Result<Vec<u8>, MirrorError> {
    let count = u16::try_from(records.len()).map_err(|_| MirrorError::TooLong)?;
    let length = size(records.iter().map(|record| record.len()));
    if !(1..=kind.most_records()).contains(&records.len()) || length > MAX_MIRROR_BYTES {
        return Err(MirrorError::TooLong);
    }
    let mut out = Vec::with_capacity(length);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, kind.to_byte()]);
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(id);
    out.extend_from_slice(system);
    for record in records {
        put_long(&mut out, record);
    }
    let sum = sha256(&out);
    out.extend_from_slice(&sum);
    Ok(out)
}

/// Bytes of an object whose records have these lengths.
pub fn size(lengths: impl Iterator<Item = usize>) -> usize {
    lengths.fold(HEAD_BYTES + SUM_BYTES, |sum, length| {
        sum.saturating_add(length).saturating_add(4)
    })
}

impl<'a> MirrorObject<'a> {
    /// Reads an object that lay under the name of `id`.
    ///
    /// # Errors
    /// See [`MirrorError`].
    pub fn parse(bytes: &'a [u8], id: &[u8; 16]) -> Result<Self, MirrorError> {
        if bytes.len() > MAX_MIRROR_BYTES {
            return Err(MirrorError::TooLong);
        }
        if bytes.len() > 4 && bytes[..4] == *MAGIC && bytes[4] != VERSION {
            return Err(MirrorError::UnknownVersion(bytes[4]));
        }
        let whole = bytes.len().checked_sub(SUM_BYTES).map(|end| bytes.split_at(end));
        let (body, sum) = whole.ok_or(MirrorError::Damaged)?;
        if !equal(&sha256(body), sum) {
            return Err(MirrorError::Damaged);
        }
        let (found, object) = Self::read(body).ok_or(MirrorError::Damaged)?;
        if found == *id {
            Ok(object)
        } else {
            Err(MirrorError::OtherName)
        }
    }

    fn read(body: &'a [u8]) -> Option<([u8; 16], Self)> {
        let mut reader = Reader::new(body);
        let [m0, m1, m2, m3, version, kind] = reader.array()?;
        if [m0, m1, m2, m3] != *MAGIC || version != VERSION {
            return None;
        }
        let kind = MirrorKind::from_byte(kind)?;
        let count = usize::from(reader.u16()?);
        if !(1..=kind.most_records()).contains(&count) {
            return None;
        }
        let (id, system) = (reader.array()?, reader.array()?);
        let records = (0..count)
            .map(|_| reader.long(MAX_MIRROR_BYTES))
            .collect::<Option<_>>()?;
        reader.end()?;
        Some((id, Self { kind, system, records }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SYSTEM: [u8; 16] = [1; 16];
    const ID: [u8; 16] = [2; 16];

    fn made(kind: MirrorKind, records: &[&[u8]]) -> Vec<u8> {
        make(&SYSTEM, &ID, kind, records).expect("within the limits")
    }

    #[test]
    fn an_object_gives_its_records_back() {
        for kind in MirrorKind::ALL {
            let records = vec![&b"a record"[..]; kind.most_records().min(3)];
            let bytes = made(kind, &records);
            assert_eq!(bytes.len(), size(records.iter().map(|record| record.len())));
            let read = MirrorObject::parse(&bytes, &ID).expect("it reads");
            assert_eq!((read.kind, read.system, read.records), (kind, SYSTEM, records));
        }
    }

    #[test]
    fn a_changed_bit_a_cut_and_another_name_are_told_apart() {
        let bytes = made(MirrorKind::Keks, &[b"one", b"two"]);
        for bit in (0..bytes.len() * 8).filter(|bit| bit / 8 != 4) {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let refused = MirrorObject::parse(&changed, &ID).err();
            assert_eq!(refused, Some(MirrorError::Damaged), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(
                MirrorObject::parse(&bytes[..cut], &ID).err(),
                Some(MirrorError::Damaged),
                "cut at {cut}"
            );
        }
        assert_eq!(
            MirrorObject::parse(&bytes, &[3; 16]).err(),
            Some(MirrorError::OtherName)
        );
        let mut newer = bytes;
        newer[4] = 2;
        assert_eq!(
            MirrorObject::parse(&newer, &ID).err(),
            Some(MirrorError::UnknownVersion(2))
        );
    }

    #[test]
    fn no_record_and_too_many_are_refused() {
        let record: &[u8] = b"a record";
        for (kind, count) in [
            (MirrorKind::Keks, 0),
            (MirrorKind::Envelope, 2),
            (MirrorKind::System, 2),
            (MirrorKind::Keks, MAX_RECORDS + 1),
            (MirrorKind::Tombstones, usize::from(u16::MAX) + 2),
        ] {
            let refused = make(&SYSTEM, &ID, kind, &vec![record; count]).err();
            assert_eq!(refused, Some(MirrorError::TooLong), "{kind:?} {count}");
        }
        let long = vec![0; MAX_MIRROR_BYTES];
        let refused = make(&SYSTEM, &ID, MirrorKind::Envelope, &[&long]).err();
        assert_eq!(refused, Some(MirrorError::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_is_read_neither_panics_nor_is_longer_than_its_input(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut framed = bytes.clone();
            framed.extend_from_slice(&sha256(&bytes));
            for bytes in [&bytes, &framed] {
                if let Ok(read) = MirrorObject::parse(bytes, &ID) {
                    prop_assert!(read.records.iter().map(|record| record.len()).sum::<usize>() < bytes.len());
                }
            }
        }
    }
}
