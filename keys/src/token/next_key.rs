//! A vehicle's next key: announced with proof that it holds both, the one that it has and the one that it will have.

use data_encoding::BASE64URL_NOPAD;

use super::DeviceKey;
use crate::signing::{self, SIGNATURE_BYTES};

/// Keeps these signatures apart from every other of a vehicle's.
const DOMAIN: &[u8] = b"dcv1/next-key\0";

/// Both keys' signatures over the same change, each base64url.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextKeyProof {
    /// By the key that the vehicle has.
    pub by_current: String,
    /// By the key that it will have.
    pub by_next: String,
}

/// Signs a change of a vehicle's key with both keys.
pub fn sign_next_key(device: &[u8; 16], current: &DeviceKey, next: &DeviceKey) -> NextKeyProof {
    let payload = payload(device, &current.public_key(), &next.public_key());
    let sign = |key: &DeviceKey| BASE64URL_NOPAD.encode(&key.sign(&[DOMAIN, &payload].concat()));
    NextKeyProof {
        by_current: sign(current),
        by_next: sign(next),
    }
}

/// Whether both keys signed the change. A key is never its own successor.
pub fn verify_next_key(device: &[u8; 16], current: &[u8; 32], next: &[u8; 32], proof: &NextKeyProof) -> bool {
    let payload = payload(device, current, next);
    let signed = |key: &[u8; 32], text: &str| {
        signature(text).is_some_and(|signature| signing::verify(key, DOMAIN, &payload, &signature))
    };
    current != next && signed(current, &proof.by_current) && signed(next, &proof.by_next)
}

fn payload(device: &[u8; 16], current: &[u8; 32], next: &[u8; 32]) -> Vec<u8> {
    [&device[..], current, next].concat()
}

fn signature(text: &str) -> Option<[u8; SIGNATURE_BYTES]> {
    // The length first, so that a long text costs nothing.
    let fits = text.len() == BASE64URL_NOPAD.encode_len(SIGNATURE_BYTES);
    let bytes = fits.then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok())??;
    bytes.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: [u8; 16] = [3; 16];

    #[test]
    fn a_change_wants_both_keys_for_this_vehicle_and_this_pair() {
        let [old, new, other] = [(); 3].map(|()| DeviceKey::make());
        let proof = sign_next_key(&DEVICE, &old, &new);
        let fits = |device: &[u8; 16], current: &DeviceKey, next: &DeviceKey, proof: &NextKeyProof| {
            verify_next_key(device, &current.public_key(), &next.public_key(), proof)
        };
        assert!(fits(&DEVICE, &old, &new, &proof));
        assert!(!fits(&[4; 16], &old, &new, &proof), "another vehicle");
        assert!(!fits(&DEVICE, &other, &new, &proof), "another old key");
        assert!(!fits(&DEVICE, &old, &other, &proof), "another new key");
        assert!(!fits(&DEVICE, &new, &old, &proof), "the other way round");
        let swapped = NextKeyProof {
            by_current: proof.by_next.clone(),
            by_next: proof.by_current.clone(),
        };
        assert!(!fits(&DEVICE, &old, &new, &swapped));
        let stolen = NextKeyProof {
            by_next: sign_next_key(&DEVICE, &old, &other).by_next,
            ..proof.clone()
        };
        assert!(!fits(&DEVICE, &old, &new, &stolen), "the new key is not held");
        let stolen = NextKeyProof {
            by_current: sign_next_key(&DEVICE, &other, &new).by_current,
            ..proof.clone()
        };
        assert!(!fits(&DEVICE, &old, &new, &stolen), "the old key is not held");
        let same = sign_next_key(&DEVICE, &old, &old);
        assert!(!fits(&DEVICE, &old, &old, &same));
        for text in ["", "x", &proof.by_current[1..]] {
            let short = NextKeyProof {
                by_current: text.to_owned(),
                ..proof.clone()
            };
            assert!(!fits(&DEVICE, &old, &new, &short), "{text}");
        }
    }
}
