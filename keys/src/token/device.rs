//! A vehicle's own key, and the short-lived tokens that it signs with it.
//!
//! A token is `dvd_` and base64url without padding of: version · device id 16 · issued and expiry in Unix milliseconds, u64
//! each · nonce 16 · Ed25519 signature 64 over [`DOMAIN`] and all that stands before it. Integers are big-endian. In version 2
//! the nonce's first 8 bytes are the mark of the place where the token was made; in version 1 all of it is random.

use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use zeroize::Zeroizing;

use crate::digest;
use crate::signing::{self, SIGNATURE_BYTES};

/// The longest life of a vehicle's token, a quarter of an hour: it is made anew for each request or so, and a stolen one is
/// good for no longer.
pub const MAX_DEVICE_TOKEN_MS: i64 = 15 * 60 * 1000;

/// Keeps these signatures apart from every other of a vehicle's.
const DOMAIN: &[u8] = b"dcv1/device\0";
const MARK_DOMAIN: &[u8] = b"dcv1/place-mark\0";
const PREFIX: &str = "dvd_";
const VERSION: u8 = 1;
/// The nonce begins with a place.
const PLACED: u8 = 2;
/// Bytes of a place's mark.
const PLACE_BYTES: usize = 8;
/// Version, device, issued, expires, nonce.
const SIGNED_BYTES: usize = 1 + 16 + 8 + 8 + 16;

/// The bytes are no Ed25519 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 key in PKCS#8")]
pub struct KeyRefused;

/// A vehicle's Ed25519 key pair.
pub struct DeviceKey {
    pair: Ed25519KeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl DeviceKey {
    /// A new pair.
    pub fn make() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let made = made.expect("the operating system gives random bytes");
        Self::from_pkcs8(made.as_ref()).expect("what was just made")
    }

    /// From PKCS#8, version 1 or 2 (RFC 5958).
    ///
    /// # Errors
    /// When the bytes are no Ed25519 key, or its two halves do not fit.
    pub fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyRefused> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes).map_err(|_| KeyRefused)?;
        Ok(Self {
            pair,
            pkcs8: Zeroizing::new(bytes.to_vec()),
        })
    }

    /// The PKCS#8 it was read from, or version 2 of a new pair.
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// The public half.
    pub fn public_key(&self) -> [u8; 32] {
        let public_key = self.pair.public_key().as_ref();
        public_key.try_into().expect("an Ed25519 public key has 32 bytes")
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(message);
        signature
            .as_ref()
            .try_into()
            .expect("an Ed25519 signature has 64 bytes")
    }
}

/// What a vehicle's token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceClaims {
    /// The device's id.
    pub device: [u8; 16],
    /// Unix milliseconds by the vehicle's clock.
    pub issued_at_ms: i64,
    /// Unix milliseconds by the vehicle's clock; at most [`MAX_DEVICE_TOKEN_MS`] later.
    pub expires_at_ms: i64,
    /// Random, so that two tokens are never the same.
    pub nonce: [u8; 16],
}

/// A token that was read; nothing that it says is known to be true.
pub struct UnverifiedDeviceToken {
    /// Who it claims to be from: only to look the public key up.
    pub claims: DeviceClaims,
    signed: [u8; SIGNED_BYTES],
    signature: [u8; SIGNATURE_BYTES],
}

/// Signs a token that does not say where it was made: `dvd_` and base64url.
pub fn sign_device_token(key: &DeviceKey, claims: &DeviceClaims) -> String {
    sign_version(VERSION, key, claims)
}

/// Signs a token that says where it was made: `place` stands in the nonce's first bytes.
pub fn sign_placed_token(key: &DeviceKey, claims: &DeviceClaims, place: &[u8; PLACE_BYTES]) -> String {
    let mut claims = *claims;
    claims.nonce[..PLACE_BYTES].copy_from_slice(place);
    sign_version(PLACED, key, &claims)
}

fn sign_version(version: u8, key: &DeviceKey, claims: &DeviceClaims) -> String {
    let mut bytes = Vec::with_capacity(SIGNED_BYTES + SIGNATURE_BYTES);
    bytes.push(version);
    bytes.extend_from_slice(&claims.device);
    bytes.extend_from_slice(&claims.issued_at_ms.to_be_bytes());
    bytes.extend_from_slice(&claims.expires_at_ms.to_be_bytes());
    bytes.extend_from_slice(&claims.nonce);
    let signature = key.sign(&[DOMAIN, &bytes].concat());
    bytes.extend_from_slice(&signature);
    format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&bytes))
}

/// Reads a token's form; `None` when it is none, or lives longer than a token may.
pub fn parse_device_token(text: &str) -> Option<UnverifiedDeviceToken> {
    let (bytes, signature) = signing::parse_text::<SIGNED_BYTES>(text, PREFIX)?;
    let claims = DeviceClaims {
        device: bytes[1..17].try_into().ok()?,
        issued_at_ms: i64::from_be_bytes(bytes[17..25].try_into().ok()?),
        expires_at_ms: i64::from_be_bytes(bytes[25..33].try_into().ok()?),
        nonce: bytes[33..].try_into().ok()?,
    };
    let life_ms = claims.expires_at_ms.checked_sub(claims.issued_at_ms)?;
    let fine = matches!(bytes[0], VERSION | PLACED) && (1..=MAX_DEVICE_TOKEN_MS).contains(&life_ms);
    fine.then_some(UnverifiedDeviceToken {
        claims,
        signed: bytes,
        signature,
    })
}

