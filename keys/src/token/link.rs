//! Signed links: the signature is checked before anything is looked up, the random secret against the row.
//!
//! A token is base64url without padding of: version 1 · link id 16 · expiry in Unix milliseconds, u64 · secret 32 · Ed25519
//! signature 64 over [`DOMAIN`] and all that stands before it. Integers are big-endian.

use zeroize::Zeroizing;

use crate::Secret32;
use crate::digest::{random, sha256};
use crate::signing;

/// Keeps these signatures apart from every other of ours.
const DOMAIN: &[u8] = b"dcv1/link\0";
const VERSION: u8 = 1;
/// Version, link, expiry, secret.
const SIGNED_BYTES: usize = 1 + 16 + 8 + 32;
/// The address that a token stands in, behind the `#`, says what it is.
const PREFIX: &str = "";

/// What a link's token holds. Its secret is erased when dropped.
pub struct LinkToken {
    /// The link's id.
    pub link: [u8; 16],
    /// Unix milliseconds.
    pub expires_at_ms: i64,
    /// The row keeps the SHA-256 of these.
    pub secret: [u8; 32],
}

/// Signs links' tokens.
pub struct LinkSigner(Secret32);

/// Checks links' tokens, by every key whose links may not have ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkVerifier(Vec<[u8; 32]>);

impl LinkToken {
    /// A token with a new random secret.
    pub fn make(link: [u8; 16], expires_at_ms: i64) -> Self {
        Self {
            link,
            expires_at_ms,
            secret: random(),
        }
    }

    /// What the row keeps.
    pub fn secret_hash(&self) -> [u8; 32] {
        sha256(&self.secret)
    }

    fn signed_bytes(&self) -> Zeroizing<[u8; SIGNED_BYTES]> {
        let mut bytes = Zeroizing::new([0; SIGNED_BYTES]);
        bytes[0] = VERSION;
        bytes[1..17].copy_from_slice(&self.link);
        bytes[17..25].copy_from_slice(&self.expires_at_ms.to_be_bytes());
        bytes[25..].copy_from_slice(&self.secret);
        bytes
    }
}

impl Drop for LinkToken {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret);
    }
}

impl LinkSigner {
    /// From the system record's seed.
    pub fn new(seed: &Secret32) -> Self {
        Self(seed.duplicate())
    }

    /// The token's text: base64url.
    pub fn sign(&self, token: &LinkToken) -> String {
        signing::sign_text(&self.0, PREFIX, DOMAIN, &*token.signed_bytes())
    }

    /// The other side.
    pub fn verifier(&self) -> LinkVerifier {
        LinkVerifier(vec![signing::public_key(&self.0)])
    }
}

impl LinkVerifier {
    /// From the public key.
    pub fn new(public_key: [u8; 32]) -> Self {
        Self(vec![public_key])
    }

    /// From the seeds of several signers.
    pub fn of<'a>(seeds: impl Iterator<Item = &'a Secret32>) -> Self {
        Self(seeds.map(signing::public_key).collect())
    }

    /// The token, if it was signed by the vault. Its expiry is the caller's to judge.
    pub fn verify(&self, text: &str) -> Option<LinkToken> {
        let signed: [u8; SIGNED_BYTES] = self
            .0
            .iter()
            .find_map(|key| signing::verify_text(text, PREFIX, DOMAIN, key))?;
        if signed[0] != VERSION {
            return None;
        }
        Some(LinkToken {
            link: signed[1..17].try_into().ok()?,
            expires_at_ms: i64::from_be_bytes(signed[17..25].try_into().ok()?),
            secret: signed[25..].try_into().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    fn signer(seed: u8) -> LinkSigner {
        LinkSigner::new(&Secret32::from_bytes([seed; 32]))
    }

    #[test]
    fn a_token_says_what_was_signed() {
        let token = LinkToken::make([7; 16], 1_764_036_582_123);
        let text = signer(1).sign(&token);
        assert!(text.len() == 162 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
        let read = signer(1).verifier().verify(&text).expect("signed by this key");
        assert_eq!(
            (read.link, read.expires_at_ms, read.secret),
            (token.link, token.expires_at_ms, token.secret)
        );
        assert_eq!(read.secret_hash(), sha256(&token.secret));
    }

    #[test]
    fn another_vaults_token_is_refused() {
        let text = signer(2).sign(&LinkToken::make([7; 16], 1));
        assert!(signer(1).verifier().verify(&text).is_none());
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let text = signer(1).sign(&LinkToken::make([7; 16], 1));
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).expect("base64url");
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            let forged = BASE64URL_NOPAD.encode(&forged);
            assert!(signer(1).verifier().verify(&forged).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn other_texts_are_no_tokens() {
        let text = signer(1).sign(&LinkToken::make([7; 16], 1));
        let longer = format!("{text}A");
        let padded = format!("{text}==");
        for forged in ["", "forged", &text[1..], &text[..161], &longer, &padded] {
            assert!(signer(1).verifier().verify(forged).is_none(), "{forged}");
        }
        // The last character has unused bits; only one spelling of them is a token.
        let last = text.chars().last().expect("not empty");
        let others = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars();
        for other in others.filter(|c| *c != last) {
            let forged = format!("{}{other}", &text[..161]);
            assert!(signer(1).verifier().verify(&forged).is_none(), "{forged}");
        }
    }
}
