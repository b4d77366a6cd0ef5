//! A clip in through the vehicle, out to its owner and, in part, to an insurer, on both kinds of storage.

use std::process::Command;

use dashvault_test_support::{Owner, Postgres, Seaweed, Vault, client, python};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{at_scale, road_clip};

/// Words that no copy of bucket, database, log or metrics may hold.
const EMAIL: &str = "thaddeus.wren@planted.example";
const LABEL: &str = "Wren family wagon";
const VIN: &str = "WVWZZZ3CZWE112358";
const PLATE: &str = "HH-WR 2718";
const RECIPIENT: &str = "loss.adjuster@planted.example";

/// Everything that is secret or an owner's.
fn planted(owner: &Owner) -> Vec<String> {
    let mut words = [EMAIL, LABEL, VIN, PLATE, RECIPIENT, "carnd_solidWhiteRight"]
        .map(str::to_owned)
        .to_vec();
    words.push(owner.token.clone());
    words.push(owner.sign_in_url.split('#').nth(1).expect("a fragment").to_owned());
    words
}

async fn get(vault: &Vault, path: &str, token: &str) -> (u16, Vec<u8>) {
    let answer = client()
        .get(vault.url(path))
        .bearer_auth(token)
        .send()
        .await
        .expect("an answer");
    (answer.status().as_u16(), answer.bytes().await.expect("a body").to_vec())
}

/// Upload, playback, a link, its opening and its revocation; the owner, the clip and the secrets that were handed out.
async fn whole_way(vault: &Vault) -> (Owner, String, Vec<String>) {
    let owner = vault.owner(EMAIL);
    let mut secrets = planted(&owner);
    let about = json!({ "label": LABEL, "vin": VIN, "plate": PLATE });
    let (device, code) = vault.pair_with(&owner, &about).await;
    let told = vault.upload(&device, &road_clip());
    let id = told["clip_id"].as_str().expect("a clip").to_owned();
    let clip = vault.settled(&owner, &id).await;
    assert_eq!(clip["state"], "ready", "{clip}");

    let plain = std::fs::read(road_clip()).expect("the clip");
    let (status, original) = get(vault, &format!("/v1/clips/{id}/original"), &owner.token).await;
    assert_eq!((status, original == plain), (200, true));
    // Brought once more: the vault has it from this vehicle, and signs for the same clip.
    let again = vault.upload(&device, &road_clip());
    assert_eq!(
        (&again["clip_id"], &again["receipt"]),
        (&told["clip_id"], &told["receipt"])
    );
    for rendition in clip["renditions"].as_array().expect("a list") {
        let name = rendition["name"].as_str().expect("a name");
        let (status, video) = get(vault, &format!("/v1/clips/{id}/renditions/{name}.mp4"), &owner.token).await;
        assert_eq!((status, &video[4..8]), (200, &b"ftyp"[..]), "{name}");
    }
    let (status, playlist) = get(vault, &format!("/v1/clips/{id}/hls/main.m3u8"), &owner.token).await;
    assert_eq!((status, playlist.starts_with(b"#EXTM3U")), (200, true));
    let (status, poster) = get(vault, &format!("/v1/clips/{id}/poster.jpg"), &owner.token).await;
    assert_eq!((status, &poster[..2]), (200, &[0xff, 0xd8][..]));

    secrets.extend(share(vault, &owner, &id).await);
    secrets.push(code);
    (owner, id, secrets)
}

/// Makes a link, opens it, watches it, revokes it.
async fn share(vault: &Vault, owner: &Owner, clip: &str) -> Vec<String> {
    let wish = json!({ "recipient": RECIPIENT, "expires_in_s": 3600, "from_ms": 2000, "to_ms": 6500, "audio": false,
                       "location": false, "download": false, "max_opens": 2 });
    let (status, link) = vault
        .json(
            Method::POST,
            &format!("/v1/clips/{clip}/links"),
            Some(&owner.token),
            Some(&wish),
        )
        .await;
    assert!(matches!(status, 200 | 201), "{link}");
    let token = link["url"]
        .as_str()
        .and_then(|u| u.split('#').nth(1))
        .expect("a token")
        .to_owned();
    let redeem = json!({ "token": token });
    let (status, opened) = vault.json(Method::POST, "/v1/links/redeem", None, Some(&redeem)).await;
    assert_eq!(status, 200, "{opened}");
    let session = opened["session"].as_str().expect("a session").to_owned();
    for tries in 0.. {
        let (status, shared) = vault.json(Method::GET, "/v1/shared", Some(&session), None).await;
        assert_eq!(status, 200, "{shared}");
        match shared["media"]["state"].as_str() {
            Some("ready") => break,
            Some("preparing") if tries < 600 => tokio::time::sleep(std::time::Duration::from_millis(200)).await,
            _ => panic!("{shared}"),
        }
    }
    let (_, shared) = vault.json(Method::GET, "/v1/shared", Some(&session), None).await;
    let name = shared["clip"]["renditions"][0]["name"]
        .as_str()
        .expect("a rendition")
        .to_owned();
    let (status, part) = get(vault, &format!("/v1/shared/renditions/{name}.mp4"), &session).await;
    assert_eq!(status, 200);
    assert_lasts(vault, &part, 4.5);
    // The link opens nothing of the owner's.
    assert_ne!(get(vault, &format!("/v1/clips/{clip}/original"), &session).await.0, 200);

    let id = link["id"].as_str().expect("an id");
    let (status, _) = vault
        .json(Method::DELETE, &format!("/v1/links/{id}"), Some(&owner.token), None)
        .await;
    assert!(matches!(status, 200 | 204));
    assert_ne!(get(vault, "/v1/shared", &session).await.0, 200);
    let (status, refused) = vault.json(Method::POST, "/v1/links/redeem", None, Some(&redeem)).await;
    assert_eq!(status, 410, "{refused}");
    vec![token, session]
}

