//! Pairing codes that a person types, and the vehicle's proof that it holds its key.
//!
//! A code has 12 characters of Crockford's base32 in three groups. The first group only finds the code's row, so that a wrong
//! guess can be counted against the code it meant; the other eight characters are its 40 secret bits.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{ED25519, UnparsedPublicKey};

use super::DeviceKey;
use crate::Secret32;
use crate::digest::{hmac_sha256, random};

/// Crockford's alphabet: without I, L, O and U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const CODE_CHARS: usize = 12;
const FINDER_CHARS: usize = 4;
/// Keep an HMAC and a signature over a code apart from all else that these keys do.
const HASH_DOMAIN: &[u8] = b"dcv1/pairing-code\0";
const PROOF_DOMAIN: &[u8] = b"dcv1/pair\0";

/// A new code of 60 random bits, 40 of them secret: `XXXX-XXXX-XXXX`.
pub fn make_pairing_code() -> String {
    let mut code = String::with_capacity(CODE_CHARS + 2);
    for (at, byte) in random::<CODE_CHARS>().into_iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            code.push('-');
        }
        // 256 is a multiple of 32: every character is equally likely.
        code.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
    }
    code
}

/// The part of a code that finds its row and is no secret; none when the text is no code.
pub fn pairing_code_finder(code: &str) -> Option<String> {
    normal(code).map(|code| code[..FINDER_CHARS].to_owned())
}

/// A code's one spelling, in which two ways of typing it are the same; none when the text is no code.
pub fn pairing_code_spelling(code: &str) -> Option<String> {
    normal(code)
}

/// What is kept of a code: an HMAC under the system record's token key, so that a dump gives no code away by trying.
/// Case, dashes and spaces do not matter; O reads as 0, I and L as 1.
pub fn pairing_code_hash(key: &Secret32, code: &str) -> [u8; 32] {
    hmac_sha256(key, &[HASH_DOMAIN, spelling(code).as_bytes()].concat())
}

/// The vehicle's proof that it holds the key it pairs with: base64url of a signature over code and public key.
pub fn sign_pairing_proof(key: &DeviceKey, code: &str) -> String {
    BASE64URL_NOPAD.encode(&key.sign(&proven(&key.public_key(), code)))
}

/// Whether the proof is one.
pub fn verify_pairing_proof(public_key: &[u8; 32], code: &str, proof: &str) -> bool {
    let Ok(signature) = BASE64URL_NOPAD.decode(proof.as_bytes()) else {
        return false;
    };
    let public = UnparsedPublicKey::new(&ED25519, public_key);
    public.verify(&proven(public_key, code), &signature).is_ok()
}

fn proven(public_key: &[u8; 32], code: &str) -> Vec<u8> {
    [PROOF_DOMAIN, spelling(code).as_bytes(), public_key].concat()
}

/// The code's one spelling; of a text that is no code, the text itself, which is no code's spelling.
fn spelling(code: &str) -> String {
    normal(code).unwrap_or_else(|| code.to_owned())
}

fn normal(code: &str) -> Option<String> {
    let mut normal = String::with_capacity(CODE_CHARS);
    for c in code.chars().filter(|c| !matches!(c, '-' | ' ')) {
        let c = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if normal.len() == CODE_CHARS || !c.is_ascii() || !ALPHABET.contains(&(c as u8)) {
            return None;
        }
        normal.push(c);
    }
    (normal.len() == CODE_CHARS).then_some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_twelve_characters_in_three_groups() {
        let code = make_pairing_code();
        assert_ne!(code, make_pairing_code());
        assert_eq!(code.len(), 14);
        assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4]);
        assert_eq!(pairing_code_finder(&code).as_deref(), Some(&code[..4]));
    }

    #[test]
    fn a_code_is_read_as_people_write_it() {
        let key = Secret32::from_bytes([1; 32]);
        let hash = pairing_code_hash(&key, "70K1-M2XA-9TBE");
        for text in ["70k1m2xa9tbe", "7OKI-M2XA-9TBE", " 7oKl M2XA 9TBE"] {
            assert_eq!(pairing_code_hash(&key, text), hash, "{text}");
            assert_eq!(pairing_code_finder(text).as_deref(), Some("70K1"), "{text}");
        }
        assert_ne!(pairing_code_hash(&key, "70K1-M2XA-9TBF"), hash);
        assert_ne!(
            pairing_code_hash(&Secret32::from_bytes([2; 32]), "70K1-M2XA-9TBE"),
            hash
        );
    }

    #[test]
    fn other_texts_have_no_finder() {
        for text in [
            "",
            "70K1-M2XA-9TB",
            "70K1-M2XA-9TBE0",
            "70K1-M2XA-9TBU",
            "70K1-M2XA-9TBÉ",
        ] {
            assert_eq!(pairing_code_finder(text), None, "{text}");
        }
    }
}
