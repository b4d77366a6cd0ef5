//! The data object `DCVO` version 1: a prelude with a commitment before Tink's AES-GCM-HKDF streaming format.

use std::ops::Range;

use crate::Secret32;

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
    /// SHA-256 of the plaintext without padding.
    pub sha256: [u8; 32],
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

/// Seals a stream into an object.
pub struct Sealer;

impl Sealer {
    /// Begins an object with fresh salts. Pieces ([`kind::PIECE`]) are not padded.
    pub fn new(
        _dek: &Secret32,
        _place: &Place<'_>,
        _object_id: [u8; 16],
        _log2_segment: u8,
    ) -> Result<Self, ObjectError> {
        todo!()
    }

    /// Takes plaintext and appends what is sealed by it; the prelude comes out with the first bytes.
    pub fn push(&mut self, _plain: &[u8], _out: &mut Vec<u8>) -> Result<(), ObjectError> {
        todo!()
    }

    /// Pads, seals the last segment and tells what to keep.
    pub fn finish(self, _out: &mut Vec<u8>) -> Result<Sealed, ObjectError> {
        todo!()
    }
}

/// Opens an object segment by segment, in any order.
pub struct Opener;

impl Opener {
    /// Checks the prelude; the commitment is compared in constant time before anything is opened.
    pub fn new(
        _dek: &Secret32,
        _place: &Place<'_>,
        _object_id: [u8; 16],
        _pinned: &Pinned,
        _prelude: &[u8],
    ) -> Result<Self, ObjectError> {
        todo!()
    }

    /// As [`Opener::new`] for the holder of one object's key: it opens this object and nothing else.
    pub fn from_object_key(
        _object_key: &Secret32,
        _object_id: [u8; 16],
        _pinned: &Pinned,
        _prelude: &[u8],
    ) -> Result<Self, ObjectError> {
        todo!()
    }

    /// How many segments the object has.
    pub fn segments(&self) -> u32 {
        todo!()
    }

    /// Opens a whole segment in place; nothing is released before it is authenticated, and on an error it is erased.
    pub fn open_segment<'b>(&self, _index: u32, _sealed: &'b mut [u8]) -> Result<&'b [u8], ObjectError> {
        todo!()
    }
}

/// The object key OK of an object, from its prelude: the unit of sharing.
pub fn derive_object_key(_dek: &Secret32, _place: &Place<'_>, _prelude: &[u8]) -> Result<Secret32, ObjectError> {
    todo!()
}

/// Bytes of the whole object for a padded length.
pub fn size(_padded: u64, _log2_segment: u8) -> u64 {
    todo!()
}

/// The padded length of `length` plaintext bytes (Padmé, at least 128 KiB; a piece is not padded).
pub fn padded_length(_length: u64, _kind: u8) -> u64 {
    todo!()
}

/// How many segments a padded length has.
pub fn segments(_padded: u64, _log2_segment: u8) -> u32 {
    todo!()
}

/// The segment that holds a plaintext offset.
pub fn segment_at(_plain_offset: u64, _log2_segment: u8) -> u32 {
    todo!()
}

/// The object's bytes that a segment takes, tag included.
pub fn segment_span(_index: u32, _padded: u64, _log2_segment: u8) -> Range<u64> {
    todo!()
}

/// The plaintext offset at which a segment begins.
pub fn segment_plain_start(_index: u32, _log2_segment: u8) -> u64 {
    todo!()
}
