//! The key plane's mirror: written before its row, packed, hidden, and without what is destroyed.

use std::collections::BTreeSet;

use dashvault::catalog::MirrorSubject;
use dashvault::model::{DeviceId, OwnerId};
use dashvault::vault::{KeyPlaneSwept, OwnerProfile, VaultError, Vehicle};
use dashvault_keys::envelope::SealedEnvelope;
use dashvault_keys::kek::SealedKek;
use dashvault_keys::mirror::MirrorKind;
use dashvault_keys::provider::Keyring;
use dashvault_test_support::Fault;

use crate::{MINUTE, Room};

async fn sweep_until_still(room: &Room) {
    while room.vault.sweep_key_plane().await.unwrap() != KeyPlaneSwept::default() {}
    room.vault
        .sweep_intents(dashvault::model::Clock::now_ms(&*room.clock))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_key_plane_holds_every_wrapped_key_as_the_catalogue_does() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await;
    let row = room.catalog.clip_any(clip.clip()).await.unwrap().unwrap();
    let kek = room.catalog.active_kek(owner).await.unwrap().unwrap();
    let system = room.catalog.system_record(room.vault.tenant()).await.unwrap().unwrap();
    assert_eq!(room.mirrored(MirrorKind::Envelope).await, [[row.envelope.unwrap()]]);
    assert_eq!(room.mirrored(MirrorKind::Keks).await, [[kek.record]]);
    assert_eq!(room.mirrored(MirrorKind::System).await, [[system.record]]);
    let state = room.vault.mirror_state().await.unwrap();
    assert_eq!((state.missing(), state.ahead(), state.objects()), (0, 0, 3));
}

#[tokio::test]
async fn a_vehicle_is_in_the_owners_wrapped_key_and_the_older_revision_goes() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let device = DeviceId::random();
    let change = room.vault.change_vehicles(&keys, |vehicles| {
        vehicles.push(Vehicle {
            device: *device.as_bytes(),
            public_key: [3; 32],
            label: "the red one".to_owned(),
            ..Vehicle::default()
        });
    });
    let change = change.await.unwrap();
    let late = room.vault.change_vehicles(&keys, |_| {}).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault.record_kek(&mut tx, &change).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    let superseded = room.vault.record_kek(&mut tx, &late).await;
    assert!(matches!(superseded, Err(VaultError::Superseded)), "{superseded:?}");
    tx.rollback().await.unwrap();
    room.clock.advance(11 * MINUTE);
    sweep_until_still(&room).await;
    let [pack] = <[_; 1]>::try_from(room.mirrored(MirrorKind::Keks).await).unwrap();
    let record = SealedKek::parse(&pack[0]).unwrap();
    assert_eq!(record.head().revision, 2);
    let keyring = Keyring::open(&room.keyring).unwrap();
    let system = *room.vault.tenant().as_bytes();
    let kek = record.unwrap(&system, &keyring).unwrap();
    let profile = record.open_profile(&system, &kek).unwrap();
    assert_eq!(profile.about.email, "anna@example.org");
    let vehicles: Vec<_> = profile.about.vehicles.iter().map(|vehicle| vehicle.device).collect();
    assert_eq!(vehicles, [*device.as_bytes()]);
    room.keys(owner).await;
}

#[tokio::test]
async fn many_owners_keys_come_into_few_packs_and_every_one_still_opens() {
    let room = Room::new().await;
    let mut owners = Vec::new();
    for n in 0..40 {
        owners.push(room.owner(&format!("owner{n}")).await);
    }
    assert_eq!(room.mirrored(MirrorKind::Keks).await.len(), 40);
    sweep_until_still(&room).await;
    let packs = room.mirrored(MirrorKind::Keks).await;
    assert_eq!(packs.iter().map(Vec::len).collect::<Vec<_>>(), [40]);
    let ids = packs[0]
        .iter()
        .map(|record| SealedKek::parse(record).unwrap().head().id);
    assert!(ids.is_sorted(), "the order tells nothing of who came when");
    // A changed one leaves the pack, and the pack stays for the others.
    let keys = room.keys(owners[7]).await;
    let change = room.vault.change_vehicles(&keys, |_| {}).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault.record_kek(&mut tx, &change).await.unwrap();
    tx.commit().await.unwrap();
    sweep_until_still(&room).await;
    assert_eq!(room.mirrored(MirrorKind::Keks).await.len(), 2);
    for owner in owners {
        room.keys(owner).await;
    }
}

