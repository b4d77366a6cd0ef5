//! Vehicles that come back after an outage, many at once and all behind one address, as behind a carrier's translation: each clip
//! arrives, and the vault is asked no faster than it can bear.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dashvault_client::{Client, Clips, Courier, CourierOptions, Device, News, Uploaded, decoy_device_file};
use dashvault_keys::token::{DeviceKey, sign_pairing_proof};
use dashvault_test_support::{Owner, Setup, Vault, client, rounds, torture};
use data_encoding::BASE64URL_NOPAD;
use futures_util::{StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::{Value, json};

/// Vehicles of one owner; a code for each is made by the owner.
const EACH_OWNER: usize = 100;
/// Pairings, and questions, under way at once.
const AT_ONCE: usize = 16;
/// The clips that came first, whose receipts are waited for: sealing all takes the two cores longer than receiving.
const RECEIPTS: usize = 8;
/// What the vault is asked at most within a second, a share of the vehicles that wait for it. By then most pauses are drawn
/// from up to four or eight seconds, and what is left of them falls into their first second with at most 2 / 4; a vehicle
/// makes two requests, and a vault that takes them as they come calls nobody back. Vehicles that make no pauses come to 1.6.
const PEAK_SHARE: f64 = 1.0;
/// Requests that a vehicle makes at most: a question and the bytes, and both again of those that are told to come later.
const REQUESTS_EACH: f64 = 6.0;
const GIVE_UP: Duration = Duration::from_secs(1800);

/// Which vehicles are done, in order, and the clip that the vault says it has of each.
type Done = Mutex<Vec<(usize, String)>>;

struct Vehicle {
    device: PathBuf,
    clip: PathBuf,
}

impl Vehicle {
    /// Brings its clip, through whatever happens, as the program does; with the receipt if that is waited for.
    async fn bring(&self, waits: bool) -> Uploaded {
        let client = Client::new(Device::load(&self.device).expect("a device"), None).expect("a client");
        let clips = Clips::Files(vec![self.clip.clone()]);
        let options = CourierOptions {
            wait: waits,
            ..CourierOptions::new(clips, self.device.with_extension("queue"))
        };
        let end = Mutex::new(None);
        let tell = |news: News| {
            if let News::Sent(uploaded) | News::Delivered(uploaded) = news {
                *end.lock().expect("whole") = Some(uploaded);
            }
        };
        let ended = Courier::open(client, options).expect("a courier").run(&tell).await;
        ended.unwrap_or_else(|error| panic!("{}: {error}", self.clip.display()));
        end.into_inner().expect("whole").expect("it was taken")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_comes_back_after_an_outage_without_a_rush_and_without_a_lost_clip() {
    let count = rounds("vehicles that come back after an outage", 500, 10_000) as usize;
    comes_back(count, Vault::setup()).await;
    if torture() {
        // Where temporary files lie in memory, that was its speed. The build folder lies on a disk.
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let count = rounds("vehicles that come back to a vault on a disk", 0, 2_000) as usize;
        comes_back(count, Vault::setup().data(data.path())).await;
    }
}

async fn comes_back(count: usize, setup: Setup) {
    allow_files();
    let setup = setup.args([
        "--behind-proxy",
        "127.0.0.1/32",
        "--public-url",
        "https://vault.example.org",
        "--keyring-beside-data",
    ]);
    let mut vault = setup.start();
    let http = client();
    let fleet = Arc::new(fleet(&http, &vault, count).await);

    let done = Arc::new(Mutex::new(Vec::new()));
    let sending: Vec<_> = (0..count)
        .map(|n| tokio::spawn(send(Arc::clone(&fleet), n, Arc::clone(&done))))
        .collect();
    while come(&done) < count / 5 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let before = come(&done);
    vault.kill();
    // The pauses double, so vehicles that wait longer are spread wider.
    tokio::time::sleep(Duration::from_millis(5000 + 2 * count as u64)).await;
    tokio::task::block_in_place(|| vault.start());

    let (began, mut asked) = (Instant::now(), vec![(Instant::now(), 0)]);
    while come(&done) < count {
        assert!(began.elapsed() < GIVE_UP, "{} of {count} came", come(&done));
        tokio::time::sleep(Duration::from_millis(100)).await;
        asked.push((Instant::now(), requests(&http, &vault).await));
    }
    let drained = began.elapsed();
    for vehicle in sending {
        vehicle.await.expect("a vehicle");
    }
    let (peak, total, waiting) = (peak_a_second(&asked), asked.last().expect("a count").1, count - before);
    println!(
        "{waiting} of {count} vehicles came back within {:.1} s: {total} requests, at most {peak:.0} a second",
        drained.as_secs_f64()
    );
    assert!(peak <= PEAK_SHARE * waiting as f64, "a rush: {peak} in a second");
    assert!(
        total as f64 <= REQUESTS_EACH * waiting as f64,
        "{total} requests for {waiting} vehicles"
    );
    let done = std::mem::take(&mut *done.lock().expect("whole"));
    every_clip_is_there(&fleet, done).await;
}

fn come(done: &Done) -> usize {
    done.lock().expect("whole").len()
}

/// Uploads until every byte is durable, through whatever happens.
async fn send(fleet: Arc<Vec<Vehicle>>, n: usize, done: Arc<Done>) {
    let sent = fleet[n].bring(false).await;
    done.lock().expect("whole").push((n, sent.clip_id));
}

/// Asks of each clip whether the vault has all of it, and of the first for the signed receipt.
async fn every_clip_is_there(fleet: &[Vehicle], done: Vec<(usize, String)>) {
    let asked = stream::iter(done.into_iter().enumerate()).map(async |(place, (n, id))| {
        let waits = place < RECEIPTS;
        let told = fleet[n].bring(waits).await;
        // The client asks where the upload is that it remembers; of one that was lost it would begin another.
        assert_eq!(told.clip_id, id, "vehicle {n}");
        assert_eq!(told.receipt.is_some(), waits);
        id
    });
    let ids: HashSet<_> = asked.buffer_unordered(AT_ONCE).collect().await;
    assert_eq!(ids.len(), fleet.len(), "a clip for each vehicle");
}

/// The most requests that came within any second.
fn peak_a_second(asked: &[(Instant, u64)]) -> f64 {
    let rates = asked.iter().enumerate().filter_map(|(n, (at, count))| {
        let (then, before) = asked[n..]
            .iter()
            .find(|(then, _)| then.duration_since(*at).as_secs_f64() >= 1.0)?;
        Some((before - count) as f64 / then.duration_since(*at).as_secs_f64())
    });
    rates.fold(0.0, f64::max)
}

/// How many requests the service has answered since it started, refusals included.
async fn requests(http: &reqwest::Client, vault: &Vault) -> u64 {
    let asked = http.get(vault.admin_url("/metrics")).send().await.expect("an answer");
    let text = asked.text().await.expect("numbers");
    let of_vehicles = text
        .lines()
        .filter(|line| line.starts_with("dashvault_http_requests_total") && !line.contains("/readyz"));
    of_vehicles
        .map(|line| {
            line.rsplit(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok())
                .expect("a count")
        })
        .sum()
}

/// Pairs so many vehicles, each with a clip of its own.
async fn fleet(http: &reqwest::Client, vault: &Vault, count: usize) -> Vec<Vehicle> {
    let owners: Vec<_> = (0..count.div_ceil(EACH_OWNER))
        .map(|n| vault.owner(&format!("fleet-{n}@example.org")))
        .collect();
    let paired = stream::iter(0..count).map(|n| vehicle(http, vault, &owners[n % owners.len()], n));
    paired.buffer_unordered(AT_ONCE).collect().await
}

async fn vehicle(http: &reqwest::Client, vault: &Vault, owner: &Owner, n: usize) -> Vehicle {
    let wish = json!({ "label": format!("van {n}") });
    let (status, made) = post(
        http,
        &vault.url("/v1/devices/pairing-codes"),
        n,
        Some(&owner.token),
        &wish,
    )
    .await;
    assert_eq!(status, 201, "{made}");
    let (code, key) = (made["code"].as_str().expect("a code"), DeviceKey::make());
    let public_key = BASE64URL_NOPAD.encode(&key.public_key());
    let proof = json!({ "code": code, "public_key": public_key, "proof": sign_pairing_proof(&key, code) });
    let (status, paired) = post(http, &vault.url("/v1/devices"), n, None, &proof).await;
    assert_eq!(status, 201, "{paired}");
    let vault_key = paired["vault_public_key"].as_str().expect("a key").as_bytes();
    let vault_key: [u8; 32] = BASE64URL_NOPAD
        .decode(vault_key)
        .expect("base64")
        .try_into()
        .expect("32 bytes");
    let id = paired["device_id"].as_str().expect("an id");
    let folder = vault.scratch().join(format!("vehicle-{n}"));
    std::fs::create_dir(&folder).expect("a folder");
    let (file, clip) = (folder.join("device.json"), folder.join("clip.mp4"));
    std::fs::write(&file, decoy_device_file(&vault.url(""), id, &key, &vault_key)).expect("a device file");
    std::fs::write(&clip, noise(n)).expect("a clip");
    Vehicle { device: file, clip }
}

/// 2 to 32 KiB that no other vehicle has.
fn noise(n: usize) -> Vec<u8> {
    let mut bytes = vec![0; (2 + n % 31) << 10];
    let mut state = n as u64 + 1;
    for byte in &mut bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *byte = (state >> 56) as u8;
    }
    bytes
}

/// Asks for somebody at an address of their own, for pairing is limited for each; a vault that is busy is asked again.
async fn post(http: &reqwest::Client, url: &str, n: usize, token: Option<&str>, body: &Value) -> (StatusCode, Value) {
    for _ in 0..100 {
        let mut asked = http
            .post(url)
            .header("X-Forwarded-For", format!("10.{}.{}.1", n / 250, n % 250))
            .json(body);
        if let Some(token) = token {
            asked = asked.bearer_auth(token);
        }
        let answer = asked.send().await.expect("an answer");
        if answer.status() != 503 {
            return (answer.status(), answer.json().await.expect("JSON"));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("{url} is never answered");
}

/// A connection for each vehicle, at both ends.
fn allow_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).expect("as many files as are allowed");
}
