//! Answers that last: what was taken back meanwhile ends them.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::world::{answer, fragment, text, world};

/// More than the buffers between the service and a client that does not read.
const LARGE_BYTES: usize = 48 << 20;

#[tokio::test]
async fn a_download_ends_when_its_session_is_given_up_and_another_goes_on() {
    let world = world().await;
    let owner = world.passer_by();
    let device = world.vault.pair(&owner, "car").await;
    let file = world.vault.scratch().join("large.mp4");
    std::fs::write(&file, vec![7; LARGE_BYTES]).expect("a large file");
    let clip = text(&world.vault.upload(&device, &file), "clip_id");
    // It is no video; the original is there all the same.
    assert_eq!(world.vault.settled(&owner, &clip).await["state"], "failed");

    let token = json!({ "token": fragment(&owner.sign_in_url) });
    let (status, signed_in) = world.vault.json(Method::POST, "/v1/session", None, Some(&token)).await;
    assert_eq!(status, 200, "{signed_in}");
    let session = text(&signed_in, "session");

    let path = format!("/v1/clips/{clip}/original");
    let mut whole = answer(world.ask(Method::GET, &path, Some(&owner.token))).await;
    let mut kept = answer(world.ask(Method::GET, &path, Some(&session))).await;
    assert_eq!((whole.status().as_u16(), kept.status().as_u16()), (200, 200));
    let mut got = whole.chunk().await.expect("a chunk").expect("some bytes").len();
    assert!(kept.chunk().await.expect("a chunk").is_some());
    let out = answer(world.ask(Method::DELETE, "/v1/session", Some(&session))).await;
    assert_eq!(out.status(), 204);
    tokio::time::sleep(Duration::from_millis(1_200)).await;

    while let Some(chunk) = whole.chunk().await.expect("this one was not taken back") {
        got += chunk.len();
    }
    assert_eq!(got, LARGE_BYTES);
    let mut left = 0;
    let broken = loop {
        match kept.chunk().await {
            Ok(Some(chunk)) => left += chunk.len(),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(
        broken && left < LARGE_BYTES / 2,
        "{left} bytes of {LARGE_BYTES} came after the session's end"
    );
}
