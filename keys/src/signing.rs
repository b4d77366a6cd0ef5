//! Signed texts: a prefix, then base64url of payload and Ed25519 signature (RFC 8032). The domain is signed, not sent.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use crate::Secret32;
use crate::stack::wiped;

/// Bytes of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// ring does not erase its key pairs, so seeds are kept and a pair is made for each signature, on a stack that is wiped.
fn pair(seed: &Secret32) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed.expose()).expect("any 32 bytes are a seed")
}

/// The public half of a seed.
pub(crate) fn public_key(seed: &Secret32) -> [u8; 32] {
    let public = wiped(|| *pair(seed).public_key());
    public.as_ref().try_into().expect("an Ed25519 public key has 32 bytes")
}

/// A signature over `domain` and `payload`.
pub(crate) fn sign(seed: &Secret32, domain: &[u8], payload: &[u8]) -> [u8; SIGNATURE_BYTES] {
    let signature = wiped(|| pair(seed).sign(&[domain, payload].concat()));
    signature
        .as_ref()
        .try_into()
        .expect("an Ed25519 signature has 64 bytes")
}

/// Whether the signature is the key's, over `domain` and `payload`.
pub(crate) fn verify(public_key: &[u8; 32], domain: &[u8], payload: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key)
        .verify(&[domain, payload].concat(), signature)
        .is_ok()
}

/// `prefix` and base64url of payload and signature.
pub(crate) fn sign_text(seed: &Secret32, prefix: &str, domain: &[u8], payload: &[u8]) -> String {
    let mut bytes = payload.to_vec();
    bytes.extend_from_slice(&sign(seed, domain, payload));
    let mut text = prefix.to_owned();
    BASE64URL_NOPAD.encode_append(&bytes, &mut text);
    text
}

/// Payload and signature of a text; `None` unless it is the one way to write a payload of `PAYLOAD` bytes.
pub(crate) fn parse_text<const PAYLOAD: usize>(
    text: &str,
    prefix: &str,
) -> Option<([u8; PAYLOAD], [u8; SIGNATURE_BYTES])> {
    let encoded = text.strip_prefix(prefix)?.as_bytes();
    // The length first, so that a long text costs nothing.
    if encoded.len() != BASE64URL_NOPAD.encode_len(PAYLOAD + SIGNATURE_BYTES) {
        return None;
    }
    let bytes = BASE64URL_NOPAD.decode(encoded).ok()?;
    let (payload, signature) = bytes.split_at_checked(PAYLOAD)?;
    Some((payload.try_into().ok()?, signature.try_into().ok()?))
}

/// The payload of a text that `public_key` signed.
pub(crate) fn verify_text<const PAYLOAD: usize>(
    text: &str,
    prefix: &str,
    domain: &[u8],
    public_key: &[u8; 32],
) -> Option<[u8; PAYLOAD]> {
    let (payload, signature) = parse_text(text, prefix)?;
    verify(public_key, domain, &payload, &signature).then_some(payload)
}
