//! Opens an object segment by segment, in any order; what surrounds it was pinned elsewhere.

use super::layout;
use super::prelude::Prelude;
use super::segment::SegmentKey;
use super::{ObjectError, Pinned, Place, SUITE, segment_span, segments};
use crate::Secret32;
use crate::digest::equal;

/// Opens an object segment by segment, in any order.
///
/// The caller compares the object's size with [`Pinned::size`] first; then a cut, a segment too many and a segment out of its
/// place are all refused before a byte of that segment is released.
pub struct Opener {
    key: SegmentKey,
    pinned: Pinned,
    segments: u32,
}

impl Opener {
    /// Checks the prelude; the commitment is compared in constant time before anything is opened.
    ///
    /// # Errors
    /// [`ObjectError::UnknownSuite`] when the catalogue pins a suite that is not in the program; what the object itself says
    /// never chooses one. [`ObjectError::Refused`] when key, place, id, pins or prelude do not fit together.
    pub fn new(
        dek: &Secret32,
        place: &Place<'_>,
        object_id: [u8; 16],
        pinned: &Pinned,
        prelude: &[u8],
    ) -> Result<Self, ObjectError> {
        place.check()?;
        let prelude = checked(object_id, pinned, prelude)?;
        let object_key = prelude.derive_object_key(dek, place);
        Self::committed(&object_key, pinned, &prelude)
    }

    /// As [`Opener::new`] for the holder of one object's key: it opens this object and nothing else.
    ///
    /// # Errors
    /// As [`Opener::new`].
    pub fn from_object_key(
        object_key: &Secret32,
        object_id: [u8; 16],
        pinned: &Pinned,
        prelude: &[u8],
    ) -> Result<Self, ObjectError> {
        let prelude = checked(object_id, pinned, prelude)?;
        Self::committed(object_key, pinned, &prelude)
    }

    fn committed(object_key: &Secret32, pinned: &Pinned, prelude: &Prelude) -> Result<Self, ObjectError> {
        let derived = prelude.derive_commitment(object_key);
        if !equal(&derived, &pinned.commitment) || !equal(&derived, prelude.commitment()) {
            return Err(ObjectError::Refused);
        }
        Ok(Self {
            key: SegmentKey::derive(&prelude.derive_tink_key(object_key), prelude),
            pinned: *pinned,
            segments: segments(pinned.padded_length, pinned.log2_segment),
        })
    }

    /// How many segments the object has.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// Opens a whole segment in place; nothing is released before it is authenticated, and on an error it is erased.
    ///
    /// # Errors
    /// [`ObjectError::Refused`] also for a segment that is not there, or has not the length that the pins give it.
    pub fn open_segment<'b>(&self, index: u32, sealed: &'b mut [u8]) -> Result<&'b [u8], ObjectError> {
        let span = segment_span(index, self.pinned.padded_length, self.pinned.log2_segment);
        if index >= self.segments || sealed.len() as u64 != span.end - span.start {
            return Err(ObjectError::Refused);
        }
        self.key.open(index, index + 1 == self.segments, sealed)
    }
}

/// The prelude, if it is the one of this object and agrees with what was pinned.
fn checked(object_id: [u8; 16], pinned: &Pinned, prelude: &[u8]) -> Result<Prelude, ObjectError> {
    if pinned.suite != SUITE {
        return Err(ObjectError::UnknownSuite(pinned.suite));
    }
    layout::check(pinned.padded_length, pinned.log2_segment)?;
    let prelude = Prelude::parse(prelude)?;
    if prelude.log2_segment() != pinned.log2_segment || prelude.object_id() != object_id {
        return Err(ObjectError::Refused);
    }
    Ok(prelude)
}
