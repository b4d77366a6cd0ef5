//! What an attacker who can write the bucket may try, and that nothing of it releases a byte.

use proptest::prelude::*;

use super::*;
use crate::Secret32;
use crate::digest::random;

const OWNER: [u8; 16] = [1; 16];
const CLIP: [u8; 16] = [2; 16];
const ID: [u8; 16] = [3; 16];

fn dek() -> Secret32 {
    Secret32::from_bytes([9; 32])
}

fn place() -> Place<'static> {
    Place {
        system: b"tenant",
        owner: OWNER,
        clip: CLIP,
        kind: kind::VIDEO,
        rendition: "original",
    }
}

fn seal_as(place: &Place<'_>, id: [u8; 16], log2: u8, plain: &[u8]) -> (Sealed, Vec<u8>) {
    let mut object = Vec::new();
    let mut sealer = Sealer::new(&dek(), place, id, log2).expect("a place");
    sealer.push(plain, &mut object).expect("within the limits");
    let sealed = sealer.finish(&mut object).expect("within the limits");
    (sealed, object)
}

/// Reads as the vault does: the size against the pins, the prelude, then segments in order until one is refused.
/// Returns the plaintext that was released and whether the object ended well.
fn read(dek: &Secret32, place: &Place<'_>, id: [u8; 16], pinned: &Pinned, object: &[u8]) -> (Vec<u8>, bool) {
    let mut released = Vec::new();
    if object.len() as u64 != pinned.size() {
        return (released, false);
    }
    let Ok(opener) = Opener::new(dek, place, id, pinned, &object[..PRELUDE_BYTES]) else {
        return (released, false);
    };
    for index in 0..opener.segments() {
        let span = segment_span(index, pinned.padded_length, pinned.log2_segment);
        let mut segment = object[span.start as usize..span.end as usize].to_vec();
        match opener.open_segment(index, &mut segment) {
            Ok(plain) => released.extend_from_slice(plain),
            Err(_) => {
                assert!(segment.iter().all(|b| *b == 0), "a refused segment is erased");
                return (released, false);
            }
        }
    }
    (released, true)
}

fn refused_outright(place: &Place<'_>, id: [u8; 16], pinned: &Pinned, object: &[u8]) {
    assert_eq!(read(&dek(), place, id, pinned, object), (vec![], false));
}

