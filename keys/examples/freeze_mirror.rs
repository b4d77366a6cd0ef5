//! Writes the frozen samples of the mirror: an object of each kind around the records that were frozen before, tombstones and
//! erasure receipts.
//!
//! `cargo run -p dashvault-keys --example freeze_mirror > keys/tests/vectors/mirror-vN.json`, once for each version. The key
//! in it protects nothing.

use dashvault_keys::mirror::{self, MirrorKind};
use dashvault_keys::receipt::{ErasureReceipt, ReceiptSigner};
use dashvault_keys::tombstone::{Erased, Tombstone};
use dashvault_keys::{Secret32, digest};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

const SYSTEM: &[u8; 16] = b"0123456789abcdef";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn main() {
    let frozen: Value = serde_json::from_str(include_str!("../tests/vectors/records-v1.json")).expect("JSON");
    let record = |name: &str| {
        let text = frozen[name]["bytes"].as_str().expect("a text");
        HEXLOWER.decode(text.as_bytes()).expect("hex")
    };
    let (envelope, kek, system) = (record("envelope"), record("kek_record"), record("system_record"));
    let signer = ReceiptSigner::new(&Secret32::make_random());
    let stones = Erased::ALL.map(|what| Tombstone {
        what,
        subject: match what {
            Erased::Epoch => Tombstone::epoch_subject(3),
            Erased::Clip | Erased::Owner => digest::random(),
        },
        at_ms: 1_764_036_000_000,
    });
    let signed = stones.map(|stone| stone.sign(SYSTEM, &signer));
    let receipt = ErasureReceipt {
        what: Erased::Clip,
        subject: stones[0].subject,
        ordered_at_ms: 1_764_036_000_000,
        done_at_ms: 1_764_036_002_000,
    };
    let set = json!({
        "format": "dashvault mirror of the key plane, version 1",
        "system": hex(SYSTEM),
        "receipt_public_key": hex(signer.public_key()),
        "envelope": object(MirrorKind::Envelope, &[&envelope]),
        "keks": object(MirrorKind::Keks, &[&kek, &kek]),
        "system_record": object(MirrorKind::System, &[&system]),
        "tombstones": object(MirrorKind::Tombstones, &[&signed[0], &signed[1], &signed[2]]),
        "tombstone_subjects": stones.map(|stone| hex(stone.subject)),
        "tombstone_at_ms": 1_764_036_000_000_i64,
        "erasure_receipt": {
            "text": signer.sign_erasure(&receipt),
            "subject": hex(receipt.subject),
            "ordered_at_ms": receipt.ordered_at_ms,
            "done_at_ms": receipt.done_at_ms,
        },
    });
    println!("{set:#}");
}

fn object(kind: MirrorKind, records: &[&[u8]]) -> Value {
    let id = digest::random();
    json!({
        "id": hex(id),
        "records": records.iter().map(hex).collect::<Vec<_>>(),
        "bytes": hex(mirror::make(SYSTEM, &id, kind, records).expect("within the limits")),
    })
}
