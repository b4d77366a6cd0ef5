//! A catalogue rebuilt from data bucket, key plane and root key: it means what the old one meant, whatever else lies there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashvault::catalog::{
    self, Catalog, ClipPublication, ErasureKind, MirrorSubject, NewClip, NewDevice, Quotas, Recovering,
};
use dashvault::model::{ByteRange, ClipId, ClipState, DeviceId, DeviceState, ObjectId, OwnerId};
use dashvault::vault::{
    ClipDetails, ClipKeys, ClipSummary, Config, DeviceAbout, Flaw, Manifest, ObjectAbout, OwnerProfile, Recovered,
    Stage, Told, Vault, VaultError,
};
use dashvault_keys::digest::sha256;
use dashvault_keys::mirror::{self, MirrorKind};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt as _;

use crate::{NOW, Room, holder, name, plain, store};

/// Bytes of every original here: a segment and a half.
const LENGTH: usize = 400_000;

/// Anna has a vehicle, one that she sold, a clip that is held and one that failed; bert has a clip, and his key is being
/// replaced.
struct Scene {
    room: Room,
    anna: OwnerId,
    bert: OwnerId,
    held: ClipId,
    failed: ClipId,
    of_bert: ClipId,
}

impl Scene {
    async fn new() -> Self {
        let room = Room::new().await;
        let (anna, bert) = (room.owner("anna").await, room.owner("bert").await);
        let device = vehicle(&room, anna, "wagon", false).await;
        vehicle(&room, anna, "sold", true).await;
        rotated(&room, device).await;
        limited(&room, anna).await;
        let held = clip(&room, anna, Some(device), ClipState::Ready).await;
        let failed = clip(&room, anna, None, ClipState::Failed).await;
        let of_bert = clip(&room, bert, None, ClipState::Ready).await;
        assert!(room.vault.hold_clip(held, true).await.unwrap());
        // Cut off where the old key is retired and clips are still under it.
        let owners = [bert];
        let rotation = room.vault.rotate_owners(&owners, &|_| {});
        let cut = tokio::time::timeout(std::time::Duration::from_secs(1), rotation).await;
        assert!(cut.is_err(), "the rotation waits before it goes on");
        assert_eq!(room.catalog.keks_of(bert).await.unwrap().len(), 2);
        Self {
            room,
            anna,
            bert,
            held,
            failed,
            of_bert,
        }
    }

    fn clips(&self) -> [(OwnerId, ClipId); 3] {
        [
            (self.anna, self.held),
            (self.anna, self.failed),
            (self.bert, self.of_bert),
        ]
    }
}

async fn vehicle(room: &Room, owner: OwnerId, label: &str, sold: bool) -> DeviceId {
    let (keys, id) = (room.keys(owner).await, DeviceId::random());
    let about = DeviceAbout {
        label: label.to_owned(),
        vin: Some(format!("VIN of {label}")),
        plate: None,
    };
    let device = NewDevice {
        id,
        tenant: room.vault.tenant(),
        owner,
        public_key: &[label.len() as u8; 32],
        next_key: None,
        sealed_about: &keys.seal(id.as_bytes(), &about),
        vin_index: None,
        paired_at: NOW - 5_000,
    };
    let mut tx = room.catalog.begin().await.unwrap();
    tx.insert_device(&device).await.unwrap();
    if sold {
        tx.revoke_device(owner, id, NOW - 1_000).await.unwrap();
    }
    tx.commit().await.unwrap();
    let change = room.vault.change_vehicles(&keys, |_| {}).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault.record_kek(&mut tx, &change).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// The vehicle has its third key, and announced one that it never used.
async fn rotated(room: &Room, device: DeviceId) {
    let mut tx = room.catalog.begin().await.unwrap();
    let mut current = tx.hold_device(device).await.unwrap().unwrap().public_key;
    for next in [[101; 32], [102; 32]] {
        assert!(tx.announce_device_key(device, &current, &next, NOW, NOW).await.unwrap());
        assert!(tx.use_next_device_key(device, &next, NOW - 7).await.unwrap());
        current = next.to_vec();
    }
    tx.commit().await.unwrap();
}

/// An owner of whom it was said what may be kept: the record says it, and the rotated keys, from now on.
async fn limited(room: &Room, owner: OwnerId) {
    let quotas = Quotas {
        bytes: Some(1 << 40),
        clips_each: Some(0),
        ..Quotas::default()
    };
    let change = room
        .vault
        .change_quotas(&room.keys(owner).await, &quotas)
        .await
        .unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.set_quotas(owner, &quotas).await.unwrap());
    room.vault.record_kek(&mut tx, &change).await.unwrap();
    tx.commit().await.unwrap();
}

