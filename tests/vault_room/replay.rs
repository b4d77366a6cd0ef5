//! Tombstones and an older database: what was erased stays erased, and a forgery erases nothing.

use dashvault::catalog::{Catalog, ErasureKind, OwnerState};
use dashvault::model::{ClipId, ClipState, JobState, ObjectId, OwnerId};
use dashvault::vault::VaultError;
use dashvault_keys::Secret32;
use dashvault_keys::mirror::{self, MirrorKind};
use dashvault_keys::receipt::ReceiptSigner;
use dashvault_keys::tombstone::{Erased, Tombstone};
use dashvault_test_support::Fault;

use crate::Room;

/// Two owners; an older copy of the database was made when both had clips.
struct Scene {
    room: Room,
    gone: OwnerId,
    kept: OwnerId,
    gone_clip: ClipId,
    of_gone: ClipId,
    kept_clip: ClipId,
}

impl Scene {
    /// Erases one clip of the one owner and the other owner, then puts the older database back.
    async fn restored() -> Self {
        let room = Room::new().await;
        let (gone, kept) = (room.owner("anna").await, room.owner("bert").await);
        let of_gone = room.ready_clip(&room.keys(gone).await).await.clip();
        let gone_clip = room.ready_clip(&room.keys(kept).await).await.clip();
        let kept_clip = room.ready_clip(&room.keys(kept).await).await.clip();
        room.catalog.checkpoint().await.unwrap();
        let database = room.scratch.path().join("catalogue/vault.db");
        let older = std::fs::read(&database).unwrap();
        for (kind, subject, owner) in [
            (ErasureKind::Clip, gone_clip.as_bytes(), Some(kept)),
            (ErasureKind::Owner, gone.as_bytes(), None),
        ] {
            let buried = room.vault.bury(kind, subject, owner).await.unwrap().unwrap();
            let mut tx = room.catalog.begin().await.unwrap();
            room.vault.record_burial(&mut tx, &buried).await.unwrap();
            tx.commit().await.unwrap();
        }
        let room = room
            .restart_after(|| {
                for end in ["-wal", "-shm"] {
                    std::fs::remove_file(format!("{}{end}", database.display())).ok();
                }
                std::fs::write(&database, &older).unwrap();
            })
            .await;
        Self {
            room,
            gone,
            kept,
            gone_clip,
            of_gone,
            kept_clip,
        }
    }
}

async fn envelope(catalog: &Catalog, clip: ClipId) -> Option<Vec<u8>> {
    catalog.clip_any(clip).await.unwrap().and_then(|row| row.envelope)
}

#[tokio::test]
async fn an_older_database_erases_again_before_anything_is_opened() {
    let scene = Scene::restored().await;
    let room = &scene.room;
    let replayed = room.vault.replayed().expect("read at the start");
    assert_eq!((replayed.listed, replayed.unknown), (2, 2));
    assert_eq!((replayed.erased_again, replayed.findings), (2, 0));
    assert_eq!(envelope(&room.catalog, scene.gone_clip).await, None);
    let row = room.catalog.clip_any(scene.gone_clip).await.unwrap().unwrap();
    assert_eq!(row.state, ClipState::Erasing);
    assert!(room.catalog.active_kek(scene.gone).await.unwrap().is_none());
    let owner = room.catalog.owner(scene.gone).await.unwrap().unwrap();
    assert_eq!(owner.state, OwnerState::Erasing);
    assert_eq!(room.vault.find_owner("anna@example.org").await.unwrap(), None);
    assert!(
        room.vault
            .read_clip_keys(scene.gone, scene.of_gone)
            .await
            .unwrap()
            .is_none()
    );
    assert!(matches!(
        room.vault.owner_keys(scene.gone).await.err(),
        Some(VaultError::Gone)
    ));
    let kept = room.vault.read_clip_keys(scene.kept, scene.kept_clip).await.unwrap();
    assert!(kept.is_some(), "everybody else's clips still open");
    assert_eq!(
        room.catalog.count_jobs(JobState::Queued).await.unwrap(),
        2,
        "the rest is removed"
    );
}

#[tokio::test]
async fn tombstones_that_were_read_are_not_read_again() {
    let scene = Scene::restored().await;
    let room = scene.room.restart().await;
    let replayed = room.vault.replayed().expect("read at the start");
    assert_eq!((replayed.listed, replayed.unknown, replayed.erased_again), (2, 0, 0));
    assert_eq!(room.catalog.count_jobs(JobState::Queued).await.unwrap(), 2);
}

#[tokio::test]
async fn nothing_of_an_owner_is_opened_before_the_tombstones_could_be_read() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    room.keyplane.fail(|_| Some(Fault::Down));
    let room = room.restart().await;
    assert!(room.vault.replayed().is_none());
    let refused = room.vault.owner_keys(owner).await.err().unwrap();
    assert!(matches!(refused, VaultError::Unavailable(_)), "{refused:?}");
    assert!(room.vault.find_owner("anna@example.org").await.is_err());
    room.keyplane.heal();
    room.vault.owner_keys(owner).await.unwrap();
}

