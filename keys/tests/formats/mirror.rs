//! The mirror's frozen samples: they must open for ever, and what makes them must make the same bytes.

use dashvault_keys::mirror::{self, MirrorKind, MirrorObject};
use dashvault_keys::receipt::{self, ErasureReceipt};
use dashvault_keys::tombstone::{Erased, Tombstone};
use data_encoding::HEXLOWER;
use serde_json::Value;

fn set() -> Value {
    serde_json::from_str(include_str!("../vectors/mirror-v1.json")).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a text");
    HEXLOWER.decode(text.as_bytes()).expect("hex")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the length that the field has")
}

#[test]
fn vectors_of_mirror_objects_read_and_are_made_again() {
    let set = set();
    for (name, kind) in [
        ("envelope", MirrorKind::Envelope),
        ("keks", MirrorKind::Keks),
        ("system_record", MirrorKind::System),
        ("tombstones", MirrorKind::Tombstones),
    ] {
        let frozen = &set[name];
        let (id, object) = (array(&frozen["id"]), bytes(&frozen["bytes"]));
        let read = MirrorObject::parse(&object, &id).expect("it reads");
        let records: Vec<_> = frozen["records"]
            .as_array()
            .expect("records")
            .iter()
            .map(bytes)
            .collect();
        assert_eq!((read.kind, read.system), (kind, array(&set["system"])), "{name}");
        assert_eq!(read.records, records, "{name}");
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        assert_eq!(mirror::make(&read.system, &id, kind, &records), Ok(object), "{name}");
    }
}

#[test]
fn vectors_of_tombstones_and_an_erasure_s_receipt_are_believed() {
    let set = set();
    let (system, public_key) = (array(&set["system"]), array(&set["receipt_public_key"]));
    let records = set["tombstones"]["records"].as_array().expect("records");
    let at_ms = set["tombstone_at_ms"].as_i64().expect("a number");
    for ((what, record), subject) in Erased::ALL
        .iter()
        .zip(records)
        .zip(set["tombstone_subjects"].as_array().expect("subjects"))
    {
        let said = Tombstone {
            what: *what,
            subject: array(subject),
            at_ms,
        };
        assert_eq!(Tombstone::verify(&bytes(record), &system, &[public_key]), Ok(said));
    }
    let frozen = &set["erasure_receipt"];
    let said = ErasureReceipt {
        what: Erased::Clip,
        subject: array(&frozen["subject"]),
        ordered_at_ms: frozen["ordered_at_ms"].as_i64().expect("a number"),
        done_at_ms: frozen["done_at_ms"].as_i64().expect("a number"),
    };
    let text = frozen["text"].as_str().expect("a text");
    assert_eq!(receipt::verify_erasure(text, &public_key), Some(said));
}
