//! Keys rotated and epochs rolled by the real program, beside a running service: reads go on, no object is touched, kills
//! lose nothing, and an old copy stays shut.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use dashvault_test_support::{Owner, Postgres, Vault, client, rounds};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use reqwest::Method;
use serde_json::Value;

use crate::road_clip;

/// Owners beside the one with a clip: enough for a re-wrap to be cut in its middle.
const OWNERS: usize = 25;
/// A vault's keys are rotated 64 times at most within the life of what they sign: a quarter of the rounds does it, twice at most.
const ROUNDS_OF_A_VAULT: usize = 100;
/// From before the first row to after the last one, in a build for tests.
const KILL_WITHIN_MS: u64 = 1_200;

/// What is cut off and gone on with; every rotation there is.
const COMMANDS: [&[&str]; 4] = [
    &["keys", "roll-epoch"],
    &["keys", "rotate", "--all"],
    &["keys", "rotate", "--all-owners"],
    &["keys", "rotate", "--root"],
];

fn arguments<'a>(vault: &'a Vault, command: &[&'a str]) -> Vec<&'a str> {
    let data = vault.data().to_str().expect("UTF-8");
    [command, &["--data", data, "--json"]].concat()
}

fn objects(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(objects(&path));
        } else {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            found.insert(name, std::fs::read(&path).expect("an object"));
        }
    }
    found
}

async fn a_clip(vault: &Vault, email: &str) -> (Owner, String) {
    let owner = vault.owner(email);
    let device = vault.pair(&owner, "car").await;
    let told = vault.upload(&device, &road_clip());
    let clip = told["clip_id"].as_str().expect("a clip").to_owned();
    assert_eq!(vault.settled(&owner, &clip).await["state"], "ready");
    (owner, clip)
}