#[tokio::test]
async fn an_erased_owners_key_leaves_the_pack_in_every_revision_and_the_others_stay() {
    let room = Room::new().await;
    let mut owners = Vec::new();
    for n in 0..20 {
        owners.push(room.owner(&format!("owner{n}")).await);
    }
    sweep_until_still(&room).await;
    let gone = owners[3];
    let keys = room.keys(gone).await;
    let change = room.vault.change_vehicles(&keys, |_| {}).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault.record_kek(&mut tx, &change).await.unwrap();
    tx.commit().await.unwrap();
    let id = *room.catalog.active_kek(gone).await.unwrap().unwrap().id.as_bytes();
    let held = async || {
        let packs = room.mirrored(MirrorKind::Keks).await;
        let records = packs.iter().flatten();
        records
            .filter(|record| SealedKek::parse(record).unwrap().head().id == id)
            .count()
    };
    assert_eq!(held().await, 2, "the old revision in the pack, the new one beside it");
    room.vault.erase_owner_keys(gone).await.unwrap();
    assert_eq!(held().await, 0);
    let packs = room.mirrored(MirrorKind::Keks).await;
    assert_eq!(packs.iter().map(Vec::len).sum::<usize>(), 19);
    assert!(
        room.catalog
            .mirrors_of(MirrorSubject::Kek, &id)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn what_was_mirrored_and_never_committed_is_swept() {
    let room = Room::new().await;
    let before = room.keyplane.names().await;
    let profile = OwnerProfile {
        email: "anna@example.org".to_owned(),
        name: None,
    };
    // The process dies between the mirror and the commit.
    drop(room.vault.make_owner(OwnerId::random(), &profile).await.unwrap());
    assert_eq!(room.keyplane.names().await.len(), before.len() + 1);
    sweep_until_still(&room).await;
    assert_eq!(
        room.keyplane.names().await.len(),
        before.len() + 1,
        "it may still be committed"
    );
    room.clock.advance(11 * MINUTE);
    sweep_until_still(&room).await;
    assert_eq!(room.keyplane.names().await, before);
}

#[tokio::test]
async fn an_owner_whose_key_the_key_plane_does_not_take_is_not_made() {
    let room = Room::new().await;
    room.keyplane.fail(|_| Some(Fault::Down));
    let profile = OwnerProfile {
        email: "anna@example.org".to_owned(),
        name: None,
    };
    let refused = room.vault.make_owner(OwnerId::random(), &profile).await.err().unwrap();
    assert!(refused.is_passing(), "{refused:?}");
    room.keyplane.heal();
    assert_eq!(room.vault.find_owner("anna@example.org").await.unwrap(), None);
    room.owner("anna").await;
}

#[tokio::test]
async fn a_database_older_than_the_mirror_is_mirrored_until_nothing_is_missing() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await;
    // As the first release left it: rows, and no mirror.
    room.forget_mirrors().await;
    let room = room.restart().await;
    let state = room.vault.mirror_state().await.unwrap();
    assert_eq!(state.missing(), 2, "the start mirrors the system record");
    assert_eq!(room.vault.mirror_missing().await.unwrap(), 2);
    let state = room.vault.mirror_state().await.unwrap();
    assert_eq!((state.missing(), state.objects()), (0, 3));
    let [envelope] = <[_; 1]>::try_from(room.mirrored(MirrorKind::Envelope).await).unwrap();
    assert_eq!(
        SealedEnvelope::parse(&envelope[0]).unwrap().clip(),
        *clip.clip().as_bytes()
    );
    assert!(room.vault.read_clip_keys(owner, clip.clip()).await.unwrap().is_some());
    assert_eq!(room.vault.mirror_missing().await.unwrap(), 0);
}

#[tokio::test]
async fn a_hold_is_in_the_manifest() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await;
    for held in [true, false] {
        assert!(room.vault.hold_clip(clip.clip(), held).await.unwrap());
        let row = room.catalog.clip_any(clip.clip()).await.unwrap().unwrap();
        assert_eq!(row.held, held);
        let manifest = room.vault.manifest(&clip, &row.envelope.unwrap()).unwrap();
        assert_eq!((manifest.held, manifest.state.as_deref()), (held, Some("ready")));
    }
    sweep_until_still(&room).await;
    assert_eq!(room.mirrored(MirrorKind::Envelope).await.len(), 1, "older revisions go");
}

#[tokio::test]
async fn nothing_ties_two_objects_of_the_key_plane_to_one_owner() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let device = DeviceId::random();
    let mut clips = Vec::new();
    for _ in 0..3 {
        clips.push(room.ready_clip(&keys).await);
    }
    let objects = room.key_plane().await;
    let every = |id: &[u8; 16]| {
        let holds = |records: &Vec<Vec<u8>>| {
            records
                .iter()
                .any(|record| record.windows(16).any(|window| window == id))
        };
        objects.iter().filter(|(_, records)| holds(records)).count()
    };
    assert_eq!(every(owner.as_bytes()), 0, "an owner's id stands nowhere in the clear");
    assert_eq!(every(device.as_bytes()), 0);
    for clip in &clips {
        assert_eq!(every(clip.clip().as_bytes()), 1);
    }
    // No run of 16 bytes beside the format's own stands in two records.
    let mut seen = BTreeSet::new();
    let (mut shared, skip) = (0, 60);
    for (_, records) in &objects {
        for record in records {
            let runs: BTreeSet<&[u8]> = record[skip.min(record.len())..].windows(16).collect();
            shared += runs.iter().filter(|run| !seen.insert(run.to_vec())).count();
        }
    }
    // The key reference of the root key is in every wrap; nothing else is shared.
    assert!(shared <= 32 + 16, "{shared} runs are shared between records");
}
