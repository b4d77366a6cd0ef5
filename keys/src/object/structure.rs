//! What shows of an object without a key: its prelude, and whether a whole object can have so many bytes.
//!
//! This proves the form, not the contents: whoever makes a prelude by hand can put anything behind it. What tells such an
//! object is its commitment, which is compared with the one that was kept when it was sealed.

use super::layout::{MIN_SIZE_BYTES, TAG_BYTES, TINK_SEGMENTS_FROM, check, size};
use super::prelude::Prelude;
use super::{PRELUDE_BYTES, padded_length};

/// An object's clear part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Structure {
    /// Of the format.
    pub version: u8,
    /// Of the ciphers.
    pub suite: u8,
    /// The id that it says is its own.
    pub object_id: [u8; 16],
    /// The commitment to its key.
    pub commitment: [u8; 32],
    /// log2 of the segment size.
    pub log2_segment: u8,
    /// Plaintext bytes with padding, as they follow from the size.
    pub padded_length: u64,
}

impl Structure {
    /// Whether an object of `kind` may have this length: all but pieces are padded.
    pub fn is_padded_as(&self, kind: u8) -> bool {
        padded_length(self.padded_length, kind) == self.padded_length
    }
}

/// Reads the first [`PRELUDE_BYTES`] of something that has `size_bytes`; none when it is no object.
pub fn structure(prelude: &[u8], size_bytes: u64) -> Option<Structure> {
    let prelude = Prelude::parse(prelude.get(..PRELUDE_BYTES)?).ok()?;
    let log2_segment = prelude.log2_segment();
    let padded_length = padded_length_of(size_bytes, log2_segment)?;
    Some(Structure {
        version: prelude.version(),
        suite: prelude.suite(),
        object_id: prelude.object_id().try_into().ok()?,
        commitment: prelude.commitment().try_into().ok()?,
        log2_segment,
        padded_length,
    })
}

/// The padded length of an object of so many bytes; none when no object has so many.
fn padded_length_of(size_bytes: u64, log2_segment: u8) -> Option<u64> {
    check(0, log2_segment).ok()?;
    if size_bytes < MIN_SIZE_BYTES {
        return None;
    }
    let segments = (size_bytes - TINK_SEGMENTS_FROM).div_ceil(1 << log2_segment);
    let padded = (size_bytes - PRELUDE_BYTES as u64).checked_sub(segments.checked_mul(TAG_BYTES)?)?;
    check(padded, log2_segment).ok()?;
    (size(padded, log2_segment) == size_bytes).then_some(padded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{MAX_PADDED_BYTES, kind};
    use super::*;

    proptest! {
        #[test]
        fn a_size_gives_its_padded_length_back_and_no_other_size_is_one(
            padded in prop_oneof![0..4_u64 << 20, 0..=MAX_PADDED_BYTES / 2],
            log2 in prop::sample::select(vec![16_u8, 18, 20]),
            other: u64,
        ) {
            prop_assert_eq!(padded_length_of(size(padded, log2), log2), Some(padded));
            if let Some(padded) = padded_length_of(other, log2) {
                prop_assert_eq!(size(padded, log2), other);
            }
        }
    }

    #[test]
    fn a_size_between_two_lengths_is_none() {
        // A whole first segment, and then a segment that has no room for its tag and a byte.
        let whole = size((1 << 16) - 56, 16);
        assert_eq!(padded_length_of(whole, 16), Some((1 << 16) - 56));
        for more in 1..=16 {
            assert_eq!(padded_length_of(whole + more, 16), None, "{more}");
        }
        assert!(padded_length_of(whole + 17, 16).is_some());
        for size_bytes in 0..MIN_SIZE_BYTES {
            assert_eq!(padded_length_of(size_bytes, 16), None, "{size_bytes}");
        }
    }

    #[test]
    fn an_unpadded_length_is_a_pieces_alone() {
        let odd = Structure {
            version: 1,
            suite: 1,
            object_id: [1; 16],
            commitment: [2; 32],
            log2_segment: 18,
            padded_length: 300_001,
        };
        assert!(!odd.is_padded_as(kind::VIDEO));
        assert!(odd.is_padded_as(kind::PIECE));
    }
}