async fn original(vault: &Vault, owner: &Owner, clip: &str) -> (u16, Vec<u8>) {
    let asked = client().get(vault.url(&format!("/v1/clips/{clip}/original")));
    let answer = asked.bearer_auth(&owner.token).send().await.expect("an answer");
    (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
}

fn owners_listed(vault: &Vault) -> usize {
    vault.run_json(arguments(vault, &["owner", "list"])).len()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            std::fs::copy(&source, &target).expect("a copy");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_is_rotated_and_rolled_beside_a_running_service() {
    let mut vault = Vault::setup().start();
    let (anna, clip) = a_clip(&vault, "anna@example.org").await;
    let first_car = vault.pair(&anna, "first car").await;
    let (bert, lost) = a_clip(&vault, "bert@example.org").await;
    let plain = std::fs::read(road_clip()).expect("the clip");
    let bucket = objects(&vault.data().join("objects"));
    let (stop, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let reading = async {
        while !stop.load(Ordering::SeqCst) {
            let (status, bytes) = original(&vault, &anna, &clip).await;
            assert_eq!((status, bytes == plain), (200, true), "a read during a rotation");
            reads.fetch_add(1, Ordering::SeqCst);
        }
    };
    let rotating = async {
        for command in [
            &["keys", "rotate", "--all"][..],
            &["keys", "rotate", "--owner", "anna@example.org"],
            &["keys", "rotate", "--all-owners"],
            &["keys", "roll-epoch"],
        ] {
            // On a thread of its own: a command blocks, the reads go on.
            let mut command = vault.command(arguments(&vault, command));
            let ended = tokio::task::spawn_blocking(move || command.output().expect("the program"));
            let ended = ended.await.expect("it ended");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            let told = String::from_utf8(ended.stdout).expect("UTF-8");
            let lines: Vec<Value> = told
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            assert!(
                lines.iter().any(|line| line["phase"].is_string()),
                "progress: {lines:?}"
            );
            let report = lines.last().expect("a report");
            assert_eq!(report["failures"]["count"], 0, "{report}");
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(reading, rotating);
    assert!(reads.load(Ordering::SeqCst) > 3, "reads went on");
    assert_eq!(objects(&vault.data().join("objects")), bucket, "no object was touched");
    // A vehicle that was paired before the receipts' key was rotated believes the new key by the old one's word.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let first = vault.upload(&first_car, &road_clip());
    assert!(first["receipt"].as_str().is_some(), "{first}");
    // Uploads go on under the new keys, without a restart.
    let device = vault.pair(&anna, "second car").await;
    let told = vault.upload(&device, &road_clip());
    let second = told["clip_id"].as_str().expect("a clip").to_owned();
    assert_eq!(vault.settled(&anna, &second).await["state"], "ready");

    // A copy of everything; then Bert erases a clip, Cora goes altogether, and the epoch is rolled.
    let cora = vault.owner("cora@example.org");
    vault.stop();
    let old = vault.scratch().join("copy");
    copy(vault.data(), &old);
    vault.start();
    let path = format!("/v1/clips/{lost}?now=true");
    let (status, said) = vault.json(Method::DELETE, &path, Some(&bert.token), None).await;
    assert!(status < 300, "{said}");
    vault.run(arguments(
        &vault,
        &["owner", "erase", "--email", "cora@example.org", "--yes"],
    ));
    for _ in 0..200 {
        let (gone, _) = vault
            .json(Method::GET, &format!("/v1/clips/{lost}"), Some(&bert.token), None)
            .await;
        if gone == 404 || gone == 410 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let report = vault
        .run_json(arguments(&vault, &["keys", "roll-epoch"]))
        .pop()
        .expect("a report");
    assert_eq!(report["destroyed"], Value::from(vec![2]), "{report}");
    assert_eq!(report["renewed_owners"], 1, "{report}");
    assert_eq!(original(&vault, &anna, &clip).await.0, 200);
    assert_eq!(original(&vault, &anna, &second).await.0, 200);
    vault.stop();
    std::fs::copy(vault.data().join("keyring"), old.join("keyring")).expect("today's root key");
    let old = old.to_str().expect("UTF-8");
    for command in [
        &["owner", "list"][..],
        &["owner", "sign-in", "--email", "cora@example.org"],
    ] {
        let out = vault
            .command([command, &["--data", old]].concat())
            .output()
            .expect("the program");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && out.stdout.is_empty(), "the copy opens nothing");
        assert!(said.contains("keyring") && !said.contains(&cora.id), "{said}");
    }
    vault.start();
    assert_eq!(original(&vault, &anna, &clip).await.1, plain);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_moments_a_rotation_is_gone_on_with_and_nothing_is_lost() {
    let total = rounds("kills during a rotation or a roll", 20, 300);
    let mut random = StdRng::seed_from_u64(20_261_125);
    for first in (0..total).step_by(ROUNDS_OF_A_VAULT) {
        let last = total.min(first + ROUNDS_OF_A_VAULT as u32);
        kill_rotations(first..last, &mut random).await;
    }
}

async fn kill_rotations(rounds: Range<u32>, random: &mut StdRng) {
    let vault = Vault::setup().start();
    let (anna, clip) = a_clip(&vault, "anna@example.org").await;
    for n in 0..OWNERS {
        vault.owner(&format!("owner{n}@example.org"));
    }
    let plain = std::fs::read(road_clip()).expect("the clip");
    for round in rounds {
        let command = COMMANDS[round as usize % COMMANDS.len()];
        let mut child = vault
            .command(arguments(&vault, command))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        tokio::time::sleep(Duration::from_millis(random.random_range(0..KILL_WITHIN_MS))).await;
        child.kill().expect("it can be killed");
        child.wait().expect("it ended");
        // In between everything opens, too.
        assert_eq!(
            original(&vault, &anna, &clip).await,
            (200, plain.clone()),
            "round {round}, cut off"
        );
        let report = vault.run_json(arguments(&vault, command)).pop().expect("a report");
        assert_eq!(report["failures"]["count"], 0, "round {round}: {report}");
        assert_eq!(
            original(&vault, &anna, &clip).await,
            (200, plain.clone()),
            "round {round}"
        );
        assert_eq!(owners_listed(&vault), OWNERS + 1, "round {round}");
    }
    let found = vault.command(arguments(
        &vault,
        &["owner", "sign-in", "--email", "owner7@example.org"],
    ));
    assert!(
        { found }.output().expect("the program").status.success(),
        "found by address"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_commands_at_once_on_postgresql_undo_nothing() {
    let postgres = Postgres::start();
    let vault = Vault::setup()
        .env("DASHVAULT_DATABASE_URL", postgres.database())
        .start();
    let (anna, clip) = a_clip(&vault, "anna@example.org").await;
    for n in 0..OWNERS {
        vault.owner(&format!("owner{n}@example.org"));
    }
    for command in COMMANDS {
        let two: Vec<_> = (0..2)
            .map(|_| {
                let mut command = vault.command(arguments(&vault, command));
                command
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .expect("the program")
            })
            .collect();
        let ended: Vec<_> = two
            .into_iter()
            .map(|child| child.wait_with_output().expect("its words"))
            .collect();
        let said = ended
            .iter()
            .map(|out| String::from_utf8_lossy(&out.stderr).into_owned());
        assert!(
            ended.iter().any(|out| out.status.success()),
            "{command:?}: {:?}",
            said.collect::<Vec<_>>()
        );
        // Whatever the two came to, a third finds nothing that does not open.
        let report = vault.run_json(arguments(&vault, command)).pop().expect("a report");
        assert_eq!(report["failures"]["count"], 0, "{command:?}: {report}");
        assert_eq!(owners_listed(&vault), OWNERS + 1);
        assert_eq!(original(&vault, &anna, &clip).await.0, 200);
    }
}
