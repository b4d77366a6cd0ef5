//! Real servers that are opened and shut beneath the watch.

use std::cell::RefCell;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use dashvault::exposure::{Config, address};
use dashvault::model::{Bucket, Verdict};
use dashvault::store::{self, S3, Signer};
use dashvault_test_support::{Child, Scratch, Seaweed, caddy, free_port, nginx, rclone};
use tokio_util::sync::CancellationToken;

use crate::{House, config, house, round};

pub const ANSWER: Duration = Duration::from_secs(8);
/// A server may take so long on a busy machine.
const START: Duration = Duration::from_secs(60);

pub fn on_seaweed(seaweed: &Seaweed, bucket: &str) -> store::Config {
    store::Config::S3(S3 {
        endpoint: Some(seaweed.endpoint()),
        region: seaweed.region().to_owned(),
        data_bucket: bucket.to_owned(),
        staging_bucket: seaweed.bucket(),
        keyplane_bucket: seaweed.bucket(),
        access_key_id: seaweed.access_key().to_owned(),
        secret_access_key: seaweed.secret_key().to_owned(),
    })
}

/// Lets anybody do something with a bucket and its objects.
fn open_by_policy(seaweed: &Seaweed, bucket: &str, action: &str) {
    seaweed.allow(bucket, r#""*""#, action);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_store_that_is_opened_is_seen_in_the_next_round_and_its_shutting_too() {
    let seaweed = Seaweed::shared();
    let bucket = seaweed.bucket();
    let house = house(on_seaweed(seaweed, &bucket)).await;
    let addresses = address::of_bucket(Some(&seaweed.endpoint()), seaweed.region(), &bucket);
    let watch = house.watch(config(Bucket::Data, addresses, Duration::from_secs(8)));
    assert_eq!(round(&watch).await, Verdict::Private);
    assert_eq!(
        seaweed.names(&bucket),
        [house.canary().await],
        "a canary, and no probe write"
    );
    for action in ["GetObject", "ListBucket"] {
        open_by_policy(seaweed, &bucket, action);
        assert_eq!(round(&watch).await, Verdict::Exposed, "{action}");
        seaweed.shut(&bucket);
        assert_eq!(round(&watch).await, Verdict::Private, "after {action}");
    }
    seaweed.set_acl(&bucket, "public-read");
    assert_eq!(round(&watch).await, Verdict::Exposed);
    seaweed.set_acl(&bucket, "private");
    assert_eq!(round(&watch).await, Verdict::Private);
}

/// The watch runs over a real server that is opened beneath it and shut again; each time the verdict takes two rounds at most.
pub async fn opened_and_shut(
    house: &House,
    config: Config,
    server: &str,
    mut open: impl AsyncFnMut(),
    mut shut: impl AsyncFnMut(),
) {
    let watch = house.watch(config);
    // A server that has just started may need a while for its first answers.
    let began = Instant::now();
    while round(&watch).await != Verdict::Private {
        assert!(
            began.elapsed() < START,
            "{server} is not private from the start: {}",
            house.reason().await
        );
    }
    let began = Instant::now();
    assert_eq!(round(&watch).await, Verdict::Private, "{server}");
    let one_round = began.elapsed();
    let ending = CancellationToken::new();
    let running = tokio::spawn({
        let (watch, ending) = (watch.clone(), ending.clone());
        async move { watch.run(ending).await }
    });
    // A second and a tenth between two rounds, and the rounds themselves, on a machine that may be busy.
    let most = 2 * (Duration::from_millis(1_100) + 2 * one_round) + Duration::from_secs(2);
    open().await;
    let opened = house.verdict_within(Verdict::Exposed, most, server).await;
    shut().await;
    let closed = house.verdict_within(Verdict::Private, most, server).await;
    println!(
        "{server}: EXPOSED {opened:?} after it was opened, private {closed:?} after it was shut, by rounds of a second"
    );
    ending.cancel();
    running.await.unwrap();
}

impl House {
    async fn verdict_within(&self, verdict: Verdict, most: Duration, server: &str) -> Duration {
        let began = Instant::now();
        while self.verdict(Bucket::Data).await != Some(verdict) {
            let took = began.elapsed();
            assert!(
                took < most,
                "{server}: not {verdict} after {most:?}: {}",
                self.reason().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }

    async fn reason(&self) -> String {
        let rows = self.catalog.verdicts().await.unwrap();
        let row = rows.iter().find(|row| row.bucket == Bucket::Data);
        row.map(|row| row.reason.clone()).unwrap_or_default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seaweedfs_is_seen_open_by_policy_and_by_any_account() {
    let seaweed = Seaweed::shared();
    let bucket = seaweed.bucket();
    let house = house(on_seaweed(seaweed, &bucket)).await;
    let addresses = address::of_bucket(Some(&seaweed.endpoint()), seaweed.region(), &bucket);
    let everybody = config(Bucket::Data, addresses, ANSWER);
    let (open, shut) = (
        async || open_by_policy(seaweed, &bucket, "ListBucket"),
        async || seaweed.shut(&bucket),
    );
    opened_and_shut(&house, everybody.clone(), "SeaweedFS, policy", open, shut).await;
    // Whoever has an account there, and nobody without one.
    let (id, secret) = seaweed.other_account();
    let mut as_account = everybody.clone();
    as_account.account = Some(Signer::new(seaweed.region(), id, secret));
    as_account.seldom = Duration::ZERO;
    let open = async || seaweed.allow(&bucket, r#"{"AWS":"arn:aws:iam::*:user/*"}"#, "GetObject");
    opened_and_shut(&house, as_account.clone(), "SeaweedFS, any account", open, shut).await;
    open().await;
    assert_eq!(
        round(&house.watch(everybody)).await,
        Verdict::Private,
        "no stranger gets in"
    );
    assert_eq!(round(&house.watch(as_account.clone())).await, Verdict::Exposed);
    shut().await;
    as_account.account = Some(Signer::new(seaweed.region(), "nobody-s-key", secret));
    let told = house.watch(as_account).round().await.unwrap().remove(0);
    assert!(told.reason.contains("InvalidAccessKeyId"), "{}", told.reason);
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_serving_the_folder_is_seen_with_and_without_its_keys() {
    let (scratch, port) = (Scratch::new("rclone"), free_port());
    let (house, folder) = in_a_folder(&scratch).await;
    let serve = |keys: &[&str]| {
        let mut command = Command::new(rclone());
        command.args([
            "serve",
            "s3",
            "--config",
            "/dev/null",
            "--addr",
            &format!("127.0.0.1:{port}"),
        ]);
        command.args(keys).arg(&folder).current_dir(scratch.path());
        started("rclone", &command, &scratch, port)
    };
    let with_keys = ["--auth-key", "an-access-key,and-its-secret-key"];
    let server = RefCell::new(serve(&with_keys));
    let again = |keys: &[&str]| {
        server.borrow_mut().kill();
        *server.borrow_mut() = serve(keys);
    };
    let endpoint = format!("http://127.0.0.1:{port}");
    let addresses = address::of_bucket(Some(&endpoint), "r", "objects");
    let watched = config(Bucket::Data, addresses, ANSWER);
    opened_and_shut(
        &house,
        watched,
        "rclone serve s3",
        async || again(&[]),
        async || again(&with_keys),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_serving_the_folder_by_a_name_of_ours_is_seen_too() {
    let (scratch, port) = (Scratch::new("caddy"), free_port());
    let (house, folder) = in_a_folder(&scratch).await;
    let serve = |says: &str| {
        let file = scratch.path().join("Caddyfile");
        let text = format!("{{\n\tadmin off\n\tauto_https off\n}}\nhttp://127.0.0.1:{port} {{\n\t{says}\n}}\n");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(caddy());
        command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
        for place in ["HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"] {
            command.env(place, scratch.path());
        }
        started("Caddy", &command, &scratch, port)
    };
    let public = format!("root * {}\n\tfile_server", folder.display());
    let server = RefCell::new(serve("respond 403"));
    let again = |says: &str| {
        server.borrow_mut().kill();
        *server.borrow_mut() = serve(says);
    };
    let named = vec![address::configured(&format!("http://127.0.0.1:{port}/objects"))];
    let watched = config(Bucket::Data, named, ANSWER);
    opened_and_shut(
        &house,
        watched,
        "Caddy",
        async || again(&public),
        async || again("respond 403"),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_serving_the_folder_by_a_name_of_ours_is_seen_too() {
    let (scratch, port) = (Scratch::new("nginx"), free_port());
    let (house, folder) = in_a_folder(&scratch).await;
    let serve = |says: &str| nginx_saying(&scratch, port, &format!("location / {{ {says} }}"));
    let public = format!("root {}; autoindex on;", folder.display());
    let server = RefCell::new(serve("return 403;"));
    let again = |says: &str| {
        server.borrow_mut().kill();
        *server.borrow_mut() = serve(says);
    };
    let named = vec![address::configured(&format!("http://127.0.0.1:{port}/objects"))];
    let watched = config(Bucket::Data, named, ANSWER);
    opened_and_shut(
        &house,
        watched.clone(),
        "nginx",
        async || again(&public),
        async || again("return 403;"),
    )
    .await;
    // It lists nothing, and gives what one can name.
    let by_name = format!("root {};", folder.display());
    opened_and_shut(
        &house,
        watched,
        "nginx, by name",
        async || again(&by_name),
        async || again("return 403;"),
    )
    .await;
}

/// An nginx of our own on a port, by what its one server says.
pub fn nginx_saying(scratch: &Scratch, port: u16, says: &str) -> Child {
    let (dir, file) = (scratch.path().display(), scratch.path().join("nginx.conf"));
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|what| format!("{what}_temp_path {dir}/temporary;\n"))
        .concat();
    // One process, of the user who tests: it may read the folder.
    let text = format!(
        "daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr;\nevents {{}}\n\
         http {{ access_log off;\n{temporary}server {{ listen 127.0.0.1:{port}; {says} }} }}\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(nginx());
    command
        .arg("-p")
        .arg(scratch.path())
        .arg("-e")
        .arg("stderr")
        .arg("-c")
        .arg(&file);
    started("nginx", &command, scratch, port)
}

/// A vault whose store is a folder that something else serves.
async fn in_a_folder(scratch: &Scratch) -> (House, PathBuf) {
    let dir = scratch.path().join("data");
    std::fs::create_dir(&dir).unwrap();
    (house(store::Config::Folder { dir: dir.clone() }).await, dir)
}

fn started(name: &str, command: &Command, scratch: &Scratch, port: u16) -> Child {
    let mut child = Child::spawn(name, command, None, &scratch.path().join("log"));
    child.wait_until("listening", START, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    child
}
