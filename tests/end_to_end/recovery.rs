//! The database burns: owners, vehicles and clips come back from the two buckets and the root key; and `verify` finds what is
//! not as it was sealed.

use std::path::{Path, PathBuf};
use std::process::Output;

use dashvault_test_support::{Owner, Postgres, Seaweed, Vault, client};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{at_scale, road_clip};

const EMAIL: &str = "recovered@example.org";

async fn clips(vault: &Vault, token: &str) -> Value {
    vault.json(Method::GET, "/v1/clips", Some(token), None).await.1["clips"].clone()
}

async fn vehicles(vault: &Vault, token: &str) -> Value {
    let (_, mut listed) = vault.json(Method::GET, "/v1/devices", Some(token), None).await;
    for device in listed["devices"].as_array_mut().expect("vehicles") {
        // When a vehicle spoke last is not in the key plane.
        device.as_object_mut().expect("an object").remove("last_seen_at");
    }
    listed
}

async fn original(vault: &Vault, token: &str, clip: &str) -> Vec<u8> {
    let asked = client().get(vault.url(&format!("/v1/clips/{clip}/original")));
    let answer = asked.bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer.bytes().await.expect("a body").to_vec()
}

/// Signs in with a new link, as an owner does whose token is gone.
async fn sign_in(vault: &Vault) -> String {
    let told = vault.run_json(["owner", "sign-in", "--email", EMAIL, "--data", data(vault), "--json"]);
    let url = told[0]["sign_in_url"].as_str().expect("a link").to_owned();
    let token = url.split('#').nth(1).expect("a token");
    let (status, session) = vault
        .json(Method::POST, "/v1/session", None, Some(&json!({ "token": token })))
        .await;
    assert_eq!(status, 200, "{session}");
    session["session"].as_str().expect("a session").to_owned()
}

fn data(vault: &Vault) -> &str {
    vault.data().to_str().expect("UTF-8")
}

