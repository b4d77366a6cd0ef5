//! The vehicle's client against a vault that has mishaps: what is sent again, what is remembered, what a receipt is worth.

mod courier;
mod fake;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use dashvault_client::{
    Client, ClientError, Clips, Courier, CourierOptions, Device, Doing, News, Stage, Uploaded, pair,
};
use fake::{CODE, Fake, Mishap};

/// A vehicle with a file of its own, paired with a fake vault.
struct Vehicle {
    fake: Fake,
    dir: tempfile::TempDir,
    file: PathBuf,
    bytes: Vec<u8>,
}

impl Vehicle {
    async fn with(length: usize) -> Self {
        let fake = Fake::start();
        let dir = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let file = dir.path().join("2026-03-01 12.00.mp4");
        std::fs::write(&file, &bytes).unwrap();
        pair(&fake.url, CODE, &dir.path().join("device.json")).await.unwrap();
        Self { fake, dir, file, bytes }
    }

    fn device_file(&self) -> PathBuf {
        self.dir.path().join("device.json")
    }

    /// A client as it is after a start of the vehicle.
    fn client(&self) -> Client {
        Client::new(Device::load(&self.device_file()).unwrap(), None).unwrap()
    }

    /// Brings the file as its user asks; what became of it.
    async fn upload(&self, asked: fn(&mut CourierOptions)) -> Result<Uploaded, Failed> {
        self.bring(&self.file, asked, |_| {}).await
    }

    /// Brings a file with a courier of its own, as after a start of the vehicle, which tells what happens.
    async fn bring(
        &self,
        file: &Path,
        asked: fn(&mut CourierOptions),
        tell: impl Fn(&News) + Sync,
    ) -> Result<Uploaded, Failed> {
        let clips = Clips::Files(vec![file.to_owned()]);
        let mut options = CourierOptions::new(clips, self.dir.path().join("queue"));
        options.look_every = Duration::from_millis(20);
        asked(&mut options);
        let end = Mutex::new(None);
        let told = |news: News| {
            tell(&news);
            match news {
                News::Sent(uploaded) | News::Delivered(uploaded) => *end.lock().unwrap() = Some(Ok(uploaded)),
                News::Refused { reason, .. } => *end.lock().unwrap() = Some(Err(Failed::Refused(reason))),
                _ => {}
            }
        };
        let mut courier = Courier::open(self.client(), options).unwrap();
        courier.run(&told).await.map_err(Failed::Ended)?;
        drop(courier);
        end.into_inner().unwrap().expect("an end")
    }
}

/// Why a file was not brought.
#[derive(Debug)]
enum Failed {
    /// The file's own fault; others would still go.
    Refused(String),
    /// The courier ended.
    Ended(ClientError),
}

impl Failed {
    fn is_refused(&self, why: &str) -> bool {
        matches!(self, Self::Refused(reason) if reason.contains(why))
    }
}

fn waiting(_: &mut CourierOptions) {}

fn sending(options: &mut CourierOptions) {
    options.wait = false;
}

/// Gives up at the first failure.
fn impatient(options: &mut CourierOptions) {
    options.give_up_after = Some(Duration::ZERO);
}

/// What is said of a receipt that is none for this file.
const UNBELIEVED: &str = "the receipt does not stand for this file";

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&dashvault_keys::digest::sha256(bytes))
}