/// The part of a clip that was shared lasts as long as it was cut.
fn assert_lasts(vault: &Vault, video: &[u8], seconds: f64) {
    let file = vault.scratch().join("part.mp4");
    std::fs::write(&file, video).expect("a file");
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(&file)
        .output()
        .expect("ffprobe");
    let text = String::from_utf8_lossy(&out.stdout);
    let lasts: f64 = text.trim().parse().unwrap_or_else(|_| panic!("ffprobe said {text:?}"));
    assert!((lasts - seconds).abs() < 0.3, "lasts {lasts} s");
}

/// Logs and metrics hold nothing of what was planted, and no secret that was handed out.
async fn assert_silent(vault: &Vault, secrets: &[String]) {
    let metrics = client().get(vault.admin_url("/metrics")).send().await.expect("metrics");
    let metrics = metrics.text().await.expect("text");
    assert!(metrics.contains("# TYPE"), "{metrics}");
    let log = vault.log();
    assert!(log.lines().count() > 5, "{log}");
    for word in secrets {
        assert!(!log.contains(word.as_str()), "the log holds {word}");
        assert!(!metrics.contains(word.as_str()), "the metrics hold {word}");
    }
}

fn planted_file(vault: &Vault) -> std::path::PathBuf {
    let file = vault.scratch().join("planted.json");
    let words: serde_json::Map<String, Value> = [EMAIL, LABEL, VIN, PLATE, RECIPIENT, "carnd_solidWhiteRight_960x540"]
        .into_iter()
        .map(|word| (word.to_owned(), word.into()))
        .collect();
    std::fs::write(&file, json!({ "words": words }).to_string()).expect("a file");
    file
}

/// Runs the thief of tests/outside on a copy of the bucket and a dump of the database.
fn thief(vault: &Vault, bucket: &std::path::Path, dump: &std::path::Path) -> (bool, String) {
    let out = Command::new(python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/outside/thief.py"))
        .arg("--bucket")
        .arg(bucket)
        .arg("--dump")
        .arg(dump)
        .arg("--planted")
        .arg(planted_file(vault))
        .output()
        .expect("the thief");
    let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    (out.status.success(), said)
}

#[tokio::test]
async fn a_folder_and_sqlite() {
    let mut vault = Vault::setup().start();
    let (owner, clip, secrets) = whole_way(&vault).await;
    assert_silent(&vault, &secrets).await;
    // All of it is there after a restart.
    vault.stop();
    vault.start();
    let (status, original) = get(&vault, &format!("/v1/clips/{clip}/original"), &owner.token).await;
    assert_eq!(
        (status, original.len() as u64),
        (200, std::fs::metadata(road_clip()).expect("the clip").len())
    );
}

#[tokio::test]
async fn s3_and_postgres() {
    let (postgres, seaweed) = (Postgres::shared(), Seaweed::shared());
    let (setup, bucket) = at_scale(postgres, seaweed);
    let database = postgres_of(&setup);
    let vault = setup.start();
    let (_, _, secrets) = whole_way(&vault).await;
    assert_silent(&vault, &secrets).await;

    let stolen = vault.scratch().join("stolen");
    std::fs::create_dir(&stolen).expect("a folder");
    let names = seaweed.names(&bucket);
    assert!(names.len() >= 4, "{names:?}");
    for name in &names {
        let file = stolen.join(name.replace('/', "-"));
        std::fs::write(file, seaweed.object(&bucket, name)).expect("a file");
    }
    let dump = vault.scratch().join("dump.sql");
    let text = postgres.dump(&database);
    assert!(text.contains("COPY public.devices"), "{}", &text[..500]);
    std::fs::write(&dump, &text).expect("a file");
    let (nothing, said) = thief(&vault, &stolen, &dump);
    assert!(nothing, "{said}");
    // The same thief finds a column that is not sealed.
    std::fs::write(&dump, text + &format!("INSERT INTO devices VALUES ('{VIN}')")).expect("a file");
    let (nothing, said) = thief(&vault, &stolen, &dump);
    assert!(!nothing && said.contains(VIN), "{said}");
}

fn postgres_of(setup: &dashvault_test_support::Setup) -> String {
    setup
        .variable("DASHVAULT_DATABASE_URL")
        .expect("the database")
        .to_owned()
}
