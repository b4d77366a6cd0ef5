//! The data object `DCVO` version 1: a prelude with a commitment before Tink's AES-GCM-HKDF streaming format.

mod layout;
mod opener;
mod prelude;
mod sealer;
mod segment;
mod structure;

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod vectors;

pub use layout::{padded_length, segment_at, segment_plain_start, segment_span, segments, size};
pub use opener::Opener;
pub use prelude::derive_object_key;
pub use sealer::Sealer;
pub use structure::{Structure, structure};

/// Bytes before the first segment.
pub const PRELUDE_BYTES: usize = 128;
/// HKDF-SHA256 and AES-256-GCM; the only suite there is.
pub const SUITE: u8 = 1;
/// The default segment, 256 KiB: a probe of two bytes costs one.
pub const DEFAULT_LOG2_SEGMENT: u8 = 18;
/// The segment of an upload's piece, 64 KiB.
pub const PIECE_LOG2_SEGMENT: u8 = 16;
/// Padded plaintext bytes of one object, at most 64 GiB.
pub const MAX_PADDED_BYTES: u64 = 64 << 30;
/// Segments of one object; far below the 2^32 that the nonce could count.
pub const MAX_SEGMENTS: u64 = 1 << 20;
/// Objects under one DEK; a clip has some tens.
pub const MAX_OBJECTS_PER_DEK: u64 = 1 << 16;

/// Bytes of a rendition's name.
pub const MAX_RENDITION_BYTES: usize = 64;

/// Kinds of objects, as they stand in [`Place::kind`].
pub mod kind {
    /// A video: an original or a rendition.
    pub const VIDEO: u8 = 1;
    /// A poster or storyboard.
    pub const IMAGE: u8 = 2;
    /// A telemetry track.
    pub const TRACK: u8 = 3;
    /// A rendition's index.
    pub const INDEX: u8 = 4;
    /// Anything else.
    pub const OTHER: u8 = 5;
    /// A piece of an upload, in the staging location; not padded.
    pub const PIECE: u8 = 6;
}

/// Why an object is not sealed or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The key, the place, the prelude or the segment does not fit; deliberately nothing more.
    #[error("the object does not open")]
    Refused,
    /// The catalogue pins a suite that this program does not know.
    #[error("object suite {0} is not known")]
    UnknownSuite(u8),
    /// More than an object may hold.
    #[error("the object is longer than an object may be")]
    TooLong,
    /// The caller's place or segment size is none: a rendition's name is 1 to 64 ASCII characters, log2 is 16, 18 or 20.
    #[error("no such place or segment size")]
    BadPlace,
}

/// What an object belongs to; bound into its keys.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The tenant's id.
    pub system: &'a [u8],
    /// The owner's id.
    pub owner: [u8; 16],
    /// The clip's id; of a piece, the upload's.
    pub clip: [u8; 16],
    /// See [`kind`].
    pub kind: u8,
    /// A short ASCII name.
    pub rendition: &'a str,
}

/// What the catalogue keeps of a sealed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sealed {
    /// The suite, [`SUITE`].
    pub suite: u8,
    /// log2 of the segment size.
    pub log2_segment: u8,
    /// Plaintext bytes that were pushed.
    pub length: u64,
    /// Plaintext bytes with padding.
    pub padded_length: u64,
    /// Bytes of the whole object.
    pub size: u64,
    /// The commitment to the object's key.
    pub commitment: [u8; 32],
}

/// What is pinned outside an object before it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// The suite.
    pub suite: u8,
    /// log2 of the segment size.
    pub log2_segment: u8,
    /// Plaintext bytes with padding.
    pub padded_length: u64,
    /// The commitment.
    pub commitment: [u8; 32],
}

impl Place<'_> {
    fn check(&self) -> Result<(), ObjectError> {
        let name = self.rendition.as_bytes();
        let short = (1..=MAX_RENDITION_BYTES).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
        let known = (kind::VIDEO..=kind::PIECE).contains(&self.kind);
        if short && known {
            Ok(())
        } else {
            Err(ObjectError::BadPlace)
        }
    }
}

impl Sealed {
    /// What to pin of it.
    pub fn pinned(&self) -> Pinned {
        Pinned {
            suite: self.suite,
            log2_segment: self.log2_segment,
            padded_length: self.padded_length,
            commitment: self.commitment,
        }
    }
}

impl Pinned {
    /// Bytes that the whole object must have, as the store reports it.
    pub fn size(&self) -> u64 {
        size(self.padded_length, self.log2_segment)
    }
}