#[tokio::test]
async fn pairing_leaves_a_private_device_file_and_never_overwrites_a_key() {
    let fake = Fake::start();
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("device.json");
    let wrong = pair(&fake.url, "7KQ4-M2XA-9TBF", &out).await.err();
    assert!(matches!(wrong, Some(ClientError::Code)), "{wrong:?}");
    assert!(!out.exists());

    // The code is not spent on a device file that could not be kept: it pairs below.
    let nowhere = pair(&fake.url, CODE, &dir.path().join("missing/device.json"))
        .await
        .err();
    assert!(
        matches!(
            nowhere,
            Some(ClientError::File {
                doing: Doing::Write,
                ..
            })
        ),
        "{nowhere:?}"
    );

    let device = pair(&fake.url, CODE, &out).await.unwrap();
    assert_eq!(out.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let before = std::fs::read(&out).unwrap();
    let again = pair(&fake.url, CODE, &out).await.err();
    assert!(matches!(again, Some(ClientError::Paired { .. })), "{again:?}");
    assert_eq!(std::fs::read(&out).unwrap(), before);

    let loaded = Device::load(&out).unwrap();
    assert_eq!((loaded.id(), loaded.server()), (device.id(), fake.url.as_str()));
    assert_ne!(loaded.token(), loaded.token(), "no two tokens are the same");
}

#[tokio::test]
async fn what_is_no_device_file_is_said_to_be_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("device.json");
    for text in [
        "",
        "{}",
        r#"{"version":2,"server":"","device_id":"","private_key":"","vault_public_key":""}"#,
    ] {
        std::fs::write(&path, text).unwrap();
        let refused = Device::load(&path).err();
        assert!(
            matches!(refused, Some(ClientError::DeviceFile { .. })),
            "{text}: {refused:?}"
        );
    }
    let missing = Device::load(Path::new("/nowhere/device.json")).err();
    assert!(matches!(missing, Some(ClientError::File { .. })), "{missing:?}");
}

#[tokio::test]
async fn a_file_is_sent_in_one_body_and_its_receipt_verified() {
    let vehicle = Vehicle::with(3_000_000).await;
    vehicle.fake.state().pending = 2;
    let seen = Mutex::new(Vec::new());
    let by_camera = |options: &mut CourierOptions| options.camera = Some("front".to_owned());
    let note = |news: &News| {
        if let News::Progress { progress, .. } = news {
            seen.lock().unwrap().push(*progress);
        }
    };
    let uploaded = vehicle.bring(&vehicle.file, by_camera, note).await.unwrap();
    let seen = seen.into_inner().unwrap();
    assert_eq!((uploaded.bytes, uploaded.sha256), (3_000_000, hex(&vehicle.bytes)));
    assert_eq!(uploaded.clip_id.len(), 26);
    assert!(uploaded.receipt.is_some());
    assert!(vehicle.fake.state().received == vehicle.bytes);
    let requests = vehicle.fake.state().requests.clone();
    let of_uploads: Vec<_> = requests
        .iter()
        .filter(|request| request.ends_with(" uploads"))
        .collect();
    assert_eq!(of_uploads[..2], ["POST uploads", "PATCH uploads"]);
    assert_eq!(vehicle.fake.told("sha256"), Some(hex(&vehicle.bytes)));
    assert_eq!(vehicle.fake.told("filename").as_deref(), Some("2026-03-01 12.00.mp4"));
    assert_eq!(vehicle.fake.told("filetype").as_deref(), Some("video/mp4"));
    assert_eq!(vehicle.fake.told("camera").as_deref(), Some("front"));
    assert_eq!(
        vehicle.fake.told("recorded_at"),
        None,
        "a file's date is told only when asked for"
    );
    for stage in [Stage::Hashing, Stage::Sending] {
        assert!(seen.iter().any(|progress| progress.stage == stage), "{stage:?}");
    }
    assert!(seen.iter().all(|progress| progress.bytes <= progress.total));
}

#[tokio::test]
async fn cuts_cost_no_byte_twice() {
    let vehicle = Vehicle::with(5_000_000).await;
    vehicle.fake.state().patches = (0..6).map(|_| Mishap::Cut(700_000)).collect();
    vehicle.upload(waiting).await.unwrap();
    let state = vehicle.fake.state();
    assert!(state.received == vehicle.bytes);
    assert_eq!((state.on_the_wire, state.beginnings), (5_000_000, 1));
}

