//! One segment of Tink's AES-GCM-HKDF streaming format, sealed or opened in place by ring.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, Tag, UnboundKey};

use super::ObjectError;
use super::layout::TAG_BYTES;
use super::prelude::Prelude;
use crate::Secret32;
use crate::digest::derive;
use crate::stack::wiped;

/// What our objects give as Tink's associated data.
const TINK_AAD: &[u8] = b"dcv1/tink";

/// The key and nonce prefix of all segments of one object.
///
/// The 32 bytes are kept rather than ring's expanded key, which is not erased when dropped; expanding costs 2 µs a segment,
/// on a stack that is wiped.
pub(super) struct SegmentKey {
    key: Secret32,
    nonce_prefix: [u8; 7],
}

impl SegmentKey {
    pub fn derive(tink_key: &Secret32, prelude: &Prelude) -> Self {
        Self {
            key: derive(tink_key, prelude.tink_salt(), &[TINK_AAD]),
            nonce_prefix: prelude.nonce_prefix(),
        }
    }

    /// Seals `plain` in place and returns its tag. Only the sealer calls it, once an index.
    pub fn seal(&self, index: u32, last: bool, plain: &mut [u8]) -> Result<Tag, ObjectError> {
        let nonce = self.nonce(index, last);
        wiped(|| self.expand().seal_in_place_separate_tag(nonce, Aad::empty(), plain)).map_err(|_| ObjectError::TooLong)
    }

    /// Opens in place. What was not authenticated is erased, never returned.
    pub fn open<'b>(&self, index: u32, last: bool, sealed: &'b mut [u8]) -> Result<&'b [u8], ObjectError> {
        let plain_bytes = sealed.len().saturating_sub(TAG_BYTES as usize);
        let nonce = self.nonce(index, last);
        let opened = wiped(|| self.expand().open_in_place(nonce, Aad::empty(), sealed).is_ok());
        if opened {
            Ok(&sealed[..plain_bytes])
        } else {
            sealed.fill(0);
            Err(ObjectError::Refused)
        }
    }

    fn expand(&self) -> LessSafeKey {
        let key = UnboundKey::new(&AES_256_GCM, self.key.expose()).expect("AES-256 takes 32 bytes");
        LessSafeKey::new(key)
    }

    /// prefix(7) · index as u32 · 1 for the last segment, else 0.
    fn nonce(&self, index: u32, last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..7].copy_from_slice(&self.nonce_prefix);
        nonce[7..11].copy_from_slice(&index.to_be_bytes());
        nonce[11] = u8::from(last);
        Nonce::assume_unique_for_key(nonce)
    }
}
