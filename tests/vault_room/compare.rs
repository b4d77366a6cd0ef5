//! The catalogue held against the key plane: an older database is noticed, and nothing is removed for being unknown.

use dashvault::catalog::{ErasureKind, MirrorSubject};
use dashvault::model::{ClipId, ObjectId};
use dashvault::vault::KeyPlaneSwept;
use dashvault_keys::mirror::{self, MirrorKind};

use crate::Room;

#[tokio::test]
async fn a_catalogue_that_is_as_new_as_the_key_plane_has_nothing_to_tell() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    room.ready_clip(&room.keys(owner).await).await;
    let compared = room.vault.compare_with_key_plane().await.unwrap();
    assert_eq!((compared.listed, compared.unknown), (3, 0));
    assert_eq!((compared.ahead, compared.findings), (0, 0));
}

#[tokio::test]
async fn an_older_database_is_noticed_and_the_newer_keys_stay_in_the_key_plane() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let (changed, erased) = (room.ready_clip(&keys).await.clip(), room.ready_clip(&keys).await.clip());
    room.catalog.checkpoint().await.unwrap();
    let database = room.scratch.path().join("catalogue/vault.db");
    let older = std::fs::read(&database).unwrap();
    // After the copy: a clip changes, one is erased, an owner and a clip come.
    assert!(room.vault.hold_clip(changed, true).await.unwrap());
    let buried = room.vault.bury(ErasureKind::Clip, erased.as_bytes(), Some(owner)).await;
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault
        .record_burial(&mut tx, &buried.unwrap().unwrap())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let late = room.owner("bert").await;
    room.ready_clip(&room.keys(late).await).await;
    let room = room
        .restart_after(|| {
            for end in ["-wal", "-shm"] {
                std::fs::remove_file(format!("{}{end}", database.display())).ok();
            }
            std::fs::write(&database, &older).unwrap();
        })
        .await;
    let before = room.keyplane.names().await.len();
    let compared = room.vault.compare_with_key_plane().await.unwrap();
    assert_eq!((compared.unknown, compared.ahead, compared.findings), (3, 3, 0));
    let state = room.vault.mirror_state().await.unwrap();
    assert_eq!((state.envelopes.ahead, state.keks.ahead), (2, 1));
    while room.vault.sweep_key_plane().await.unwrap() != KeyPlaneSwept::default() {}
    // The erased clip's envelope goes, the newer ones stay.
    assert_eq!(room.keyplane.names().await.len(), before - 1);
    // What is written from now on is above what was seen.
    assert!(room.vault.hold_clip(changed, true).await.unwrap());
    let newest = room
        .catalog
        .newest_mirror(MirrorSubject::Envelope, changed.as_bytes())
        .await
        .unwrap();
    assert_eq!(newest.unwrap().revision, 3);
}

#[tokio::test]
async fn an_older_database_takes_up_packs_that_were_written_since() {
    let room = Room::new().await;
    let mut owners = Vec::new();
    for n in 0..20 {
        owners.push(room.owner(&format!("owner{n}")).await);
    }
    room.catalog.checkpoint().await.unwrap();
    let database = room.scratch.path().join("catalogue/vault.db");
    let older = std::fs::read(&database).unwrap();
    while room.vault.sweep_key_plane().await.unwrap() != KeyPlaneSwept::default() {}
    let room = room
        .restart_after(|| {
            for end in ["-wal", "-shm"] {
                std::fs::remove_file(format!("{}{end}", database.display())).ok();
            }
            std::fs::write(&database, &older).unwrap();
        })
        .await;
    let compared = room.vault.compare_with_key_plane().await.unwrap();
    assert_eq!((compared.unknown, compared.ahead, compared.lost), (1, 0, 0));
    while room.vault.sweep_key_plane().await.unwrap() != KeyPlaneSwept::default() {}
    let packs = room.mirrored(MirrorKind::Keks).await;
    assert_eq!(packs.iter().map(Vec::len).collect::<Vec<_>>(), [20]);
    let state = room.vault.mirror_state().await.unwrap();
    assert_eq!((state.missing(), state.ahead(), state.keks.objects), (0, 0, 1));
}

#[tokio::test]
async fn what_somebody_took_out_of_the_key_plane_is_written_again() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    room.ready_clip(&room.keys(owner).await).await;
    let buried = room.vault.bury_clip(owner, ClipId::random()).await.unwrap().unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault.record_burial(&mut tx, &buried).await.unwrap();
    tx.commit().await.unwrap();
    for name in room.keyplane.names().await {
        room.keyplane.remove(&name).await;
    }
    assert_eq!(room.vault.compare_with_key_plane().await.unwrap().lost, 4);
    assert_eq!(room.vault.mirror_missing().await.unwrap(), 4);
    let mut kinds: Vec<_> = room
        .key_plane()
        .await
        .into_iter()
        .map(|(kind, _)| format!("{kind:?}"))
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["Envelope", "Keks", "System", "Tombstones"]);
    assert_eq!(room.vault.mirror_state().await.unwrap().missing(), 0);
}

#[tokio::test]
async fn what_this_vault_did_not_make_is_a_finding_and_stays_where_it_is() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await.clip();
    let row = room.catalog.clip_any(clip).await.unwrap().unwrap();
    let mut raised = row.envelope.unwrap();
    // A forger raises the revision of a real envelope.
    raised[24..28].copy_from_slice(&9_u32.to_be_bytes());
    let tenant = *room.vault.tenant().as_bytes();
    for (kind, record) in [
        (MirrorKind::Envelope, raised.as_slice()),
        (MirrorKind::Envelope, b"rubbish".as_slice()),
        (MirrorKind::Keks, b"rubbish".as_slice()),
        (MirrorKind::System, b"rubbish".as_slice()),
    ] {
        let id = ObjectId::random();
        let bytes = mirror::make(&tenant, id.as_bytes(), kind, &[record]).unwrap();
        let name = id.to_string();
        room.keyplane.replace(&format!("{}/{name}", &name[..2]), bytes).await;
    }
    let compared = room.vault.compare_with_key_plane().await.unwrap();
    assert_eq!((compared.ahead, compared.findings), (0, 4));
    let names = room.keyplane.names().await;
    while room.vault.sweep_key_plane().await.unwrap() != KeyPlaneSwept::default() {}
    assert_eq!(room.keyplane.names().await, names);
    assert!(room.vault.read_clip_keys(owner, clip).await.unwrap().is_some());
}