#[tokio::test]
async fn a_lost_answer_to_the_last_byte_is_no_second_upload() {
    let vehicle = Vehicle::with(100_000).await;
    vehicle.fake.state().patches.push_back(Mishap::AnswerLost);
    vehicle.upload(waiting).await.unwrap();
    let state = vehicle.fake.state();
    assert_eq!((state.on_the_wire, state.beginnings), (100_000, 1));
}

#[tokio::test]
async fn a_restarted_client_goes_on_where_the_first_one_was() {
    let vehicle = Vehicle::with(1_000_000).await;
    vehicle.fake.state().patches.push_back(Mishap::Cut(400_000));
    let gave_up = vehicle.upload(impatient).await.err();
    assert!(
        matches!(gave_up, Some(Failed::Ended(ClientError::Unreachable(_)))),
        "{gave_up:?}"
    );
    let uploaded = vehicle.upload(waiting).await.unwrap();
    assert!(uploaded.receipt.is_some());
    let state = vehicle.fake.state();
    assert_eq!((state.beginnings, state.on_the_wire), (1, 1_000_000));
    assert!(state.received == vehicle.bytes);
}

#[tokio::test]
async fn an_upload_without_a_receipt_is_remembered_until_it_has_one() {
    let vehicle = Vehicle::with(10_000).await;
    let first = vehicle.upload(sending).await.unwrap();
    assert_eq!(first.receipt, None);
    let second = vehicle.upload(waiting).await.unwrap();
    assert!(second.receipt.is_some());
    assert_eq!(second.clip_id, first.clip_id);
    assert_eq!(vehicle.fake.state().beginnings, 1);
    let left = std::fs::read_dir(vehicle.dir.path().join("device.json.uploads")).unwrap();
    assert_eq!(left.count(), 0, "a file that has its receipt is forgotten");
}

#[tokio::test]
async fn a_busy_vault_is_left_alone_for_as_long_as_it_asks() {
    let vehicle = Vehicle::with(10_000).await;
    vehicle.fake.state().posts.push_back(Mishap::Status(503, 1));
    vehicle.fake.state().patches.push_back(Mishap::Status(507, 1));
    let begun = Instant::now();
    vehicle.upload(waiting).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(vehicle.fake.state().beginnings, 1);
}

#[tokio::test]
async fn a_wrong_clock_is_set_right_by_the_vaults_and_signed_anew() {
    for ahead in [Duration::from_secs(3600), Duration::from_secs(20 * 365 * 24 * 3600)] {
        let vehicle = Vehicle::with(10_000).await;
        vehicle.fake.state().ahead = ahead;
        vehicle.upload(waiting).await.unwrap();
        let state = vehicle.fake.state();
        let asked = |what: &str| state.requests.iter().filter(|request| *request == what).count();
        assert_eq!(
            (asked("GET vehicle"), asked("POST uploads"), state.beginnings),
            (2, 1, 1),
            "refused once, then signed by the vault's clock"
        );
    }
}

