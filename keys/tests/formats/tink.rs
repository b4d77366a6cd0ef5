//! Tink's AES-GCM-HKDF streaming format and our derivations, written a second time from their specifications, on aes-gcm.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use dashvault_keys::digest::sha256;
use ring::hkdf;

/// HKDF-SHA256, extract and expand, to 32 bytes.
pub fn hkdf(ikm: &[u8], salt: &[u8], info: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(ikm)
        .expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out))
        .expect("32 bytes can be had");
    out
}

/// What our objects give as associated data.
pub const AAD: &[u8] = b"dcv1/tink";

/// A key of Tink's `AesGcmHkdfStreaming` with derived keys of 32 bytes.
pub struct Tink {
    pub key: [u8; 32],
    pub segment_bytes: usize,
}

impl Tink {
    /// Header and segments.
    pub fn encrypt(&self, salt: &[u8; 32], prefix: &[u8; 7], plain: &[u8]) -> Vec<u8> {
        let mut out = [&[40], salt.as_slice(), prefix].concat();
        let cipher = self.cipher(salt);
        let (first, mut rest) = plain.split_at(plain.len().min(self.segment_bytes - 56));
        let mut segments = vec![first];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.segment_bytes - 16));
            segments.push(now);
            rest = later;
        }
        for (index, plain) in segments.iter().enumerate() {
            let nonce = nonce(prefix, index, index + 1 == segments.len());
            out.extend(cipher.encrypt(&nonce.into(), *plain).expect("a short text"));
        }
        out
    }

    /// What Tink's own reader would give out.
    pub fn decrypt(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (header, _) = sealed.split_at_checked(40)?;
        let (salt, prefix) = (&header[1..33], header[33..].try_into().ok()?);
        let cipher = self.cipher(salt);
        let count = sealed.len().div_ceil(self.segment_bytes);
        let mut out = Vec::new();
        for index in 0..count {
            let start = (index * self.segment_bytes).max(40);
            let end = ((index + 1) * self.segment_bytes).min(sealed.len());
            let nonce = nonce(&prefix, index, index + 1 == count);
            out.extend(cipher.decrypt(&nonce.into(), &sealed[start..end]).ok()?);
        }
        (header[0] == 40).then_some(out)
    }

    /// The AES key of all segments.
    pub fn derived_key(&self, salt: &[u8]) -> [u8; 32] {
        hkdf(&self.key, salt, AAD)
    }

    fn cipher(&self, salt: &[u8]) -> Aes256Gcm {
        Aes256Gcm::new(&self.derived_key(salt).into())
    }
}

pub fn nonce(prefix: &[u8; 7], index: usize, last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[..7].copy_from_slice(prefix);
    nonce[7..11].copy_from_slice(&(index as u32).to_be_bytes());
    nonce[11] = u8::from(last);
    nonce
}

fn lp(fields: &[&[u8]]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|field| [&(field.len() as u16).to_be_bytes(), *field].concat())
        .collect()
}

/// An object's place and its public random bytes.
pub struct Object<'a> {
    pub system: &'a [u8],
    pub owner: [u8; 16],
    pub clip: [u8; 16],
    pub kind: u8,
    pub rendition: &'a str,
    pub id: [u8; 16],
    pub salt: [u8; 32],
    pub log2_segment: u8,
    /// 1, but for what an attacker with a key might write.
    pub version: u8,
    /// 1, likewise.
    pub suite: u8,
    /// 0, likewise.
    pub flags: u8,
}

/// What follows from a DEK.
pub struct Derived {
    pub tink: Tink,
    pub commitment: [u8; 32],
}

impl Object<'_> {
    /// The first 56 bytes.
    pub fn head(&self) -> Vec<u8> {
        let fixed = [self.version, self.suite, self.log2_segment, self.flags];
        [b"DCVO".as_slice(), &fixed, &self.id, &self.salt].concat()
    }

    pub fn derive(&self, dek: &[u8; 32]) -> Derived {
        let place = lp(&[
            self.system,
            &self.head(),
            &self.owner,
            &self.clip,
            &[self.kind],
            self.rendition.as_bytes(),
        ]);
        let context = sha256(&[b"dcv1/octx\0".as_slice(), &place].concat());
        let object_key = hkdf(dek, &self.salt, &[b"dcv1/obj/root\0".as_slice(), &context].concat());
        Derived {
            tink: Tink {
                key: hkdf(&object_key, &self.salt, b"dcv1/obj/key"),
                segment_bytes: 1 << self.log2_segment,
            },
            commitment: hkdf(&object_key, &self.salt, b"dcv1/obj/commit"),
        }
    }
}

/// One part of a record, opened on ring: nonce 0, a key of its own.
pub fn open_part(key: &[u8; 32], salt: &[u8], info: &[u8], head: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &hkdf(key, salt, info)).ok()?);
    let mut sealed = sealed.to_vec();
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let plain = key.open_in_place(nonce, Aad::from(head), &mut sealed).ok()?;
    Some(plain.to_vec())
}

/// As [`open_part`], sealed on aes-gcm.
pub fn seal_part(key: &[u8; 32], salt: &[u8], info: &[u8], head: &[u8], plain: &[u8]) -> Vec<u8> {
    let payload = Payload { msg: plain, aad: head };
    Aes256Gcm::new(&hkdf(key, salt, info).into())
        .encrypt(&[0; 12].into(), payload)
        .expect("a short text")
}
