//! Whether a key on the token opens what was surely sealed under it: then what it does not open is wrong.
//!
//! SoftHSM answers a wrong tag with `CKR_GENERAL_ERROR`, and a token that is broken and still shows its keys answers so too. A
//! text that this process has sealed itself tells the two apart.

use std::collections::HashMap;
use std::sync::Mutex;

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::ObjectHandle;
use cryptoki::session::Session;

use super::NONCE_BYTES;
use super::token::{lock, tag_bits};
use crate::digest::random;

/// Sealed under every key, and no secret.
const TEXT: &[u8] = b"whether this opens";
/// No wrap's: those begin with a length.
const PLACE: &[u8] = b"dcv1/pkcs11/canary";

/// What was sealed under each key, by its id, once it had opened. One encryption a key and process, which the bound on wraps
/// has room for.
#[derive(Default)]
pub(super) struct Canaries(Mutex<HashMap<[u8; 16], Canary>>);

#[derive(Clone)]
struct Canary {
    nonce: [u8; NONCE_BYTES],
    sealed: Vec<u8>,
}

impl Canaries {
    /// Whether the key, which has that handle in this session, opens its canary; the token's error when it does not.
    pub fn opens(&self, session: &Session, id: [u8; 16], object: ObjectHandle) -> Result<bool, Error> {
        let held = lock(&self.0).get(&id).cloned();
        let canary = held.map_or_else(|| Canary::seal(session, object), Ok)?;
        let opens = canary.open(session, object)? == TEXT;
        if opens {
            lock(&self.0).insert(id, canary);
        }
        Ok(opens)
    }
}

impl Canary {
    fn seal(session: &Session, object: ObjectHandle) -> Result<Self, Error> {
        let mut nonce: [u8; NONCE_BYTES] = random();
        let params = GcmParams::new(&mut nonce, PLACE, tag_bits().into())?;
        let sealed = session.encrypt(&Mechanism::AesGcm(params), object, TEXT)?;
        Ok(Self { nonce, sealed })
    }

    fn open(&self, session: &Session, object: ObjectHandle) -> Result<Vec<u8>, Error> {
        let mut nonce = self.nonce;
        let params = GcmParams::new(&mut nonce, PLACE, tag_bits().into())?;
        session.decrypt(&Mechanism::AesGcm(params), object, &self.sealed)
    }
}
