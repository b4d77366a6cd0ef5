//! A vehicle that watches its folder, against the real vault: what goes first, what may go, what is sent twice, what is deleted.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dashvault_test_support::{Owner, Vault, client, rounds};
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use reqwest::Method;
use serde_json::Value;

use crate::wire::Wire;

/// What one step of a test may take on two busy cores.
const PATIENCE: Duration = Duration::from_secs(120);
/// A request without a body, and the head of one with: what an interruption costs besides bytes that are sent again.
const PREEMPTION_BYTES: u64 = 64 << 10;

/// A vault, a vehicle of an owner's, and the link between them.
struct Drive {
    vault: Vault,
    owner: Owner,
    device: PathBuf,
    card: PathBuf,
    wire: Wire,
    random: StdRng,
}

/// A courier that runs, and the lines it tells. Dropping it kills it.
struct Courier {
    child: Child,
    lines: std::sync::mpsc::Receiver<Value>,
    told: Vec<Value>,
}

impl Drive {
    async fn begin(arguments: &[&'static str]) -> Self {
        let vault = Vault::setup().args(arguments.iter().copied()).start();
        let owner = vault.owner("drive@example.org");
        let device = vault.pair(&owner, "car").await;
        let card = vault.scratch().join("card");
        std::fs::create_dir(&card).expect("a folder");
        let wire = Wire::to(&vault.url(""));
        Self {
            vault,
            owner,
            device,
            card,
            wire,
            // The same bytes each run: a failure must be made again.
            random: StdRng::seed_from_u64(20_261_128),
        }
    }

    /// A clip of random bytes, renamed into its place as a camera does.
    fn record(&mut self, name: &str, length: usize) -> PathBuf {
        let mut bytes = vec![0; length];
        self.random.fill_bytes(&mut bytes);
        let path = self.card.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let unfinished = self.card.join(".being-written");
        std::fs::write(&unfinished, &bytes).expect("a clip");
        std::fs::rename(unfinished, &path).expect("its place");
        path
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = self
            .vault
            .command(["upload", "--json", "--settle-secs", "0", "--look-millis", "50"]);
        command.args(["--server", &self.wire.url]);
        command.arg("--device").arg(&self.device).arg("--watch").arg(&self.card);
        command.args(more);
        command
    }

    fn courier(&self, more: &[&str]) -> Courier {
        let mut child = self
            .command(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let (into, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if into.send(serde_json::from_str(&line).expect("a line of JSON")).is_err() {
                    break;
                }
            }
        });
        Courier {
            child,
            lines,
            told: Vec::new(),
        }
    }

    /// Runs a courier until nothing is left that it may do; what it told.
    fn run(&self, more: &[&str]) -> Vec<Value> {
        let mut courier = self.courier(&[more, &["--once"]].concat());
        let status = courier.child.wait().expect("an end");
        assert!(status.success(), "{status}");
        courier.told.extend(courier.lines.iter());
        std::mem::take(&mut courier.told)
    }

    /// The lengths of the owner's clips.
    async fn lengths(&self) -> Vec<u64> {
        let (status, told) = self
            .vault
            .json(Method::GET, "/v1/clips?limit=100", Some(&self.owner.token), None)
            .await;
        assert_eq!(status, 200, "{told}");
        let clips = told["clips"].as_array().unwrap_or_else(|| panic!("{told}"));
        // An upload whose beginning was all that happened of it holds nothing, and expires.
        let arrived = clips.iter().filter(|clip| clip["state"] != "uploading");
        let mut lengths: Vec<_> = arrived.map(|clip| clip["bytes"].as_u64().expect("a length")).collect();
        lengths.sort_unstable();
        lengths
    }

    async fn original(&self, clip: &str) -> Vec<u8> {
        let asked = client()
            .get(self.vault.url(&format!("/v1/clips/{clip}/original")))
            .bearer_auth(&self.owner.token);
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.bytes().await.expect("the clip").to_vec()
    }
}

