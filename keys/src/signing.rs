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

/// Public keys of small order (the y coordinate, the sign of x aside): the identity, the points of order 2, 4 and 8, and two
/// that are written beyond the field. No seed has one, and a signature that nobody made, of zeros for instance, fits one of
/// them by chance for every fourth or eighth text. ring takes them; RFC 8032 leaves that to whoever uses it.
const SMALL_ORDER: [[u8; 32]; 7] = [
    filled(0x00, 0x00),
    filled(0x01, 0x00),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf,
        0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20,
        0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ],
    filled(0xec, 0xff),
    filled(0xed, 0xff),
    filled(0xee, 0xff),
];

/// A first byte, and the same byte in all others but the last bit.
const fn filled(first: u8, others: u8) -> [u8; 32] {
    let mut bytes = [others; 32];
    (bytes[0], bytes[31]) = (first, others & 0x7f);
    bytes
}

fn is_of_small_order(public_key: &[u8; 32]) -> bool {
    let mut y = *public_key;
    y[31] &= 0x7f;
    SMALL_ORDER.contains(&y)
}

/// Whether the signature is the key's, over `domain` and `payload`.
pub(crate) fn verify(public_key: &[u8; 32], domain: &[u8], payload: &[u8], signature: &[u8]) -> bool {
    if is_of_small_order(public_key) {
        return false;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether ring by itself takes a signature that nobody made for one of many texts: a point of small order and zeros.
    fn is_forged(key: &[u8; 32]) -> bool {
        let signs = |y: &[u8; 32]| [0, 0x80].map(|sign| [&y[..31], &[y[31] | sign], &[0; 32]].concat());
        let forged: Vec<_> = SMALL_ORDER.iter().flat_map(signs).collect();
        (0_u8..100).any(|text| {
            let ring = UnparsedPublicKey::new(&ED25519, key);
            let taken = forged.iter().find(|one| ring.verify(&[text], one).is_ok());
            taken.inspect(|one| assert!(!verify(key, b"", &[text], one))).is_some()
        })
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        for key in SMALL_ORDER {
            assert!(is_forged(&key), "{key:02x?} is no such key");
        }
        let seed = Secret32::from_bytes([7; 32]);
        assert!(!is_forged(&public_key(&seed)));
        assert!(verify(&public_key(&seed), b"d", b"text", &sign(&seed, b"d", b"text")));
    }
}
