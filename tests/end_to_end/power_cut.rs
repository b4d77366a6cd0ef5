//! SIGKILL at random moments of uploads and of finishing: nothing acknowledged is lost, nothing is there twice.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashvault_test_support::{Owner, Vault, client, rounds};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;

use crate::road_clip;
use crate::tus::Upload;

/// Bytes of a PATCH: several pieces of work before an upload is whole.
const PATCH_BYTES: usize = 150_000;
/// Long enough to reach every moment of an upload, short enough for many rounds.
const KILL_WITHIN_MS: u64 = 400;

/// Past the end of an upload: its pieces are sealed into an original, renditions are tried.
const KILL_FINISH_WITHIN_MS: u64 = 1_500;

/// Vaults that are killed side by side: most of a round is waiting, for a start or for the disk.
const LANES: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_random_moments_nothing_acknowledged_is_lost() {
    let total = rounds("kills during an upload or its finishing", 50, 2_000);
    let lanes = (0..LANES).map(|lane| {
        tokio::spawn(kill_again_and_again(
            u64::from(lane),
            total / LANES + u32::from(lane < total % LANES),
        ))
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.expect("a lane without a failure");
    }
}

/// Kills a vault of its own so many times.
async fn kill_again_and_again(lane: u64, total: u32) {
    // The same order each run: a failure must be made again.
    let mut random = StdRng::seed_from_u64(20_261_125 + lane);
    let plain = std::fs::read(road_clip()).expect("the clip");
    let mut vault = Vault::setup().start();
    let owner = vault.owner("kill@example.org");
    let mut expected = Vec::new();
    let mut round = 0;
    while round < total {
        // A stretch of its own for each upload, so that a mix-up is seen; some begin like a video and are transcoded.
        let from = if random.random_bool(0.2) {
            0
        } else {
            random.random_range(1..100_000_usize)
        };
        let bytes = plain[from..from + 900_000 + random.random_range(0..100_000_usize)].to_vec();
        let path = create(&vault, &owner, bytes.len() as u64).await;
        loop {
            let acknowledged = AtomicU64::new(0);
            let pause = Duration::from_millis(random.random_range(0..KILL_WITHIN_MS));
            let kill = round < total && random.random_bool(0.7);
            let upload = Upload::at(&vault, &owner.token, &path);
            if kill {
                tokio::select! {
                    () = send_rest(&upload, &bytes, &acknowledged) => {}
                    () = tokio::time::sleep(pause) => {}
                }
                round += 1;
                restart(&mut vault);
            } else {
                send_rest(&upload, &bytes, &acknowledged).await;
            }
            let offset = Upload::at(&vault, &owner.token, &path).offset().await;
            let acknowledged = acknowledged.into_inner();
            assert!(
                offset >= acknowledged,
                "{acknowledged} bytes were acknowledged, {offset} are there"
            );
            if offset == bytes.len() as u64 {
                break;
            }
        }
        if round < total && random.random_bool(0.4) {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..KILL_FINISH_WITHIN_MS))).await;
            round += 1;
            restart(&mut vault);
        }
        expected.push((path.rsplit('/').next().expect("an id").to_owned(), bytes));
    }
    check(&vault, &owner, expected).await;
}

fn restart(vault: &mut Vault) {
    tokio::task::block_in_place(|| {
        vault.kill();
        vault.start();
    });
}

async fn create(vault: &Vault, owner: &Owner, length: u64) -> String {
    Upload::create(vault, &owner.token, length)
        .await
        .expect("an upload")
        .path()
        .to_owned()
}

/// Sends what is missing and keeps the last offset that was acknowledged.
async fn send_rest(upload: &Upload<'_>, bytes: &[u8], acknowledged: &AtomicU64) {
    let mut offset = upload.offset().await;
    while offset < bytes.len() as u64 {
        let at = usize::try_from(offset).expect("a small clip");
        let part = bytes[at..bytes.len().min(at + PATCH_BYTES)].to_vec();
        match upload.send(offset, part).await {
            Ok(answer) if answer.status() == 204 => {
                let told = answer.headers()["Upload-Offset"].to_str().expect("a header of ASCII");
                offset = told.parse().expect("a number");
                acknowledged.store(offset, Ordering::SeqCst);
            }
            // The service is gone, or just back: what it has is asked again.
            _ => return,
        }
    }
}

/// Every clip is there once, with exactly its bytes, and staging is empty.
async fn check(vault: &Vault, owner: &Owner, expected: Vec<(String, Vec<u8>)>) {
    for (id, bytes) in &expected {
        vault.settled(owner, id).await;
        let asked = client()
            .get(vault.url(&format!("/v1/clips/{id}/original")))
            .bearer_auth(&owner.token);
        let got = asked.send().await.expect("an answer").bytes().await.expect("a body");
        assert!(
            got == bytes,
            "the original of {id} differs: {} of {} bytes",
            got.len(),
            bytes.len()
        );
    }
    let (_, listed) = vault
        .json(Method::GET, "/v1/clips?limit=100", Some(&owner.token), None)
        .await;
    let listed = listed["clips"].as_array().expect("a list").len();
    assert_eq!(listed, expected.len().min(100), "a clip is there twice, or not at all");
    // What a kill orphaned goes with its intent, once the lease of that has ended.
    for tries in 0.. {
        let left = pieces(&vault.data().join("staging"));
        if left.is_empty() {
            break;
        }
        assert!(tries < 600, "pieces are left in staging: {left:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// The objects in a folder. Files that were being written when the power went have a `#` in their name; they are removed at
/// a start, once they are a day old.
fn pieces(folder: &Path) -> Vec<PathBuf> {
    let inside = std::fs::read_dir(folder).expect("the staging folder").flatten();
    let files = inside.flat_map(|d| std::fs::read_dir(d.path()).into_iter().flatten().flatten());
    let paths = files.map(|file| file.path());
    paths.filter(|path| !path.to_string_lossy().contains('#')).collect()
}
