//! The two-key ciphertext: bare Tink opens one byte string under two keys, our reader opens no object under two.
//!
//! After "Partitioning Oracle Attacks" (Len, Grubbs, Ristenpart, USENIX Security 2021) and "Fast Message Franking"
//! (Dodis and others, 2018): GCM's tag is linear in the ciphertext, so one free block makes it right under a second key.

use aes_gcm::aes::Aes256;
use aes_gcm::aes::cipher::{BlockCipherEncrypt, KeyInit};
use dashvault_keys::Secret32;
use dashvault_keys::object::{ObjectError, Opener, PRELUDE_BYTES, Pinned, Place, kind, segment_span};
use data_encoding::HEXLOWER;
use serde_json::json;

use crate::tink::{Object, Tink, nonce};

const DEKS: [[u8; 32]; 2] = [[1; 32], [2; 32]];
const TINK_SALT: [u8; 32] = [3; 32];
const PREFIX: [u8; 7] = [4; 7];
const PLAIN_BYTES: usize = 32;

const OBJECT: Object<'static> = Object {
    system: b"tenant",
    owner: [5; 16],
    clip: [6; 16],
    kind: kind::PIECE,
    rendition: "p0",
    id: [7; 16],
    salt: [8; 32],
    log2_segment: 16,
    version: 1,
    suite: 1,
    flags: 0,
};

/// Multiplication in GCM's field (NIST SP 800-38D, 6.3); the highest bit is x^0.
fn times(x: u128, mut v: u128) -> u128 {
    let mut z = 0;
    for bit in (0..128).rev() {
        if x >> bit & 1 == 1 {
            z ^= v;
        }
        v = if v & 1 == 1 { v >> 1 ^ 0xe1 << 120 } else { v >> 1 };
    }
    z
}

/// x^(2^128 − 2): the product of all x^(2^i) for i = 1…127.
fn inverse(x: u128) -> u128 {
    let one = 1 << 127;
    (1..128)
        .fold((one, x), |(product, power), _| {
            let square = times(power, power);
            (times(product, square), square)
        })
        .0
}

fn encrypt_block(key: &[u8; 32], block: [u8; 16]) -> u128 {
    let mut block = block.into();
    Aes256::new(key.into()).encrypt_block(&mut block);
    u128::from_be_bytes(block.into())
}

/// GHASH's key and the mask of the tag, for the only segment.
fn tag_parts(tink: &Tink) -> (u128, u128) {
    let key = tink.derived_key(&TINK_SALT);
    let mut counter = [0; 16];
    counter[..12].copy_from_slice(&nonce(&PREFIX, 0, true));
    counter[15] = 1;
    (encrypt_block(&key, [0; 16]), encrypt_block(&key, counter))
}

/// Tink's header, two blocks and a tag that is right under both keys.
fn forge(tinks: [&Tink; 2]) -> Vec<u8> {
    let [(h1, mask1), (h2, mask2)] = tinks.map(tag_parts);
    let powers = |h: u128| {
        let square = times(h, h);
        (h, square, times(square, h))
    };
    let ((a1, a2, a3), (b1, b2, b3)) = (powers(h1), powers(h2));
    let lengths = (PLAIN_BYTES as u128) * 8;
    let first = u128::from_be_bytes(*b"any block at all");
    // first·H³ + second·H² + lengths·H + mask must be the same under both.
    let rest = times(first, a3 ^ b3) ^ times(lengths, a1 ^ b1) ^ mask1 ^ mask2;
    let second = times(rest, inverse(a2 ^ b2));
    let tag = times(first, a3) ^ times(second, a2) ^ times(lengths, a1) ^ mask1;
    let mut out = [&[40], TINK_SALT.as_slice(), &PREFIX].concat();
    for block in [first, second, tag] {
        out.extend_from_slice(&block.to_be_bytes());
    }
    out
}

#[test]
fn the_field_s_arithmetic_is_right() {
    let one = 1_u128 << 127;
    for x in [one, 2, 0xdead_beef, u128::MAX] {
        assert_eq!(times(x, one), x);
        assert_eq!(times(x, inverse(x)), one);
    }
}

#[test]
fn bare_tink_opens_it_under_both_keys_and_our_reader_under_one_at_most() {
    let derived = DEKS.map(|dek| OBJECT.derive(&dek));
    let body = forge([&derived[0].tink, &derived[1].tink]);
    let texts = derived
        .each_ref()
        .map(|d| d.tink.decrypt(&body).expect("bare Tink opens it"));
    assert_ne!(texts[0], texts[1], "two different plaintexts");

    let place = Place {
        system: OBJECT.system,
        owner: OBJECT.owner,
        clip: OBJECT.clip,
        kind: OBJECT.kind,
        rendition: OBJECT.rendition,
    };
    // Whatever stands as the commitment, in the object and in the catalogue.
    for commitment in [derived[0].commitment, derived[1].commitment, [0; 32]] {
        let object = [OBJECT.head().as_slice(), &commitment, &body].concat();
        let pinned = Pinned {
            suite: 1,
            log2_segment: OBJECT.log2_segment,
            padded_length: PLAIN_BYTES as u64,
            commitment,
        };
        assert_eq!(pinned.size(), object.len() as u64);
        for (dek, own) in DEKS.iter().zip(&derived) {
            let dek = Secret32::from_bytes(*dek);
            let opener = Opener::new(&dek, &place, OBJECT.id, &pinned, &object[..PRELUDE_BYTES]);
            if own.commitment == commitment {
                // The key that the object is committed to. The tag is right, so the segment opens: this is no empty test.
                let span = segment_span(0, pinned.padded_length, pinned.log2_segment);
                let mut segment = object[span.start as usize..span.end as usize].to_vec();
                let opener = opener.expect("its own key");
                assert!(opener.open_segment(0, &mut segment).is_ok());
            } else {
                assert_eq!(opener.err(), Some(ObjectError::Refused));
            }
        }
    }
}

#[test]
fn the_frozen_one_that_tink_itself_is_shown_is_this_one() {
    let derived = DEKS.map(|dek| OBJECT.derive(&dek));
    let made = json!({
        "about": "one AES-GCM-HKDF streaming ciphertext that opens under two keys; segments of 64 KiB",
        "associated_data": "dcv1/tink",
        "keys": derived.each_ref().map(|d| HEXLOWER.encode(&d.tink.key)),
        "ciphertext": HEXLOWER.encode(&forge([&derived[0].tink, &derived[1].tink])),
    });
    let frozen = include_str!("../vectors/two-keys-v1.json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(frozen).expect("JSON"), made);
}
