//! Known answers of an independent writer, both ways: we write the same bytes, and open what it wrote.
//!
//! `DASHVAULT_VECTORS` may name further files of the same layout, one or several with a colon between.

use data_encoding::HEXLOWER;
use serde::Deserialize;

use super::prelude::{Prelude, Salts};
use super::*;
use crate::Secret32;
use crate::digest::sha256;

#[derive(Deserialize)]
struct File {
    format: String,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    system: String,
    dek: String,
    owner: String,
    clip: String,
    object_id: String,
    salt: String,
    tink_salt: String,
    nonce_prefix: String,
    kind: u8,
    rendition: String,
    log2_segment: u8,
    length: u64,
    plaintext_rule: String,
    object_key: String,
    tink_key: String,
    commitment: String,
    padded_length: u64,
    size: u64,
    prelude: String,
    last_16: String,
    sha256: String,
}

fn hex<const N: usize>(text: &str) -> [u8; N] {
    let bytes = HEXLOWER.decode(text.as_bytes()).expect("lower-case hex");
    bytes.try_into().expect("the length that the field has")
}

impl Case {
    fn dek(&self) -> Secret32 {
        Secret32::from_bytes(hex(&self.dek))
    }

    fn place(&self) -> Place<'_> {
        Place {
            system: self.system.as_bytes(),
            owner: hex(&self.owner),
            clip: hex(&self.clip),
            kind: self.kind,
            rendition: &self.rendition,
        }
    }

    fn plain(&self) -> Vec<u8> {
        assert_eq!(self.plaintext_rule, "byte i = (7*i + 3) mod 256");
        (0..self.length).map(|i| (7 * i + 3) as u8).collect()
    }

    /// Seals with the vector's salts, in runs of `run` bytes.
    fn seal(&self, run: usize) -> (Sealed, Vec<u8>) {
        let salts = Salts {
            object: hex(&self.salt),
            tink: hex(&self.tink_salt),
            nonce_prefix: hex(&self.nonce_prefix),
        };
        let sealer = Sealer::with_salts(
            &self.dek(),
            &self.place(),
            hex(&self.object_id),
            self.log2_segment,
            &salts,
        );
        let (mut sealer, mut object) = (sealer.expect("a place"), Vec::new());
        for part in self.plain().chunks(run) {
            sealer.push(part, &mut object).expect("within the limits");
        }
        let sealed = sealer.finish(&mut object).expect("within the limits");
        (sealed, object)
    }
}

fn files() -> Vec<File> {
    let mut texts = vec![include_str!("../../tests/vectors/object-v1.json").to_owned()];
    if let Ok(paths) = std::env::var("DASHVAULT_VECTORS") {
        for path in paths.split(':').filter(|path| !path.is_empty()) {
            texts.push(std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}")));
        }
    }
    texts
        .iter()
        .map(|text| serde_json::from_str(text).expect("the vectors' layout"))
        .collect()
}

fn cases() -> Vec<Case> {
    let files = files();
    assert!(files.iter().all(|file| file.format == "DCVO version 1"));
    let cases: Vec<_> = files.into_iter().flat_map(|file| file.cases).collect();
    assert!(cases.len() >= 14, "only {} cases", cases.len());
    cases
}

#[test]
fn vectors_are_written_byte_for_byte() {
    for case in cases() {
        for run in [case.length.max(1) as usize, 4096 + 1] {
            let (sealed, object) = case.seal(run);
            assert_eq!(sealed.length, case.length, "{}", case.name);
            assert_eq!(sealed.padded_length, case.padded_length, "{}", case.name);
            assert_eq!(sealed.size, case.size, "{}", case.name);
            assert_eq!(object.len() as u64, case.size, "{}", case.name);
            assert_eq!(sealed.commitment, hex(&case.commitment), "{}", case.name);
            assert_eq!(HEXLOWER.encode(&object[..PRELUDE_BYTES]), case.prelude, "{}", case.name);
            assert_eq!(
                HEXLOWER.encode(&object[object.len() - 16..]),
                case.last_16,
                "{}",
                case.name
            );
            assert_eq!(HEXLOWER.encode(&sha256(&object)), case.sha256, "{}", case.name);
        }
    }
}

#[test]
fn vectors_derive_the_same_keys() {
    for case in cases() {
        let prelude = Prelude::parse(&hex::<PRELUDE_BYTES>(&case.prelude)).expect("a prelude");
        let object_key = prelude.derive_object_key(&case.dek(), &case.place());
        assert_eq!(object_key.expose(), &hex(&case.object_key), "{}", case.name);
        assert_eq!(
            prelude.derive_tink_key(&object_key).expose(),
            &hex(&case.tink_key),
            "{}",
            case.name
        );
        assert_eq!(
            prelude.derive_commitment(&object_key),
            hex(&case.commitment),
            "{}",
            case.name
        );
    }
}

#[test]
fn vectors_are_opened_in_any_order_by_the_dek_and_by_the_object_key() {
    for case in cases() {
        // The bytes are the independent writer's: their SHA-256 is the file's.
        let object = case.seal(1 << 20).1;
        assert_eq!(HEXLOWER.encode(&sha256(&object)), case.sha256, "{}", case.name);
        let pinned = Pinned {
            suite: SUITE,
            log2_segment: case.log2_segment,
            padded_length: case.padded_length,
            commitment: hex(&case.commitment),
        };
        assert_eq!(pinned.size(), case.size);
        let (id, prelude) = (hex(&case.object_id), &object[..PRELUDE_BYTES]);
        let by_dek = Opener::new(&case.dek(), &case.place(), id, &pinned, prelude).expect("it opens");
        let object_key = Secret32::from_bytes(hex(&case.object_key));
        let by_object_key = Opener::from_object_key(&object_key, id, &pinned, prelude).expect("it opens");
        let mut plain = case.plain();
        plain.resize(case.padded_length as usize, 0);
        for opener in [by_dek, by_object_key] {
            for index in (0..opener.segments()).rev() {
                let span = segment_span(index, case.padded_length, case.log2_segment);
                let mut segment = object[span.start as usize..span.end as usize].to_vec();
                let opened = opener.open_segment(index, &mut segment).expect("it opens");
                let start = segment_plain_start(index, case.log2_segment) as usize;
                assert_eq!(opened, &plain[start..start + opened.len()], "{}", case.name);
            }
        }
    }
}
