//! A vehicle changes hands: each owner keeps what came while it was theirs, and no row tells that it is one vehicle.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use dashvault_test_support::{Owner, Vault};
use reqwest::Method;
use serde_json::json;

use crate::world::{PLATE, VIN, answer, ask, fixture, header, text, token};

/// A row: its table, and every value of bytes in it, in hexadecimal.
type Bytes = (String, BTreeSet<String>);

/// An id's digits.
const ID_DIGITS: usize = 32;
/// Shorter values are counts in bytes' clothes.
const LEAST_DIGITS: usize = 16;

fn sqlite(file: &Path, commands: &[&str]) -> String {
    let out = Command::new("sqlite3")
        .arg(file)
        .args(commands)
        .output()
        .expect("sqlite3");
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("UTF-8")
}

/// Every row of every table of a copy of the database.
fn rows(copy: &Path) -> Vec<Bytes> {
    let tables = sqlite(
        copy,
        &["SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"],
    );
    let mut rows = Vec::new();
    for table in tables.lines() {
        let select = format!("SELECT * FROM \"{table}\"");
        for row in sqlite(copy, &[".mode quote", &select]).lines() {
            let blobs = row.split("X'").skip(1).filter_map(|rest| rest.split_once('\''));
            let values = blobs.map(|(hex, _)| hex.to_ascii_lowercase());
            let values = values.filter(|hex| hex.len() >= LEAST_DIGITS);
            rows.push((table.to_owned(), values.collect()));
        }
    }
    rows
}

/// The rows that hang together with an id by ids, whatever the columns are called; `all` is what everybody's rows have.
fn rows_of<'a>(rows: &'a [Bytes], id: &str, all: &BTreeSet<String>) -> Vec<&'a Bytes> {
    let mut ids = BTreeSet::from([id.to_owned()]);
    loop {
        let own: Vec<_> = rows.iter().filter(|(_, row)| !row.is_disjoint(&ids)).collect();
        let found = own.iter().flat_map(|(_, row)| row);
        let found = found.filter(|value| value.len() == ID_DIGITS && !all.contains(*value));
        let found: BTreeSet<_> = found.cloned().chain([id.to_owned()]).collect();
        if found == ids {
            return own;
        }
        ids = found;
    }
}

fn hex(id: &str) -> String {
    let id: dashvault::model::OwnerId = id.parse().expect("an id");
    data_encoding::HEXLOWER.encode(id.as_bytes())
}

/// The owner pairs the vehicle, and a whole clip and a part of one come from it.
async fn drives(vault: &Vault, owner: &Owner) -> (String, String) {
    let about = json!({ "label": "the-car-itself", "vin": VIN, "plate": PLATE });
    let (device, _) = vault.pair_with(owner, &about).await;
    let clip = text(&vault.upload(&device, &fixture()), "clip_id");
    assert_eq!(vault.settled(owner, &clip).await["state"], "ready");
    let bearer = token(vault, &device);
    let begun = ask(vault, Method::POST, "/v1/uploads", Some(&bearer))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "5000");
    let begun = answer(begun).await;
    let part = header(&begun, "location").rsplit_once('/').expect("an id").1.to_owned();
    let sent = ask(vault, Method::PATCH, &format!("/v1/uploads/{part}"), Some(&bearer))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Offset", "0")
        .header("Content-Type", "application/offset+octet-stream")
        .body(vec![7; 1000]);
    assert_eq!(answer(sent).await.status(), 204);
    (clip, part)
}

#[tokio::test]
async fn each_owner_keeps_what_is_theirs_and_no_row_names_both() {
    let vault = Vault::setup().start();
    let (seller, buyer) = (vault.owner("seller@example.org"), vault.owner("buyer@example.org"));
    let (old_clip, old_part) = drives(&vault, &seller).await;
    let (_, devices) = vault.json(Method::GET, "/v1/devices", Some(&seller.token), None).await;
    let path = format!("/v1/devices/{}", text(&devices["devices"][0], "id"));
    let released = answer(ask(&vault, Method::DELETE, &path, Some(&seller.token))).await;
    assert_eq!(released.status(), 204);
    // The same car with the same clip in it, at its new owner's.
    let (new_clip, new_part) = drives(&vault, &buyer).await;

    for (owner, theirs, others) in [
        (&seller, (&old_clip, &old_part), (&new_clip, &new_part)),
        (&buyer, (&new_clip, &new_part), (&old_clip, &old_part)),
    ] {
        for ((clip, part), status) in [(theirs, 200), (others, 404)] {
            let original = ask(
                &vault,
                Method::GET,
                &format!("/v1/clips/{clip}/original"),
                Some(&owner.token),
            );
            assert_eq!(answer(original).await.status().as_u16(), status);
            let stands = ask(&vault, Method::HEAD, &format!("/v1/uploads/{part}"), Some(&owner.token));
            let stands = answer(stands.header("Tus-Resumable", "1.0.0")).await;
            assert_eq!(stands.status().as_u16(), status);
            if status == 200 {
                assert_eq!(header(&stands, "upload-offset"), "1000", "a part is its owner's too");
            }
        }
    }

    let copy = vault.scratch().join("copy.db");
    sqlite(
        &vault.data().join("catalogue/vault.db"),
        &[&format!("VACUUM INTO '{}'", copy.display())],
    );
    let rows = rows(&copy);
    // The deployment's own id stands in all rows of both.
    let tenants = rows.iter().filter(|(table, _)| table == "tenants");
    let all: BTreeSet<_> = tenants.flat_map(|(_, row)| row).cloned().collect();
    assert_eq!(all.len(), 1);
    let [of_seller, of_buyer] = [&seller, &buyer].map(|owner| rows_of(&rows, &hex(&owner.id), &all));
    for own in [&of_seller, &of_buyer] {
        let tables: BTreeSet<_> = own.iter().map(|(table, _)| table.as_str()).collect();
        for table in [
            "owners",
            "keks",
            "devices",
            "pairing_codes",
            "clips",
            "objects",
            "uploads",
            "pieces",
            "events",
        ] {
            assert!(tables.contains(table), "{table} is not among {tables:?}");
        }
    }
    for (table, row) in &of_seller {
        for (other_table, other) in &of_buyer {
            let shared: Vec<_> = row.intersection(other).filter(|value| !all.contains(*value)).collect();
            assert!(shared.is_empty(), "{table} and {other_table} share {shared:?}");
        }
    }
    let bytes = std::fs::read(&copy).expect("the copy");
    for secret in [VIN, PLATE, "the-car-itself"] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "{secret} stands in the database");
    }
}
