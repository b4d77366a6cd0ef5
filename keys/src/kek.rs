//! The KEK record `DCVK`: an owner's key-encryption key under one or more wraps, and the owner's profile sealed by it.
//!
//! ```text
//! magic 4 · version 1 · suite 1 · state 1 · 0 · KEK id 16 · KEK version u32 · revision u32 · salt 32     the head, 64 bytes
//! commitment 32 · count u8 · wraps · u32 length · profile and tag
//! ```
//! The head names no owner: whoever reads the mirror cannot tell whose record it is.

mod profile;

#[cfg(test)]
mod tests;

pub use profile::{OldKey, Profile, ProfileAbout, PublicKey, Quotas, Vehicle};

use crate::Secret32;
use crate::bytes::{Reader, put_long};
use crate::digest::{equal, lp};
use crate::part::{self, SALT_BYTES, SUITE, TAG_BYTES};
use crate::provider::{ProviderError, RootKey, Wrap};

const MAGIC: &[u8; 4] = b"DCVK";
const VERSION: u8 = 1;
const HEAD_BYTES: usize = 32 + SALT_BYTES;
const COMMITMENT_BYTES: usize = 32;
/// Wraps of one record: an old and a new root key while rotating, a second provider, and room.
pub const MAX_WRAPS: usize = 8;
/// A profile holds an owner's vehicles, some 300 bytes each; a fleet is many owners.
const MAX_PROFILE_BYTES: usize = 1 << 20;

/// What a record has in one place when a root key made its only wrap: a catalogue finds those that have another without reading
/// them one by one. It proves nothing, as whoever opens a record does.
pub struct SoleWrap {
    named: Vec<u8>,
}

impl SoleWrap {
    /// Where the number of wraps stands, which is 1; from 0.
    pub const COUNT_AT: usize = HEAD_BYTES + COMMITMENT_BYTES;
    /// Where [`Self::named`] stands: behind the number and the kind of the provider.
    pub const NAMED_AT: usize = Self::COUNT_AT + 2;

    /// By the provider's name for the root key, and its epoch.
    pub fn by(reference: &str, epoch: u32) -> Self {
        let mut named = epoch.to_be_bytes().to_vec();
        named.extend_from_slice(&lp(&[reference.as_bytes()]));
        Self { named }
    }

    /// Epoch and name, as the record has them.
    pub fn named(&self) -> &[u8] {
        &self.named
    }

    /// Whether a record has it.
    pub fn is_in(&self, record: &[u8]) -> bool {
        record.get(Self::COUNT_AT) == Some(&1)
            && record
                .get(Self::NAMED_AT..)
                .is_some_and(|rest| rest.starts_with(&self.named))
    }
}

/// Why a KEK record is not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum KekError {
    /// The key, the place or the bytes do not fit; deliberately nothing more.
    #[error("the KEK record does not open")]
    Refused,
    /// A newer program wrote it.
    #[error("KEK record version {0} is not known")]
    UnknownVersion(u8),
    /// The profile is longer than a record may hold, or there is no wrap, or more than [`MAX_WRAPS`].
    #[error("the KEK record is too long, or has no wrap")]
    TooLong,
    /// No wrap could be undone.
    #[error("no wrap of the KEK could be undone")]
    Provider(#[from] ProviderError),
}

/// What a record says in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KekHead {
    /// The record's id, new with each version.
    pub id: [u8; 16],
    /// Version of the owner's KEK.
    pub version: u32,
    /// Counts up with each rewriting of the record.
    pub revision: u32,
    /// Whether new clips are sealed under it.
    pub state: KekState,
}

/// Whether new clips are sealed under a KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KekState {
    /// The owner's newest.
    Active,
    /// Opens older clips only.
    Retired,
}

impl KekState {
    fn to_byte(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Retired => 1,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Active),
            1 => Some(Self::Retired),
            _ => None,
        }
    }
}

impl KekHead {
    fn lp(&self, system: &[u8]) -> Vec<u8> {
        lp(&[system, &self.id, &self.version.to_be_bytes()])
    }
}

/// A KEK record's bytes, read but not opened.
pub struct SealedKek<'a> {
    head_bytes: &'a [u8],
    head: KekHead,
    commitment: &'a [u8],
    wraps: Vec<Wrap>,
    profile: &'a [u8],
}

/// Wraps a KEK by the root key; the wrap is good for every revision of the record, so that a new profile costs no call to
/// the root key's provider.
///
/// # Errors
/// The provider's.
pub fn wrap(
    system: &[u8],
    root: &dyn RootKey,
    id: [u8; 16],
    version: u32,
    kek: &Secret32,
) -> Result<Wrap, ProviderError> {
    root.wrap(kek.expose(), &wrap_place(system, &id, version))
}

