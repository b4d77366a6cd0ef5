//! The offset arithmetic: which plaintext byte lies in which segment, and where in the object a segment lies.
//!
//! Every function is total: for a segment size that is none of ours the result means nothing, but nothing panics, because
//! the numbers come from catalogue rows. [`check`] is what refuses them.

use std::ops::Range;

use super::{MAX_PADDED_BYTES, MAX_SEGMENTS, ObjectError, PRELUDE_BYTES, kind};

/// Bytes of GCM's tag behind each segment.
pub(super) const TAG_BYTES: u64 = 16;
/// Tink's header, which its format counts into segment 0: a length byte, 32 bytes of salt, 7 of nonce prefix.
pub(super) const TINK_HEADER_BYTES: u64 = 40;
/// Our own part of the prelude.
const OWN_BYTES: u64 = PRELUDE_BYTES as u64 - TINK_HEADER_BYTES;
/// Where the first segment of Tink's format is counted from.
pub(super) const TINK_SEGMENTS_FROM: u64 = OWN_BYTES;
/// The object of nothing: prelude and one tag.
pub(super) const MIN_SIZE_BYTES: u64 = PRELUDE_BYTES as u64 + TAG_BYTES;
/// Less than this tells a tiny object from a small one.
const MIN_PADDED_BYTES: u64 = 128 << 10;

/// Refuses segment sizes that are none of ours and lengths past the limits.
pub(super) fn check(padded: u64, log2_segment: u8) -> Result<(), ObjectError> {
    if !matches!(log2_segment, 16 | 18 | 20) {
        return Err(ObjectError::BadPlace);
    }
    if padded > MAX_PADDED_BYTES || count(padded, log2_segment) > MAX_SEGMENTS {
        return Err(ObjectError::TooLong);
    }
    Ok(())
}

/// Plaintext bytes that a full segment holds.
pub(super) fn capacity(index: u32, log2_segment: u8) -> u64 {
    match index {
        0 => first_capacity(log2_segment),
        _ => other_capacity(log2_segment),
    }
}

fn segment_bytes(log2_segment: u8) -> u64 {
    1 << log2_segment.clamp(6, 32)
}

fn first_capacity(log2_segment: u8) -> u64 {
    segment_bytes(log2_segment) - TINK_HEADER_BYTES - TAG_BYTES
}

fn other_capacity(log2_segment: u8) -> u64 {
    segment_bytes(log2_segment) - TAG_BYTES
}

fn count(padded: u64, log2_segment: u8) -> u64 {
    let rest = padded.saturating_sub(first_capacity(log2_segment));
    1 + rest.div_ceil(other_capacity(log2_segment))
}

/// How many segments a padded length has.
pub fn segments(padded: u64, log2_segment: u8) -> u32 {
    u32::try_from(count(padded, log2_segment)).unwrap_or(u32::MAX)
}

/// Bytes of the whole object for a padded length: `128 + P + 16·n`.
pub fn size(padded: u64, log2_segment: u8) -> u64 {
    let tags = count(padded, log2_segment).saturating_mul(TAG_BYTES);
    padded.saturating_add(tags).saturating_add(PRELUDE_BYTES as u64)
}

/// The padded length of `length` plaintext bytes: Padmé, at least 128 KiB. A piece is not padded.
///
/// Padmé (Nikitin and others, "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", PETS 2019)
/// keeps the highest bits of a length and rounds the rest up: at most 12 % longer, 1 % for clips.
pub fn padded_length(length: u64, kind: u8) -> u64 {
    if kind == kind::PIECE {
        return length;
    }
    let length = length.max(MIN_PADDED_BYTES);
    let exponent = length.ilog2();
    let low_bits = exponent - (exponent.ilog2() + 1);
    let mask = (1_u64 << low_bits) - 1;
    length.saturating_add(mask) & !mask
}

