//! Data folders made by earlier releases, frozen in tests/fixtures/data-folders, opened by today's program.
//!
//! Each test works on copies. With the real program it is today, and what has ended by now has ended; with the rooms the
//! clock stands on the day the folder was made, so that its link lives and its trash can be undone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use dashvault::access::{self, Access, AccessError, OwnerSession, Principal, ReadGrant};
use dashvault::audit::Audit;
use dashvault::catalog::{self, Catalog};
use dashvault::ingest::{self, Body, Ingest};
use dashvault::library::{Library, What};
use dashvault::model::{ByteRange, ClipId, ClipState, Clock as _, FixedClock, SystemClock};
use dashvault::store::{self, Store};
use dashvault::vault::{self, Vault as VaultRoom};
use dashvault_keys::digest;
use dashvault_test_support::{Owner, Scratch, Vault, client};
use futures_util::TryStreamExt as _;
use reqwest::Method;
use serde_json::{Value, json};

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// What a release's folder holds, as the program of its time told it.
struct Frozen {
    name: String,
    about: Value,
}

/// Every folder there is.
fn folders() -> Vec<Frozen> {
    let entries = std::fs::read_dir(fixtures().join("data-folders")).expect("the frozen folders");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| Frozen {
            name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
            about: serde_json::from_slice(&std::fs::read(&path).expect("what is in it")).expect("JSON"),
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(!found.is_empty(), "no frozen folder: see tests/fixtures/data-folders");
    found
}

impl Frozen {
    /// A copy of the folder beneath `dir`, with the modes it was packed with.
    fn unpack(&self, dir: &Path) -> PathBuf {
        let archive = fixtures().join(format!("data-folders/{}.tar.gz", self.name));
        let unpacked = Command::new("tar")
            .args(["--extract", "--gzip", "--same-permissions", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(dir)
            .status()
            .expect("tar");
        assert!(unpacked.success(), "{unpacked}");
        dir.join("data")
    }

    fn text(&self, pointer: &str) -> &str {
        let found = self.about.pointer(pointer).and_then(Value::as_str);
        found.unwrap_or_else(|| panic!("{} tells no {pointer}", self.name))
    }

    fn made_at(&self) -> i64 {
        self.about["made_at_ms"].as_i64().expect("when it was made")
    }

    fn clip(&self, pointer: &str) -> ClipId {
        self.text(pointer).parse().expect("a clip's id")
    }

    fn original(&self, which: &str) -> Vec<u8> {
        let name = self.text(&format!("/{which}/original"));
        std::fs::read(fixtures().join("clips").join(name)).expect("the clip that was uploaded")
    }

    /// Names and digests of the ready clip's renditions.
    fn fragments(&self) -> Vec<(String, String)> {
        let told = self.about["ready"]["fragments"].as_object().expect("its renditions");
        assert!(!told.is_empty());
        told.iter()
            .map(|(name, sha256)| (name.clone(), sha256.as_str().expect("a digest").to_owned()))
            .collect()
    }

    fn owner(&self) -> Owner {
        Owner {
            id: self.text("/owner/id").to_owned(),
            token: self.text("/owner/token").to_owned(),
            sign_in_url: String::new(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&digest::sha256(bytes))
}

async fn get(vault: &Vault, path: &str, token: &str) -> Vec<u8> {
    let asked = client().get(vault.url(path)).bearer_auth(token).send().await;
    let answer = asked.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.bytes().await.expect("a body").to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn todays_program_serves_the_folders_of_every_release() {
    for frozen in folders() {
        let scratch = Scratch::new("frozen");
        let vault = Vault::setup().data(&frozen.unpack(scratch.path())).start();
        let owner = frozen.owner();

        let id = frozen.text("/ready/id");
        let original = get(&vault, &format!("/v1/clips/{id}/original"), &owner.token).await;
        assert!(original == frozen.original("ready"), "{}: the original", frozen.name);
        for (name, sha256) in frozen.fragments() {
            let video = get(&vault, &format!("/v1/clips/{id}/hls/{name}.mp4"), &owner.token).await;
            assert_eq!(hex(&video), sha256, "{}: {name}", frozen.name);
            let plain = get(&vault, &format!("/v1/clips/{id}/renditions/{name}.mp4"), &owner.token).await;
            assert_eq!(&plain[4..8], b"ftyp", "{}: {name}", frozen.name);
        }
        let poster = get(&vault, &format!("/v1/clips/{id}/poster.jpg"), &owner.token).await;
        assert_eq!(hex(&poster), frozen.text("/ready/poster"), "{}", frozen.name);

        let (_, me) = vault.json(Method::GET, "/v1/me", Some(&owner.token), None).await;
        assert_eq!(me["email"], frozen.text("/owner/email"), "{me}");
        let (_, devices) = vault.json(Method::GET, "/v1/devices", Some(&owner.token), None).await;
        for field in ["label", "vin", "plate"] {
            let told = frozen.text(&format!("/vehicle/{field}"));
            assert!(devices.to_string().contains(told), "{devices} tells no {told}");
        }

        // The vehicle goes on with the key it was paired with, and believes receipts by the key it was told then.
        let device = scratch.path().join("device.json");
        let key = serde_json::to_vec(&frozen.about["vehicle"]["device"]).expect("JSON");
        std::fs::write(&device, key).expect("the vehicle's file");
        let told = vault.upload(&device, &fixtures().join("clips/garmin_mini2_sample_1.mp4"));
        let clip = vault.settled(&owner, told["clip_id"].as_str().expect("a clip")).await;
        assert_eq!(clip["state"], "ready", "{}: {clip}", frozen.name);

        let redeem = |token: &str| json!({ "token": token });
        let (status, refused) = vault
            .json(
                Method::POST,
                "/v1/links/redeem",
                None,
                Some(&redeem(frozen.text("/revoked_link/token"))),
            )
            .await;
        assert_eq!(status, 410, "{}: a revoked link: {refused}", frozen.name);
        // A link lives for 30 days, so by the day this runs it may have ended.
        let lives = SystemClock.now_ms() < frozen.made_at() + 29 * DAY_MS;
        let (status, answer) = vault
            .json(
                Method::POST,
                "/v1/links/redeem",
                None,
                Some(&redeem(frozen.text("/live_link/token"))),
            )
            .await;
        assert_eq!(status == 200, lives, "{}: {status} {answer}", frozen.name);
        assert!(lives || status == 410, "{}: {status} {answer}", frozen.name);
    }
}

/// The rooms over a copy of a folder, with a clock that stands soon after the folder was made.
struct House {
    access: Access,
    library: Library,
    ingest: Ingest,
    clock: Arc<FixedClock>,
}

impl House {
    async fn open(frozen: &Frozen, data: &Path) -> Self {
        let dir = data.join("catalogue");
        let catalog = Catalog::connect(&catalog::Config::Sqlite { dir })
            .await
            .expect("migrations apply");
        let store = Store::open(&store::Config::Folder { dir: data.to_owned() }).await;
        let clock = Arc::new(FixedClock::at(frozen.made_at() + MINUTE_MS));
        let config = vault::Config {
            root: dashvault_keys::provider::ProviderConfig::keyring(data.join("keyring")),
        };
        let vault = VaultRoom::open(&config, catalog.clone(), store.expect("a store"), clock.clone()).await;
        let vault = vault.unwrap_or_else(|error| panic!("{}: {error}", frozen.name));
        let audit = Audit::new(vault.clone(), catalog.clone());
        let access = Access::new(
            access::Config::default(),
            vault.clone(),
            catalog.clone(),
            audit.clone(),
            clock.clone(),
        );
        let library = Library::new(vault.clone(), catalog.clone(), audit.clone());
        let ingest = Ingest::new(ingest::Config::default(), vault, catalog, audit, clock.clone());
        Self {
            access,
            library,
            ingest,
            clock,
        }
    }

    async fn owner(&self, frozen: &Frozen) -> (Principal, OwnerSession) {
        let principal = self.access.authenticate(frozen.text("/owner/token")).await;
        let principal = principal.expect("the token of then is good");
        let Principal::Owner(session) = &principal else {
            panic!("{principal:?} is no owner");
        };
        (principal.clone(), session.clone())
    }

    async fn read(&self, grant: &ReadGrant, what: &What) -> Vec<u8> {
        let resource = self.library.open(grant, what).await.expect("it opens");
        let resource = resource.unwrap_or_else(|| panic!("no {what:?}"));
        let whole = ByteRange::whole(resource.length());
        let chunks = self.library.stream(resource, whole).await.expect("a stream");
        let chunks: Vec<_> = chunks.try_collect().await.expect("all of it");
        chunks.concat()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_day_it_was_made_a_folders_link_shows_its_part_and_a_month_later_it_has_ended() {
    for frozen in folders() {
        let scratch = Scratch::new("frozen");
        let house = House::open(&frozen, &frozen.unpack(scratch.path())).await;
        let token = frozen.text("/live_link/token");
        let redeemed = house.access.redeem_link(token).await.expect("the link lives");
        let grant = house.access.grant_link(&redeemed.session).await.expect("a grant");
        let name = frozen.text("/live_link/rendition").parse().expect("a rendition");
        let video = house.read(&grant, &What::Fragments(name)).await;
        assert_eq!(hex(&video), frozen.text("/live_link/fragments"), "{}", frozen.name);
        let poster = house.read(&grant, &What::Poster).await;
        assert_eq!(hex(&poster), frozen.text("/live_link/poster"), "{}", frozen.name);

        house.clock.advance(31 * DAY_MS);
        let late = house.access.redeem_link(token).await;
        assert!(matches!(late, Err(AccessError::LinkEnded)), "{}", frozen.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_day_it_was_made_a_folders_trash_is_undone_and_its_half_upload_goes_on() {
    for frozen in folders() {
        let scratch = Scratch::new("frozen");
        let house = House::open(&frozen, &frozen.unpack(scratch.path())).await;
        let (principal, session) = house.owner(&frozen).await;
        let trashed = frozen.clip("/trashed/id");
        let restored = house.library.restore(&session, trashed).await.expect("it is restored");
        assert_eq!(
            restored.expect("it is there").state,
            ClipState::Failed,
            "{}",
            frozen.name
        );
        let grant = house.access.grant_owner(&session, trashed).await.expect("a look");
        let original = house.read(&grant.expect("a grant"), &What::Original).await;
        assert!(original == frozen.original("trashed"), "{}", frozen.name);

        let begun = frozen.clip("/begun/id");
        let offset = frozen.about["begun"]["offset"].as_u64().expect("an offset");
        let status = house
            .ingest
            .offset(&principal, begun)
            .await
            .expect("the upload is open");
        assert_eq!(status.offset, offset, "{}", frozen.name);
        let rest = frozen
            .original("ready")
            .split_off(usize::try_from(offset).expect("it is short"));
        let (length, end) = (rest.len() as u64, offset + rest.len() as u64);
        let body = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(rest.into())]);
        let sent = house
            .ingest
            .append(
                &principal,
                begun,
                Body {
                    announced_bytes: Some(length),
                    ..Body::at(offset, body)
                },
            )
            .await;
        assert_eq!(sent.expect("it goes on").offset, end, "{}", frozen.name);
    }
}
