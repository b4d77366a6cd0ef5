//! What the service let go of is not in its memory: it is stopped and searched, with every key known to the test.

use std::path::Path;
use std::time::{Duration, Instant};

use dashvault::catalog::{self, Catalog};
use dashvault::model::{ClipId, OwnerId};
use dashvault_keys::Secret32;
use dashvault_keys::envelope::SealedEnvelope;
use dashvault_keys::kek::SealedKek;
use dashvault_keys::object::{Place, derive_object_key};
use dashvault_keys::provider::{Keyring, RootKey};
use dashvault_keys::system::SystemRecord;
use dashvault_test_support::memory::{Needle, Sighting, sightings};
use dashvault_test_support::{Owner, Setup, Vault, client};
use reqwest::{Method, Response};
use ring::{hkdf, hmac};

use crate::road_clip;
use crate::tus::Upload;

/// Keys stay in memory for so long once they are opened.
const LIFE: Duration = Duration::from_secs(2);
/// After its life a key is looked for every [`LIFE`], and a stream that was dropped ends within moments; what is made of a clip
/// once it is ready takes longer on a machine that is busy.
const GONE: Duration = Duration::from_secs(90);
/// More than the sockets and the service's reading ahead hold of a stream that nobody reads.
pub const LONG_CLIP_BYTES: usize = 40 << 20;
const PASSPHRASE: &str = "seven quiet otters row home";

/// Every key that belongs to one owner and one clip, as needles.
pub struct Known {
    pub owners: Vec<Needle>,
    pub clips: Vec<Needle>,
    /// What a root key wrapped.
    pub kek: [u8; 32],
}

pub fn setup() -> Setup {
    Vault::setup()
        .readable_memory()
        .env("DASHVAULT_KEY_LIFE_SECS", LIFE.as_secs().to_string())
        .env("DASHVAULT_KEY_GRACE_SECS", "0")
}

/// HKDF's two steps as RFC 5869 has them: the key in between, which is as good as what follows from it, and the outcome.
fn derived(name: &str, key: &[u8; 32], salt: &[u8], info: &[u8]) -> (Vec<Needle>, [u8; 32]) {
    let between = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), key);
    let between = between.as_ref().try_into().expect("32 bytes");
    let mut out = [0; 32];
    let info = [info];
    hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
        .extract(key)
        .expand(&info, hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut out))
        .expect("32 bytes");
    let needles = vec![
        Needle::key(format!("{name}, between"), &between),
        Needle::key(name, &out),
    ];
    (needles, out)
}

/// The whole files beneath a folder that begin as objects do.
fn objects(folder: &Path, found: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            objects(&path, found);
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes.starts_with(b"DCVO")
        {
            found.push(bytes[..128].to_vec());
        }
    }
}

/// Unwraps everything from the data folder as a recovery would.
pub async fn known(vault: &Vault, root: &dyn RootKey, owner: &Owner, clip: &str) -> Known {
    let dir = vault.data().join("catalogue");
    let catalog = Catalog::connect(&catalog::Config::Sqlite { dir })
        .await
        .expect("it opens");
    let owner: OwnerId = owner.id.parse().expect("an id");
    let clip: ClipId = clip.parse().expect("an id");
    let tenant = catalog.first_tenant().await.expect("it answers").expect("a tenant");
    let system = catalog
        .system_record(tenant)
        .await
        .expect("it answers")
        .expect("a record");
    let system = SystemRecord::open(tenant.as_bytes(), &system.record, root).expect("it opens");

    let kek_row = catalog.active_kek(owner).await.expect("it answers").expect("a key");
    let sealed = SealedKek::parse(&kek_row.record).expect("a record");
    let kek = sealed.unwrap(tenant.as_bytes(), root).expect("the KEK");
    let profile = sealed.open_profile(tenant.as_bytes(), &kek).expect("the profile");
    let mut owners = vec![
        Needle::key("KEK", kek.expose()),
        Needle::key("field key", profile.field_key.expose()),
    ];
    owners.extend(derived("KEK record's part", kek.expose(), &kek_row.record[32..64], b"").0);

    let row = catalog.clip(owner, clip).await.expect("it answers").expect("the clip");
    let envelope = row.envelope.expect("an envelope");
    let sealed = SealedEnvelope::parse(&envelope).expect("an envelope");
    let located = sealed.locate(tenant.as_bytes(), &system.locator).expect("ours");
    let dek = sealed.open_dek(tenant.as_bytes(), &located, &kek).expect("the DEK");
    let mut clips = vec![Needle::key("DEK", dek.expose())];
    owners.extend(derived("envelope's part", kek.expose(), &envelope[28..60], b"").0);
    let mut preludes = Vec::new();
    objects(vault.data(), &mut preludes);
    for object in sealed
        .open_manifest(tenant.as_bytes(), &dek)
        .expect("the manifest")
        .objects
    {
        let place = Place {
            system: tenant.as_bytes(),
            owner: *owner.as_bytes(),
            clip: *clip.as_bytes(),
            kind: object.kind,
            rendition: &object.rendition,
        };
        let prelude = preludes.iter().find(|prelude| prelude[8..24] == object.id);
        let prelude = prelude.expect("the object is stored");
        let object_key: Secret32 = derive_object_key(&dek, &place, prelude).expect("its key");
        let name = |what| format!("{what} of {}", object.rendition);
        clips.push(Needle::key(name("object key"), object_key.expose()));
        clips.extend(derived(&name("(object)"), dek.expose(), &prelude[24..56], b"").0);
        let (needles, tink) = derived(
            &name("Tink key"),
            object_key.expose(),
            &prelude[24..56],
            b"dcv1/obj/key",
        );
        clips.extend(needles);
        clips.extend(derived(&name("segment key"), &tink, &prelude[89..121], b"dcv1/tink").0);
    }
    catalog.close().await;
    Known {
        owners,
        clips,
        kek: *kek.expose(),
    }
}