/// The segment that holds a plaintext offset: `(x + 40) / (S − 16)`.
pub fn segment_at(plain_offset: u64, log2_segment: u8) -> u32 {
    let index = plain_offset.saturating_add(TINK_HEADER_BYTES) / other_capacity(log2_segment);
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The plaintext offset at which a segment begins.
pub fn segment_plain_start(index: u32, log2_segment: u8) -> u64 {
    (u64::from(index) * other_capacity(log2_segment)).saturating_sub(TINK_HEADER_BYTES)
}

/// The object's bytes that a segment takes, its tag included; empty past the last one.
pub fn segment_span(index: u32, padded: u64, log2_segment: u8) -> Range<u64> {
    let end_of_object = size(padded, log2_segment);
    let border = |i: u64| (OWN_BYTES + i * segment_bytes(log2_segment)).min(end_of_object);
    let start = if index == 0 {
        PRELUDE_BYTES as u64
    } else {
        border(u64::from(index))
    };
    start..border(u64::from(index) + 1).max(start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn log2() -> impl Strategy<Value = u8> {
        prop::sample::select(vec![16_u8, 18, 20])
    }

    fn length() -> impl Strategy<Value = u64> {
        prop_oneof![0..4_u64 << 20, 0..=MAX_PADDED_BYTES / 2]
    }

    proptest! {
        #[test]
        fn every_plaintext_byte_lies_in_the_segment_that_is_named(padded in length(), log2 in log2(), part in 0.0..1.0_f64) {
            prop_assume!(padded > 0);
            let x = ((padded as f64 * part) as u64).min(padded - 1);
            let i = segment_at(x, log2);
            let start = segment_plain_start(i, log2);
            prop_assert!(start <= x && x < start + capacity(i, log2));
            prop_assert!(i < segments(padded, log2));
        }

        #[test]
        fn spans_tile_the_object_and_hold_the_plaintext_and_a_tag_each(padded in 0..8_u64 << 20, log2 in log2()) {
            let n = segments(padded, log2);
            let (mut at, mut plain) = (PRELUDE_BYTES as u64, 0);
            for i in 0..n {
                let span = segment_span(i, padded, log2);
                prop_assert_eq!(span.start, at);
                prop_assert_eq!(segment_plain_start(i, log2), plain);
                prop_assert!(span.end - span.start >= TAG_BYTES);
                plain += span.end - span.start - TAG_BYTES;
                at = span.end;
            }
            prop_assert_eq!(plain, padded);
            prop_assert_eq!(at, size(padded, log2));
            prop_assert!(segment_span(n, padded, log2).is_empty());
        }

        #[test]
        fn padding_grows_little_and_is_stable(length in length()) {
            let padded = padded_length(length, kind::VIDEO);
            prop_assert!(padded >= length.max(128 << 10));
            prop_assert!(padded - length.max(128 << 10) <= length.max(128 << 10) / 8);
            prop_assert_eq!(padded_length(padded, kind::VIDEO), padded);
            prop_assert_eq!(padded_length(length, kind::PIECE), length);
        }

        #[test]
        fn nothing_panics_on_numbers_from_a_broken_row(padded: u64, log2: u8, index: u32, offset: u64) {
            let _ = (size(padded, log2), segments(padded, log2), segment_span(index, padded, log2));
            let _ = (segment_at(offset, log2), segment_plain_start(index, log2), padded_length(padded, 1));
            let _ = check(padded, log2);
        }
    }

    #[test]
    fn the_object_s_size_follows_the_formula_at_the_borders_of_segments() {
        let s = 1_u64 << 16;
        assert_eq!(size(0, 16), 128 + 16);
        assert_eq!(size(s - 56, 16), 128 + s - 56 + 16);
        assert_eq!(size(s - 55, 16), 128 + s - 55 + 32);
        assert_eq!(size(s - 56 + s - 16, 16), 128 + 2 * s - 72 + 32);
        assert_eq!(size(s - 56 + s - 15, 16), 128 + 2 * s - 71 + 48);
    }

    #[test]
    fn limits_are_kept() {
        assert_eq!(check(MAX_PADDED_BYTES, 18), Ok(()));
        assert_eq!(check(MAX_PADDED_BYTES + 1, 20), Err(ObjectError::TooLong));
        let most = (1 << 16) - 56 + (MAX_SEGMENTS - 1) * ((1 << 16) - 16);
        assert_eq!(check(most, 16), Ok(()));
        assert_eq!(check(most + 1, 16), Err(ObjectError::TooLong));
        for log2 in [0, 15, 17, 19, 21, 64, 255] {
            assert_eq!(check(1, log2), Err(ObjectError::BadPlace));
        }
    }
}