#[tokio::test]
async fn a_refusal_is_never_counted_as_uploaded() {
    for status in [400, 401, 403, 412, 413] {
        let vehicle = Vehicle::with(10_000).await;
        vehicle.fake.state().patches.push_back(Mishap::Status(status, 0));
        let refused = vehicle.upload(waiting).await.err();
        assert!(
            match &refused {
                Some(Failed::Ended(ClientError::Unwelcome { status: told, .. })) => {
                    *told == status && matches!(status, 401 | 403)
                }
                Some(Failed::Ended(ClientError::Refused { status: told, .. })) => *told == status && status == 412,
                Some(refused) => matches!(status, 400 | 413) && refused.is_refused(&format!("refused ({status})")),
                None => false,
            },
            "{status}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn an_upload_that_the_vault_lost_is_begun_anew() {
    let vehicle = Vehicle::with(500_000).await;
    vehicle.fake.state().patches.push_back(Mishap::Cut(200_000));
    vehicle.fake.state().heads.push_back(Mishap::Status(410, 0));
    vehicle.upload(waiting).await.unwrap();
    let state = vehicle.fake.state();
    assert_eq!(state.beginnings, 2);
    assert!(state.received == vehicle.bytes);
}

#[tokio::test]
async fn a_vault_that_loses_every_upload_is_not_fed_for_ever() {
    let vehicle = Vehicle::with(1000).await;
    vehicle.fake.state().patches = (0..100).map(|_| Mishap::Status(404, 0)).collect();
    let refused = vehicle.upload(waiting).await.err();
    assert!(
        refused
            .as_ref()
            .is_some_and(|refused| refused.is_refused("refused (404)")),
        "{refused:?}"
    );
    assert_eq!(vehicle.fake.state().beginnings, 5);
}

#[tokio::test]
async fn a_receipt_stands_only_for_this_file_of_this_vault() {
    type Twist = fn(&mut dashvault_keys::receipt::Receipt);
    let twists: [(&str, Twist); 3] = [
        ("another clip", |receipt| receipt.clip = [77; 16]),
        ("other bytes", |receipt| receipt.sha256[0] ^= 1),
        ("another length", |receipt| receipt.length += 1),
    ];
    for (what, twist) in twists {
        let vehicle = Vehicle::with(1000).await;
        vehicle.fake.state().twist = Some(twist);
        let refused = vehicle.upload(waiting).await.err();
        assert!(
            refused.as_ref().is_some_and(|refused| refused.is_refused(UNBELIEVED)),
            "{what}: {refused:?}"
        );
    }
    let vehicle = Vehicle::with(1000).await;
    vehicle.fake.state().forged = true;
    let refused = vehicle.upload(waiting).await.err();
    assert!(
        refused.as_ref().is_some_and(|refused| refused.is_refused(UNBELIEVED)),
        "{refused:?}"
    );
    vehicle.fake.state().forged = false;
    assert!(vehicle.upload(waiting).await.unwrap().receipt.is_some());
    assert_eq!(vehicle.fake.state().beginnings, 1, "the bytes were there all along");
}

#[tokio::test]
async fn a_vehicle_does_not_wait_for_a_receipt_that_will_never_come() {
    let vehicle = Vehicle::with(1000).await;
    vehicle.fake.state().quarantined = true;
    let refused = vehicle.upload(waiting).await.err();
    assert!(
        refused
            .as_ref()
            .is_some_and(|refused| refused.is_refused("refused (409)")),
        "{refused:?}"
    );
    // Another try sends the file anew.
    vehicle.fake.state().quarantined = false;
    assert!(vehicle.upload(waiting).await.unwrap().receipt.is_some());
    assert_eq!(vehicle.fake.state().beginnings, 2);
}

#[tokio::test]
async fn a_token_never_follows_a_location_to_another_host() {
    let vehicle = Vehicle::with(1000).await;
    vehicle.fake.state().location = Some("http://elsewhere.example.org/somewhere/a".to_owned());
    let refused = vehicle.upload(waiting).await.err();
    assert!(
        matches!(refused, Some(Failed::Ended(ClientError::Protocol { .. }))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_file_that_changes_or_is_empty_is_not_uploaded() {
    let vehicle = Vehicle::with(1_000_000).await;
    let empty = vehicle.dir.path().join("empty.mp4");
    std::fs::write(&empty, b"").unwrap();
    let refused = vehicle.bring(&empty, waiting, |_| {}).await.err();
    assert!(
        refused.as_ref().is_some_and(|refused| refused.is_refused("is empty")),
        "{refused:?}"
    );

    vehicle.fake.state().patches.push_back(Mishap::Cut(500_000));
    let overwrite = |news: &News| {
        if let News::Setback { .. } = news {
            std::fs::write(&vehicle.file, b"another recording").unwrap();
        }
    };
    let refused = vehicle.bring(&vehicle.file, waiting, overwrite).await.err();
    assert!(
        refused
            .as_ref()
            .is_some_and(|refused| refused.is_refused("changed while")),
        "{refused:?}"
    );
}
