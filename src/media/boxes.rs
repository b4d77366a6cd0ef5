//! Reads the boxes of an MP4 (ISO/IEC 14496-12) that a hostile program may have written: every number is checked before it is used.

/// What is wrong with a rendition: the worker wrote what it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a rendition is not what was asked for: {0}")]
pub(super) struct BadRendition(pub(super) &'static str);

const SHORT: BadRendition = BadRendition("a box is cut short");

/// Bytes yet to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], BadRendition> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadRendition> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(SHORT)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, BadRendition> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, BadRendition> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, BadRendition> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, BadRendition> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    /// Version and flags of a full box.
    pub(super) fn version_and_flags(&mut self) -> Result<(u8, u32), BadRendition> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    /// The boxes that stand one behind the other.
    pub(super) fn boxes(self) -> Boxes<'a> {
        Boxes(self)
    }

    /// The body of the first box of a kind.
    pub(super) fn find(self, kind: [u8; 4]) -> Result<Bytes<'a>, BadRendition> {
        for found in self.boxes() {
            let (name, body) = found?;
            if name == kind {
                return Ok(body);
            }
        }
        Err(BadRendition("a box is missing"))
    }
}

/// Walks over boxes; ends after the first that is wrong.
pub(super) struct Boxes<'a>(Bytes<'a>);

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<([u8; 4], Bytes<'a>), BadRendition>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let found = (|| {
            let (size, kind) = (self.0.u32()?, self.0.array()?);
            let body = (size as usize).checked_sub(8).ok_or(SHORT)?;
            Ok((kind, Bytes(self.0.take(body)?)))
        })();
        if found.is_err() {
            self.0 = Bytes(&[]);
        }
        Some(found)
    }
}