/// Runs a command that may fail.
fn attempt(vault: &Vault, arguments: &[&str]) -> Output {
    let mut command = vault.command(arguments.iter().copied());
    command.args(["--data", data(vault), "--json"]);
    command.output().expect("the program")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

/// Removes what SQLite keeps, or empties the database.
fn burn(vault: &Vault, postgres: Option<(&Postgres, &str)>) {
    match postgres {
        Some((postgres, url)) => {
            postgres.psql(url, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        }
        None => std::fs::remove_dir_all(vault.data().join("catalogue")).expect("the catalogue"),
    }
}

async fn an_owners_world(vault: &Vault) -> (Owner, PathBuf, String) {
    let owner = vault.owner(EMAIL);
    let about = json!({ "label": "wagon", "vin": "WVWZZZ3CZWE112358", "plate": "HH-WR 2718" });
    let (device, _) = vault.pair_with(&owner, &about).await;
    let (sold, _) = vault
        .pair_with(&owner, &json!({ "label": "sold", "vin": null, "plate": null }))
        .await;
    let sold: Value = serde_json::from_slice(&std::fs::read(sold).expect("a device file")).expect("JSON");
    let id = sold["device_id"].as_str().expect("an id");
    let path = format!("/v1/devices/{id}");
    let revoked = vault.json(Method::DELETE, &path, Some(&owner.token), None).await.0;
    assert_eq!(revoked, 204);
    let told = vault.upload(&device, &road_clip());
    let clip = told["clip_id"].as_str().expect("a clip").to_owned();
    assert_eq!(vault.settled(&owner, &clip).await["state"], "ready");
    (owner, device, clip)
}

/// A clip that was erased, which must not come back.
async fn erased(vault: &Vault, owner: &Owner, device: &Path) -> String {
    let file = vault.scratch().join("erased.mp4");
    std::fs::write(&file, &std::fs::read(road_clip()).expect("the clip")[..200_000]).expect("a file");
    let told = vault.upload(device, &file);
    let clip = told["clip_id"].as_str().expect("a clip").to_owned();
    vault.settled(owner, &clip).await;
    let path = format!("/v1/clips/{clip}");
    let now = format!("{path}?now=true");
    let asked = vault.json(Method::DELETE, &now, Some(&owner.token), None).await.0;
    assert!(matches!(asked, 200 | 202 | 204), "{asked}");
    for tries in 0.. {
        if vault.json(Method::GET, &path, Some(&owner.token), None).await.0 == 404 {
            return clip;
        }
        assert!(tries < 300, "the clip is not erased");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    unreachable!()
}

async fn most_bytes(vault: &Vault, token: &str) -> Value {
    let (status, usage) = vault.json(Method::GET, "/v1/usage", Some(token), None).await;
    assert_eq!(status, 200, "{usage}");
    usage["most_bytes"].clone()
}

async fn everything_comes_back(mut vault: Vault, postgres: Option<(&Postgres, &str)>) {
    let (owner, device, clip) = an_owners_world(&vault).await;
    let gone = erased(&vault, &owner, &device).await;
    let before = (clips(&vault, &owner.token).await, vehicles(&vault, &owner.token).await);
    let said = attempt(&vault, &["owner", "quota", "--email", EMAIL, "--bytes", "1000000000"]);
    assert!(said.status.success());
    assert_eq!(most_bytes(&vault, &owner.token).await, 1_000_000_000);
    vault.stop();
    burn(&vault, postgres);

    let done = attempt(&vault, &["recover"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let report = lines(&done).pop().expect("a report");
    for (what, count) in [
        ("owners", 1),
        ("vehicles", 2),
        ("clips", 1),
        ("missing", 0),
        ("orphans", 0),
        ("unreadable", 0),
        ("quotas", 1),
    ] {
        assert_eq!(report[what], count, "{what}: {report}");
    }
    // What the key plane does not hold is not lost in silence.
    let gone_too = report["gone"].as_array().expect("a list");
    for what in ["links", "sessions", "API tokens", "open uploads", "activity", "trash"] {
        assert!(gone_too.contains(&json!(what)), "{what}: {report}");
    }
    let again = attempt(&vault, &["recover"]);
    assert!(!again.status.success());
    assert!(String::from_utf8_lossy(&again.stderr).contains("holds a vault already"));

    vault.start();
    let token = sign_in(&vault).await;
    assert_eq!(clips(&vault, &token).await, before.0);
    assert_eq!(vehicles(&vault, &token).await, before.1);
    assert_eq!(most_bytes(&vault, &token).await, 1_000_000_000);
    assert!(original(&vault, &token, &clip).await == std::fs::read(road_clip()).expect("the clip"));
    assert_eq!(
        vault
            .json(Method::GET, &format!("/v1/clips/{gone}"), Some(&token), None)
            .await
            .0,
        404
    );
    let old = vault.json(Method::GET, "/v1/clips", Some(&owner.token), None).await.0;
    assert_eq!(old, 401, "tokens are in no bucket");
    let verified = attempt(&vault, &["verify", "--all"]);
    assert!(verified.status.success(), "{:?}", lines(&verified));
    assert!(lines(&verified).pop().expect("a report")["objects"].as_u64() > Some(3));
    // The vehicle goes on as before.
    let told = vault.upload(&device, &road_clip());
    assert!(told["receipt"].is_string(), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burnt_sqlite_catalogue_comes_back_from_folders() {
    everything_comes_back(Vault::setup().start(), None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burnt_postgresql_catalogue_comes_back_from_s3() {
    let (postgres, seaweed) = (Postgres::shared(), Seaweed::shared());
    let (setup, _) = at_scale(postgres, seaweed);
    let url = setup.variable("DASHVAULT_DATABASE_URL").expect("an address").to_owned();
    everything_comes_back(setup.start(), Some((postgres, &url))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_recovered_catalogue_serves_nobody_and_is_begun_anew() {
    let mut vault = Vault::setup().start();
    let (_, _, clip) = an_owners_world(&vault).await;
    vault.stop();
    burn(&vault, None);
    assert!(attempt(&vault, &["recover"]).status.success());
    // As a power cut leaves it.
    let file = vault.data().join("catalogue/vault.db");
    let cut = std::process::Command::new("sqlite3")
        .arg(&file)
        .arg("UPDATE recoveries SET finished_at = NULL; DELETE FROM objects")
        .status();
    assert!(cut.expect("sqlite3").success());
    let refused = attempt(&vault, &["owner", "list"]);
    assert!(!refused.status.success());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("dashvault recover"), "{said}");
    let done = attempt(&vault, &["recover"]);
    assert_eq!(lines(&done).pop().expect("a report")["clips"], 1);
    vault.start();
    let token = sign_in(&vault).await;
    assert!(original(&vault, &token, &clip).await == std::fs::read(road_clip()).expect("the clip"));
}

/// The files of the data folder, by name.
fn objects(vault: &Vault) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(vault.data().join("objects"))
        .expect("objects")
        .flatten();
    let files = folders.flat_map(|folder| std::fs::read_dir(folder.path()).expect("a folder").flatten());
    let mut files: Vec<_> = files.map(|file| file.path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_as_it_was_sealed_is_found_and_named() {
    let vault = Vault::setup().start();
    let (_, _, clip) = an_owners_world(&vault).await;
    assert!(attempt(&vault, &["verify", "--all"]).status.success());
    let files = objects(&vault);
    let id = |file: &PathBuf| file.file_name().expect("a name").to_string_lossy().into_owned();
    let mut bytes = std::fs::read(&files[0]).expect("an object");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&files[0], &bytes).expect("it is changed");
    std::fs::remove_file(&files[1]).expect("it is removed");
    let stranger = files[2].with_file_name(format!("{}aaaaaaaaaaaaaaaaaaaaaaaa", &id(&files[2])[..2]));
    std::fs::copy(&files[2], &stranger).expect("a copy");
    let found = attempt(&vault, &["verify", "--all"]);
    assert!(!found.status.success());
    let mut told: Vec<_> = lines(&found)
        .iter()
        .filter(|line| line["finding"].is_string())
        .map(|line| (line["finding"].clone(), line["clip"].clone(), line["object"].clone()))
        .collect();
    told.sort_by_key(|(finding, ..)| finding.to_string());
    assert_eq!(
        told,
        [
            (json!("damaged"), json!(clip), json!(id(&files[0]))),
            (json!("missing"), json!(clip), json!(id(&files[1]))),
            (json!("orphan"), Value::Null, json!(id(&stranger))),
        ]
    );
    assert!(stranger.exists(), "nothing is ever deleted");
}
