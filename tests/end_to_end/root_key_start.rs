//! A service that is started while the root key's provider does not answer, and one whose root key is wrong.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dashvault_test_support::softhsm::PIN;
use dashvault_test_support::{Child, KmsFault, KmsFront, Owner, Setup, SoftHsm, Vault, free_port};
use reqwest::Method;
use serde_json::Value;

use crate::outage::assert_refused;
use crate::road_clip;
use crate::root_key_outage::{holds, original, sent};

/// A service that finds its root key wrong ends within so long of the provider's return.
const ENDS: Duration = Duration::from_secs(30);

/// A running vault with an owner's finished clip.
async fn with_a_clip(setup: Setup, bytes: &[u8]) -> (Vault, Owner, String) {
    let vault = setup.start();
    let anna = vault.owner("anna@example.org");
    let clip = sent(&vault, &anna, bytes).await;
    assert_eq!(vault.settled(&anna, &clip).await["state"], "ready");
    (vault, anna, clip)
}

/// Starts while the provider is `away`, takes an upload, and goes on by itself when it is `back`.
async fn starts_without_and_goes_on(setup: Setup, away: impl Fn(), back: impl Fn()) {
    let bytes = std::fs::read(road_clip()).expect("the clip");
    let (mut vault, anna, clip) = with_a_clip(setup, &bytes).await;
    vault.stop();
    away();
    vault.start();
    let process = vault.process().id();

    let (ready, parts) = vault.json(Method::GET, "/readyz", None, None).await;
    assert_eq!((ready, &parts["degraded"]), (200, &Value::from(true)), "{parts}");
    let told = parts["parts"]["root_key"].as_str().expect("a word");
    assert!(told.contains("uploads are taken"), "{parts}");
    let late = sent(&vault, &anna, &bytes).await;
    let refused = original(&vault, &anna, &clip).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("Retry-After"));
    for path in ["/v1/me", "/v1/receipt-keys"] {
        let (status, told) = vault.json(Method::GET, path, Some(&anna.token), None).await;
        assert_eq!(status, 503, "{path}: {told}");
    }
    // Time enough for a job that would not wait.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(
        !holds(vault.data(), &bytes[700_000..700_064]),
        "plaintext waits on the disk"
    );
    let (_, told) = vault
        .json(
            Method::GET,
            &format!("/v1/uploads/{late}/receipt"),
            Some(&anna.token),
            None,
        )
        .await;
    assert!(
        !told.to_string().contains("dvr_"),
        "nothing is acknowledged for good: {told}"
    );

    back();
    let settled = vault.settled_within(&anna, &late, Duration::from_secs(60)).await;
    assert_eq!(settled["state"], "ready");
    for id in [&clip, &late] {
        let answer = original(&vault, &anna, id).await;
        assert_eq!(answer.bytes().await.expect("a body"), bytes);
    }
    let (ready, parts) = vault.json(Method::GET, "/readyz", None, None).await;
    assert_eq!((ready, &parts["degraded"]), (200, &Value::from(false)), "{parts}");
    assert_eq!(vault.process().id(), process, "nothing was restarted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_while_kms_is_away_takes_uploads_and_goes_on_by_itself() {
    let front = KmsFront::start();
    let setup = front.keeps_root_keys_of(Vault::setup());
    let away = || front.fail("", KmsFault::Away, u32::MAX);
    starts_without_and_goes_on(setup, away, || front.heal()).await;
}

/// A token that is pulled and put back as files are.
struct Pulled {
    place: PathBuf,
    aside: PathBuf,
}

impl Pulled {
    fn of(token: &SoftHsm) -> Self {
        let place = token.configuration().with_file_name("tokens");
        let aside = place.with_file_name("pulled");
        Self { place, aside }
    }

    fn away(&self) {
        std::fs::rename(&self.place, &self.aside).expect("the token is pulled");
        std::fs::create_dir(&self.place).expect("an empty slot");
    }

