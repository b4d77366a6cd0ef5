//! The store or the database goes away and comes back; a disk is full; a keyring is broken.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use dashvault_test_support::{Postgres, Seaweed, Vault, client};
use reqwest::Method;

use crate::tus::Upload;
use crate::{at_scale, road_clip};

/// Sends all of `bytes` from the durable offset on, and waits until the service takes them again.
async fn send_until_whole(upload: &Upload<'_>, bytes: &[u8]) {
    for _ in 0..200 {
        let offset = usize::try_from(upload.offset().await).expect("a small clip");
        if offset == bytes.len() {
            return;
        }
        // A refusal is told by the next offset.
        let _ = upload.send(offset as u64, bytes[offset..].to_vec()).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("never whole");
}

async fn assert_same(vault: &Vault, token: &str, id: &str, bytes: &[u8]) {
    let asked = client()
        .get(vault.url(&format!("/v1/clips/{id}/original")))
        .bearer_auth(token);
    let got = asked.send().await.expect("an answer").bytes().await.expect("a body");
    assert!(got == bytes, "{} of {} bytes", got.len(), bytes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_down_is_a_503_and_the_upload_goes_on_later() {
    let mut seaweed = Seaweed::start();
    let (setup, _) = at_scale(Postgres::shared(), &seaweed);
    let vault = setup.start();
    let owner = vault.owner("outage@example.org");
    let bytes = std::fs::read(road_clip()).expect("the clip");
    let upload = Upload::create(&vault, &owner.token, bytes.len() as u64)
        .await
        .expect("an upload");
    let answer = upload.send(0, bytes[..500_000].to_vec()).await.expect("an answer");
    assert_eq!(answer.status(), 204);

    tokio::task::block_in_place(|| seaweed.stop());
    let answer = upload
        .send(500_000, bytes[500_000..900_000].to_vec())
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("Retry-After"));
    assert_eq!(answer.headers()["Content-Type"], "application/problem+json");
    // What was acknowledged is still told.
    assert_eq!(upload.offset().await, 500_000);

    tokio::task::block_in_place(|| seaweed.resume());
    send_until_whole(&upload, &bytes).await;
    let clip = vault.settled(&owner, upload.id()).await;
    assert_eq!(clip["state"], "ready", "{clip}");
    assert_same(&vault, &owner.token, upload.id(), &bytes).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_down_is_a_503_and_the_upload_goes_on_later() {
    let mut postgres = Postgres::start();
    let (setup, _) = at_scale(&postgres, Seaweed::shared());
    let vault = setup.start();
    let owner = vault.owner("outage@example.org");
    let bytes = std::fs::read(road_clip()).expect("the clip");
    let upload = Upload::create(&vault, &owner.token, bytes.len() as u64)
        .await
        .expect("an upload");
    let answer = upload.send(0, bytes[..500_000].to_vec()).await.expect("an answer");
    assert_eq!(answer.status(), 204);

    tokio::task::block_in_place(|| postgres.stop());
    let answer = upload
        .send(500_000, bytes[500_000..900_000].to_vec())
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 503);
    assert!(answer.headers().contains_key("Retry-After"));
    let (ready, problem) = vault.json(Method::GET, "/readyz", None, None).await;
    assert_eq!(ready, 503, "{problem}");

    tokio::task::block_in_place(|| postgres.resume());
    send_until_whole(&upload, &bytes).await;
    let clip = vault.settled(&owner, upload.id()).await;
    assert_eq!(clip["state"], "ready", "{clip}");
    assert_same(&vault, &owner.token, upload.id(), &bytes).await;
}

#[tokio::test]
async fn a_broken_keyring_refuses_to_start_and_is_named() {
    let mut vault = Vault::setup().start();
    vault.stop();
    let keyring = vault.data().join("keyring");
    let whole = std::fs::read(&keyring).expect("the keyring");
    let cut = whole[..whole.len() / 2].to_vec();
    let mut flipped = whole.clone();
    let at = flipped.len() / 2;
    flipped[at] ^= 1;
    for broken in [cut, flipped, Vec::new()] {
        std::fs::write(&keyring, broken).expect("the keyring is written");
        assert_refused(&vault, "keyring");
    }
    std::fs::write(&keyring, &whole).expect("the keyring is written");
    std::fs::set_permissions(&keyring, std::fs::Permissions::from_mode(0o644)).expect("permissions");
    assert_refused(&vault, "keyring");
    std::fs::set_permissions(&keyring, std::fs::Permissions::from_mode(0o600)).expect("permissions");
    // Somebody else's keyring is no better.
    let other = vault.scratch().join("other");
    vault.run(["keys", "init", "--keyring", other.to_str().expect("UTF-8")]);
    std::fs::copy(&other, &keyring).expect("a copy");
    assert_refused(&vault, "keyring");
    std::fs::write(&keyring, &whole).expect("the keyring is written");
    vault.start();
}

/// The service ends by itself, with an error, and says what is wrong.
pub fn assert_refused(vault: &Vault, word: &str) {
    let mut command = vault.command([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--data",
    ]);
    let out = Command::new("timeout")
        .arg("20")
        .arg(command.arg(vault.data()).get_program())
        .args(command.get_args())
        .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .output()
        .expect("the program");
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(
        !out.status.success() && out.status.code() != Some(124),
        "{:?}: {said}",
        out.status
    );
    assert!(said.contains(word), "{said}");
}
