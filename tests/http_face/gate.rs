//! The write gate as a vehicle and an owner meet it: the folder of a running service is opened to everybody and shut again.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dashvault_test_support::{HttpServer, Owner, Reply, Scratch, Seaweed, Setup, Vault};
use reqwest::{Method, Response};
use serde_json::Value;

use crate::world::{answer, ask, fixture, header, token};

/// The gate knows a verdict for ten seconds, a round is made every second, and the machine may be busy.
const SEEN: Duration = Duration::from_secs(40);
const BYTES: &[u8] = &[7; 5_000];

fn watched() -> Setup {
    Vault::setup().args(["--watch-interval-secs", "1"])
}

/// Lets everybody into the folder of sealed objects, or nobody.
fn set(vault: &Vault, mode: u32) {
    for folder in [vault.scratch(), vault.data(), &vault.data().join("objects")] {
        std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
    }
}

async fn create(vault: &Vault, token: &str) -> Response {
    let request = ask(vault, Method::POST, "/v1/uploads", Some(token))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", BYTES.len());
    answer(request).await
}

async fn append(vault: &Vault, token: &str, upload: &str, offset: usize, bytes: &'static [u8]) -> Response {
    let request = ask(vault, Method::PATCH, upload, Some(token))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Offset", offset)
        .header("Content-Type", "application/offset+octet-stream")
        .body(bytes);
    answer(request).await
}

/// Asks again and again until the status comes.
async fn until(status: u16, mut asked: impl AsyncFnMut() -> Response) -> Response {
    let began = Instant::now();
    loop {
        let answer = asked().await;
        if answer.status() == status {
            return answer;
        }
        assert!(began.elapsed() < SEEN, "{} after {SEEN:?}", answer.status());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn is_withheld(answer: Response) {
    assert_eq!(answer.status(), 503);
    let secs: u32 = header(&answer, "retry-after").parse().expect("seconds to wait");
    assert!((1..=3_600).contains(&secs));
    let body: Value = answer.json().await.expect("a problem");
    assert!(
        body["type"]
            .as_str()
            .is_some_and(|kind| kind.ends_with("writes-withheld")),
        "{body}"
    );
}

/// What an owner is told of the buckets.
async fn standing(vault: &Vault, owner: &Owner) -> Value {
    let told = answer(ask(vault, Method::GET, "/v1/exposure", Some(&owner.token))).await;
    assert_eq!(told.status(), 200);
    told.json().await.expect("JSON")
}

/// Status, whether it is degraded, and the word of the buckets.
async fn ready(vault: &Vault) -> (u16, bool, String) {
    let told = answer(ask(vault, Method::GET, "/readyz", None)).await;
    let status = told.status().as_u16();
    let told: Value = told.json().await.expect("JSON");
    let word = told["parts"]["exposure"].as_str().expect("a word").to_owned();
    (status, told["degraded"].as_bool().expect("a flag"), word)
}

fn objects(vault: &Vault) -> Vec<PathBuf> {
    fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => walk(&path, into),
                false => into.push(path),
            }
        }
    }
    let mut all = Vec::new();
    walk(&vault.data().join("objects"), &mut all);
    all.sort();
    all
}

