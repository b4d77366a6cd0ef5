//! Seals a stream whose length is not known before it ends.

use zeroize::{Zeroize as _, Zeroizing};

use super::layout::{self, TAG_BYTES, capacity};
use super::prelude::{Prelude, Salts};
use super::segment::SegmentKey;
use super::{ObjectError, PRELUDE_BYTES, Place, SUITE, Sealed, padded_length, size};
use crate::Secret32;
use crate::digest::random;

/// Padding is pushed in runs of this many zeros.
const ZEROS: [u8; 4096] = [0; 4096];

/// Seals a stream into an object; holds at most one segment of plaintext.
///
/// A segment is sealed when a byte of the next one is there, because the last one's nonce says that it is the last.
pub struct Sealer {
    prelude: Prelude,
    prelude_written: bool,
    key: SegmentKey,
    commitment: [u8; 32],
    kind: u8,
    index: u32,
    segment: Zeroizing<Vec<u8>>,
    length: u64,
    /// Zeros of the padding so far.
    padding: u64,
    written: u64,
}

impl Sealer {
    /// Begins an object with fresh salts. Pieces ([`super::kind::PIECE`]) are not padded.
    ///
    /// # Errors
    /// [`ObjectError::BadPlace`] for a place or a segment size that is none.
    pub fn new(dek: &Secret32, place: &Place<'_>, object_id: [u8; 16], log2_segment: u8) -> Result<Self, ObjectError> {
        let salts = Salts {
            object: random(),
            tink: random(),
            nonce_prefix: random(),
        };
        Self::with_salts(dek, place, object_id, log2_segment, &salts)
    }

    /// Private: salts that are used twice under one key give its plaintexts away.
    pub(super) fn with_salts(
        dek: &Secret32,
        place: &Place<'_>,
        object_id: [u8; 16],
        log2_segment: u8,
        salts: &Salts,
    ) -> Result<Self, ObjectError> {
        place.check()?;
        layout::check(0, log2_segment)?;
        let mut prelude = Prelude::new(&object_id, log2_segment, salts);
        let object_key = prelude.derive_object_key(dek, place);
        let commitment = prelude.derive_commitment(&object_key);
        prelude.set_commitment(&commitment);
        Ok(Self {
            key: SegmentKey::derive(&prelude.derive_tink_key(&object_key), &prelude),
            prelude,
            prelude_written: false,
            commitment,
            kind: place.kind,
            index: 0,
            // In full at once: a growing vector would leave copies of plaintext behind.
            segment: Zeroizing::new(Vec::with_capacity(1 << log2_segment)),
            length: 0,
            padding: 0,
            written: 0,
        })
    }

    /// Takes plaintext and appends what is sealed by it; the prelude comes out with the first bytes.
    ///
    /// # Errors
    /// [`ObjectError::TooLong`] when an object cannot hold so much, or when its padding has begun; the object is then to be
    /// thrown away.
    pub fn push(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), ObjectError> {
        if self.padding > 0 {
            return Err(ObjectError::TooLong);
        }
        let length = self.length.saturating_add(plain.len() as u64);
        layout::check(padded_length(length, self.kind), self.prelude.log2_segment())?;
        self.length = length;
        self.append(plain, out)
    }

    /// Pads by at most `at_most` zeros, after the last push; whether the padding is whole. [`Self::finish`] pads too, but a
    /// long object's padding is long: whoever writes it out in steps never holds all of it.
    ///
    /// # Errors
    /// None but a limit that [`Self::push`] would have told.
    pub fn pad(&mut self, at_most: usize, out: &mut Vec<u8>) -> Result<bool, ObjectError> {
        let whole = padded_length(self.length, self.kind) - self.length;
        let until = self.padding.saturating_add(at_most as u64).min(whole);
        while self.padding < until {
            let run = (until - self.padding).min(ZEROS.len() as u64);
            self.append(&ZEROS[..run as usize], out)?;
            self.padding += run;
        }
        Ok(self.padding == whole)
    }

    /// Pads, seals the last segment and tells what to keep.
    ///
    /// # Errors
    /// None but a limit that [`Self::push`] would have told.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<Sealed, ObjectError> {
        let log2_segment = self.prelude.log2_segment();
        let padded_length = padded_length(self.length, self.kind);
        self.pad(usize::MAX, out)?;
        self.seal_segment(&[], true, out)?;
        debug_assert_eq!(self.written, size(padded_length, log2_segment));
        Ok(Sealed {
            suite: SUITE,
            log2_segment,
            length: self.length,
            padded_length,
            size: self.written,
            commitment: self.commitment,
        })
    }

    fn append(&mut self, mut plain: &[u8], out: &mut Vec<u8>) -> Result<(), ObjectError> {
        loop {
            let full = capacity(self.index, self.prelude.log2_segment()) as usize;
            if self.segment.len() + plain.len() <= full {
                self.segment.extend_from_slice(plain);
                return Ok(());
            }
            let (now, later) = plain.split_at(full - self.segment.len());
            self.seal_segment(now, false, out)?;
            plain = later;
        }
    }

    /// Seals what is buffered and `rest` behind it, in their place in `out`: most bytes of a long run are copied once.
    fn seal_segment(&mut self, rest: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), ObjectError> {
        let before = out.len();
        // All the room at once: a vector that grows in between would leave a copy of plaintext behind.
        out.reserve(PRELUDE_BYTES + self.segment.len() + rest.len() + TAG_BYTES as usize);
        if !self.prelude_written {
            out.extend_from_slice(self.prelude.bytes());
            self.prelude_written = true;
        }
        let start = out.len();
        out.extend_from_slice(&self.segment);
        out.extend_from_slice(rest);
        match self.key.seal(self.index, last, &mut out[start..]) {
            Ok(tag) => out.extend_from_slice(tag.as_ref()),
            Err(error) => {
                out[start..].zeroize();
                out.truncate(start);
                return Err(error);
            }
        }
        // The index only counts up: no nonce is used twice.
        self.segment.clear();
        self.index = self.index.checked_add(1).ok_or(ObjectError::TooLong)?;
        self.written += (out.len() - before) as u64;
        Ok(())
    }
}