    fn back(&self) {
        // In the place of the empty slot.
        std::fs::rename(&self.aside, &self.place).expect("the token is put back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_starts_while_the_token_is_pulled_takes_uploads_and_goes_on_by_itself() {
    let token = SoftHsm::new();
    let setup = token.keeps_root_keys_of(Vault::setup());
    let pulled = Pulled::of(&token);
    starts_without_and_goes_on(setup, || pulled.away(), || pulled.back()).await;
}

#[test]
fn a_kms_key_that_is_switched_off_is_told_at_the_start() {
    let front = KmsFront::start();
    let setup = front.keeps_root_keys_of(Vault::setup());
    let prefix = setup.variable("DASHVAULT_KMS_PREFIX").expect("a prefix").to_owned();
    let mut vault = setup.start();
    vault.stop();
    let key = front.key_of(&format!("alias/{prefix}/e1/v1")).expect("the root key");
    front.disable(&key);
    assert_refused(&vault, "is disabled");
    front.enable(&key);
    vault.start();
}

#[test]
fn what_is_wrong_is_told_when_the_provider_is_back_and_the_service_ends() {
    let token = SoftHsm::new();
    let mut vault = token.keeps_root_keys_of(Vault::setup()).start();
    vault.stop();
    let (pulled, note) = (Pulled::of(&token), vault.data().join("ingest-key"));
    let noted = std::fs::read_to_string(&note).expect("a note");

    // Another token of the same label is put in.
    let other = SoftHsm::new();
    pulled.away();
    vault.start();
    std::fs::rename(Pulled::of(&other).place, &pulled.place).expect("another token");
    ends_by_itself(&mut vault, "the root key of this vault is not there");
    std::fs::remove_dir_all(&pulled.place).expect("the other token is pulled");
    pulled.back();

    // Somebody changed the note, so that uploads were sealed to a key of theirs.
    let forged = format!("{}{}\n", &noted[..35], "09".repeat(32));
    std::fs::write(&note, forged).expect("a forged note");
    pulled.away();
    vault.start();
    pulled.back();
    ends_by_itself(&mut vault, "somebody has changed the note");

    // A note of another vault's, or that others may write, is none: then nothing is taken.
    pulled.away();
    for (text, mode) in [
        (noted.replacen(&noted[2..34], &"ab".repeat(16), 1), 0o600),
        (noted, 0o622),
    ] {
        std::fs::write(&note, text).expect("a note");
        std::fs::set_permissions(&note, std::fs::Permissions::from_mode(mode)).expect("its owner may");
        let ready = unready(&vault);
        assert!(ready.contains("everything waits"), "{ready}");
    }
    pulled.back();
    vault.start();
    vault.stop();
    let mode = std::fs::metadata(&note).expect("a new note").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Starts the service, which is not ready, and ends it again; what it says of itself.
fn unready(vault: &Vault) -> String {
    let (port, log) = (free_port(), vault.scratch().join("unready.log"));
    let (here, data) = (format!("127.0.0.1:{port}"), vault.data().to_str().expect("UTF-8"));
    let command = vault.command([
        "serve",
        "--listen",
        &here,
        "--admin-listen",
        "127.0.0.1:0",
        "--data",
        data,
    ]);
    let mut child = Child::spawn("a service that waits", &command, None, &log);
    let mut told = String::new();
    child.wait_until("answering", ENDS, || {
        let Ok(mut stream) = TcpStream::connect(&here) else {
            return false;
        };
        let asked = write!(
            stream,
            "GET /readyz HTTP/1.1\r\nHost: {here}\r\nConnection: close\r\n\r\n"
        );
        told.clear();
        asked.is_ok() && stream.read_to_string(&mut told).is_ok() && told.starts_with("HTTP/1.1 503")
    });
    told
}

/// Waits until the service ends with an error that has this word in it.
fn ends_by_itself(vault: &mut Vault, word: &str) {
    let began = Instant::now();
    let status = loop {
        if let Some(status) = vault.process().ended() {
            break status;
        }
        assert!(began.elapsed() < ENDS, "it goes on: {}", vault.log());
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(!status.success() && vault.log().contains(word), "{}", vault.log());
    vault.kill();
}

#[test]
fn a_token_that_refuses_the_pin_or_has_another_label_is_not_waited_for() {
    let token = SoftHsm::new();
    let mut vault = token.keeps_root_keys_of(Vault::setup()).start();
    vault.stop();
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    for (variable, value, word) in [
        ("DASHVAULT_PKCS11_PIN", "99999999", "refuses the PIN"),
        ("DASHVAULT_PKCS11_TOKEN", "another", "--pkcs11-token"),
        ("DASHVAULT_PKCS11_PREFIX", "another", "is not there"),
    ] {
        let serve = [
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
            "--data",
            &data,
        ];
        let ended = vault.command(serve).env(variable, value).output().expect("the program");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned() + &String::from_utf8_lossy(&ended.stdout);
        assert!(!ended.status.success() && said.contains(word), "{variable}: {said}");
        assert!(!said.contains("99999999") && !said.contains(PIN), "{said}");
    }
    vault.start();
}