#[tokio::test]
async fn an_open_bucket_takes_no_byte_of_a_clip_and_gives_what_it_has_until_it_is_shut() {
    let vault = watched().start();
    let owner = vault.owner("gate@example.org");
    let device = vault.pair(&owner, "car").await;
    let told = vault.upload(&device, &fixture());
    let clip = told["clip_id"].as_str().expect("a clip").to_owned();
    vault.settled(&owner, &clip).await;
    let vehicle = token(&vault, &device);
    let made = create(&vault, &vehicle).await;
    assert_eq!(made.status(), 201);
    let upload = header(&made, "location").to_owned();
    let upload = &upload[upload.find("/v1/").expect("a path")..];
    assert_eq!(append(&vault, &vehicle, upload, 0, &BYTES[..2_000]).await.status(), 204);
    let before = objects(&vault);
    let told = standing(&vault, &owner).await;
    assert_eq!(
        (&told["verdict"], &told["uploads_wait"], &told["open_since"]),
        (&"private".into(), &false.into(), &Value::Null)
    );
    assert!(told["private_at"].is_string(), "{told}");
    let stranger = answer(ask(&vault, Method::GET, "/v1/exposure", Some(&vehicle))).await;
    assert_eq!(stranger.status(), 403, "a vehicle is no owner");
    assert_eq!(ready(&vault).await, (200, false, "ok".to_owned()));

    set(&vault, 0o755);
    is_withheld(until(503, async || create(&vault, &vehicle).await).await).await;
    is_withheld(append(&vault, &vehicle, upload, 2_000, &BYTES[2_000..]).await).await;
    let head = ask(&vault, Method::HEAD, upload, Some(&vehicle)).header("Tus-Resumable", "1.0.0");
    let head = answer(head).await;
    assert_eq!((head.status().as_u16(), header(&head, "upload-offset")), (200, "2000"));
    let original = format!("/v1/clips/{clip}/original");
    let read = answer(ask(&vault, Method::GET, &original, Some(&owner.token))).await;
    assert_eq!(read.status(), 200);
    assert_eq!(read.bytes().await.unwrap(), std::fs::read(fixture()).unwrap());
    let listed = answer(ask(&vault, Method::GET, "/v1/clips", Some(&owner.token))).await;
    assert_eq!(listed.status(), 200);
    assert_eq!(objects(&vault), before, "nothing came, and nothing was deleted");
    assert!(vault.log().contains("A BUCKET IS OPEN TO STRANGERS"));
    let told = standing(&vault, &owner).await;
    assert_eq!(
        (&told["verdict"], &told["uploads_wait"]),
        (&"exposed".into(), &true.into())
    );
    assert!(
        told["open_since"].is_string() && told["private_at"].is_string(),
        "{told}"
    );
    // It goes on serving, and says to whoever asks why not all of it is well.
    let (status, is_degraded, word) = ready(&vault).await;
    assert!(
        (status, is_degraded) == (200, true) && word.starts_with("EXPOSED"),
        "{word}"
    );
    for secret in ["objects", "data", "folder", "staging"] {
        assert!(!word.contains(secret), "neither bucket nor way: {word}");
    }

    set(&vault, 0o700);
    until(204, async || {
        append(&vault, &vehicle, upload, 2_000, &BYTES[2_000..]).await
    })
    .await;
    assert_eq!(create(&vault, &vehicle).await.status(), 201);
    assert_eq!(standing(&vault, &owner).await["verdict"], "private");
    assert_eq!(ready(&vault).await, (200, false, "ok".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_store_that_is_opened_beneath_the_service_shuts_the_gate_tells_people_and_opens_it_again() {
    let (seaweed, told) = (Seaweed::shared(), Arc::new(Mutex::new(Vec::<Value>::new())));
    let receiver = HttpServer::start({
        let told = told.clone();
        move |request| {
            told.lock()
                .unwrap()
                .extend(serde_json::from_slice::<Value>(&request.body));
            Reply::ok("")
        }
    });
    let secrets = Scratch::new("webhook");
    let secret = secrets.path().join("secret");
    std::fs::write(&secret, format!("whsec_{}\n", data_encoding::BASE64.encode(&[7; 32]))).unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let bucket = seaweed.bucket();
    let vault = watched()
        .on_s3(seaweed, &bucket)
        .env("DASHVAULT_WEBHOOK_URL", receiver.url())
        .args(["--webhook-secret-file", secret.to_str().expect("UTF-8")])
        .start();
    let notice = |kind: &str| {
        let told = told.lock().unwrap();
        told.iter().find(|one| one["type"] == kind).cloned()
    };
    let owner = vault.owner("seaweed@example.org");
    let device = vault.pair(&owner, "car").await;
    let clip = vault.upload(&device, &fixture())["clip_id"]
        .as_str()
        .expect("a clip")
        .to_owned();
    vault.settled(&owner, &clip).await;
    let vehicle = token(&vault, &device);
    let made = create(&vault, &vehicle).await;
    assert_eq!(made.status(), 201);
    let upload = header(&made, "location").to_owned();
    let upload = &upload[upload.find("/v1/").expect("a path")..];
    assert_eq!(append(&vault, &vehicle, upload, 0, &BYTES[..2_000]).await.status(), 204);
    let before = seaweed.names(&bucket);

    seaweed.allow(&bucket, r#""*""#, "GetObject");
    let opened = Instant::now();
    while standing(&vault, &owner).await["verdict"] != "exposed" {
        assert!(opened.elapsed() < SEEN, "not seen open after {SEEN:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let seen = opened.elapsed();
    while notice("bucket-exposed").is_none() {
        assert!(opened.elapsed() < SEEN, "nobody was told after {SEEN:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let alarmed = opened.elapsed();
    is_withheld(until(503, async || create(&vault, &vehicle).await).await).await;
    println!(
        "a store opened beneath the service: seen after {seen:?}, told by webhook after {alarmed:?}, no upload taken after {:?}; \
         rounds of a second, a gate of ten",
        opened.elapsed()
    );
    is_withheld(append(&vault, &vehicle, upload, 2_000, &BYTES[2_000..]).await).await;
    let page = notice("bucket-exposed").expect("told");
    assert_eq!(page["data"]["vault"], vault.url(""), "which vault it is: {page}");
    assert!(notice("writes-withheld").is_some());
    let original = format!("/v1/clips/{clip}/original");
    let read = answer(ask(&vault, Method::GET, &original, Some(&owner.token))).await;
    assert_eq!(
        read.bytes().await.unwrap(),
        std::fs::read(fixture()).unwrap(),
        "reading goes on"
    );
    assert_eq!(ready(&vault).await.0, 200);
    assert_eq!(seaweed.names(&bucket), before, "nothing came, and nothing was deleted");

    seaweed.shut(&bucket);
    until(204, async || {
        append(&vault, &vehicle, upload, 2_000, &BYTES[2_000..]).await
    })
    .await;
    assert_eq!(create(&vault, &vehicle).await.status(), 201);
    assert_eq!(standing(&vault, &owner).await["verdict"], "private");
    let shut = Instant::now();
    while notice("bucket-private-again").is_none() || notice("writes-go-on").is_none() {
        assert!(shut.elapsed() < SEEN, "no all clear after {SEEN:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_gate_that_only_warns_lets_uploads_go_on_and_says_so() {
    let vault = watched().args(["--write-gate", "alert-only"]).start();
    let owner = vault.owner("alert@example.org");
    let vehicle = token(&vault, &vault.pair(&owner, "car").await);
    set(&vault, 0o755);
    let began = Instant::now();
    while !vault.log().contains("a clip is written although the watch warns") {
        assert!(began.elapsed() < SEEN, "no warning after {SEEN:?}");
        assert_eq!(create(&vault, &vehicle).await.status(), 201);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(vault.log().contains("A BUCKET IS OPEN TO STRANGERS"));
}

#[tokio::test]
async fn a_look_ends_with_a_number_for_each_verdict() {
    let mut vault = Vault::setup().start();
    vault.stop();
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let look = |more: &[&str]| {
        let mut command = vault.command(["exposure", "check", "--json", "--data", &data]);
        let out = command.args(more).output().expect("the program");
        let told = String::from_utf8(out.stdout).expect("UTF-8");
        let verdicts: Vec<_> = told
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"))
            .collect();
        (out.status.code(), verdicts)
    };
    let (code, told) = look(&[]);
    assert_eq!(code, Some(0), "{told:?}");
    assert!(
        told.len() == 3 && told.iter().all(|one| one["verdict"] == "private"),
        "{told:?}"
    );
    let (code, told) = look(&["--watch-address", "data=http://127.0.0.1:1"]);
    assert_eq!(
        (code, told[0]["verdict"].as_str()),
        (Some(3), Some("unknown")),
        "{told:?}"
    );
    set(&vault, 0o755);
    let (code, told) = look(&[]);
    assert_eq!(
        (code, told[0]["verdict"].as_str()),
        (Some(4), Some("exposed")),
        "{told:?}"
    );
    set(&vault, 0o700);
    assert_eq!(look(&[]).0, Some(0));
    let nowhere = vault.scratch().join("nowhere");
    let mut command = vault.command(["exposure", "check", "--data"]);
    let out = command.arg(nowhere).output().expect("the program");
    assert_eq!(out.status.code(), Some(1), "it could not look at all");
}

#[tokio::test]
async fn a_look_at_a_service_tells_its_settings_as_lines_and_as_json() {
    let seaweed = Seaweed::shared();
    let vault = Vault::setup().on_s3(seaweed, &seaweed.bucket()).start();
    let account = vault.scratch().join("account");
    let (id, secret) = seaweed.other_account();
    std::fs::write(&account, format!("{id}\n{secret}\n")).unwrap();
    std::fs::set_permissions(&account, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (data, account) = (vault.data().to_str().unwrap(), account.to_str().unwrap());
    let look = ["exposure", "check", "--data", data, "--watch-account-file", account];
    let lines = vault.run_json(look.into_iter().chain(["--json"]));
    let verdicts: Vec<_> = lines.iter().filter(|line| line["verdict"] == "private").collect();
    assert_eq!(verdicts.len(), 3, "{lines:?}");
    assert!(
        verdicts.iter().all(|one| one["asked_as_account"] == true),
        "{verdicts:?}"
    );
    let grade = |setting: &str| {
        let of = lines.iter().filter(|line| line["setting"] == setting);
        of.map(|line| line["grade"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(grade("policy"), ["fine"; 3]);
    assert_eq!(grade("public-access-block"), ["not-checkable"; 3]);
    let told = String::from_utf8(vault.run(look).stdout).unwrap();
    assert!(told.contains("public-access-block not-checkable"), "{told}");
    assert!(!told.contains(secret) && !told.contains(seaweed.secret_key()));
}
