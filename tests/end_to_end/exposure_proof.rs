//! A bucket that was open for a while, on a real store under the running service: the report names what lay there, the
//! inventory finds what was planted, and the signed statements check offline.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use dashvault_test_support::{Seaweed, Vault, client};
use serde_json::Value;

use crate::road_clip;

/// A tick of the inventory is ten seconds, a bucket takes three, and the machine may be busy.
const LONG: Duration = Duration::from_secs(120);

async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn report(vault: &Vault, data: &str) -> Value {
    let told = vault.run_json(["exposure", "report", "--from", "2020-01-01", "--data", data, "--json"]);
    told.into_iter().last().expect("a report")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lay_in_an_open_bucket_is_named_and_what_was_planted_is_not_called_ciphertext() {
    let seaweed = Seaweed::shared();
    let bucket = seaweed.bucket();
    let vault = Vault::setup()
        .on_s3(seaweed, &bucket)
        .args([
            "--watch-interval-secs",
            "1",
            "--write-gate",
            "alert-only",
            "--inventory-pace",
            "60000",
        ])
        .start();
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let owner = vault.owner("anna@example.org");
    let device = vault.pair(&owner, "Anna's car").await;
    let upload = async |name: &str| {
        // Another file each time, so that none is a copy.
        let mut bytes = std::fs::read(road_clip()).expect("the clip");
        bytes.extend_from_slice(b"\0\0\0\x10free");
        bytes.extend_from_slice(&[name.as_bytes(), &[0; 8]].concat()[..8]);
        let file = vault.scratch().join(name);
        std::fs::write(&file, bytes).expect("a file");
        let told = vault.upload(&device, &file);
        let clip = told["clip_id"]
            .as_str()
            .unwrap_or_else(|| panic!("a clip in {told}"))
            .to_owned();
        vault.settled(&owner, &clip).await;
    };
    upload("before.mp4").await;
    seaweed.allow(&bucket, r#""*""#, "GetObject");
    until("the bucket is seen open", || {
        vault.log().contains("A BUCKET IS OPEN").then_some(())
    })
    .await;
    upload("within.mp4").await;
    let lay_there: BTreeSet<String> = seaweed.names(&bucket).into_iter().collect();
    let planted = "aa/aaaaaaaaaaaaaaaaaaaaaaaaaa";
    seaweed.request(
        "PUT",
        &format!("/{bucket}/{planted}"),
        &["--upload-file", road_clip().to_str().expect("UTF-8")],
    );
    seaweed.shut(&bucket);
    until("the bucket is seen shut", || {
        vault.log().contains("is private again").then_some(())
    })
    .await;
    upload("after.mp4").await;

    // Shutting it makes a walk due at once.
    let told = until("the walk after finds what was planted", || {
        let told = report(&vault, &data);
        let shown = &told["exposures"][0]["ciphertext"]["shown"];
        (shown == "not-all-ciphertext").then_some(told)
    })
    .await;
    let exposures = told["exposures"].as_array().expect("a list");
    assert_eq!(exposures.len(), 1, "{told}");
    let one = &exposures[0];
    assert_eq!(one["bucket"], "data");
    assert!(
        one["last_private_ms"].as_i64() < one["first_seen_open_ms"].as_i64(),
        "{one}"
    );
    assert!(one["closed_ms"].is_i64(), "{one}");
    let named = one["reached"]["named"].as_array().expect("a list").iter();
    let named: BTreeSet<_> = named
        .map(|one| one["object"].as_str().expect("a name").to_owned())
        .collect();
    // All but the canary, which is the vault's own.
    let unnamed: Vec<_> = lay_there.difference(&named).collect();
    assert_eq!(unnamed.len(), 1, "{unnamed:?}");
    assert_eq!(named.difference(&lay_there).count(), 0, "nothing of the third clip");
    assert_eq!(
        (&one["reached"]["clips"], &one["reached"]["owners"]),
        (&2.into(), &1.into())
    );
    let findings = one["ciphertext"]["findings"].as_array().expect("a list");
    assert!(
        findings
            .iter()
            .any(|one| one["object"] == planted && one["is_not_ciphertext"] == true),
        "{findings:?}"
    );
    let text = String::from_utf8(
        vault
            .run(["exposure", "report", "--from", "2020-01-01", "--data", &data])
            .stdout,
    );
    let text = text.expect("UTF-8");
    assert!(text.contains("NOT ALL") && text.contains(planted), "{text}");
    assert!(!text.contains("anna") && !text.contains(&owner.id), "{text}");
    assert!(vault.log().contains("the inventory found something in a bucket"));

    chain(&vault, &data).await;
}

/// The statements made meanwhile, from the command and from the operator's address, and what becomes of a chain that is broken.
async fn chain(vault: &Vault, data: &str) {
    let file = vault.scratch().join("attestations.jsonl");
    let name = file.to_str().expect("UTF-8");
    // Private, exposed and private again, each at least; the second two may have come within a minute.
    let statements = until("two statements", || {
        let _ = std::fs::remove_file(&file);
        let told = vault
            .run_json(["exposure", "attestations", "--out", name, "--data", data, "--json"])
            .remove(0);
        (told["statements"].as_u64() >= Some(2)).then_some(told)
    })
    .await;
    let head = statements["head"].as_str().expect("a head");
    let told = vault
        .run_json(["exposure", "verify", name, "--head", head, "--json"])
        .remove(0);
    assert_eq!(told["head"], head);
    let lines = std::fs::read_to_string(&file).expect("lines");
    let answer = client()
        .get(vault.admin_url("/attestations"))
        .send()
        .await
        .expect("an answer");
    let answer = answer.text().await.expect("lines");
    assert!(answer.starts_with(&lines), "the operator's address gives the same");

    let all: Vec<_> = lines.lines().collect();
    let fewer = all[..all.len() - 1].join("\n") + "\n";
    fails(vault, &file, &fewer, &["--head", head], "cut off at the end");
    let altered = lines.replacen("\"rounds\":", "\"rounds\":1", 1);
    fails(vault, &file, &altered, &[], "line 1: it was altered");
    let later = all[1..].join("\n") + "\n";
    fails(vault, &file, &later, &[], "line 1: there is a gap");
    let half = &lines[..lines.len() - 40];
    fails(vault, &file, half, &[], "cut off in its middle");
    fails(
        vault,
        &file,
        &lines,
        &["--key", &"0".repeat(64)],
        "line 1: it is signed by another key",
    );
}

fn fails(vault: &Vault, file: &Path, lines: &str, more: &[&str], why: &str) {
    std::fs::write(file, lines).expect("a file");
    let mut arguments = vec!["exposure", "verify", file.to_str().expect("UTF-8")];
    arguments.extend(more);
    let out = vault.command(arguments).output().expect("the program");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1), "{said}");
    assert!(said.contains(why), "{why:?} in {said}");
}
