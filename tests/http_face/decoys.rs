//! Decoys: who shows one is answered as for any unknown credential, and somebody is told where it was planted.

use std::time::{Duration, Instant};

use dashvault_keys::token::{DeviceKey, sign_pairing_proof};
use data_encoding::BASE64URL_NOPAD;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::world::{World, answer, fragment, text, world};

const KINDS: [&str; 6] = ["owner-token", "file", "sign-in", "link", "device", "pairing-code"];
/// What is written about a use is written beside the request.
const WRITTEN: Duration = Duration::from_secs(20);

struct Decoy {
    id: String,
    kind: &'static str,
    place: String,
    /// What is shown: a token or a code.
    shown: String,
}

fn data(world: &World) -> String {
    world.vault.data().to_str().expect("UTF-8").to_owned()
}

fn add(world: &World, kind: &'static str) -> Decoy {
    let place = format!("shelf for {kind}, {}", crate::world::random());
    let data = data(world);
    let mut told = world.vault.run_json([
        "decoy", "add", "--kind", kind, "--where", &place, "--data", &data, "--json",
    ]);
    let told = told.pop().expect("a line about the decoy");
    let decoy = text(&told, "decoy");
    let shown = match kind {
        "file" => decoy.split_once("TOKEN=").expect("a token in the file").1.to_owned(),
        "sign-in" | "link" => {
            assert!(decoy.starts_with(&world.vault.url("/")), "{decoy}");
            fragment(&decoy).to_owned()
        }
        "device" => token_of(world, &decoy),
        _ => decoy,
    };
    Decoy {
        id: text(&told, "decoy_id"),
        kind,
        place,
        shown,
    }
}

/// A token that the vehicle's own program makes of a device file.
fn token_of(world: &World, device: &str) -> String {
    let file = world.vault.scratch().join(format!("{}.json", crate::world::random()));
    std::fs::write(&file, device).expect("a device file");
    let path = file.to_str().expect("UTF-8");
    let lines = world.vault.run_json(["device", "token", "--device", path, "--json"]);
    text(&lines[0], "token")
}

/// The request in which a thief would use it.
fn use_of(world: &World, decoy: &Decoy) -> RequestBuilder {
    let shown = &decoy.shown;
    match decoy.kind {
        "sign-in" => world
            .ask(Method::POST, "/v1/session", None)
            .json(&json!({ "token": shown })),
        "link" => world
            .ask(Method::POST, "/v1/links/redeem", None)
            .json(&json!({ "token": shown })),
        "pairing-code" => {
            let key = DeviceKey::make();
            let public_key = BASE64URL_NOPAD.encode(&key.public_key());
            let proof = sign_pairing_proof(&key, shown);
            world
                .ask(Method::POST, "/v1/devices", None)
                .json(&json!({ "code": shown, "public_key": public_key, "proof": proof }))
        }
        "device" => world
            .ask(Method::POST, "/v1/uploads", Some(shown))
            .header("tus-resumable", "1.0.0")
            .header("upload-length", "10"),
        _ => world.ask(Method::GET, "/v1/clips", Some(shown)),
    }
}

/// Status, body, and every header that is not of this one answer.
async fn told(world: &World, decoy: &Decoy) -> (u16, Vec<(String, String)>, Value) {
    let answer = answer(use_of(world, decoy)).await;
    let headers = answer.headers().iter().map(|(name, value)| {
        let value = value.to_str().expect("a header of letters");
        (name.to_string(), value.to_owned())
    });
    let own = ["date", "x-request-id"];
    let mut headers: Vec<_> = headers.filter(|(name, _)| !own.contains(&name.as_str())).collect();
    headers.sort();
    let status = answer.status().as_u16();
    (status, headers, answer.json().await.expect("a problem"))
}

fn remove(world: &World, decoy: &Decoy) {
    world.vault.run(["decoy", "remove", &decoy.id, "--data", &data(world)]);
}

fn listed(world: &World, decoy: &Decoy) -> Option<Value> {
    let data = data(world);
    let lines = world.vault.run_json(["decoy", "list", "--data", &data, "--json"]);
    lines.into_iter().find(|line| line["decoy_id"] == decoy.id.as_str())
}

