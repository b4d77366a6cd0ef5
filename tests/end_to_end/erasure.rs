//! Erasures through the real programs, on both kinds of storage: a receipt for the owner, and an older database that cannot
//! bring back what was erased.

use std::path::Path;
use std::time::{Duration, Instant};

use dashvault_keys::receipt::verify_erasure;
use dashvault_keys::tombstone::Erased;
use dashvault_test_support::{Owner, Postgres, Seaweed, Vault, client};
use data_encoding::BASE64URL_NOPAD;
use reqwest::Method;
use serde_json::Value;

use crate::{another_road_clip, at_scale, road_clip};

/// An erasure is seconds of work; a busy machine takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The state of things before the erasures: put aside, and put back into its place later.
struct Older {
    aside: Box<dyn Fn()>,
    back: Box<dyn Fn()>,
}

/// Asks until a signed receipt comes.
async fn receipt(vault: &Vault, path: &str, token: Option<&str>) -> String {
    let started = Instant::now();
    loop {
        let (status, told) = vault.json(Method::GET, path, token, None).await;
        if status == 200 && told["state"] == "erased" {
            return told["receipt"].as_str().expect("a receipt").to_owned();
        }
        assert!(status == 200 && told["state"] == "erasing", "{status} {told}");
        assert!(started.elapsed() < PATIENCE, "no receipt: {told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn status(vault: &Vault, path: &str, token: &str) -> u16 {
    let asked = client().get(vault.url(path)).bearer_auth(token);
    asked.send().await.expect("an answer").status().as_u16()
}

/// The key that a vehicle keeps from its pairing.
fn vault_key(device: &Path) -> [u8; 32] {
    let told: Value = serde_json::from_slice(&std::fs::read(device).expect("a device file")).expect("JSON");
    let key = told["vault_public_key"].as_str().expect("the vault's key");
    let key = BASE64URL_NOPAD.decode(key.as_bytes()).expect("base64url");
    key.try_into().expect("32 bytes")
}

async fn clip_of(vault: &Vault, owner: &Owner, device: &Path, file: &Path) -> String {
    let told = vault.upload(device, file);
    let id = told["clip_id"].as_str().expect("a clip").to_owned();
    assert_eq!(vault.settled(owner, &id).await["state"], "ready");
    id
}

/// Erases a clip and an owner, then puts the older database back: both are erased again, and everybody else's clip plays.
async fn what_is_erased_stays_erased(mut vault: Vault, older: Older) {
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let (anna, bert) = (vault.owner("anna@example.org"), vault.owner("bert@example.org"));
    let device = vault.pair(&anna, "the red one").await;
    // The same bytes of the same vehicle would be the same clip.
    let another = another_road_clip(vault.scratch());
    let (kept, gone) = (
        clip_of(&vault, &anna, &device, &road_clip()).await,
        clip_of(&vault, &anna, &device, &another).await,
    );
    assert_ne!(kept, gone);
    let of_bert = vault.pair(&bert, "the blue one").await;
    let left = clip_of(&vault, &bert, &of_bert, &road_clip()).await;
    let key = vault_key(&device);
    vault.stop();
    (older.aside)();
    vault.start();

    let now = format!("/v1/clips/{gone}?now=true");
    let (asked, told) = vault.json(Method::DELETE, &now, Some(&anna.token), None).await;
    assert_eq!(asked, 200, "{told}");
    let of_clip = format!("/v1/clips/{gone}/erasure");
    let text = receipt(&vault, &of_clip, Some(&anna.token)).await;
    let said = verify_erasure(&text, &key).expect("signed by the key that the vehicle keeps");
    assert_eq!(said.what, Erased::Clip);
    assert!(said.ordered_at_ms <= said.done_at_ms);
    assert_eq!(
        status(&vault, &of_clip, &bert.token).await,
        404,
        "another's erasure is not told"
    );

    let lines = vault.run_json([
        "owner",
        "erase",
        "--email",
        "bert@example.org",
        "--yes",
        "--wait",
        "--data",
        &data,
        "--json",
    ]);
    let printed = lines[1]["receipt"].as_str().expect("the receipt is printed");
    assert_eq!(
        verify_erasure(printed, &key).expect("it is the vault's").what,
        Erased::Owner
    );
    let public = format!("/v1/erasures/{}", lines[0]["erasure_id"].as_str().expect("an id"));
    assert_eq!(receipt(&vault, &public, None).await, printed);

    vault.stop();
    (older.back)();
    vault.start();
    // From the first answer on: nothing of the erased, and everything of the others.
    assert_eq!(
        status(&vault, &format!("/v1/clips/{gone}/original"), &anna.token).await,
        404
    );
    assert_eq!(status(&vault, "/v1/me", &bert.token).await, 401);
    assert_eq!(
        status(&vault, &format!("/v1/clips/{left}/original"), &bert.token).await,
        401
    );
    assert_eq!(
        status(&vault, &format!("/v1/clips/{kept}/original"), &anna.token).await,
        200
    );
    assert!(vault.log().contains("they are erased again"), "{}", vault.log());
    let again = receipt(&vault, &of_clip, Some(&anna.token)).await;
    let again = verify_erasure(&again, &key).expect("it is the vault's");
    assert_eq!((again.subject, again.ordered_at_ms), (said.subject, said.ordered_at_ms));
    let listed = vault.run_json(["owner", "list", "--data", &data, "--json"]);
    assert_eq!(
        listed.iter().map(|owner| &owner["email"]).collect::<Vec<_>>(),
        ["anna@example.org"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_sqlite_database_brings_back_nothing_that_was_erased() {
    let vault = Vault::setup().prepare();
    let catalogue = vault.data().join("catalogue");
    let aside = vault.scratch().join("older");
    let mut vault = vault;
    vault.start();
    let (from, to) = (catalogue.clone(), aside.clone());
    let older = Older {
        aside: Box::new(move || copy(&from, &to)),
        back: Box::new(move || copy(&aside, &catalogue)),
    };
    what_is_erased_stays_erased(vault, older).await;
}

/// Puts the files of one folder in the place of another's.
fn copy(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    std::fs::create_dir_all(to).expect("a folder");
    for file in std::fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_postgresql_database_beside_the_bucket_brings_back_nothing_that_was_erased() {
    let (postgres, seaweed) = (Postgres::shared(), Seaweed::shared());
    let (setup, _) = at_scale(postgres, seaweed);
    let url = setup.variable("DASHVAULT_DATABASE_URL").expect("a database").to_owned();
    let name = url.rsplit('/').next().expect("a name").to_owned();
    // Any other database: one cannot be copied or replaced by whoever is connected to it.
    let (aside_from, back_from) = (postgres.database(), postgres.database());
    let (aside, back) = (name.clone(), name);
    let older = Older {
        aside: Box::new(move || {
            postgres.psql(&aside_from, &format!("CREATE DATABASE {aside}_older TEMPLATE {aside}"));
        }),
        back: Box::new(move || {
            postgres.psql(&back_from, &format!("DROP DATABASE {back}"));
            postgres.psql(&back_from, &format!("ALTER DATABASE {back}_older RENAME TO {back}"));
        }),
    };
    what_is_erased_stays_erased(setup.start(), older).await;
}
