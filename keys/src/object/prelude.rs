//! The 128 bytes before the first segment, and the keys that follow from them.

use super::{ObjectError, PRELUDE_BYTES, Place, SUITE};
use crate::Secret32;
use crate::digest::{Sha256, derive, derive_public, lp};

const MAGIC: &[u8; 4] = b"DCVO";
const VERSION: u8 = 1;
const FLAGS: u8 = 0;
/// `h`: what is bound into the keys.
const HEAD_BYTES: usize = 56;
const TINK_HEADER_BYTES: u8 = 40;

/// What is random in a prelude.
pub(super) struct Salts {
    pub object: [u8; 32],
    pub tink: [u8; 32],
    pub nonce_prefix: [u8; 7],
}

/// A prelude's bytes, whose form was checked.
pub(super) struct Prelude([u8; PRELUDE_BYTES]);

impl Prelude {
    /// Lays out a new prelude; the commitment is still to be set.
    pub fn new(object_id: &[u8; 16], log2_segment: u8, salts: &Salts) -> Self {
        let mut bytes = [0; PRELUDE_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = VERSION;
        bytes[5] = SUITE;
        bytes[6] = log2_segment;
        bytes[7] = FLAGS;
        bytes[8..24].copy_from_slice(object_id);
        bytes[24..56].copy_from_slice(&salts.object);
        bytes[88] = TINK_HEADER_BYTES;
        bytes[89..121].copy_from_slice(&salts.tink);
        bytes[121..].copy_from_slice(&salts.nonce_prefix);
        Self(bytes)
    }

    /// Reads a prelude; every byte with a fixed value is compared with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, ObjectError> {
        let bytes: [u8; PRELUDE_BYTES] = bytes.try_into().map_err(|_| ObjectError::Refused)?;
        let fixed = bytes[..4] == *MAGIC && bytes[4] == VERSION && bytes[5] == SUITE && bytes[7] == FLAGS;
        if fixed && bytes[88] == TINK_HEADER_BYTES {
            Ok(Self(bytes))
        } else {
            Err(ObjectError::Refused)
        }
    }

    pub fn bytes(&self) -> &[u8; PRELUDE_BYTES] {
        &self.0
    }

    pub fn version(&self) -> u8 {
        self.0[4]
    }

    pub fn suite(&self) -> u8 {
        self.0[5]
    }

    pub fn log2_segment(&self) -> u8 {
        self.0[6]
    }

    pub fn object_id(&self) -> &[u8] {
        &self.0[8..24]
    }

    pub fn commitment(&self) -> &[u8] {
        &self.0[56..88]
    }

    pub fn set_commitment(&mut self, commitment: &[u8; 32]) {
        self.0[56..88].copy_from_slice(commitment);
    }

    fn salt(&self) -> &[u8] {
        &self.0[24..56]
    }

    pub fn tink_salt(&self) -> &[u8] {
        &self.0[89..121]
    }

    pub fn nonce_prefix(&self) -> [u8; 7] {
        self.0[121..].try_into().expect("seven bytes are left")
    }

    /// OK: opens this object at this place and nothing else.
    pub fn derive_object_key(&self, dek: &Secret32, place: &Place<'_>) -> Secret32 {
        derive(dek, self.salt(), &[b"dcv1/obj/root\0", &self.context(place)])
    }

    /// K: the key of Tink's format.
    pub fn derive_tink_key(&self, object_key: &Secret32) -> Secret32 {
        derive(object_key, self.salt(), &[b"dcv1/obj/key"])
    }

    /// C: no two keys have the same.
    pub fn derive_commitment(&self, object_key: &Secret32) -> [u8; 32] {
        derive_public(object_key, self.salt(), &[b"dcv1/obj/commit"])
    }

    fn context(&self, place: &Place<'_>) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(b"dcv1/octx\0");
        hash.update(&lp(&[
            place.system,
            &self.0[..HEAD_BYTES],
            &place.owner,
            &place.clip,
            &[place.kind],
            place.rendition.as_bytes(),
        ]));
        hash.finish()
    }
}

/// The object key OK of an object, from its prelude: the unit of sharing.
///
/// # Errors
/// When the prelude has not the form of one, or the place is none.
pub fn derive_object_key(dek: &Secret32, place: &Place<'_>, prelude: &[u8]) -> Result<Secret32, ObjectError> {
    place.check()?;
    Ok(Prelude::parse(prelude)?.derive_object_key(dek, place))
}