#[tokio::test]
async fn the_use_of_a_decoy_names_where_it_was_planted_and_is_answered_as_any_unknown_credential() {
    let world = world().await;
    let decoys: Vec<_> = KINDS.iter().map(|kind| add(world, kind)).collect();
    let unknown: Vec<_> = KINDS.iter().map(|kind| add(world, kind)).collect();
    for (decoy, unknown) in decoys.iter().zip(&unknown) {
        remove(world, unknown);
        assert_eq!(listed(world, decoy).expect("listed")["uses"], 0, "{}", decoy.kind);
        let expected = told(world, unknown).await;
        assert!([401, 404].contains(&expected.0), "{} {expected:?}", decoy.kind);
        assert_eq!(told(world, decoy).await, expected, "{}", decoy.kind);
    }
    for decoy in &decoys {
        let began = Instant::now();
        let line = loop {
            let line = listed(world, decoy).expect("listed");
            if line["uses"] != 0 {
                break line;
            }
            assert!(began.elapsed() < WRITTEN, "{}: no use was written down", decoy.kind);
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        assert_eq!(
            (&line["uses"], line["where"].as_str()),
            (&json!(1), Some(decoy.place.as_str()))
        );
        assert!(line["first_used_at"].is_string(), "{line}");
    }
    let log = world.vault.log();
    for decoy in &decoys {
        assert!(log.contains(&decoy.place), "{}", decoy.kind);
        assert!(!log.contains(&decoy.shown), "{}: the secret is in the log", decoy.kind);
    }
    assert!(
        unknown.iter().all(|decoy| !log.contains(&decoy.place)),
        "no false alarm"
    );
    let metrics = answer(dashvault_test_support::client().get(world.vault.admin_url("/metrics"))).await;
    let metrics = metrics.text().await.expect("text");
    let uses = metrics
        .lines()
        .find_map(|line| line.strip_prefix("dashvault_decoys_used_total "));
    let uses: u64 = uses.expect("a metric of decoys").parse().expect("a number");
    assert!(uses >= KINDS.len() as u64, "{uses}");
}

#[tokio::test]
async fn whoever_knows_only_a_decoy_vehicles_id_raises_no_alarm() {
    use dashvault_keys::token::{DeviceClaims, parse_device_token, sign_device_token};
    let world = world().await;
    let decoy = add(world, "device");
    let claims: DeviceClaims = parse_device_token(&decoy.shown).expect("its token").claims;
    let forged = Decoy {
        shown: sign_device_token(&DeviceKey::make(), &claims),
        ..add(world, "device")
    };
    assert_eq!(told(world, &forged).await.0, 401);
    assert_eq!(told(world, &decoy).await.0, 401);
    let began = Instant::now();
    while listed(world, &decoy).expect("listed")["uses"] == 0 {
        assert!(began.elapsed() < WRITTEN, "no use was written down");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(
        listed(world, &decoy).expect("listed")["uses"],
        1,
        "the forged one counts for nothing"
    );
}

#[tokio::test]
async fn a_decoy_is_written_to_a_new_file_and_its_secret_is_kept_nowhere() {
    let world = world().await;
    let data = data(world);
    let file = world.vault.scratch().join("export.env");
    let path = file.to_str().expect("UTF-8").to_owned();
    let add = [
        "decoy",
        "add",
        "--kind",
        "file",
        "--where",
        "old laptop",
        "--out",
        &path,
        "--data",
        &data,
        "--json",
    ];
    let told = world.vault.run(add);
    let written = std::fs::read_to_string(&file).expect("the decoy");
    let token = written.trim_end().split_once("TOKEN=").expect("a token").1;
    assert!(token.starts_with("dvo_") && token.len() == 56, "{written}");
    assert!(!String::from_utf8_lossy(&told.stdout).contains(token));
    let kept = std::fs::read(world.vault.data().join("catalogue/vault.db")).expect("the database");
    let wal = std::fs::read(world.vault.data().join("catalogue/vault.db-wal")).unwrap_or_default();
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        holds(&kept, "old laptop") || holds(&wal, "old laptop"),
        "the place is kept"
    );
    assert!(!holds(&kept, token) && !holds(&wal, token));
    let again = world.vault.command(add).output().expect("the program");
    assert!(!again.status.success(), "a file that is there is left alone");
    assert_eq!(std::fs::read_to_string(&file).expect("the decoy"), written);
    let lines = world.vault.run_json(["decoy", "list", "--data", &data, "--json"]);
    let there = lines.iter().filter(|line| line["where"] == "old laptop").count();
    assert_eq!(there, 1, "what could not be written is no decoy");
}