fn plain(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 % 251 + 1) as u8).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_refused_before_its_segment_is_released() {
    let plain = plain(200_000);
    let (sealed, object) = seal_as(&place(), ID, 16, &plain);
    let pinned = sealed.pinned();
    assert_eq!(read(&dek(), &place(), ID, &pinned, &object).0[..plain.len()], plain);
    // Every bit of the prelude.
    for bit in 0..PRELUDE_BYTES * 8 {
        let mut changed = object[..PRELUDE_BYTES].to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        let refused = match Opener::new(&dek(), &place(), ID, &pinned, &changed) {
            Err(_) => true,
            // Tink's salt and nonce prefix are not in the commitment; a change there makes every segment fail.
            Ok(opener) => (0..opener.segments()).all(|index| {
                let span = segment_span(index, pinned.padded_length, 16);
                let mut segment = object[span.start as usize..span.end as usize].to_vec();
                opener.open_segment(index, &mut segment).is_err()
            }),
        };
        assert!(refused, "bit {bit} of the prelude");
    }
    // The first, the last and some bytes of each segment.
    for index in 0..segments(pinned.padded_length, 16) {
        let span = segment_span(index, pinned.padded_length, 16);
        let released_before = segment_plain_start(index, 16) as usize;
        for at in [
            span.start,
            span.start + 1,
            (span.start + span.end) / 2,
            span.end - 17,
            span.end - 16,
            span.end - 1,
        ] {
            for bit in 0..8 {
                let mut changed = object.clone();
                changed[at as usize] ^= 1 << bit;
                let (released, whole) = read(&dek(), &place(), ID, &pinned, &changed);
                assert!(!whole, "byte {at}, bit {bit}");
                assert_eq!(released.len(), released_before, "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_cut_at_any_segment_and_elsewhere_is_refused_before_a_byte_leaves() {
    let (sealed, object) = seal_as(&place(), ID, 16, &plain(300_000));
    let pinned = sealed.pinned();
    let mut cuts: Vec<usize> = vec![0, 1, 55, 56, 88, 127, 128, 129, object.len() - 1];
    for index in 0..segments(pinned.padded_length, 16) {
        let end = segment_span(index, pinned.padded_length, 16).end as usize;
        cuts.extend([end - 17, end - 16, end - 1, end, end + 1]);
    }
    for cut in cuts.into_iter().filter(|cut| *cut < object.len()) {
        refused_outright(&place(), ID, &pinned, &object[..cut]);
    }
    let mut longer = object.clone();
    longer.push(0);
    refused_outright(&place(), ID, &pinned, &longer);
}

#[test]
fn a_cut_that_the_pins_were_bent_to_fit_still_fails_at_the_last_segment() {
    // Whoever writes bucket and catalogue can name a shorter length; the nonce of the last segment then gives it away.
    let (sealed, object) = seal_as(&place(), ID, 16, &plain(300_000));
    for kept in 1..segments(sealed.padded_length, 16) {
        let padded_length = segment_plain_start(kept, 16);
        let pinned = Pinned {
            padded_length,
            ..sealed.pinned()
        };
        let cut = &object[..pinned.size() as usize];
        let (released, whole) = read(&dek(), &place(), ID, &pinned, cut);
        assert!(!whole);
        assert_eq!(released.len() as u64, segment_plain_start(kept - 1, 16));
    }
}

#[test]
fn an_object_opens_only_at_its_own_place() {
    let (sealed, object) = seal_as(&place(), ID, 16, &plain(1000));
    let pinned = sealed.pinned();
    let here = place();
    let elsewhere = [
        Place {
            system: b"other",
            ..here
        },
        Place { owner: [7; 16], ..here },
        Place { clip: [7; 16], ..here },
        Place {
            kind: kind::OTHER,
            ..here
        },
        Place {
            rendition: "1080p",
            ..here
        },
    ];
    for place in elsewhere {
        refused_outright(&place, ID, &pinned, &object);
    }
    refused_outright(&here, [7; 16], &pinned, &object);
    let other_dek = Secret32::make_random();
    assert_eq!(
        read(&other_dek, &here, ID, &pinned, &object),
        (vec![], false),
        "another DEK"
    );
}

#[test]
fn swapped_objects_and_segments_are_refused() {
    let (one, one_bytes) = seal_as(&place(), ID, 16, &plain(200_000));
    let (_, same_name) = seal_as(&place(), ID, 16, &plain(200_000));
    let (other, other_bytes) = seal_as(&place(), [4; 16], 16, &plain(200_000));
    // Another object's bytes under this name; an older object of the same name, place and length.
    refused_outright(&place(), ID, &one.pinned(), &other_bytes);
    refused_outright(&place(), ID, &one.pinned(), &same_name);
    refused_outright(&place(), ID, &other.pinned(), &other_bytes);
    // Two segments of one object change places; a segment of another object stands in.
    let span = |i| {
        let span = segment_span(i, one.padded_length, 16);
        span.start as usize..span.end as usize
    };
    let mut swapped = one_bytes.clone();
    swapped[span(1)].copy_from_slice(&one_bytes[span(2)]);
    swapped[span(2)].copy_from_slice(&one_bytes[span(1)]);
    let (released, whole) = read(&dek(), &place(), ID, &one.pinned(), &swapped);
    assert_eq!((released.len() as u64, whole), (segment_plain_start(1, 16), false));
    let mut mixed = one_bytes;
    mixed[span(1)].copy_from_slice(&same_name[span(1)]);
    assert!(!read(&dek(), &place(), ID, &one.pinned(), &mixed).1);
}

#[test]
fn the_bucket_chooses_no_version_suite_flags_or_segment_size() {
    let (sealed, object) = seal_as(&place(), ID, 16, &plain(1000));
    for (at, values) in [(4, [0, 2, 255]), (5, [0, 2, 255]), (6, [18, 20, 0]), (7, [1, 2, 128])] {
        for value in values {
            let mut changed = object.clone();
            changed[at] = value;
            refused_outright(&place(), ID, &sealed.pinned(), &changed);
        }
    }
    let new = |pinned: &Pinned| Opener::new(&dek(), &place(), ID, pinned, &object[..PRELUDE_BYTES]).err();
    let pinned = sealed.pinned();
    assert_eq!(new(&Pinned { suite: 2, ..pinned }), Some(ObjectError::UnknownSuite(2)));
    assert_eq!(
        new(&Pinned {
            log2_segment: 18,
            ..pinned
        }),
        Some(ObjectError::Refused)
    );
    assert_eq!(
        new(&Pinned {
            log2_segment: 17,
            ..pinned
        }),
        Some(ObjectError::BadPlace)
    );
    assert_eq!(
        new(&Pinned {
            padded_length: u64::MAX,
            ..pinned
        }),
        Some(ObjectError::TooLong)
    );
    assert_eq!(
        new(&Pinned {
            commitment: random(),
            ..pinned
        }),
        Some(ObjectError::Refused)
    );
}

#[test]
fn a_segment_of_another_length_or_past_the_end_is_refused() {
    let (sealed, object) = seal_as(&place(), ID, 16, &plain(200_000));
    let opener = Opener::new(&dek(), &place(), ID, &sealed.pinned(), &object[..PRELUDE_BYTES]).expect("it opens");
    let n = opener.segments();
    assert_eq!(opener.open_segment(n, &mut []), Err(ObjectError::Refused));
    assert_eq!(opener.open_segment(u32::MAX, &mut [0; 16]), Err(ObjectError::Refused));
    for length in [0, 15, 16, (1 << 16) - 41, (1 << 16) - 39] {
        let mut segment = object[128..128 + length].to_vec();
        assert_eq!(opener.open_segment(0, &mut segment), Err(ObjectError::Refused));
    }
}

#[test]
fn one_object_s_key_opens_no_other() {
    let (one, one_bytes) = seal_as(&place(), ID, 16, &plain(1000));
    let (other, other_bytes) = seal_as(&place(), [4; 16], 16, &plain(1000));
    let key = derive_object_key(&dek(), &place(), &one_bytes[..PRELUDE_BYTES]).expect("a prelude");
    assert!(Opener::from_object_key(&key, ID, &one.pinned(), &one_bytes[..PRELUDE_BYTES]).is_ok());
    let refused = Opener::from_object_key(&key, [4; 16], &other.pinned(), &other_bytes[..PRELUDE_BYTES]).err();
    assert_eq!(refused, Some(ObjectError::Refused));
}

#[test]
fn no_place_without_a_name_and_a_kind() {
    let long = "x".repeat(65);
    for rendition in ["", "with space", "Ümlaut", "tab\t", long.as_str()] {
        let place = Place { rendition, ..place() };
        assert_eq!(
            Sealer::new(&dek(), &place, ID, 16).err(),
            Some(ObjectError::BadPlace),
            "{rendition}"
        );
    }
    for kind in [0, 7, 255] {
        assert_eq!(
            Sealer::new(&dek(), &Place { kind, ..place() }, ID, 16).err(),
            Some(ObjectError::BadPlace)
        );
    }
    assert_eq!(Sealer::new(&dek(), &place(), ID, 17).err(), Some(ObjectError::BadPlace));
}

#[test]
fn padding_in_steps_makes_the_same_object_and_ends_the_pushing() {
    let salts = || super::prelude::Salts {
        object: [1; 32],
        tink: [2; 32],
        nonce_prefix: [3; 7],
    };
    let sealer = || Sealer::with_salts(&dek(), &place(), [9; 16], 16, &salts()).unwrap();
    let (mut at_once, mut in_steps) = (Vec::new(), Vec::new());
    let mut sealer_at_once = sealer();
    sealer_at_once.push(&plain(3), &mut at_once).unwrap();
    let sealed_at_once = sealer_at_once.finish(&mut at_once).unwrap();
    let mut stepping = sealer();
    stepping.push(&plain(3), &mut in_steps).unwrap();
    let mut steps = 1;
    while !stepping.pad(1000, &mut in_steps).unwrap() {
        steps += 1;
    }
    assert_eq!(steps, (128 * 1024 - 3_usize).div_ceil(1000));
    assert_eq!(stepping.push(b"more", &mut in_steps), Err(ObjectError::TooLong));
    assert_eq!(stepping.finish(&mut in_steps), Ok(sealed_at_once));
    assert!(in_steps == at_once);
}

#[test]
fn no_two_objects_share_a_salt() {
    let (_, one) = seal_as(&place(), ID, 16, b"the same");
    let (_, two) = seal_as(&place(), ID, 16, b"the same");
    assert_ne!(one[24..56], two[24..56]);
    assert_ne!(one[89..128], two[89..128]);
    assert_ne!(one[128..], two[128..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_sealed_in_any_runs_opens_to_the_same(
        length in prop_oneof![0..300_000_usize, Just(65_480), Just(65_481), Just(131_000), Just(131_001)],
        runs in prop::collection::vec(1..70_000_usize, 1..8),
        piece: bool,
        log2 in prop::sample::select(vec![16_u8, 18, 20]),
    ) {
        let plain = plain(length);
        let place = Place { kind: if piece { kind::PIECE } else { kind::IMAGE }, ..place() };
        let mut sealer = Sealer::new(&dek(), &place, ID, log2).expect("a place");
        let (mut object, mut rest, mut turn) = (Vec::new(), plain.as_slice(), 0);
        while !rest.is_empty() {
            let (now, later) = rest.split_at(runs[turn % runs.len()].min(rest.len()));
            sealer.push(now, &mut object).expect("within the limits");
            (rest, turn) = (later, turn + 1);
        }
        let sealed = sealer.finish(&mut object).expect("within the limits");
        prop_assert_eq!(sealed.size, object.len() as u64);
        prop_assert_eq!(sealed.padded_length, padded_length(length as u64, place.kind));
        let (released, whole) = read(&dek(), &place, ID, &sealed.pinned(), &object);
        prop_assert!(whole);
        prop_assert_eq!(&released[..length], plain.as_slice());
        prop_assert!(released[length..].iter().all(|b| *b == 0));
    }

    #[test]
    fn any_change_of_any_byte_is_refused(length in 0..200_000_usize, at: prop::sample::Index, change in 1..=255_u8) {
        let (sealed, mut object) = seal_as(&place(), ID, 16, &plain(length));
        let at = at.index(object.len());
        object[at] ^= change;
        let (released, whole) = read(&dek(), &place(), ID, &sealed.pinned(), &object);
        prop_assert!(!whole);
        prop_assert!(released.len() as u64 <= (at as u64).saturating_sub(PRELUDE_BYTES as u64));
    }
}