/// A clip with an original and a picture, its manifest as the pipeline writes it.
async fn clip(room: &Room, owner: OwnerId, device: Option<DeviceId>, state: ClipState) -> ClipId {
    let owner_keys = room.keys(owner).await;
    let (id, error_code) = (ClipId::random(), (state == ClipState::Failed).then_some("no_video"));
    let mut tx = room.catalog.begin().await.unwrap();
    tx.insert_clip(&NewClip {
        id,
        tenant: room.vault.tenant(),
        owner,
        device,
        created_at: NOW - 9_000,
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let keys = room.vault.make_clip_keys(&owner_keys, id);
    let original = room.sealed(&keys, "original", &plain(LENGTH)).await;
    let poster = room.sealed(&keys, "poster", b"a picture").await;
    let about = ObjectAbout {
        width: Some(640),
        height: Some(360),
        codec: Some("jpeg".to_owned()),
        ..poster.about()
    };
    let summary = ClipSummary {
        recorded_at: Some(NOW - 60_000),
        duration_ms: Some(12_000),
        device,
        bytes: LENGTH as u64,
        has_audio: true,
        ..ClipSummary::default()
    };
    let details = ClipDetails {
        bytes: LENGTH as u64,
        filename: Some("front.mp4".to_owned()),
        lat: Some(53.55),
        recorded_at: Some(NOW - 60_000),
        received_at: NOW - 8_000,
        error_detail: error_code.map(|_| "it has no picture".to_owned()),
        ..ClipDetails::default()
    };
    let manifest = Manifest {
        state: Some(state.as_str().to_owned()),
        error_code: error_code.map(str::to_owned),
        incomplete: true,
        created_at: Some(NOW - 9_000),
        summary: serde_json::to_value(&summary).ok(),
        details: serde_json::to_value(&details).ok(),
        objects: vec![original.in_manifest(&original.about()), poster.in_manifest(&about)],
        ..Manifest::default()
    };
    let made = room.vault.seal_envelope(&keys, &manifest, holder()).await.unwrap();
    let index = owner_keys.clip_index(device, &original.sha256);
    let publication = ClipPublication {
        id,
        state,
        incomplete: true,
        error_code,
        kek_version: made.kek_version.into(),
        envelope: &made.bytes,
        sealed_summary: &keys.seal(id.as_bytes(), &summary),
        sealed_details: &keys.seal(id.as_bytes(), &details),
        sha256_index: Some(&index),
    };
    let mut tx = room.catalog.begin().await.unwrap();
    for (object, about) in [(&original, &original.about()), (&poster, &about)] {
        room.vault.publish(&mut tx, &keys, object, about, None).await.unwrap();
    }
    tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, NOW)
        .await
        .unwrap();
    assert!(tx.publish_clip(&publication, NOW).await.unwrap());
    room.vault.record_mirror(&mut tx, &made.mirrored).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// What the rows of owners, vehicles, keys, clips and objects mean, one line a row; fields opened, fresh salts left out.
async fn meaning(vault: &Vault, catalog: &Catalog) -> Vec<String> {
    let json = |text: serde_json::Result<String>| text.expect("JSON");
    let mut lines = Vec::new();
    for owner in catalog.owners(vault.tenant(), None, 100).await.unwrap() {
        let keys = vault.owner_keys(owner.id).await.unwrap();
        let profile = json(serde_json::to_string(&vault.profile(&keys).await.unwrap()));
        let found = vault
            .find_owner(&vault.profile(&keys).await.unwrap().email)
            .await
            .unwrap();
        let active = catalog.active_kek(owner.id).await.unwrap().map(|kek| kek.id);
        lines.push(format!(
            "owner {} {:?} {profile} {} {:?} {active:?}",
            owner.id, owner.state, owner.created_at, found
        ));
        lines.push(format!(
            "quotas {} {:?}",
            owner.id,
            catalog.quotas(owner.id).await.unwrap()
        ));
        for (device, old) in catalog.old_device_keys_of(owner.id, 100).await.unwrap() {
            lines.push(format!("old key {device} {:?} {}", old.key, old.since));
        }
        for device in catalog.devices_of(owner.id, 100).await.unwrap() {
            let about: DeviceAbout = keys.open(device.id.as_bytes(), &device.sealed_about).unwrap();
            let about = json(serde_json::to_string(&about));
            lines.push(format!(
                "vehicle {} {:?} {:?} {about} {} {:?}",
                device.id, device.state, device.public_key, device.paired_at, device.revoked_at
            ));
        }
        for kek in catalog.keks_of(owner.id).await.unwrap() {
            lines.push(format!(
                "kek {} {} {} {} {} {}",
                kek.id,
                kek.owner,
                kek.version,
                kek.epoch,
                kek.revision,
                short(Some(kek.record.as_slice()))
            ));
        }
        for (id, _) in catalog.clip_versions(owner.id).await.unwrap() {
            let row = catalog.clip_any(id).await.unwrap().unwrap();
            let clip = vault.read_clip_keys(owner.id, id).await.unwrap().expect("its keys");
            let summary: ClipSummary = clip.open(id.as_bytes(), &row.sealed_summary.unwrap()).unwrap();
            let details: ClipDetails = clip.open(id.as_bytes(), &row.sealed_details.unwrap()).unwrap();
            lines.push(format!(
                "clip {id} {:?} {:?} {} {:?} {:?} {} {} {} {:?} held {} {} {} {}",
                row.device,
                row.state,
                row.incomplete,
                row.error_code,
                row.kek_version,
                short(row.envelope.as_deref()),
                row.least_revision,
                short(row.sha256_index.as_deref()),
                row.trashed_at,
                row.held,
                row.created_at,
                json(serde_json::to_string(&summary)),
                json(serde_json::to_string(&details)),
            ));
            for object in vault.objects(&clip, None).await.unwrap() {
                lines.push(format!(
                    "object {} {id} {} {} {} {} {:?} {}",
                    object.id,
                    object.suite,
                    object.log2_segment,
                    object.padded_size,
                    object.size_bytes,
                    object.commitment,
                    json(serde_json::to_string(&object.about)),
                ));
            }
        }
    }
    lines.sort();
    lines
}

fn short(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(String::new, |bytes| HEXLOWER.encode(&sha256(bytes)))
}

/// That the lines are the same, and which are not.
fn same(after: Vec<String>, before: &[String]) {
    let differing = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    let (made_up, lost) = (differing(&after, before), differing(before, &after));
    assert!(after == before, "made up: {made_up:#?}, lost: {lost:#?}");
}

async fn empty(room: &Room) -> Catalog {
    let dir = room.scratch.path().join(format!("rebuilt-{}", ObjectId::random()));
    Catalog::connect(&catalog::Config::Sqlite { dir }).await.unwrap()
}

async fn recover(room: &Room, catalog: &Catalog, told: Told<'_>) -> Result<Recovered, VaultError> {
    let root = Arc::new(Keyring::open(&room.keyring).unwrap());
    let (store, clock) = (store(&room.data, &room.staging, &room.keyplane), room.clock.clone());
    Vault::recover(root, &config(room), catalog.clone(), store, clock, told).await
}

async fn open(room: &Room, catalog: &Catalog) -> Result<Vault, VaultError> {
    let store = store(&room.data, &room.staging, &room.keyplane);
    Vault::open(&config(room), catalog.clone(), store, room.clock.clone()).await
}

fn config(room: &Room) -> Config {
    Config {
        root: ProviderConfig::keyring(&room.keyring),
    }
}

async fn rebuilt(room: &Room) -> (Recovered, Catalog, Vault) {
    let catalog = empty(room).await;
    let done = recover(room, &catalog, &|_, _, _| {}).await.unwrap();
    let vault = open(room, &catalog).await.unwrap();
    (done, catalog, vault)
}

/// Reads across a segment's border.
async fn plays(vault: &Vault, keys: &ClipKeys) {
    let objects = vault.objects(keys, None).await.unwrap();
    let original = objects
        .iter()
        .find(|object| object.about.rendition == "original")
        .unwrap();
    let range = ByteRange {
        start: 200_000,
        end: 300_000,
    };
    let read: Vec<_> = vault.read(keys, original, range).try_collect().await.unwrap();
    assert!(read.concat() == plain(LENGTH)[200_000..300_000]);
}

#[tokio::test]
async fn what_was_rebuilt_means_what_the_lost_rows_meant() {
    let scene = Scene::new().await;
    let room = &scene.room;
    let before = meaning(&room.vault, &room.catalog).await;
    let (done, catalog, vault) = rebuilt(room).await;
    same(meaning(&vault, &catalog).await, &before);
    assert_eq!(
        (done.owners, done.vehicles, done.clips, done.held, done.objects),
        (2, 2, 3, 1, 6)
    );
    assert_eq!((done.missing, done.orphans, done.unreadable, done.erased), (0, 0, 0, 0));
    assert_eq!(done.quotas, 1);
    for key in [b"wagon".len() as u8, 101, 102] {
        assert!(catalog.is_device_key(&[key; 32]).await.unwrap(), "{key} pairs nobody");
    }
    for (owner, clip) in scene.clips() {
        let keys = vault.read_clip_keys(owner, clip).await.unwrap().unwrap();
        plays(&vault, &keys).await;
        assert_eq!(vault.verify_clip(clip).await.unwrap(), (Vec::new(), 2));
    }
    assert_eq!(vault.orphans(&|_| {}).await.unwrap(), []);
    // The key plane is known again, and what was retired still is.
    assert_eq!(vault.mirror_state().await.unwrap().missing(), 0);
    assert_eq!(
        catalog.owners_with_retired_keks(vault.tenant()).await.unwrap(),
        [scene.bert]
    );
    let sold = catalog.devices_of(scene.anna, 9).await.unwrap();
    assert!(sold.iter().any(|device| device.state == DeviceState::Revoked));
}

/// Puts an object into the key plane, as whoever can write there does.
async fn plant(room: &Room, kind: MirrorKind, record: &[u8]) {
    let id = ObjectId::random();
    let bytes = mirror::make(room.vault.tenant().as_bytes(), id.as_bytes(), kind, &[record]).unwrap();
    room.keyplane.replace(&name(id), bytes).await;
}

#[tokio::test]
async fn however_many_forgeries_lie_above_a_record_it_comes_back() {
    let scene = Scene::new().await;
    let room = &scene.room;
    let before = meaning(&room.vault, &room.catalog).await;
    let envelope = room
        .catalog
        .clip_any(scene.held)
        .await
        .unwrap()
        .unwrap()
        .envelope
        .unwrap();
    let kek = room.catalog.active_kek(scene.anna).await.unwrap().unwrap().record;
    for n in 100..140_u32 {
        // Real records of a revision that never was.
        let (mut envelope, mut kek) = (envelope.clone(), kek.clone());
        envelope[24..28].copy_from_slice(&n.to_be_bytes());
        kek[28..32].copy_from_slice(&n.to_be_bytes());
        plant(room, MirrorKind::Envelope, &envelope).await;
        plant(room, MirrorKind::Keks, &kek).await;
    }
    for kind in [MirrorKind::Envelope, MirrorKind::Keks, MirrorKind::System] {
        plant(room, kind, b"rubbish").await;
    }
    let (done, catalog, vault) = rebuilt(room).await;
    same(meaning(&vault, &catalog).await, &before);
    assert_eq!(done.unreadable, 2 * 40 + 3);
    let named = done.findings.iter().filter(|found| found.clip == Some(scene.held));
    assert_eq!(named.count(), 40, "a finding names its clip");
}

#[tokio::test]
async fn a_damaged_key_costs_its_own_clips_and_nobody_elses() {
    let scene = Scene::new().await;
    let room = &scene.room;
    let late = clip(room, scene.bert, None, ClipState::Ready).await;
    let newest = room.catalog.active_kek(scene.bert).await.unwrap().unwrap();
    let lies = room
        .catalog
        .newest_mirror(MirrorSubject::Kek, newest.id.as_bytes())
        .await
        .unwrap();
    let lies = name(lies.unwrap().object);
    let mut bytes = room.keyplane.object(&lies).await.to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    room.keyplane.replace(&lies, bytes).await;
    let (done, _, vault) = rebuilt(room).await;
    assert_eq!((done.owners, done.clips, done.unreadable), (2, 3, 2));
    assert!(
        done.findings.iter().any(|found| found.clip == Some(late)),
        "{:?}",
        done.findings
    );
    for (owner, clip) in scene.clips() {
        plays(&vault, &vault.read_clip_keys(owner, clip).await.unwrap().unwrap()).await;
    }
}

#[tokio::test]
async fn what_was_erased_does_not_come_back() {
    let scene = Scene::new().await;
    let room = &scene.room;
    // The tombstones are there, and a copy of the wraps too: somebody put the key plane's backup back.
    for (kind, subject, owner) in [
        (ErasureKind::Clip, scene.failed.as_bytes(), Some(scene.anna)),
        (ErasureKind::Owner, scene.bert.as_bytes(), None),
    ] {
        let buried = room.vault.bury(kind, subject, owner).await.unwrap().unwrap();
        let mut tx = room.catalog.begin().await.unwrap();
        room.vault.record_burial(&mut tx, &buried).await.unwrap();
        tx.commit().await.unwrap();
    }
    let (done, catalog, vault) = rebuilt(room).await;
    // A clip, an owner with two keys, and the owner's clip.
    assert_eq!((done.owners, done.clips, done.erased), (1, 1, 4));
    assert_eq!(done.unreadable, 0);
    assert_eq!(vault.find_owner("bert@example.org").await.unwrap(), None);
    assert!(catalog.owner(scene.bert).await.unwrap().is_none());
    for clip in [scene.failed, scene.of_bert] {
        assert!(catalog.clip_any(clip).await.unwrap().is_none());
    }
    assert!(vault.read_clip_keys(scene.anna, scene.held).await.unwrap().is_some());
}

#[tokio::test]
async fn what_the_data_bucket_lacks_and_what_it_has_too_much_is_told_and_left() {
    let scene = Scene::new().await;
    let room = &scene.room;
    let keys = room
        .vault
        .read_clip_keys(scene.anna, scene.held)
        .await
        .unwrap()
        .unwrap();
    let objects = room.vault.objects(&keys, None).await.unwrap();
    room.data.remove(&name(objects[0].id)).await;
    room.data.replace(&name(objects[1].id), b"short".as_slice()).await;
    let stranger = ObjectId::random();
    room.data.replace(&name(stranger), b"somebody's".as_slice()).await;
    let (done, _, vault) = rebuilt(room).await;
    assert_eq!((done.clips, done.missing, done.orphans), (3, 2, 1));
    assert_eq!(done.first_orphans, [stranger]);
    let mut told: Vec<_> = done.findings.iter().map(|found| (found.object, found.clip)).collect();
    let mut lost: Vec<_> = objects.iter().map(|object| (object.id, Some(scene.held))).collect();
    told.sort();
    lost.sort();
    assert_eq!(told, lost);
    assert!(room.data.names().await.contains(&name(stranger)), "nothing is removed");
    let (unfit, opened) = vault.verify_clip(scene.held).await.unwrap();
    let flaws: Vec<_> = unfit.iter().map(|one| one.flaw).collect();
    assert_eq!(opened, 0);
    assert!(
        flaws.contains(&Flaw::Missing) && flaws.contains(&Flaw::Damaged),
        "{flaws:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_dies_anywhere_serves_nobody_and_is_begun_anew() {
    let scene = Arc::new(Scene::new().await);
    let before = meaning(&scene.room.vault, &scene.room.catalog).await;
    let catalog = empty(&scene.room).await;
    let mut died = 0;
    loop {
        let (scene_too, catalog_too) = (scene.clone(), catalog.clone());
        let run = tokio::spawn(async move {
            let steps = AtomicUsize::new(0);
            let told = |_: Stage, _: u64, _: u64| {
                if steps.fetch_add(1, Ordering::Relaxed) == died {
                    std::panic::resume_unwind(Box::new("killed"));
                }
            };
            recover(&scene_too.room, &catalog_too, &told).await.map(drop)
        });
        match run.await {
            Ok(done) => {
                done.unwrap();
                break;
            }
            Err(_) => died += 1,
        }
        let refused = open(&scene.room, &catalog).await.err().expect("nobody is served");
        assert!(matches!(refused, VaultError::HalfRecovered), "{refused:?}");
    }
    // Objects of the key plane, keys, clips.
    assert!(died >= 10, "it was killed {died} times");
    let vault = open(&scene.room, &catalog).await.unwrap();
    same(meaning(&vault, &catalog).await, &before);
    let again = recover(&scene.room, &catalog, &|_, _, _| {}).await.err().unwrap();
    assert!(matches!(again, VaultError::NotEmpty), "{again:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recovery_that_another_has_begun_anew_writes_nothing_more_and_lets_nobody_in() {
    let scene = Scene::new().await;
    let catalog = empty(&scene.room).await;
    let told = |stage: Stage, done: u64, _: u64| {
        if (stage, done) == (Stage::Owners, 1) {
            let begin = async {
                let mut tx = catalog.begin().await.unwrap();
                assert!(matches!(tx.begin_recovery(NOW).await.unwrap(), Recovering::Begun(_)));
                tx.commit().await.unwrap();
            };
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(begin));
        }
    };
    let first = recover(&scene.room, &catalog, &told)
        .await
        .expect_err("it was taken over");
    assert!(matches!(first, VaultError::TakenOver), "{first:?}");
    assert_eq!(
        catalog.first_tenant().await.unwrap(),
        None,
        "the later one's catalogue is empty"
    );
    let refused = open(&scene.room, &catalog).await.err().expect("nobody is served");
    assert!(matches!(refused, VaultError::HalfRecovered), "{refused:?}");
}

#[tokio::test]
async fn an_owner_whose_profile_changed_comes_back_as_the_newest_record_says() {
    let scene = Scene::new().await;
    let room = &scene.room;
    // The older record is in the key plane still: nothing was swept.
    let third = vehicle(room, scene.bert, "third", false).await;
    let (done, catalog, _) = rebuilt(room).await;
    assert_eq!(done.vehicles, 3);
    let devices = catalog.devices_of(scene.bert, 9).await.unwrap();
    assert_eq!(devices.iter().map(|device| device.id).collect::<Vec<_>>(), [third]);
    let profile = OwnerProfile {
        email: "bert@example.org".to_owned(),
        name: Some("bert".to_owned()),
    };
    let vault = open(room, &catalog).await.unwrap();
    assert!(
        vault
            .profile(&vault.owner_keys(scene.bert).await.unwrap())
            .await
            .unwrap()
            == profile
    );
}