/// Seals a record with a fresh salt.
///
/// # Errors
/// [`KekError::TooLong`].
pub fn seal(
    system: &[u8],
    head: &KekHead,
    kek: &Secret32,
    wraps: &[Wrap],
    profile: &Profile,
) -> Result<Vec<u8>, KekError> {
    let profile = profile.to_bytes();
    if profile.len() > MAX_PROFILE_BYTES || !(1..=MAX_WRAPS).contains(&wraps.len()) || !wraps.iter().all(Wrap::fits) {
        return Err(KekError::TooLong);
    }
    let salt = part::make_salt();
    let mut out = Vec::with_capacity(HEAD_BYTES + 512 + profile.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, SUITE, head.state.to_byte(), 0]);
    out.extend_from_slice(&head.id);
    out.extend_from_slice(&head.version.to_be_bytes());
    out.extend_from_slice(&head.revision.to_be_bytes());
    out.extend_from_slice(&salt);
    let here = head.lp(system);
    let sealed = part::seal(kek, &salt, &[b"dcv1/kek/profile\0", &here], &out, &profile);
    out.extend_from_slice(&part::commitment(kek, &salt, &[b"dcv1/kek/commit\0", &here]));
    out.push(wraps.len() as u8);
    for wrap in wraps {
        wrap.write(&mut out);
    }
    put_long(&mut out, &sealed);
    Ok(out)
}

impl<'a> SealedKek<'a> {
    /// Reads the clear part.
    ///
    /// # Errors
    /// [`KekError::UnknownVersion`], and [`KekError::Refused`] for what is no record.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, KekError> {
        if bytes.len() > 4 && bytes[..4] == *MAGIC && bytes[4] != VERSION {
            return Err(KekError::UnknownVersion(bytes[4]));
        }
        Self::read(bytes).ok_or(KekError::Refused)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let [m0, m1, m2, m3, version, suite, state, zero] = reader.array()?;
        if [m0, m1, m2, m3] != *MAGIC || [version, suite, zero] != [VERSION, SUITE, 0] {
            return None;
        }
        let head = KekHead {
            id: reader.array()?,
            version: reader.u32()?,
            revision: reader.u32()?,
            state: KekState::from_byte(state)?,
        };
        reader.take(SALT_BYTES)?;
        let commitment = reader.take(COMMITMENT_BYTES)?;
        let count = usize::from(reader.u8()?);
        if !(1..=MAX_WRAPS).contains(&count) {
            return None;
        }
        let wraps = (0..count).map(|_| Wrap::read(&mut reader)).collect::<Option<_>>()?;
        let profile = reader.long(MAX_PROFILE_BYTES + TAG_BYTES)?;
        reader.end()?;
        Some(Self {
            head_bytes: &bytes[..HEAD_BYTES],
            head,
            commitment,
            wraps,
            profile,
        })
    }

    /// The clear part.
    pub fn head(&self) -> KekHead {
        self.head
    }

    /// The wraps, to be kept or replaced when the record is sealed anew.
    pub fn wraps(&self) -> &[Wrap] {
        &self.wraps
    }

    /// Undoes the first wrap that the root key can, and checks the KEK against the record's commitment.
    ///
    /// # Errors
    /// [`KekError::Provider`] when no wrap can be undone, [`KekError::Refused`] when what comes out is not this record's KEK.
    pub fn unwrap(&self, system: &[u8], root: &dyn RootKey) -> Result<Secret32, KekError> {
        let place = wrap_place(system, &self.head.id, self.head.version);
        let mut failure = None;
        for wrap in &self.wraps {
            match root.unwrap(wrap, &place) {
                Ok(kek) => return self.committed(system, &kek),
                // "Try again later" is worth more to the caller than what the other wraps said.
                Err(error) if error.is_passing() => failure = Some(error),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.map_or(KekError::Refused, KekError::Provider))
    }

    fn committed(&self, system: &[u8], kek: &[u8]) -> Result<Secret32, KekError> {
        let kek = Secret32::from_slice(kek).map_err(|_| KekError::Refused)?;
        let here = self.head.lp(system);
        let committed = part::commitment(&kek, self.salt(), &[b"dcv1/kek/commit\0", &here]);
        if equal(&committed, self.commitment) {
            Ok(kek)
        } else {
            Err(KekError::Refused)
        }
    }

    /// Opens the profile. The caller compares [`Profile::owner`] with the owner it asked for: it is the only place that says
    /// whose record this is.
    ///
    /// # Errors
    /// [`KekError::Refused`].
    pub fn open_profile(&self, system: &[u8], kek: &Secret32) -> Result<Profile, KekError> {
        let here = self.head.lp(system);
        part::open(
            kek,
            self.salt(),
            &[b"dcv1/kek/profile\0", &here],
            self.head_bytes,
            self.profile,
        )
        .and_then(|bytes| Profile::from_bytes(&bytes))
        .ok_or(KekError::Refused)
    }

    fn salt(&self) -> &[u8] {
        &self.head_bytes[HEAD_BYTES - SALT_BYTES..]
    }
}

fn wrap_place(system: &[u8], id: &[u8; 16], version: u32) -> Vec<u8> {
    let mut place = b"dcv1/kek/wrap\0".to_vec();
    place.extend_from_slice(&lp(&[system, id, &version.to_be_bytes()]));
    place
}
