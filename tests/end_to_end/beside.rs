//! Commands beside a running service, and an old database beside a newer bucket.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dashvault_test_support::{Vault, free_port, rounds};
use futures_util::future::join_all;

use crate::road_clip;
use crate::tus::Upload;

const UPLOADS: usize = 16;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_are_added_beside_sixteen_uploads() {
    let vault = Vault::setup().start();
    let owner = vault.owner("busy@example.org");
    let plain = std::fs::read(road_clip()).expect("the clip")[..600_000].to_vec();
    let added = rounds("owners added beside 16 uploads", 10, 100);
    let sending = join_all((0..UPLOADS).map(|_| async {
        let upload = Upload::create(&vault, &owner.token, plain.len() as u64)
            .await
            .expect("an upload");
        for (at, part) in plain.chunks(20_000).enumerate() {
            let answer = upload.send(at as u64 * 20_000, part.to_vec()).await.expect("an answer");
            assert_eq!(answer.status(), 204);
        }
    }));
    let adding = async {
        for n in 0..added {
            // On a thread of its own: a command blocks, the uploads go on.
            tokio::task::block_in_place(|| vault.owner(&format!("owner{n}@example.org")));
        }
    };
    tokio::join!(sending, adding);
    let out = vault.run([
        "owner",
        "list",
        "--data",
        vault.data().to_str().expect("UTF-8"),
        "--json",
    ]);
    let listed = String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter(|l| l.starts_with('{'))
        .count();
    assert_eq!(listed as u32, added + 1);
}

/// Runs a command that is to end by itself, and gives what it said on its standard error; `None` if it succeeded.
fn refusal(mut command: Command) -> Option<String> {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program");
    let began = Instant::now();
    while child.try_wait().expect("a state").is_none() {
        if began.elapsed() > Duration::from_secs(30) {
            child.kill().expect("it ends");
            panic!("it runs on");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let out = child.wait_with_output().expect("its words");
    (!out.status.success()).then(|| String::from_utf8_lossy(&out.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_service_on_one_folder_is_refused_and_touches_nothing() {
    let mut vault = Vault::setup().start();
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let noted = std::fs::read_to_string(vault.data().join("public-url")).expect("a note");
    let (port, admin) = (free_port(), free_port());
    let serve = [
        "serve",
        "--data",
        &data,
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--admin-listen",
        &format!("127.0.0.1:{admin}"),
    ];
    let said = refusal(vault.command(serve)).expect("a refusal");
    assert!(said.contains(&data) && said.contains("dashvault serve"), "{said}");
    assert!(said.contains(&format!("process {}", vault.process().id())), "{said}");
    let still = std::fs::read_to_string(vault.data().join("public-url")).expect("a note");
    assert_eq!(noted, still);
    // Commands and workers go on beside it, and after a power cut the folder is free.
    vault.owner("beside@example.org");
    let mut worker = vault.command(["work", "--data", &data]);
    let mut worker = worker.stderr(Stdio::null()).spawn().expect("a worker");
    std::thread::sleep(Duration::from_secs(2));
    assert!(worker.try_wait().expect("its state").is_none(), "it ended");
    vault.kill();
    vault.start();
    worker.kill().expect("it ends");
    worker.wait().expect("it ended");
}

fn names(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(names(&path));
        } else {
            found.insert(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    found
}

#[tokio::test]
async fn an_old_database_beside_a_newer_bucket_deletes_nothing() {
    let mut vault = Vault::setup().start();
    let owner = vault.owner("restored@example.org");
    let device = vault.pair(&owner, "car").await;
    vault.stop();
    let catalogue = vault.data().join("catalogue");
    let old = vault.scratch().join("old-catalogue");
    let copy = |from: &Path, to: &Path| {
        let done = Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp");
        assert!(done.success());
    };
    copy(&catalogue, &old);
    vault.start();
    let told = vault.upload(&device, &road_clip());
    vault.settled(&owner, told["clip_id"].as_str().expect("a clip")).await;
    vault.stop();
    let bucket = names(&vault.data().join("objects"));
    assert!(bucket.len() >= 4, "{bucket:?}");
    std::fs::remove_dir_all(&catalogue).expect("the newer catalogue goes");
    copy(&old, &catalogue);
    vault.start();
    // The sweep of a start passes.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    vault.stop();
    assert_eq!(names(&vault.data().join("objects")), bucket);
}
