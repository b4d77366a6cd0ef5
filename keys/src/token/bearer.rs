//! Random bearer secrets: API tokens, sign-in links, sessions. Only their hash is kept.

use std::sync::LazyLock;

use data_encoding::{Encoding, Specification};

use crate::digest::{random, sha256};

/// RFC 4648's base32 in lower case, without padding: nothing that a shell, a URL or a double click breaks.
static BASE32: LazyLock<Encoding> = LazyLock::new(|| {
    let mut alphabet = Specification::new();
    alphabet.symbols.push_str("abcdefghijklmnopqrstuvwxyz234567");
    alphabet.encoding().expect("the alphabet is a constant")
});

/// A new secret `prefix` + 52 characters of base32 (256 random bits), and the hash to keep.
pub fn make_bearer(prefix: &str) -> (String, [u8; 32]) {
    let bearer = format!("{prefix}{}", BASE32.encode(&random::<32>()));
    let hash = bearer_hash(&bearer);
    (bearer, hash)
}

/// SHA-256 of the text; 256 random bits need no slow hash.
pub fn bearer_hash(bearer: &str) -> [u8; 32] {
    sha256(bearer.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_is_its_prefix_and_256_random_bits() {
        let (one, hash) = make_bearer("dvo_");
        let (two, _) = make_bearer("dvo_");
        assert_ne!(one, two);
        assert_eq!((one.len(), bearer_hash(&one)), (4 + 52, hash));
        let bits = one.strip_prefix("dvo_").expect("the prefix");
        assert_eq!(BASE32.decode(bits.as_bytes()).expect("base32").len(), 32);
    }

    #[test]
    fn the_hash_is_sha_256_of_the_whole_text() {
        let hex = data_encoding::HEXLOWER.encode(&bearer_hash("dvo_abc"));
        assert_eq!(hex, "732aeefd9567c31adac8af2c95a4ecff299383511f0743c78ea36c73623b6f90");
    }
}