/// Puts an object among the tombstones, as whoever can write the key plane does.
async fn plant(room: &Room, records: &[&[u8]]) -> String {
    let id = ObjectId::random();
    let tenant = *room.vault.tenant().as_bytes();
    let bytes = mirror::make(&tenant, id.as_bytes(), MirrorKind::Tombstones, records).unwrap();
    let name = format!("tombstones/{id}");
    room.keyplane.replace(&name, bytes).await;
    name
}

#[tokio::test]
async fn a_forged_tombstone_is_a_finding_and_no_erasure() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await.clip();
    let forger = ReceiptSigner::new(&Secret32::make_random());
    for (what, subject) in [(Erased::Clip, *clip.as_bytes()), (Erased::Owner, *owner.as_bytes())] {
        let stone = Tombstone {
            what,
            subject,
            at_ms: 1,
        };
        plant(&room, &[&stone.sign(room.vault.tenant().as_bytes(), &forger)]).await;
        // Signed by the vault, for another vault.
        plant(&room, &[&stone.sign(&[9; 16], &room.vault.receipt_signer().unwrap())]).await;
    }
    // Two starts: a finding stays one until somebody looks.
    let mut room = room;
    for _ in 0..2 {
        room = room.restart().await;
        let replayed = room.vault.replayed().unwrap();
        assert_eq!((replayed.findings, replayed.erased_again), (4, 0));
        assert!(room.vault.read_clip_keys(owner, clip).await.unwrap().is_some());
    }
    assert_eq!(room.catalog.count_jobs(JobState::Queued).await.unwrap(), 0);
}

#[tokio::test]
async fn a_damaged_tombstone_object_is_a_finding_and_the_whole_ones_count() {
    let scene = Scene::restored().await;
    let room = scene.room;
    let stone = Tombstone {
        what: Erased::Clip,
        subject: *scene.kept_clip.as_bytes(),
        at_ms: 1,
    };
    let signed = stone.sign(room.vault.tenant().as_bytes(), &room.vault.receipt_signer().unwrap());
    let name = plant(&room, &[&signed]).await;
    let mut bytes = room.keyplane.object(&name).await.to_vec();
    bytes[60] ^= 1;
    room.keyplane.replace(&name, bytes).await;
    room.keyplane
        .replace(&format!("tombstones/{}", ObjectId::random()), b"rubbish".as_slice())
        .await;
    let room = room.restart().await;
    let replayed = room.vault.replayed().unwrap();
    assert_eq!((replayed.findings, replayed.erased_again), (2, 0));
    let kept = room.vault.read_clip_keys(scene.kept, scene.kept_clip).await.unwrap();
    assert!(kept.is_some());
}

#[tokio::test]
async fn a_tombstone_erases_also_what_the_older_database_holds_for_a_dispute() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await.clip();
    assert!(room.vault.hold_clip(clip, true).await.unwrap());
    let stone = Tombstone {
        what: Erased::Clip,
        subject: *clip.as_bytes(),
        at_ms: 1,
    };
    plant(
        &room,
        &[&stone.sign(room.vault.tenant().as_bytes(), &room.vault.receipt_signer().unwrap())],
    )
    .await;
    let room = room.restart().await;
    assert_eq!(room.vault.replayed().unwrap().erased_again, 1);
    assert_eq!(envelope(&room.catalog, clip).await, None);
}

#[tokio::test]
async fn a_tombstone_that_was_taken_back_is_gone_at_once() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await.clip();
    let before = room.keyplane.names().await;
    let buried = room.vault.bury_clip(owner, clip).await.unwrap().unwrap();
    room.vault.take_back(buried).await.unwrap();
    assert_eq!(room.keyplane.names().await, before);
    assert!(
        room.vault.bury_clip(owner, clip).await.unwrap().is_some(),
        "and may be ordered again"
    );
}

#[tokio::test]
async fn tombstones_come_into_packs_which_an_older_database_reads_too() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    for _ in 0..20 {
        let buried = room.vault.bury_clip(owner, ClipId::random()).await.unwrap().unwrap();
        let mut tx = room.catalog.begin().await.unwrap();
        room.vault.record_burial(&mut tx, &buried).await.unwrap();
        tx.commit().await.unwrap();
    }
    while room.vault.sweep_key_plane().await.unwrap() != Default::default() {}
    let packs = room.mirrored(MirrorKind::Tombstones).await;
    assert_eq!(packs.iter().map(Vec::len).collect::<Vec<_>>(), [20]);
    room.forget_mirrors().await;
    let room = room.restart().await;
    assert_eq!(room.vault.replayed().unwrap().unknown, 20);
}
