//! A vehicle that is no longer its owner's, and one that gets another key.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{World, answer, fixture, header, text, token, world};

/// How soon a revocation has to be felt.
const FELT: Duration = Duration::from_secs(5);
/// What the two ends of a connection hold at most of what nobody reads, with the server's own buffers.
const IN_BUFFERS: u64 = 16 << 20;

/// Begins an upload and sends the head of its one PATCH; the upload's id, and the connection.
async fn begin_patch(world: &World, bearer: &str, length: u64) -> (String, TcpStream) {
    let begun = world
        .ask(Method::POST, "/v1/uploads", Some(bearer))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", length);
    let begun = answer(begun).await;
    assert_eq!(begun.status(), 201);
    let id = header(&begun, "location").rsplit_once('/').expect("an id").1.to_owned();
    let url = world.vault.url("");
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let mut socket = TcpStream::connect(host).await.expect("a connection");
    let head = format!(
        "PATCH /v1/uploads/{id} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {bearer}\r\nTus-Resumable: 1.0.0\r\n\
         Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\nContent-Length: {length}\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.expect("a head");
    (id, socket)
}

async fn stands_at(world: &World, id: &str, owner: &str) -> u64 {
    let asked = world.ask(Method::HEAD, &format!("/v1/uploads/{id}"), Some(owner));
    let stands = answer(asked.header("Tus-Resumable", "1.0.0")).await;
    header(&stands, "upload-offset").parse().expect("an offset")
}

#[tokio::test]
async fn a_slow_a_silent_and_an_eager_patch_of_a_revoked_vehicle_are_cut_within_5_s() {
    let world = world().await;
    let owner = world.passer_by();
    let (device, _) = world.vault.pair_with(&owner, &json!({ "label": "stolen" })).await;
    let bearer = token(&world.vault, &device);
    // One brings a kilobyte in a tenth of a second, the whole of which would take 100 s; one nothing more; and one as much as is
    // taken.
    let (slow_id, slow) = begin_patch(world, &bearer, 1_000_000).await;
    let (silent_id, mut silent) = begin_patch(world, &bearer, 1_000_000).await;
    let (_, eager) = begin_patch(world, &bearer, 1 << 30).await;
    silent.write_all(&[7; 5_000]).await.expect("a beginning");
    let (mut slow, mut say) = slow.into_split();
    let saying = tokio::spawn(async move {
        while say.write_all(&[7; 1000]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Instant::now()
    });
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let (mut eager, mut pour) = eager.into_split();
    let pouring = tokio::spawn(async move {
        let much = vec![7; 64 << 10];
        while let Ok(bytes) = pour.write(&much).await {
            counted.fetch_add(bytes as u64, Ordering::Relaxed);
            // So much is enough, and leaves the machine to the others.
            tokio::time::sleep(Duration::from_millis(2)).await;
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

    let (mut of_slow, mut of_silent, mut of_eager) = ([0; 4096], [0; 4096], [0; 4096]);
    let hearing = async {
        tokio::join!(
            slow.read(&mut of_slow),
            silent.read(&mut of_silent),
            eager.read(&mut of_eager)
        )
    };
    let (slow_bytes, silent_bytes, eager_bytes) = tokio::time::timeout(FELT, hearing).await.expect("answers in time");
    for (heard, length) in [
        (&of_slow, slow_bytes),
        (&of_silent, silent_bytes),
        (&of_eager, eager_bytes),
    ] {
        let told = String::from_utf8_lossy(&heard[..length.expect("an answer")]).into_owned();
        assert!(told.starts_with("HTTP/1.1 401"), "{told:?}");
        assert!(
            told.contains("revoked") && told.to_ascii_lowercase().contains("connection: close"),
            "{told:?}"
        );
    }
    let read_away = sent.load(Ordering::Relaxed);
    let stands = stands_at(world, &slow_id, &owner.token).await;
    // Whoever sends on is cut off, and is not even read until then.
    for sender in [saying, pouring] {
        let took = sender.await.expect("a sender").duration_since(revoked);
        assert!(took < FELT, "the vehicle could send for {took:?}");
    }
    let more = sent.load(Ordering::Relaxed) - read_away;
    assert!(more < IN_BUFFERS, "{more} bytes were taken after the answer");

    // The vehicle learns nothing more, and its owner sees what came.
    for id in [&slow_id, &silent_id] {
        let asked = world.ask(Method::HEAD, &format!("/v1/uploads/{id}"), Some(&bearer));
        assert_eq!(answer(asked.header("Tus-Resumable", "1.0.0")).await.status(), 401);
    }
    assert_eq!(stands_at(world, &silent_id, &owner.token).await, 5_000);
    let kept = stands_at(world, &slow_id, &owner.token).await;
    assert_eq!(kept, stands, "what came after the cut is not kept");
    assert!((5_000..60_000).contains(&kept), "{kept} bytes are kept");
}

fn read(device: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(device).expect("a device file")).expect("JSON")
}

fn rotate(world: &World, device: &Path) {
    let device = device.to_str().expect("UTF-8");
    world.vault.run(["device", "rotate-key", "--device", device]);
}

/// The status of a question with a token.
async fn asked(world: &World, bearer: &str) -> u16 {
    let asked = world.ask(Method::GET, "/v1/vehicle/policy", Some(bearer));
    answer(asked).await.status().as_u16()
}

#[tokio::test]
async fn a_vehicle_gets_another_key_whatever_is_lost_on_the_way() {
    let world = world().await;
    let owner = world.passer_by();
    let device = world.vault.pair(&owner, "car").await;
    let before = read(&device);
    let old = token(&world.vault, &device);
    rotate(world, &device);
    let after = read(&device);
    assert_ne!(before["private_key"], after["private_key"]);
    for name in ["version", "server", "device_id", "vault_public_key"] {
        assert_eq!(before[name], after[name], "{name}");
    }
    assert_eq!(after.get("next_private_key"), None);
    assert_eq!(asked(world, &old).await, 200, "the new key was not used yet");

    // The answer was lost: the device file is as it was before it, with the next key in it.
    let mut pending = before.clone();
    pending["next_private_key"] = after["private_key"].clone();
    std::fs::write(&device, pending.to_string()).expect("a file");
    let still = token(&world.vault, &device);
    rotate(world, &device);
    assert_eq!(read(&device)["private_key"], after["private_key"]);
    assert_eq!(asked(world, &still).await, 200);

    // From the first use of the new key the old one is none.
    let new = token(&world.vault, &device);
    assert_eq!(asked(world, &new).await, 200);
    for old in [&old, &still] {
        assert_eq!(asked(world, old).await, 401);
    }
    // A file that was put back from before it finds its way too.
    std::fs::write(&device, pending.to_string()).expect("a file");
    rotate(world, &device);
    assert_eq!(read(&device)["private_key"], after["private_key"]);
    assert_eq!(text(&world.vault.upload(&device, &fixture()), "clip_id").len(), 26);
}

#[tokio::test]
async fn a_key_that_is_too_old_is_changed_by_an_upload() {
    let world = world().await;
    let owner = world.passer_by();
    let device = world.vault.pair(&owner, "car").await;
    let mut aged = read(&device);
    world.vault.upload(&device, &fixture());
    assert_eq!(read(&device), aged, "a young key stays");
    let day_ms = 24 * 3600 * 1000;
    aged["key_since_ms"] = json!(aged["key_since_ms"].as_i64().expect("a time") - 91 * day_ms);
    std::fs::write(&device, aged.to_string()).expect("a file");
    world.vault.upload(&device, &fixture());
    let after = read(&device);
    assert_ne!(after["private_key"], aged["private_key"]);
    let (_, events) = world
        .vault
        .json(Method::GET, "/v1/activity", Some(&owner.token), None)
        .await;
    let kinds: Vec<_> = events["events"]
        .as_array()
        .expect("events")
        .iter()
        .map(|e| text(e, "kind"))
        .collect();
    assert!(kinds.contains(&"device_key_changed".to_owned()), "{kinds:?}");
    assert!(!kinds.contains(&"device_key_copied".to_owned()), "{kinds:?}");
}
