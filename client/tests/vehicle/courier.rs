//! A folder's clips against a vault that has mishaps: what a power cut costs, what is deleted, what waits for what.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use dashvault_client::{
    Client, ClientError, Clips, Courier, CourierOptions, Device, Link, LinkSource, News, Stage, pair,
};
use dashvault_keys::digest;
use data_encoding::HEXLOWER;

use crate::fake::{CODE, Fake, Mishap};

/// A vehicle with a card, paired with a fake vault.
struct Car {
    fake: Fake,
    dir: tempfile::TempDir,
}

impl Car {
    async fn paired() -> Self {
        Self::paired_with(tempfile::tempdir().unwrap()).await
    }

    /// One with a card that tells of a file no more than its length and time: its file system is none that is relied on.
    async fn paired_with_plain_card() -> Self {
        Self::paired_with(tempfile::tempdir_in("/dev/shm").unwrap()).await
    }

    async fn paired_with(dir: tempfile::TempDir) -> Self {
        let fake = Fake::start();
        std::fs::create_dir(dir.path().join("vehicle")).unwrap();
        let car = Self { fake, dir };
        pair(&car.fake.url, CODE, &car.device_file()).await.unwrap();
        car
    }

    /// All that the vehicle keeps.
    fn folder(&self) -> PathBuf {
        self.dir.path().join("vehicle")
    }

    fn device_file(&self) -> PathBuf {
        self.folder().join("device.json")
    }

    fn record(&self, name: &str, length: usize) -> PathBuf {
        let path = self.folder().join("card").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn courier(&self, delete: bool) -> Courier {
        self.courier_on(Link::Wifi, delete)
    }

    fn courier_on(&self, link: Link, delete: bool) -> Courier {
        let (clips, state) = (Clips::Folder(self.folder().join("card")), self.folder().join("queue"));
        let options = CourierOptions {
            link: LinkSource::Always(link),
            delete,
            once: true,
            settle: Duration::ZERO,
            look_every: Duration::from_millis(20),
            ..CourierOptions::new(clips, state)
        };
        let client = Client::new(Device::load(&self.device_file()).unwrap(), None).unwrap();
        Courier::open(client, options).unwrap()
    }

    /// Runs until nothing is left to do; what was told.
    async fn run(&self, delete: bool) -> (Result<(), ClientError>, Vec<News>) {
        let told = Mutex::new(Vec::new());
        let ended = self.courier(delete).run(&|news| told.lock().unwrap().push(news)).await;
        (ended, told.into_inner().unwrap())
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), &to).unwrap();
            let modified = entry.metadata().unwrap().modified().unwrap();
            std::fs::File::options()
                .write(true)
                .open(&to)
                .unwrap()
                .set_modified(modified)
                .unwrap();
        }
    }
}

/// Everything that is written is synced before the next step, so a power cut leaves what stood there at some moment.
#[tokio::test]
async fn a_power_cut_at_any_moment_loses_no_clip_and_sends_none_twice() {
    let car = Car::paired().await;
    let clip = car.record("event/a.mp4", 700_000);
    car.fake.state().patches = [Mishap::Cut(100_000), Mishap::Cut(200_000), Mishap::AnswerLost].into();
    car.fake.state().pending = 3;
    // A copy of all that the vehicle keeps, each time that something is told.
    let moments = Mutex::new(Vec::new());
    let mut courier = car.courier(true);
    let copies = tempfile::tempdir().unwrap();
    let tell = |_| {
        let mut moments = moments.lock().unwrap();
        let to = copies.path().join(moments.len().to_string());
        copy(&car.folder(), &to);
        moments.push(to);
    };
    courier.run(&tell).await.unwrap();
    drop(courier);
    assert!(!clip.exists());
    let moments = moments.into_inner().unwrap();
    assert!(moments.len() > 10, "{}", moments.len());
    let sent = car.fake.state().on_the_wire;
    assert_eq!((sent, car.fake.state().beginnings), (700_000, 1), "every byte once");

    let mut began_anew = 0;
    // The last one first: what the vault holds is later than what the vehicle remembers.
    for moment in moments.into_iter().rev() {
        std::fs::remove_dir_all(car.folder()).unwrap();
        copy(&moment, &car.folder());
        let before = car.fake.state().on_the_wire;
        let beginnings = car.fake.state().beginnings;
        let was_begun =
            std::fs::read_dir(car.folder().join("device.json.uploads")).is_ok_and(|mut dir| dir.next().is_some());
        let was_delivered = !clip.exists() || was_begun || has_receipt(&car.folder().join("queue"));
        let (ended, told) = car.run(true).await;
        ended.unwrap();
        assert!(!clip.exists(), "{told:?}");
        let again = car.fake.state().on_the_wire - before;
        if was_delivered {
            assert_eq!((again, car.fake.state().beginnings), (0, beginnings), "{told:?}");
        } else {
            began_anew += 1;
            assert_eq!(again, 700_000, "{told:?}");
        }
    }
    assert!(began_anew > 0, "some moments are before the upload was begun");
}