impl UnverifiedDeviceToken {
    /// A hash of where it says that it was made, if it says so; no two vehicles have the same one.
    pub fn place_mark(&self) -> Option<[u8; PLACE_BYTES]> {
        let place = &self.claims.nonce[..PLACE_BYTES];
        let hash = digest::sha256(&[MARK_DOMAIN, &self.claims.device, place].concat());
        let mark = hash[..PLACE_BYTES].try_into().ok();
        mark.filter(|_| self.signed[0] == PLACED)
    }

    /// The claims, if the vehicle's key signed them. Times are the caller's to judge.
    pub fn verify(&self, public_key: &[u8; 32]) -> Option<DeviceClaims> {
        signing::verify(public_key, DOMAIN, &self.signed, &self.signature).then_some(self.claims)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{sign_pairing_proof, verify_pairing_proof};
    use super::*;

    fn claims() -> DeviceClaims {
        DeviceClaims {
            device: [3; 16],
            issued_at_ms: 1_764_036_582_123,
            expires_at_ms: 1_764_036_582_123 + MAX_DEVICE_TOKEN_MS,
            nonce: [4; 16],
        }
    }

    fn verified(text: &str, key: &DeviceKey) -> Option<DeviceClaims> {
        parse_device_token(text)?.verify(&key.public_key())
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let key = DeviceKey::make();
        let text = sign_device_token(&key, &claims());
        assert!(text.starts_with("dvd_"));
        assert_eq!(verified(&text, &key), Some(claims()));
    }

    #[test]
    fn a_token_says_where_it_was_made_or_that_it_does_not() {
        let key = DeviceKey::make();
        let place = |text: &str| parse_device_token(text).expect("a token").place_mark();
        let placed = sign_placed_token(&key, &claims(), &[9; 8]);
        assert!(place(&placed).is_some());
        let later = DeviceClaims {
            nonce: [5; 16],
            ..claims()
        };
        assert_eq!(place(&placed), place(&sign_placed_token(&key, &later, &[9; 8])));
        assert_ne!(place(&placed), place(&sign_placed_token(&key, &later, &[8; 8])));
        let other = DeviceClaims {
            device: [4; 16],
            ..claims()
        };
        assert_ne!(place(&placed), place(&sign_placed_token(&key, &other, &[9; 8])));
        assert_eq!(verified(&placed, &key).map(|claims| claims.device), Some([3; 16]));
        assert_eq!(place(&sign_device_token(&key, &claims())), None);
    }

    #[test]
    fn another_vehicles_token_is_refused() {
        let text = sign_device_token(&DeviceKey::make(), &claims());
        assert_eq!(verified(&text, &DeviceKey::make()), None);
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let key = DeviceKey::make();
        let text = sign_device_token(&key, &claims());
        let bytes = BASE64URL_NOPAD.decode(&text.as_bytes()[4..]).expect("base64url");
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = format!("dvd_{}", BASE64URL_NOPAD.encode(&forged));
            assert_eq!(verified(&forged, &key), None, "bit {bit}");
        }
        for forged in ["", "dvd_", &text[4..], &text[..text.len() - 1]] {
            assert_eq!(verified(forged, &key), None, "{forged}");
        }
    }

    #[test]
    fn a_token_that_lives_too_long_or_not_at_all_is_none() {
        let key = DeviceKey::make();
        for life_ms in [MAX_DEVICE_TOKEN_MS + 1, 0, -1, i64::MAX] {
            let long = DeviceClaims {
                expires_at_ms: claims().issued_at_ms.saturating_add(life_ms),
                ..claims()
            };
            assert!(
                parse_device_token(&sign_device_token(&key, &long)).is_none(),
                "{life_ms}"
            );
        }
        let wide = DeviceClaims {
            issued_at_ms: i64::MIN,
            expires_at_ms: i64::MAX,
            ..claims()
        };
        assert!(parse_device_token(&sign_device_token(&key, &wide)).is_none());
    }

    #[test]
    fn a_key_survives_its_pkcs8_and_other_bytes_are_none() {
        let key = DeviceKey::make();
        let again = DeviceKey::from_pkcs8(&key.to_pkcs8()).expect("its own bytes");
        assert_eq!(again.public_key(), key.public_key());
        assert!(DeviceKey::from_pkcs8(b"-----BEGIN PRIVATE KEY-----").is_err());
    }

    #[test]
    fn a_proof_is_of_one_code_and_one_key() {
        let (key, other) = (DeviceKey::make(), DeviceKey::make());
        let proof = sign_pairing_proof(&key, "70K1-M2XA-9TBE");
        assert!(verify_pairing_proof(&key.public_key(), "70k1m2xa9tbe", &proof));
        assert!(!verify_pairing_proof(&key.public_key(), "70K1-M2XA-9TBF", &proof));
        assert!(!verify_pairing_proof(&other.public_key(), "70K1-M2XA-9TBE", &proof));
        for forged in ["", "proof", &proof[1..]] {
            assert!(!verify_pairing_proof(&key.public_key(), "70K1-M2XA-9TBE", forged));
        }
    }
}
