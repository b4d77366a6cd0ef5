//! Sealing to the ingest key: HPKE base mode (RFC 9180), X25519, HKDF-SHA256, AES-256-GCM.
//!
//! `version 1 · encapsulated key 32 · ciphertext and tag`. Whoever receives uploads holds the public half only.

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable};
use zeroize::Zeroizing;

use crate::Secret32;
use crate::stack::wiped;

const VERSION: u8 = 1;
const ENCAPSULATED_BYTES: usize = 32;
/// What is sealed is longer than its plaintext by so much.
pub const OVERHEAD_BYTES: usize = 1 + ENCAPSULATED_BYTES + 16;

type PrivateKey = <X25519HkdfSha256 as Kem>::PrivateKey;
type PublicKey = <X25519HkdfSha256 as Kem>::PublicKey;
type EncappedKey = <X25519HkdfSha256 as Kem>::EncappedKey;

/// What was sealed to the ingest key does not open, or the key is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was sealed to the ingest key does not open")]
pub struct IngestError;

/// The public half: all that receiving needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestPublic(pub [u8; 32]);

/// The secret half, in the system record.
pub struct IngestSecret(Secret32);

/// Seals to the public half; [`OVERHEAD_BYTES`] longer than `plain`. `info` names what is sealed, `aad` its place.
///
/// # Errors
/// When the public key is none (all zero, or of small order).
pub fn seal_to(public: &IngestPublic, info: &[u8], aad: &[u8], plain: &[u8]) -> Result<Vec<u8>, IngestError> {
    let public = PublicKey::from_bytes(&public.0).map_err(|_| IngestError)?;
    let info = with_prefix(info);
    let seal = hpke::single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>;
    let sealed = wiped(|| seal(&OpModeS::Base, &public, &info, plain, aad));
    let (encapsulated, sealed) = sealed.map_err(|_| IngestError)?;
    let mut out = vec![VERSION];
    out.extend_from_slice(&encapsulated.to_bytes());
    out.extend_from_slice(&sealed);
    Ok(out)
}

impl IngestSecret {
    /// A new pair.
    pub fn make() -> Self {
        Self(Secret32::make_random())
    }

    /// From the 32 bytes of the secret half.
    pub fn from_secret(secret: Secret32) -> Self {
        Self(secret)
    }

    /// The 32 bytes of the secret half.
    pub fn secret(&self) -> &Secret32 {
        &self.0
    }

    /// The public half.
    pub fn public(&self) -> IngestPublic {
        IngestPublic(wiped(|| X25519HkdfSha256::sk_to_pk(&self.key())).to_bytes().into())
    }

    /// Opens what [`seal_to`] made with the same `info` and `aad`.
    ///
    /// # Errors
    /// One, whatever does not fit.
    pub fn open(&self, info: &[u8], aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, IngestError> {
        let (version, rest) = sealed.split_first().ok_or(IngestError)?;
        let (encapsulated, rest) = rest.split_at_checked(ENCAPSULATED_BYTES).ok_or(IngestError)?;
        if *version != VERSION {
            return Err(IngestError);
        }
        let encapsulated = EncappedKey::from_bytes(encapsulated).map_err(|_| IngestError)?;
        let info = with_prefix(info);
        let open = hpke::single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>;
        let opened = wiped(|| open(&OpModeR::Base, &self.key(), &encapsulated, &info, rest, aad));
        opened.map(Zeroizing::new).map_err(|_| IngestError)
    }

    /// The crate's own type erases itself too.
    fn key(&self) -> PrivateKey {
        PrivateKey::from_bytes(self.0.expose()).expect("any 32 bytes are clamped to a key")
    }
}

fn with_prefix(info: &[u8]) -> Vec<u8> {
    [b"dcv1/ingest\0", info].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_to_the_public_half_opens_with_the_secret_one() {
        let secret = IngestSecret::make();
        let sealed = seal_to(&secret.public(), b"upload key", b"upload 1", b"a key").expect("a key");
        assert_eq!(sealed.len(), 5 + OVERHEAD_BYTES);
        assert_eq!(
            **secret.open(b"upload key", b"upload 1", &sealed).expect("it opens"),
            *b"a key"
        );
        assert!(secret.open(b"metadata", b"upload 1", &sealed).is_err());
        assert!(secret.open(b"upload key", b"upload 2", &sealed).is_err());
        assert!(IngestSecret::make().open(b"upload key", b"upload 1", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(secret.open(b"upload key", b"upload 1", &changed).is_err(), "byte {at}");
            assert!(
                secret.open(b"upload key", b"upload 1", &sealed[..at]).is_err(),
                "cut at {at}"
            );
        }
    }

    #[test]
    fn a_key_of_small_order_is_refused() {
        for public in [[0; 32], {
            let mut one = [0; 32];
            one[0] = 1;
            one
        }] {
            assert_eq!(seal_to(&IngestPublic(public), b"", b"", b"x"), Err(IngestError));
        }
    }
}
