//! ring and aes-gcm as each other's twins: what one seals the other opens, and both make the same bytes.

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use dashvault_keys::Secret32;
use dashvault_keys::digest::random;
use dashvault_keys::field::{self, FieldPlace};
use dashvault_keys::object::{Opener, PRELUDE_BYTES, Pinned, Place, Sealer, kind, segment_span};
use proptest::prelude::*;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

use crate::tink::{Object, open_part, seal_part};

const DEK: [u8; 32] = [8; 32];

fn object(log2_segment: u8, kind: u8) -> Object<'static> {
    Object {
        system: b"tenant",
        owner: [1; 16],
        clip: [2; 16],
        kind,
        rendition: "original",
        id: [3; 16],
        salt: random(),
        log2_segment,
        version: 1,
        suite: 1,
        flags: 0,
    }
}

fn place<'a>(object: &Object<'a>) -> Place<'a> {
    Place {
        system: object.system,
        owner: object.owner,
        clip: object.clip,
        kind: object.kind,
        rendition: object.rendition,
    }
}

/// Whether our reader opens the first segment of what the twin wrote for this head.
fn opens(object: &Object<'_>) -> bool {
    let (derived, plain) = (object.derive(&DEK), [7; 1000]);
    let body = derived.tink.encrypt(&random(), &random(), &plain);
    let bytes = [object.head().as_slice(), &derived.commitment, &body].concat();
    let pinned = Pinned {
        suite: 1,
        log2_segment: 16,
        padded_length: 1000,
        commitment: derived.commitment,
    };
    let dek = Secret32::from_bytes(DEK);
    Opener::new(&dek, &place(object), object.id, &pinned, &bytes[..PRELUDE_BYTES])
        .is_ok_and(|opener| opener.open_segment(0, &mut bytes[PRELUDE_BYTES..].to_vec()).is_ok())
}

#[test]
fn a_head_of_another_version_is_refused_even_from_a_writer_who_has_the_key() {
    let version_1 = || object(16, kind::PIECE);
    assert!(opens(&version_1()));
    let others = [
        Object {
            version: 0,
            ..version_1()
        },
        Object {
            version: 2,
            ..version_1()
        },
        Object {
            suite: 0,
            ..version_1()
        },
        Object {
            suite: 2,
            ..version_1()
        },
        Object {
            flags: 1,
            ..version_1()
        },
        Object {
            log2_segment: 18,
            ..version_1()
        },
    ];
    for other in others {
        assert!(!opens(&other), "{:?}", &other.head()[..8]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn both_make_the_same_bytes(key: [u8; 32], nonce: [u8; 12], aad: Vec<u8>, plain in prop::collection::vec(any::<u8>(), 0..2000)) {
        let mut by_ring = plain.clone();
        let ring = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).expect("a key"));
        ring.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&aad), &mut by_ring).expect("a short text");
        let by_aes_gcm = Aes256Gcm::new(&key.into()).encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad }).expect("a short text");
        prop_assert_eq!(by_ring, by_aes_gcm);
    }

    #[test]
    fn an_object_that_ring_sealed_opens_on_the_twin(length in 0..400_000_usize, log2 in prop::sample::select(vec![16_u8, 18, 20]), piece: bool) {
        let plain: Vec<u8> = (0..length).map(|i| (i % 253) as u8).collect();
        let mut object = object(log2, if piece { kind::PIECE } else { kind::VIDEO });
        let mut bytes = Vec::new();
        let mut sealer = Sealer::new(&Secret32::from_bytes(DEK), &place(&object), object.id, log2).expect("a place");
        sealer.push(&plain, &mut bytes).expect("within the limits");
        let sealed = sealer.finish(&mut bytes).expect("within the limits");
        object.salt.copy_from_slice(&bytes[24..56]);
        let derived = object.derive(&DEK);
        prop_assert!(bytes[..56] == object.head());
        prop_assert_eq!(&bytes[56..88], derived.commitment.as_slice());
        prop_assert_eq!(sealed.commitment, derived.commitment);
        let opened = derived.tink.decrypt(&bytes[88..]).expect("Tink opens it");
        prop_assert_eq!(opened.len() as u64, sealed.padded_length);
        prop_assert_eq!(&opened[..length], plain.as_slice());
        prop_assert!(opened[length..].iter().all(|b| *b == 0));
    }

    #[test]
    fn an_object_that_the_twin_sealed_opens_on_ring(length in 0..400_000_usize, log2 in prop::sample::select(vec![16_u8, 18, 20])) {
        let plain: Vec<u8> = (0..length).map(|i| (i % 253) as u8).collect();
        let object = object(log2, kind::PIECE);
        let derived = object.derive(&DEK);
        let body = derived.tink.encrypt(&random(), &random(), &plain);
        let bytes = [object.head().as_slice(), &derived.commitment, &body].concat();
        let pinned = Pinned { suite: 1, log2_segment: log2, padded_length: length as u64, commitment: derived.commitment };
        prop_assert_eq!(pinned.size(), bytes.len() as u64);
        let opener = Opener::new(&Secret32::from_bytes(DEK), &place(&object), object.id, &pinned, &bytes[..PRELUDE_BYTES]).expect("it opens");
        let mut opened = Vec::new();
        for index in 0..opener.segments() {
            let span = segment_span(index, pinned.padded_length, log2);
            let mut segment = bytes[span.start as usize..span.end as usize].to_vec();
            opened.extend_from_slice(opener.open_segment(index, &mut segment).expect("it opens"));
        }
        prop_assert_eq!(opened, plain);
    }

    #[test]
    fn a_field_that_aes_gcm_sealed_opens_on_ring_and_the_other_way_round(plain: Vec<u8>, key: [u8; 32], row: [u8; 16]) {
        let place = FieldPlace { system: b"tenant", table: "clips", column: "sealed_summary", row: &row };
        let mut info = b"dcv1/field\0".to_vec();
        for part in [b"tenant".as_slice(), b"clips", b"sealed_summary", &row] {
            info.extend_from_slice(&(part.len() as u16).to_be_bytes());
            info.extend_from_slice(part);
        }
        let sealed = field::seal(&Secret32::from_bytes(key), &place, &plain);
        prop_assert_eq!(open_part(&key, &sealed[2..34], &info, &sealed[..34], &sealed[34..]), Some(plain.clone()));
        let head = [&[1, 1], random::<32>().as_slice()].concat();
        let twin = [head.as_slice(), &seal_part(&key, &head[2..], &info, &head, &plain)].concat();
        let opened = field::open(&Secret32::from_bytes(key), &place, &twin).expect("it opens");
        prop_assert_eq!(&*opened, &plain);
    }
}
