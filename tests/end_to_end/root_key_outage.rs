//! The root key's provider goes away under a running service, and comes back.

use std::path::Path;
use std::time::{Duration, Instant};

use dashvault_test_support::{KmsFront, Owner, Vault, client};
use reqwest::{Method, Response};

use crate::road_clip;
use crate::tus::Upload;

/// Keys stay in memory for so long, and for the grace after it.
const LIFE: Duration = Duration::from_secs(2);
const GRACE: Duration = Duration::from_secs(20);

pub async fn original(vault: &Vault, owner: &Owner, clip: &str) -> Response {
    let asked = client().get(vault.url(&format!("/v1/clips/{clip}/original")));
    asked.bearer_auth(&owner.token).send().await.expect("an answer")
}

pub async fn sent(vault: &Vault, owner: &Owner, bytes: &[u8]) -> String {
    let upload = Upload::create(vault, &owner.token, bytes.len() as u64)
        .await
        .expect("an upload");
    let answer = upload.send(0, bytes.to_vec()).await.expect("an answer");
    assert_eq!(
        answer.status(),
        204,
        "an upload is never refused for want of the root key"
    );
    upload.id().to_owned()
}

/// Whether any file beneath a folder holds these bytes.
pub fn holds(folder: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(folder).expect("a folder").flatten().any(|entry| {
        let path = entry.path();
        match path.is_dir() {
            true => holds(&path, needle),
            false => std::fs::read(&path).is_ok_and(|bytes| bytes.windows(needle.len()).any(|at| at == needle)),
        }
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_watches_goes_on_for_the_grace_and_uploads_always() {
    let secs = |time: Duration| time.as_secs().to_string();
    let mut vault = Vault::setup()
        .env("DASHVAULT_KEY_LIFE_SECS", secs(LIFE))
        .env("DASHVAULT_KEY_GRACE_SECS", secs(GRACE))
        .start();
    let bytes = std::fs::read(road_clip()).expect("the clip");
    let (anna, ben) = (vault.owner("anna@example.org"), vault.owner("ben@example.org"));
    let (annas, bens) = (sent(&vault, &anna, &bytes).await, sent(&vault, &ben, &bytes).await);
    for (owner, clip) in [(&anna, &annas), (&ben, &bens)] {
        assert_eq!(vault.settled(owner, clip).await["state"], "ready");
    }
    // Started anew, it has nobody's key until somebody watches.
    tokio::task::block_in_place(|| {
        vault.stop();
        vault.start();
    });
    assert_eq!(
        original(&vault, &anna, &annas).await.bytes().await.expect("a body"),
        bytes
    );
    let (keyring, away) = (vault.data().join("keyring"), vault.scratch().join("keyring-away"));
    std::fs::rename(&keyring, &away).expect("the keyring goes");
    let began = Instant::now();

    // Past the key's own time: on the grace.
    tokio::time::sleep(LIFE + Duration::from_millis(500)).await;
    assert_eq!(
        original(&vault, &anna, &annas).await.bytes().await.expect("a body"),
        bytes
    );
    let refused = original(&vault, &ben, &bens).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("Retry-After"));
    let (ready, parts) = vault.json(Method::GET, "/readyz", None, None).await;
    assert_eq!((ready, parts["degraded"].as_bool()), (200, Some(true)), "{parts}");
    let stretch = &bytes[700_000..700_064];
    let late = sent(&vault, &ben, &bytes).await;
    assert!(!holds(vault.data(), stretch), "plaintext waits on the disk");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!holds(vault.data(), stretch), "plaintext waits on the disk");

    // The grace has an end.
    tokio::time::sleep((LIFE + GRACE + Duration::from_secs(1)).saturating_sub(began.elapsed())).await;
    assert_eq!(original(&vault, &anna, &annas).await.status(), 503);

    // Back again: what waited goes on by itself, and what was served on the grace stands in the owner's activity.
    std::fs::rename(&away, &keyring).expect("the keyring is back");
    assert_eq!(
        vault.settled_within(&ben, &late, Duration::from_secs(120)).await["state"],
        "ready"
    );
    assert_eq!(
        original(&vault, &ben, &late).await.bytes().await.expect("a body"),
        bytes
    );
    assert_eq!(original(&vault, &anna, &annas).await.status(), 200);
    let (status, activity) = vault.json(Method::GET, "/v1/activity", Some(&anna.token), None).await;
    assert_eq!(status, 200, "{activity}");
    let kept = activity["events"]
        .as_array()
        .expect("events")
        .iter()
        .filter(|event| event["kind"] == "keys_kept");
    assert_eq!(kept.count(), 1, "{activity}");
    let numbers = client()
        .get(vault.admin_url("/metrics"))
        .send()
        .await
        .expect("an answer");
    let numbers = numbers.text().await.expect("text");
    let on_grace = numbers
        .lines()
        .find(|line| line.contains("keys_on_grace") && !line.starts_with('#'));
    assert!(on_grace.is_some_and(|line| !line.ends_with(" 0")), "{on_grace:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kms_key_that_is_switched_off_under_a_running_service_serves_nobody_and_on_again_everybody() {
    let front = KmsFront::start();
    let setup = front.keeps_root_keys_of(Vault::setup());
    let prefix = setup.variable("DASHVAULT_KMS_PREFIX").expect("a prefix").to_owned();
    // A grace that would last: it is for outages, and this is none.
    let setup = setup.env("DASHVAULT_KEY_LIFE_SECS", LIFE.as_secs().to_string());
    let vault = setup.env("DASHVAULT_KEY_GRACE_SECS", "3600").start();
    let bytes = std::fs::read(road_clip()).expect("the clip");
    let anna = vault.owner("anna@example.org");
    let clip = sent(&vault, &anna, &bytes).await;
    assert_eq!(vault.settled(&anna, &clip).await["state"], "ready");
    assert_eq!(original(&vault, &anna, &clip).await.status(), 200);

    let key = front.key_of(&format!("alias/{prefix}/e1/v1")).expect("the root key");
    front.disable(&key);
    let began = Instant::now();
    loop {
        let answer = original(&vault, &anna, &clip).await;
        if answer.status() == 503 {
            assert!(answer.headers().contains_key("Retry-After"));
            break;
        }
        assert_eq!(answer.status(), 200);
        assert!(began.elapsed() < 4 * LIFE, "a key in memory outlives its root key");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let late = sent(&vault, &anna, &bytes).await;
    let (ready, parts) = vault.json(Method::GET, "/readyz", None, None).await;
    assert_eq!(ready, 503, "somebody has to switch it on: {parts}");

    front.enable(&key);
    assert_eq!(
        vault.settled_within(&anna, &late, Duration::from_secs(120)).await["state"],
        "ready"
    );
    for id in [&clip, &late] {
        let answer = original(&vault, &anna, id).await;
        assert_eq!(answer.bytes().await.expect("a body"), bytes);
    }
    let (ready, parts) = vault.json(Method::GET, "/readyz", None, None).await;
    assert_eq!(ready, 200, "{parts}");
}