impl Courier {
    /// Waits until it tells this of that clip.
    fn until(&mut self, event: &str, name: &str) -> Value {
        let began = Instant::now();
        loop {
            let left = PATIENCE.saturating_sub(began.elapsed());
            let told = self.lines.recv_timeout(left);
            let told = told.unwrap_or_else(|_| panic!("no {event} of {name}: {:?}", self.told));
            self.told.push(told.clone());
            if told["event"] == event && told["file"].as_str().is_some_and(|file| file.ends_with(name)) {
                return told;
            }
        }
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The names of the clips of which this was told, in order.
fn told_of(told: &[Value], event: &str) -> Vec<String> {
    let told = told.iter().filter(|line| line["event"] == event);
    told.map(|line| {
        let file = Path::new(line["file"].as_str().expect("a file"));
        file.file_name().expect("a name").to_string_lossy().into_owned()
    })
    .collect()
}

#[tokio::test]
async fn clips_go_in_the_order_of_what_they_are_worth_and_are_deleted_with_their_receipts_only() {
    let mut drive = Drive::begin(&[]).await;
    drive.record("routine/1.mp4", 300_000);
    drive.record("routine/small/2.mp4", 40_000);
    drive.record("event/3.mp4", 300_000);
    let event = drive.record("event/small/4.mp4", 50_000);
    drive.record("first/5.mp4", 200_000);
    let asked = drive.record("6.mp4", 60_000);
    std::fs::write(
        asked.with_extension("mp4.json"),
        r#"{"first":true,"rendition":"small"}"#,
    )
    .expect("a sidecar");
    let bytes = std::fs::read(event).expect("the clip");

    let told = drive.run(&[]);
    assert_eq!(
        told_of(&told, "sent"),
        ["6.mp4", "5.mp4", "4.mp4", "3.mp4", "2.mp4", "1.mp4"]
    );
    assert_eq!(told_of(&told, "delivered").len(), 6);
    assert!(told_of(&told, "deleted").is_empty(), "nobody asked for it");
    let of_event = told
        .iter()
        .find(|line| line["event"] == "delivered" && line["bytes"] == 50_000);
    let clip = of_event.expect("the event")["clip_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(drive.original(&clip).await, bytes);

    // A second start knows what was delivered, asks for nothing, and may delete it now.
    let up = drive.wire.up();
    let told = drive.run(&["--delete"]);
    assert_eq!(told_of(&told, "deleted").len(), 6);
    assert!(told_of(&told, "sent").is_empty());
    assert!(drive.wire.up() - up < 2_000, "one question for the policy");
    let log = drive.vault.log();
    let unchanged = |line: &str| line.contains("/v1/vehicle/policy") && line.contains("status=304");
    assert!(log.lines().any(unchanged), "what is known is not sent again");
    assert_eq!(
        drive.lengths().await,
        [40_000, 50_000, 60_000, 200_000, 300_000, 300_000]
    );
    let left: Vec<_> = walk(&drive.card);
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn an_event_takes_the_place_of_a_routine_clip_which_loses_next_to_nothing() {
    let mut drive = Drive::begin(&[]).await;
    let routine = drive.record("routine/long.mp4", 9_000_000);
    drive.wire.slow_to(1_500_000);
    let mut courier = drive.courier(&[]);
    // By then the kernel has filled its buffers, and the pace of the link is known.
    while drive.wire.up() < 4_500_000 {
        std::thread::sleep(Duration::from_millis(20));
    }
    let began = Instant::now();
    // It has gone long before what the kernel holds of the other clip has arrived.
    drive.record("event/crash.mp4", 20_000);
    let told = courier.until("preempted", "long.mp4");
    assert!(told["by"].as_str().expect("a file").ends_with("crash.mp4"));
    courier.until("sent", "crash.mp4");
    let event_took = began.elapsed();
    courier.until("sent", "long.mp4");
    let sent_up = drive.wire.up();
    courier.until("delivered", "long.mp4");
    let twice = sent_up - 9_020_000;
    println!("preemption: {twice} bytes beyond the clips, headers and all; the event arrived after {event_took:?}");
    assert!(
        twice < PREEMPTION_BYTES,
        "{twice} bytes beyond the clips went over the wire"
    );
    let clip = courier.told.last().expect("a line")["clip_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    assert_eq!(drive.original(&clip).await, std::fs::read(routine).expect("the clip"));
}

#[tokio::test]
async fn over_cellular_goes_what_the_policy_lets_within_the_budget_and_the_rest_by_wifi() {
    let mut drive = Drive::begin(&[
        "--cellular-routine",
        "small",
        "--cellular-day-bytes",
        "1000000",
        "--cellular-reserve-percent",
        "40",
    ])
    .await;
    drive.record("routine/full.mp4", 100_000);
    for n in 1..=4 {
        drive.record(&format!("routine/small/{n}.mp4"), 250_000);
    }
    let told = drive.run(&["--link", "cellular"]);
    // 600,000 are for routine: two clips, and part of a third.
    assert_eq!(told_of(&told, "sent"), ["1.mp4", "2.mp4"]);
    assert!(
        told.iter().any(|line| line["event"] == "held" && line["clips"] == 3),
        "{told:?}"
    );
    let up = drive.wire.up();
    assert!((600_000..620_000).contains(&up), "{up} bytes went up");

    // The reserve is there for an event, also after a start, and then used up.
    drive.record("event/5.mp4", 300_000);
    drive.record("event/6.mp4", 300_000);
    let told = drive.run(&["--link", "cellular"]);
    assert_eq!(told_of(&told, "sent"), ["5.mp4"]);
    let up = drive.wire.up();
    assert!((1_000_000..1_040_000).contains(&up), "{up} bytes went up");

    let link = drive.vault.scratch().join("link");
    std::fs::write(&link, "none\n").expect("a word");
    let mut courier = drive.courier(&["--link-file", link.to_str().expect("UTF-8")]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(drive.wire.up(), up, "without a link nothing is sent");
    std::fs::write(&link, "wifi\n").expect("a word");
    courier.until("delivered", "full.mp4");
    let told = drive.run_beside(&mut courier);
    assert!(told.contains("6.mp4") && told.contains("3.mp4"), "{told:?}");
    assert!(
        drive.wire.up() < 1_700_000 + 80_000,
        "{} bytes for 1,700,000",
        drive.wire.up()
    );
}

impl Drive {
    /// What was delivered once all is.
    fn run_beside(&self, courier: &mut Courier) -> BTreeSet<String> {
        let all = walk(&self.card).len();
        loop {
            let delivered: BTreeSet<_> = told_of(&courier.told, "delivered").into_iter().collect();
            // Two went over cellular, and the first event.
            if delivered.len() + 3 >= all {
                return delivered;
            }
            let told = courier.lines.recv_timeout(PATIENCE).expect("more to be told");
            courier.told.push(told);
        }
    }
}

#[tokio::test]
async fn a_clip_waits_when_the_link_turns_into_one_that_it_may_not_use() {
    let mut drive = Drive::begin(&["--cellular-routine", "small"]).await;
    let link = drive.vault.scratch().join("link");
    std::fs::write(&link, "wifi").expect("a word");
    drive.record("routine/full.mp4", 9_000_000);
    drive.wire.slow_to(2_000_000);
    let mut courier = drive.courier(&["--link-file", link.to_str().expect("UTF-8")]);
    while drive.wire.up() < 1_000_000 {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::write(&link, "cellular").expect("a word");
    courier.until("halted", "full.mp4");
    drive.record("event/small/crash.mp4", 100_000);
    courier.until("delivered", "crash.mp4");
    assert!(told_of(&courier.told, "sent") == ["crash.mp4"], "{:?}", courier.told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_a_courier_loses_nothing_and_sends_little_twice() {
    let kills = rounds("kills of a courier", 25, 200);
    let mut drive = Drive::begin(&[]).await;
    let mut lengths = Vec::new();
    drive.wire.slow_to(4_000_000);
    let mut costs = Vec::new();
    for kill in 0..kills {
        if kill % 5 == 0 {
            for kind in ["event", "routine"] {
                let length = drive.random.random_range(300_000..900_000);
                drive.record(&format!("{kind}/{kill}.mp4"), length);
                lengths.push(length as u64);
            }
        }
        let mut courier = drive.courier(&["--delete"]);
        std::thread::sleep(Duration::from_millis(drive.random.random_range(20..450)));
        // SIGKILL.
        courier.child.kill().expect("a running program");
        courier.child.wait().expect("its end");
        costs.push(drive.wire.up());
    }
    drive.run(&["--delete"]);
    let left = walk(&drive.card);
    assert!(left.is_empty(), "{left:?}");
    lengths.sort_unstable();
    assert_eq!(drive.lengths().await, lengths, "each once, none missing");
    let (up, all) = (drive.wire.up(), lengths.iter().sum::<u64>());
    let each = (up - all) / u64::from(kills);
    println!("{kills} kills: {all} bytes of clips, {up} on the wire, {each} beyond them for each kill");
    assert!(each < PREEMPTION_BYTES, "{each} bytes beyond the clips for each kill");
}

impl Drive {
    /// Uploads files by name, from the card's folder; the exit code, the lines, and what a person reads when it failed.
    fn upload(&self, more: &[&str], files: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let mut command = self.vault.command(["upload", "--server", &self.wire.url, "--device"]);
        command.arg(&self.device).args(more).args(files).current_dir(&self.card);
        let ran = command.output().expect("the program");
        let lines = String::from_utf8_lossy(&ran.stdout).into_owned();
        let lines = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"));
        (
            ran.status.code(),
            lines.collect(),
            String::from_utf8_lossy(&ran.stderr).into_owned(),
        )
    }
}

#[tokio::test]
async fn files_that_are_named_go_the_best_first_and_programs_are_told_how_far_they_are() {
    let mut drive = Drive::begin(&[]).await;
    drive.record("1.mp4", 700_000);
    drive.record("small/2.mp4", 40_000);
    let event = drive.record("event/3.mp4", 300_000);
    drive.record("4.bin", 60_000);
    std::fs::write(drive.card.join("4.bin.json"), r#"{"first":true}"#).expect("a sidecar");
    let all = ["1.mp4", "small/2.mp4", "event/3.mp4", "4.bin"];
    let (code, told, _) = drive.upload(&[], &all);
    assert_eq!(code, Some(0));
    assert_eq!(told_of(&told, "sent"), ["4.bin", "3.mp4", "2.mp4", "1.mp4"]);
    for event in ["reading", "sending"] {
        let of = told
            .iter()
            .filter(|line| line["event"] == event && line["file"] == "1.mp4");
        let bytes: Vec<_> = of
            .map(|line| (line["bytes"].as_u64(), line["total"].as_u64()))
            .collect();
        assert!(
            !bytes.is_empty() && bytes.iter().all(|(_, total)| *total == Some(700_000)),
            "{event}: {told:?}"
        );
    }
    assert!(told_of(&told, "delivered").is_empty(), "nobody waited for a receipt");

    // With --wait the receipts, and not a byte again.
    let up = drive.wire.up();
    let (code, told, _) = drive.upload(&["--wait"], &all);
    assert_eq!((code, told_of(&told, "delivered").len()), (Some(0), 4));
    assert!(drive.wire.up() - up < 40_000, "{} bytes", drive.wire.up() - up);
    let of_event = told
        .iter()
        .find(|line| line["event"] == "delivered" && line["bytes"] == 300_000);
    let of_event = of_event.expect("the event");
    assert!(of_event["receipt"].is_string());
    let clip = of_event["clip_id"].as_str().expect("an id");
    assert_eq!(drive.original(clip).await, std::fs::read(event).expect("the clip"));

    let (code, told, why) = drive.upload(&[], &["missing.mp4"]);
    assert_eq!(
        (code, told_of(&told, "refused")),
        (Some(1), vec!["missing.mp4".to_owned()])
    );
    assert!(why.contains("missing.mp4 cannot be read"), "{why}");
    drive.vault.stop();
    let (code, _, why) = drive.upload(&["--give-up-after", "1"], &["1.mp4"]);
    assert_eq!(code, Some(1));
    assert!(why.contains("does not answer"), "{why}");
}

#[tokio::test]
async fn files_that_are_named_keep_to_the_budget_of_the_watched_folder_and_go_on_by_wifi() {
    let mut drive = Drive::begin(&["--cellular-day-bytes", "600000", "--cellular-reserve-percent", "50"]).await;
    drive.record("routine/small/1.mp4", 100_000);
    drive.run(&["--link", "cellular"]);
    drive.record("small/2.mp4", 250_000);
    drive.record("3.mp4", 50_000);
    drive.record("event/4.mp4", 290_000);
    let up = drive.wire.up();
    let (code, told, why) = drive.upload(&["--link", "cellular"], &["small/2.mp4", "3.mp4"]);
    assert_eq!(code, Some(1));
    assert!(why.contains("2 of 2 were not uploaded: keep them"), "{why}");
    assert!(
        told.iter().any(|line| line["event"] == "held" && line["clips"] == 2),
        "{told:?}"
    );
    let sent = drive.wire.up() - up;
    assert!(
        (200_000..220_000).contains(&sent),
        "{sent} bytes of 200,000 that were left"
    );
    let (code, told, why) = drive.upload(&["--link", "cellular"], &["3.mp4"]);
    assert_eq!((code, told_of(&told, "sent").len()), (Some(1), 0));
    assert!(
        why.contains("3.mp4 was not uploaded: it waits for another link"),
        "{why}"
    );
    let (code, told, _) = drive.upload(&["--link", "cellular", "--wait"], &["event/4.mp4"]);
    assert_eq!(
        (code, told_of(&told, "delivered").len()),
        (Some(0), 1),
        "the reserve is for events"
    );

    let up = drive.wire.up();
    let (code, told, _) = drive.upload(&["--wait"], &["small/2.mp4", "3.mp4"]);
    assert_eq!((code, told_of(&told, "delivered").len()), (Some(0), 2));
    let sent = drive.wire.up() - up;
    assert!(
        (100_000..120_000).contains(&sent),
        "{sent} bytes: what had arrived is not sent again"
    );
}

#[tokio::test]
async fn a_file_is_named_beside_a_courier_that_watches() {
    let mut drive = Drive::begin(&[]).await;
    let by_hand = drive.vault.scratch().join("by-hand.mp4");
    std::fs::write(&by_hand, [7; 90_000]).expect("a clip");
    let mut courier = drive.courier(&[]);
    drive.record("1.mp4", 10_000);
    courier.until("delivered", "1.mp4");
    let (code, told, _) = drive.upload(&["--wait"], &[by_hand.to_str().expect("UTF-8")]);
    assert_eq!((code, told_of(&told, "delivered").len()), (Some(0), 1));
    drive.record("2.mp4", 10_000);
    courier.until("delivered", "2.mp4");
}

/// All files beneath a folder but hidden ones, such as the one that says whose the folder is.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
