//! Writes a chain of attestations over a change of receipt keys, with the seeds that signed it, as JSON.
//!
//! `cargo run -p dashvault-keys --example freeze_attestation > keys/tests/vectors/attestation-vN.json`, once for each version.
//! All keys in it are made for it and protect nothing.

use std::collections::BTreeMap;

use dashvault_keys::attestation::{BucketStatement, Head, InventoryStatement, Statement};
use dashvault_keys::receipt::ReceiptSigner;
use dashvault_keys::system::SystemRecord;
use data_encoding::HEXLOWER;
use serde_json::json;

const SYSTEM: [u8; 16] = [7; 16];
const NOW: i64 = 1_800_000_000_000;
const DAY: i64 = 86_400_000;

fn main() {
    let mut record = SystemRecord::make();
    let (mut lines, mut heads, mut seeds) = (Vec::new(), Vec::new(), Vec::new());
    let mut before: Option<Head> = None;
    for day in 0..4 {
        let now = NOW + day * DAY;
        if day == 2 {
            // Twice, so that a key that signed nothing lies between two that did.
            record.rotate_receipts(now - 2_000);
            record.rotate_receipts(now - 1_000);
        }
        let seed = &record.receipt.signing(now).key;
        let signer = ReceiptSigner::new(seed);
        let statement = Statement {
            service: "0.1.0".to_owned(),
            key_epoch: 1,
            buckets: vec![bucket(day)],
            ..Statement::following(before.as_ref(), &SYSTEM, now, &signer, &record.receipt_keys)
        };
        let (line, head) = signer.attest(statement);
        seeds.push(HEXLOWER.encode(seed.expose()));
        heads.push(HEXLOWER.encode(&head.sha256));
        lines.push(line);
        before = Some(head);
    }
    let first = HEXLOWER.encode(&record.receipt_keys[0].public_key);
    let set = json!({
        "format": "dashvault attestations, version 1", "trusted_key": first, "lines": lines, "heads": heads, "seeds": seeds,
    });
    println!("{set:#}");
}

fn bucket(day: i64) -> BucketStatement {
    let is_open = day == 1;
    BucketStatement {
        bucket: "data".to_owned(),
        verdict: if is_open { "exposed" } else { "private" }.to_owned(),
        since_ms: NOW,
        checked_ms: NOW + day * DAY,
        private_ms: (!is_open).then_some(NOW + day * DAY),
        rounds: 1_440 * (day as u64) + 1,
        changes: 1 + day.clamp(0, 2) as u64,
        inventory: (day > 0).then(|| InventoryStatement {
            began_ms: NOW,
            ended_ms: NOW + 1_000,
            objects: 12,
            bytes: 34_567_890,
            rows: 11,
            findings: 1,
            not_sealed: 0,
            clips_opened: 3,
            objects_opened: 9,
            forms: BTreeMap::from([("DCVO 1.1".to_owned(), 12)]),
        }),
    }
}
