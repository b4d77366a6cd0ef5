//! A vehicle that is no longer its owner's: what it is sending ends, and what came stays.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{answer, header, text, token, world};

/// How soon a revocation has to be felt.
const FELT: Duration = Duration::from_secs(5);
/// How long a connection is kept for an answer that its client has not read, with a margin for a busy machine.
const LINGERS: Duration = Duration::from_secs(12);

#[tokio::test]
async fn a_slow_patch_of_a_revoked_vehicle_is_cut_within_5_s() {
    let world = world().await;
    let owner = world.passer_by();
    let (device, _) = world.vault.pair_with(&owner, &json!({ "label": "stolen" })).await;
    let bearer = token(&world.vault, &device);
    let begun = world
        .ask(Method::POST, "/v1/uploads", Some(&bearer))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "1000000");
    let begun = answer(begun).await;
    assert_eq!(begun.status(), 201);
    let id = header(&begun, "location").rsplit_once('/').expect("an id").1.to_owned();

    let url = world.vault.url("");
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut socket = TcpStream::connect(host).await.expect("a connection");
    let head = format!(
        "PATCH /v1/uploads/{id} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: 1000000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("a head");
    // A kilobyte in a tenth of a second: the whole would take 100 s.
    let (mut hear, mut say) = socket.into_split();
    let saying = tokio::spawn(async move {
        while say.write_all(&[7; 1000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Instant::now()
    });
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let (_, devices) = world
        .vault
        .json(Method::GET, "/v1/devices", Some(&owner.token), None)
        .await;
    let path = format!("/v1/devices/{}", text(&devices["devices"][0], "id"));
    let revoked = answer(world.ask(Method::DELETE, &path, Some(&owner.token))).await;
    assert_eq!(revoked.status(), 204);
    let revoked = Instant::now();

    let mut heard = [0; 4096];
    let hearing = tokio::time::timeout(FELT, hear.read(&mut heard)).await;
    let length = hearing.expect("an answer in time").expect("an answer");
    let told = String::from_utf8_lossy(&heard[..length]).into_owned();
    assert!(told.starts_with("HTTP/1.1 409"), "{told:?}");
    let asked = world.ask(Method::HEAD, &format!("/v1/uploads/{id}"), Some(&owner.token));
    let kept = answer(asked.header("Tus-Resumable", "1.0.0")).await;
    let stands = header(&kept, "upload-offset").to_owned();
    // Whoever sends on is listened to for a moment, so that the answer is not lost, and then cut off.
    let took = saying.await.expect("a sender").duration_since(revoked);
    assert!(took < FELT + LINGERS, "the vehicle could send for {took:?}");

    // The vehicle learns nothing more, and its owner sees what came.
    let asked = world.ask(Method::HEAD, &format!("/v1/uploads/{id}"), Some(&bearer));
    assert_eq!(answer(asked.header("Tus-Resumable", "1.0.0")).await.status(), 401);
    let asked = world.ask(Method::HEAD, &format!("/v1/uploads/{id}"), Some(&owner.token));
    let kept = answer(asked.header("Tus-Resumable", "1.0.0")).await;
    assert_eq!(
        header(&kept, "upload-offset"),
        stands,
        "what came after the cut is not kept"
    );
    let kept: u64 = stands.parse().expect("an offset");
    assert!((5_000..60_000).contains(&kept), "{kept} bytes are kept");
}
