//! Writes a system record whose keys were rotated, with all that is needed to open it, as JSON.
//!
//! `cargo run -p dashvault-keys --example freeze_system > keys/tests/vectors/system-vN.json`, once for each version of the
//! record. All keys in it are made for it and protect nothing.

use dashvault_keys::Secret32;
use dashvault_keys::provider::Keyring;
use dashvault_keys::system::{KeySet, SystemRecord};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

const SYSTEM: &[u8] = b"0123456789abcdef";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("keyring");
    let root = Keyring::create(&path).expect("a keyring");
    let mut record = SystemRecord::make();
    let now = 1_764_036_000_000;
    record.link.rotate(Secret32::make_random(), now, now + 30 * 86_400_000);
    record.token.rotate(Secret32::make_random(), now, now + 3_600_000);
    record.index.rotate(Secret32::make_random(), now, now);
    record.rotate_receipts(now);
    record.forget_ended(now);
    record.rotate_receipts(now + 1_000);
    let public = record.receipt_keys.iter().map(|key| hex(key.public_key));
    let set = json!({
        "format": "dashvault system record, version 2",
        "system": hex(SYSTEM),
        "keyring": hex(std::fs::read(&path).expect("it is there")),
        "bytes": hex(record.seal(SYSTEM, 9, &root).expect("it is wrapped").1),
        "locator": hex(record.locator.expose()),
        "ingest": hex(record.ingest.secret().expose()),
        "index": versions(&record.index),
        "token": versions(&record.token),
        "link": versions(&record.link),
        "receipt": versions(&record.receipt),
        "receipt_keys": public.collect::<Vec<_>>(),
    });
    println!("{set:#}");
}

fn versions(set: &KeySet) -> Value {
    let mut all: Vec<_> = set.verifying(i64::MIN).collect();
    all.reverse();
    let told = all.into_iter().map(|key| {
        json!({
            "version": key.version, "since_ms": key.since_ms, "until_ms": key.until_ms, "key": hex(key.key.expose()),
        })
    });
    told.collect()
}
