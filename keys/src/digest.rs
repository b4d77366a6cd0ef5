//! SHA-256, SHA-1 (for upload checksums only), HMAC, HKDF, comparison in constant time, randomness; all of it ring's.

use ring::rand::{SecureRandom, SystemRandom};
use ring::{digest, hkdf, hmac};
use subtle::ConstantTimeEq;

use crate::Secret32;
use crate::stack::wiped;

/// SHA-256 of what is fed piece by piece (FIPS 180-4).
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Feeds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    pub fn finish(self) -> [u8; 32] {
        let digest = self.0.finish();
        digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-512 of what is fed piece by piece (FIPS 180-4), for clients that sum bodies up with it.
#[derive(Clone)]
pub struct Sha512(digest::Context);

impl Sha512 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA512))
    }

    /// Feeds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    pub fn finish(self) -> [u8; 64] {
        let digest = self.0.finish();
        digest.as_ref().try_into().expect("SHA-512 has 64 bytes")
    }
}

impl Default for Sha512 {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-1 of what is fed piece by piece. It finds a broken transfer (tus `Upload-Checksum: sha1`), no attacker.
#[derive(Clone)]
pub struct Sha1(digest::Context);

impl Sha1 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY))
    }

    /// Feeds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest.
    pub fn finish(self) -> [u8; 20] {
        let digest = self.0.finish();
        digest.as_ref().try_into().expect("SHA-1 has 20 bytes")
    }
}

impl Default for Sha1 {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-256 of bytes at hand.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// HMAC-SHA256 (RFC 2104).
pub fn hmac_sha256(key: &Secret32, bytes: &[u8]) -> [u8; 32] {
    hmac_sha256_under(key.expose(), bytes)
}

/// HMAC-SHA256 under a secret of any length, as others give them out.
pub fn hmac_sha256_under(key: &[u8], bytes: &[u8]) -> [u8; 32] {
    wiped(|| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, bytes);
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    })
}

/// Whether the two are equal; takes the same time wherever they differ. Lengths are no secret.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// `N` bytes from the operating system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the operating system gives random bytes");
    bytes
}

/// HKDF-SHA256 (RFC 5869), extract and expand, to 32 bytes; `info` is given in parts that are read as one.
pub(crate) fn derive(ikm: &Secret32, salt: &[u8], info: &[&[u8]]) -> Secret32 {
    Secret32::filled(|bytes| derive_into(ikm.expose(), salt, info, bytes))
}

/// As [`derive`], for what is no secret (a commitment).
pub(crate) fn derive_public(ikm: &Secret32, salt: &[u8], info: &[&[u8]]) -> [u8; 32] {
    let mut bytes = [0; 32];
    derive_into(ikm.expose(), salt, info, &mut bytes);
    bytes
}

fn derive_into(ikm: &[u8], salt: &[u8], info: &[&[u8]], out: &mut [u8; 32]) {
    wiped(|| {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(ikm);
        prk.expand(info, hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(out))
            .expect("32 bytes are within HKDF's bound");
    });
}

/// Each field as a big-endian u16 length and its bytes: `lp(x…)` of FORMAT.md.
///
/// Fields are ids and names of ours, far below 64 KiB; a longer one is a broken caller.
pub(crate) fn lp(fields: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(fields.iter().map(|f| f.len() + 2).sum());
    for field in fields {
        let length = u16::try_from(field.len()).expect("a field of a derivation is shorter than 64 KiB");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(field);
    }
    out
}