fn has_receipt(queue: &Path) -> bool {
    let files = queue.read_dir().into_iter().flatten().flatten();
    files
        .filter_map(|file| std::fs::read_to_string(file.path()).ok())
        .any(|text| text.contains("receipt"))
}

#[tokio::test]
async fn nothing_but_a_receipt_for_these_very_bytes_deletes_a_clip() {
    type Harm = fn(&Fake);
    let harms: [(&str, Harm); 5] = [
        ("signed by another", |fake| fake.state().forged = true),
        ("for other bytes", |fake| {
            fake.state().twist = Some(|receipt| receipt.sha256[0] ^= 1);
        }),
        ("for another length", |fake| {
            fake.state().twist = Some(|receipt| receipt.length += 1)
        }),
        ("for another clip", |fake| {
            fake.state().twist = Some(|receipt| receipt.clip[0] ^= 1)
        }),
        ("none at all", |fake| fake.state().quarantined = true),
    ];
    for (name, harm) in harms {
        let car = Car::paired().await;
        let clip = car.record("a.mp4", 5_000);
        harm(&car.fake);
        let (ended, told) = car.run(true).await;
        ended.unwrap();
        assert!(clip.exists(), "{name}: {told:?}");
        assert!(
            told.iter().any(|news| matches!(news, News::Refused { .. })),
            "{name}: {told:?}"
        );
        assert!(
            !told.iter().any(|news| matches!(news, News::Delivered(_))),
            "{name}: {told:?}"
        );
        // Nor at the next start.
        let (ended, told) = car.run(true).await;
        ended.unwrap();
        assert!(clip.exists(), "{name}: {told:?}");
    }
}

#[tokio::test]
async fn a_vehicle_that_is_not_welcome_keeps_everything_and_is_told() {
    let car = Car::paired().await;
    let clip = car.record("a.mp4", 5_000);
    car.fake.state().posts = [Mishap::Status(403, 0)].into();
    let (ended, _) = car.run(true).await;
    assert!(
        matches!(ended, Err(ClientError::Unwelcome { status: 403, .. })),
        "{ended:?}"
    );
    assert!(clip.exists());
}

#[tokio::test]
async fn a_clip_that_changed_since_its_receipt_is_not_deleted() {
    let car = Car::paired().await;
    let clip = car.record("a.mp4", 5_000);
    let (ended, _) = car.run(false).await;
    ended.unwrap();
    std::fs::write(&clip, b"the camera has written over it").unwrap();
    car.fake.state().patches = [Mishap::Status(403, 0)].into();
    let (ended, told) = car.run(true).await;
    assert!(matches!(ended, Err(ClientError::Unwelcome { .. })), "{told:?}");
    assert!(clip.exists(), "{told:?}");
}

#[tokio::test]
async fn a_vault_that_sheds_routine_clips_gets_an_event_at_once() {
    let car = Car::paired().await;
    car.record("routine/a.mp4", 5_000);
    car.fake.state().posts = [Mishap::Status(503, 600)].into();
    let told = Mutex::new(Vec::new());
    let mut courier = car.courier(false);
    let tell = |news| {
        if matches!(news, News::Setback { .. }) {
            car.record("event/b.mp4", 4_000);
        }
        told.lock().unwrap().push(news);
    };
    let delivered = async {
        let is_there = |news: &News| matches!(news, News::Delivered(done) if done.bytes == 4_000);
        while !told.lock().unwrap().iter().any(is_there) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        ended = courier.run(&tell) => panic!("the routine clip is still to come: {ended:?}"),
        () = delivered => {}
        () = tokio::time::sleep(Duration::from_secs(30)) => panic!("{:?}", told.lock().unwrap()),
    }
    let told = told.into_inner().unwrap();
    let paused = told
        .iter()
        .any(|news| matches!(news, News::Setback { pause, .. } if *pause >= Duration::from_secs(600)));
    assert!(paused, "the vault is not asked before it wants to be: {told:?}");
}

#[tokio::test]
async fn a_clip_that_changes_whenever_it_is_read_keeps_nobody_busy_and_holds_up_no_other() {
    let car = Car::paired().await;
    let restless = car.record("event/a.mp4", 5_000);
    car.record("routine/b.mp4", 4_000);
    let told = Mutex::new(Vec::new());
    let mut courier = car.courier(false);
    let tell = |news| {
        if matches!(&news, News::Progress { file, progress } if *file == restless && progress.stage == Stage::Hashing) {
            let mut file = std::fs::File::options().append(true).open(&restless).unwrap();
            file.write_all(b"more").unwrap();
        }
        told.lock().unwrap().push(news);
    };
    tokio::select! {
        ended = courier.run(&tell) => panic!("the restless clip is still to come: {ended:?}"),
        () = tokio::time::sleep(Duration::from_secs(2)) => {}
    }
    let told = told.into_inner().unwrap();
    let is_try = |news: &&News| matches!(news, News::Setback { .. } | News::Gone { .. });
    let tries = told.iter().filter(is_try).count();
    assert!((1..=12).contains(&tries), "{tries} tries in two seconds");
    assert!(
        told.iter()
            .any(|news| matches!(news, News::Delivered(done) if done.bytes == 4_000)),
        "{told:?}"
    );
}

