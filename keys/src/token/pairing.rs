//! Pairing codes that a person types, and the vehicle's proof that it holds its key.

use super::DeviceKey;
use crate::Secret32;

/// A new code of 50 random bits: ten characters of Crockford's base32 with a dash in the middle.
pub fn make_pairing_code() -> String {
    todo!()
}

/// What is kept of a code: an HMAC under the system record's token key, so that a dump gives no code away by trying.
/// Case, dashes and spaces do not matter; O reads as 0, I and L as 1.
pub fn pairing_code_hash(_key: &Secret32, _code: &str) -> [u8; 32] {
    todo!()
}

/// The vehicle's proof that it holds the key it pairs with: base64url of a signature over code and public key.
pub fn sign_pairing_proof(_key: &DeviceKey, _code: &str) -> String {
    todo!()
}

/// Whether the proof is one.
pub fn verify_pairing_proof(_public_key: &[u8; 32], _code: &str, _proof: &str) -> bool {
    todo!()
}
