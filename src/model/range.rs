//! Byte ranges of a known length, parsed from the `Range` header (RFC 9110, section 14).

/// A non-empty run of bytes inside a representation of known length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

/// What a `Range` header asked for cannot be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// 416: nothing of the representation lies in the range.
    #[error("the range lies outside the {length_bytes} bytes there are")]
    Unsatisfiable {
        /// What `Content-Range: bytes */N` tells.
        length_bytes: u64,
    },
    /// Not one range of bytes: the header is ignored and the whole is sent (RFC 9110, 14.2).
    #[error("not a single byte range")]
    Ignored,
}

impl ByteRange {
    /// The range that covers all of `length_bytes`; may be empty when the length is 0.
    pub const fn whole(length_bytes: u64) -> Self {
        Self {
            start: 0,
            end: length_bytes,
        }
    }

    /// Number of bytes.
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    /// Whether there is no byte in it.
    pub const fn is_empty(&self) -> bool {
        self.end == self.start
    }

    /// Parses a `Range` header against a length in bytes. Several ranges are answered with the whole (`Ignored`).
    pub fn parse(header: &str, length_bytes: u64) -> Result<Self, RangeError> {
        let spec = header.trim().strip_prefix("bytes=").ok_or(RangeError::Ignored)?;
        if spec.contains(',') {
            return Err(RangeError::Ignored);
        }
        let (first, last) = spec.trim().split_once('-').ok_or(RangeError::Ignored)?;
        let unsatisfiable = RangeError::Unsatisfiable { length_bytes };
        if first.is_empty() {
            let suffix = digits(last)?;
            if suffix == 0 || length_bytes == 0 {
                return Err(unsatisfiable);
            }
            return Ok(Self {
                start: length_bytes.saturating_sub(suffix),
                end: length_bytes,
            });
        }
        let start = digits(first)?;
        let last = if last.is_empty() { u64::MAX } else { digits(last)? };
        if last < start {
            return Err(RangeError::Ignored);
        }
        if start >= length_bytes {
            return Err(unsatisfiable);
        }
        Ok(Self {
            start,
            end: last.saturating_add(1).min(length_bytes),
        })
    }

    /// Whether a `Range` header leaves its end open (`bytes=N-`).
    pub fn is_open_ended(header: &str) -> bool {
        header.trim().ends_with('-')
    }
}

fn digits(text: &str) -> Result<u64, RangeError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RangeError::Ignored);
    }
    // More digits than a u64 holds is a number past every end.
    Ok(text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_forms_of_rfc_9110() {
        let ok = |h, l| ByteRange::parse(h, l).map(|r| (r.start, r.end));
        assert_eq!(ok("bytes=0-0", 10), Ok((0, 1)));
        assert_eq!(ok("bytes=5-", 10), Ok((5, 10)));
        assert_eq!(ok("bytes=-3", 10), Ok((7, 10)));
        assert_eq!(ok("bytes=-30", 10), Ok((0, 10)));
        assert_eq!(ok("bytes=3-99", 10), Ok((3, 10)));
        let none = Err(RangeError::Unsatisfiable { length_bytes: 10 });
        assert_eq!(ok("bytes=10-", 10), none);
        assert_eq!(ok("bytes=-0", 10), none);
        assert_eq!(ok("bytes=99999999999999999999999-", 10), none);
        for ignored in [
            "bytes=5-3",
            "bytes=a-b",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=",
            "bytes=-",
            "bytes=+1-2",
        ] {
            assert_eq!(ok(ignored, 10), Err(RangeError::Ignored), "{ignored}");
        }
    }

    proptest! {
        #[test]
        fn a_range_lies_inside_its_length(header in "bytes=[0-9]{0,20}-[0-9]{0,20}", length in 0u64..1 << 40) {
            if let Ok(r) = ByteRange::parse(&header, length) {
                prop_assert!(r.start < r.end && r.end <= length);
            }
        }
    }
}