#[tokio::test]
async fn a_vehicle_whose_clock_stands_in_another_year_uploads_all_the_same() {
    let car = Car::paired().await;
    let clip = car.record("a.mp4", 5_000);
    car.fake.state().ahead = Duration::from_secs(20 * 365 * 24 * 3600);
    let (ended, told) = car.run(true).await;
    ended.unwrap();
    assert!(!clip.exists(), "{told:?}");
}

/// As many clips as wait at most, none of which may go over the link there is.
#[tokio::test]
async fn an_event_finds_a_place_in_a_queue_that_is_full() {
    const MAX_CLIPS: usize = 16_384;
    let car = Car::paired().await;
    for at in 0..MAX_CLIPS {
        car.record(&format!("routine/{at}.mp4"), 1);
    }
    let mut courier = car.courier_on(Link::Cellular, false);
    let told = Mutex::new(Vec::new());
    let tell = |news| told.lock().unwrap().push(news);
    courier.run(&tell).await.unwrap();
    let is_queued = |news: &&News| matches!(news, News::Queued { .. });
    assert_eq!(told.lock().unwrap().iter().filter(is_queued).count(), MAX_CLIPS);
    let event = car.record("event/a.mp4", 4_000);
    courier.run(&tell).await.unwrap();
    let told = told.into_inner().unwrap();
    let after = &told[MAX_CLIPS..];
    let is_delivered = |news: &News| matches!(news, News::Delivered(done) if done.file == event);
    assert!(after.iter().any(is_delivered), "{after:?}");
    let is_of_routine = |news: &News| matches!(news, News::Delivered(done) if done.file != event);
    assert!(!after.iter().any(is_of_routine), "{after:?}");
}

/// The camera's clock is dead and its clips are as long as each other: another clip of the same name, length and time.
fn record_another(clip: &Path, modified: SystemTime) -> String {
    let length = 5_000;
    std::fs::write(clip, vec![77; length]).unwrap();
    let file = std::fs::File::options().write(true).open(clip).unwrap();
    file.set_modified(modified).unwrap();
    HEXLOWER.encode(&digest::sha256(&vec![77; length]))
}

fn is_delivered(told: &[News], sum: &str) -> bool {
    told.iter()
        .any(|news| matches!(news, News::Delivered(done) if done.sha256 == sum))
}

#[tokio::test]
async fn another_clip_that_looks_like_one_that_was_delivered_is_brought_too_and_not_deleted_before() {
    for car in [Car::paired().await, Car::paired_with_plain_card().await] {
        for is_removed in [true, false] {
            let clip = car.record("20200101_000000.mp4", 5_000);
            let modified = clip.metadata().unwrap().modified().unwrap();
            car.run(false).await.0.unwrap();
            if is_removed {
                std::fs::remove_file(&clip).unwrap();
            }
            let sum = record_another(&clip, modified);
            car.fake.state().posts = [Mishap::Status(403, 0)].into();
            let (ended, told) = car.run(true).await;
            assert!(matches!(ended, Err(ClientError::Unwelcome { .. })), "{told:?}");
            assert!(clip.exists(), "a receipt for other bytes: {told:?}");
            let (ended, told) = car.run(true).await;
            ended.unwrap();
            assert!(is_delivered(&told, &sum) && !clip.exists(), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_clip_that_was_seen_gone_is_another_when_it_is_there_again() {
    for car in [Car::paired().await, Car::paired_with_plain_card().await] {
        let clip = car.record("20200101_000000.mp4", 5_000);
        let modified = clip.metadata().unwrap().modified().unwrap();
        let told = Mutex::new(Vec::new());
        let tell = |news| told.lock().unwrap().push(news);
        let mut courier = car.courier(false);
        courier.run(&tell).await.unwrap();
        std::fs::remove_file(&clip).unwrap();
        courier.run(&tell).await.unwrap();
        let sum = record_another(&clip, modified);
        courier.run(&tell).await.unwrap();
        let told = told.into_inner().unwrap();
        assert!(is_delivered(&told, &sum), "{told:?}");
        assert!(clip.exists());
    }
}

#[tokio::test]
async fn a_delivered_clip_that_is_still_the_same_is_known_after_a_start_without_a_question() {
    for (car, readings) in [(Car::paired().await, 0), (Car::paired_with_plain_card().await, 1)] {
        let clip = car.record("a.mp4", 5_000);
        car.run(false).await.0.unwrap();
        let asked = |fake: &Fake| {
            fake.state()
                .requests
                .iter()
                .filter(|told| !told.starts_with("GET vehicle"))
                .count()
        };
        let before = asked(&car.fake);
        for delete in [false, true] {
            let (ended, told) = car.run(delete).await;
            ended.unwrap();
            assert_eq!(asked(&car.fake), before, "{told:?}");
            let is_reading =
                |news: &&News| matches!(news, News::Progress { progress, .. } if progress.stage == Stage::Hashing);
            assert_eq!(told.iter().filter(is_reading).count(), readings, "{told:?}");
            assert_eq!(clip.exists(), !delete);
        }
    }
}