/// The first key of the keyring.
fn root_key(vault: &Vault) -> Needle {
    let file = std::fs::read(vault.data().join("keyring")).expect("the keyring");
    // magic, version and count; epoch, version and id of the first key.
    let first = file[36..68].try_into().expect("32 bytes");
    Needle::key("root key", &first)
}

pub fn look(vault: &mut Vault, needles: &[Needle]) -> Vec<Sighting> {
    tokio::task::block_in_place(|| sightings(vault.process(), needles))
}

pub fn sees(found: &[Sighting], name: &str) -> bool {
    found.iter().any(|sighting| sighting.name.starts_with(name))
}

pub async fn uploaded(vault: &Vault, owner: &Owner, bytes: Vec<u8>) -> String {
    let upload = Upload::create(vault, &owner.token, bytes.len() as u64)
        .await
        .expect("an upload");
    let answer = upload.send(0, bytes).await.expect("an answer");
    assert_eq!(answer.status(), 204);
    let clip = upload.id().to_owned();
    assert_eq!(vault.settled(owner, &clip).await["state"], "ready");
    clip
}

/// The road clip, longer by a box that players skip.
pub fn long_clip() -> Vec<u8> {
    let mut bytes = std::fs::read(road_clip()).expect("the clip");
    let size = u32::try_from(LONG_CLIP_BYTES).expect("a box's size");
    bytes.extend_from_slice(&size.to_be_bytes());
    bytes.extend_from_slice(b"free");
    bytes.resize(bytes.len() + LONG_CLIP_BYTES - 8, 0);
    bytes
}

pub async fn original(vault: &Vault, owner: &Owner, clip: &str) -> Response {
    let asked = client().get(vault.url(&format!("/v1/clips/{clip}/original")));
    let answer = asked.bearer_auth(&owner.token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200);
    answer
}

/// Looks until nothing is found, for as long as letting go may take.
pub async fn gone(vault: &mut Vault, needles: &[Needle]) {
    let began = Instant::now();
    loop {
        let found = look(vault, needles);
        if found.is_empty() {
            return;
        }
        assert!(began.elapsed() < GONE, "{} times still there: {found:#?}", found.len());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Owner's and clip's keys are there while somebody watches, and not after, whoever has the root keys.
pub async fn keys_are_there_while_somebody_watches_and_not_after(
    vault: &mut Vault,
    owner: &Owner,
    clip: &str,
    known: Known,
) {
    // While somebody watches, the search finds what must be there: it can find.
    let watched = original(vault, owner, clip).await;
    let found = look(vault, &known.owners);
    assert!(sees(&found, "KEK") && sees(&found, "field key"), "{found:#?}");
    let found = look(vault, &known.clips);
    assert!(sees(&found, "DEK") && sees(&found, "segment key"), "{found:#?}");

    // The stream ends, and the owner's keys have had their time.
    drop(watched);
    let all: Vec<_> = known.owners.into_iter().chain(known.clips).collect();
    gone(vault, &all).await;

    // Read to its end, a whole clip leaves as little behind.
    assert!(original(vault, owner, clip).await.bytes().await.expect("a body").len() > LONG_CLIP_BYTES);
    let (status, told) = vault.json(Method::GET, "/v1/clips", Some(&owner.token), None).await;
    assert_eq!(status, 200, "{told}");
    gone(vault, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_the_service_let_go_of_are_not_in_its_memory() {
    let mut vault = setup().start();
    let owner = vault.owner("anna@example.org");
    let clip = uploaded(&vault, &owner, long_clip()).await;
    let root = Keyring::open(&vault.data().join("keyring")).expect("the keyring");
    let known = known(&vault, &root, &owner, &clip).await;
    let held = root_key(&vault);
    assert!(
        sees(&look(&mut vault, std::slice::from_ref(&held)), "root key"),
        "a keyring is held"
    );
    keys_are_there_while_somebody_watches_and_not_after(&mut vault, &owner, &clip, known).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_passphrase_that_has_opened_the_keyring_is_not_in_memory() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), format!("{PASSPHRASE}\n")).expect("it is written");
    let path = file.path().to_str().expect("UTF-8");
    let given = [
        ("DASHVAULT_KEYRING_PASSPHRASE_FILE", path),
        ("DASHVAULT_KEYRING_PASSPHRASE", PASSPHRASE),
    ];
    for (name, value) in given {
        let mut vault = setup().env(name, value).start();
        vault.owner("anna@example.org");
        // A text that has to be there, so that the search shows what it can do.
        let folder = Needle::text("folder", vault.data().to_str().expect("UTF-8"));
        assert!(sees(&look(&mut vault, &[folder]), "folder"));
        let found = look(&mut vault, &[Needle::text("passphrase", PASSPHRASE)]);
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}
