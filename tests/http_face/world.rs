//! One vault with an owner, a stranger, their vehicles, a clip that is ready and a link to it, shared by the tests.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dashvault_test_support::{Owner, Vault, client};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// Making a link's media: a few seconds of video on two busy cores.
const LINK: Duration = Duration::from_secs(180);

pub const EMAIL: &str = "kim.planted@example.org";
pub const LABEL: &str = "planted-label-7f3a";
pub const VIN: &str = "WVWZZZ1JZXW424242";
pub const PLATE: &str = "PL ANT 77";
pub const FILE_NAME: &str = "planted-file-name-51c9.mp4";
pub const RECIPIENT: &str = "planted.recipient@insurer.example";
pub const LATITUDE: &str = "48.858370";
pub const LONGITUDE: &str = "2.294481";

pub struct World {
    pub vault: Vault,
    pub owner: Owner,
    pub stranger: Owner,
    /// Tokens of the owner's and of the stranger's vehicle.
    pub vehicle: String,
    pub strange_vehicle: String,
    pub device_id: String,
    pub clip: String,
    /// The clip's bytes as uploaded.
    pub bytes: Vec<u8>,
    pub link: String,
    pub link_url: String,
    /// A session of the link, and one of a link to a clip of the stranger's.
    pub viewer: String,
    pub strange_viewer: String,
}

/// The world, made once.
pub async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD.get_or_init(World::make).await
}

impl World {
    async fn make() -> Self {
        let vault = Vault::setup().start();
        let owner = vault.owner(EMAIL);
        let stranger = vault.owner("stranger@example.org");
        let file = vault.scratch().join(FILE_NAME);
        std::fs::copy(fixture(), &file).expect("a copy of the clip");
        let bytes = std::fs::read(&file).expect("the clip");

        let about = json!({ "label": LABEL, "vin": VIN, "plate": PLATE });
        let (device, _) = vault.pair_with(&owner, &about).await;
        let strange_device = vault.pair(&stranger, "car").await;
        let clip = uploaded(&vault, &device, &file);
        let strange_clip = uploaded(&vault, &strange_device, &file);
        for (owner, clip) in [(&owner, &clip), (&stranger, &strange_clip)] {
            let settled = vault.settled(owner, clip).await;
            assert_eq!(settled["state"], "ready", "{settled}");
        }
        let (link, link_url) = shared(&vault, &owner, &clip).await;
        let (_, strange_url) = shared(&vault, &stranger, &strange_clip).await;
        let viewer = redeemed(&vault, &link_url).await;
        let strange_viewer = redeemed(&vault, &strange_url).await;
        let (_, devices) = vault.json(Method::GET, "/v1/devices", Some(&owner.token), None).await;
        let device_id = text(&devices["devices"][0], "id");
        let world = Self {
            vehicle: token(&vault, &device),
            strange_vehicle: token(&vault, &strange_device),
            vault,
            owner,
            stranger,
            device_id,
            clip,
            bytes,
            link,
            link_url,
            viewer,
            strange_viewer,
        };
        world.link_is_ready().await;
        world
    }

    async fn link_is_ready(&self) {
        let began = Instant::now();
        loop {
            let (status, shared) = self
                .vault
                .json(Method::GET, "/v1/shared", Some(&self.viewer), None)
                .await;
            assert_eq!(status, 200, "{shared}");
            match shared["media"]["state"].as_str() {
                Some("ready") => return,
                Some("preparing") => assert!(began.elapsed() < LINK, "{shared}"),
                _ => panic!("{shared}"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// A request with a bearer text.
    pub fn ask(&self, method: Method, path: &str, bearer: Option<&str>) -> RequestBuilder {
        ask(&self.vault, method, path, bearer)
    }

    /// A fresh owner, for what ends a session or an account.
    pub fn passer_by(&self) -> Owner {
        self.vault.owner(&format!("passer-by-{}@example.org", random()))
    }
}

pub fn ask(vault: &Vault, method: Method, path: &str, bearer: Option<&str>) -> RequestBuilder {
    let request = client().request(method, vault.url(path));
    match bearer {
        Some(bearer) => request.bearer_auth(bearer),
        None => request,
    }
}

/// Sends, and has an answer.
pub async fn answer(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

pub fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clips/carnd_solidWhiteRight_960x540.mp4")
}

pub fn header<'a>(answer: &'a Response, name: &str) -> &'a str {
    answer
        .headers()
        .get(name)
        .map_or("", |v| v.to_str().expect("a header of letters"))
}

pub fn text(value: &Value, name: &str) -> String {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("{name} in {value}"))
        .to_owned()
}

/// 26 letters that name nothing.
pub fn random() -> String {
    dashvault::model::ClipId::random().to_string()
}

/// The token behind the `#` of a link.
pub fn fragment(url: &str) -> &str {
    url.split_once('#').expect("a fragment").1
}

pub fn token(vault: &Vault, device: &Path) -> String {
    let lines = vault.run_json(["device", "token", "--device", device.to_str().expect("UTF-8"), "--json"]);
    text(&lines[0], "token")
}

fn uploaded(vault: &Vault, device: &Path, file: &Path) -> String {
    text(&vault.upload(device, file), "clip_id")
}

async fn shared(vault: &Vault, owner: &Owner, clip: &str) -> (String, String) {
    let wish = json!({
        "recipient": RECIPIENT, "expires_in_s": 3600, "from_ms": 1000, "to_ms": 3000,
        "audio": false, "location": false, "download": true, "max_opens": 50,
    });
    let path = format!("/v1/clips/{clip}/links");
    let (status, made) = vault.json(Method::POST, &path, Some(&owner.token), Some(&wish)).await;
    assert_eq!(status, 201, "{made}");
    (text(&made, "id"), text(&made, "url"))
}

async fn redeemed(vault: &Vault, url: &str) -> String {
    let token = json!({ "token": fragment(url) });
    let (status, body) = vault.json(Method::POST, "/v1/links/redeem", None, Some(&token)).await;
    assert_eq!(status, 200, "{body}");
    text(&body, "session")
}
