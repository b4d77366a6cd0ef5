//! The sweep removes what was begun and not published, and nothing else.

use dashvault::model::{ClipId, ObjectKind};
use dashvault::vault::VaultError;
use dashvault_test_support::Fault;

use crate::room::put_piece;
use crate::{MINUTE, NOW, Room, holder, name, plain};

#[tokio::test]
async fn only_intents_whose_lease_has_ended_go() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let published = room.published(&keys, "original", b"published").await;
    let young = room.sealed(&keys, "720p", b"still its job's").await;
    assert_eq!(room.vault.sweep_intents(NOW + 10 * MINUTE - 1).await.unwrap(), 0);
    assert_eq!(room.data.names().await.len(), 2);
    assert_eq!(room.vault.sweep_intents(NOW + 10 * MINUTE).await.unwrap(), 1);
    assert_eq!(room.data.names().await, [name(published.id)]);
    assert!(room.catalog.intent(young.id).await.unwrap().is_none());
    assert_eq!(room.vault.sweep_intents(NOW + 10 * MINUTE).await.unwrap(), 0);
}

#[tokio::test]
async fn an_old_database_beside_a_newer_bucket_loses_nothing() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let old = room.published(&keys, "original", b"known to the backup").await;
    room.catalog.checkpoint().await.unwrap();
    let (database, backup) = (
        room.scratch.path().join("catalogue/vault.db"),
        room.scratch.path().join("backup.db"),
    );
    std::fs::copy(&database, &backup).unwrap();
    let newer = room.published(&keys, "720p", b"made after the backup").await;
    let mut before = room.data.names().await;

    room.catalog.close().await;
    for file in ["vault.db-wal", "vault.db-shm"] {
        std::fs::remove_file(room.scratch.path().join("catalogue").join(file)).ok();
    }
    std::fs::copy(&backup, &database).unwrap();
    let room = room.restart().await;
    // Long after every lease that anybody could have had.
    room.vault.sweep_intents(NOW + 60 * 24 * 60 * MINUTE).await.unwrap();
    assert!(
        room.catalog.objects_of(keys.clip(), None).await.unwrap().len() == 1,
        "the database is old"
    );
    let mut after = room.data.names().await;
    before.sort();
    after.sort();
    assert_eq!(before, after);
    assert!(after.contains(&name(newer.id)) && after.contains(&name(old.id)));
}

#[tokio::test]
async fn what_the_sweep_took_cannot_be_published_any_more() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let sealed = room.sealed(&keys, "original", b"late").await;
    room.vault.sweep_intents(NOW + 10 * MINUTE).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    let late = room.vault.publish(&mut tx, &keys, &sealed, &sealed.about(), None).await;
    assert!(
        matches!(late, Err(VaultError::LeaseLost { object }) if object == sealed.id),
        "{late:?}"
    );
}

#[tokio::test]
async fn a_sweep_that_the_store_interrupts_keeps_its_hold_and_goes_on_later() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let sealed = room.sealed(&keys, "original", b"bytes").await;
    room.data
        .fail(|operation| (operation.name == "delete").then_some(Fault::Down));
    let down = room.vault.sweep_intents(NOW + 10 * MINUTE).await;
    assert!(matches!(down, Err(VaultError::Unavailable(_))), "{down:?}");
    // Half swept: nobody may publish it or take it back.
    let mut tx = room.catalog.begin().await.unwrap();
    assert_eq!(tx.extend_intents(&holder().id, NOW + 60 * MINUTE).await.unwrap(), 0);
    let late = room.vault.publish(&mut tx, &keys, &sealed, &sealed.about(), None).await;
    assert!(matches!(late, Err(VaultError::LeaseLost { .. })), "{late:?}");
    drop(tx);
    room.data.heal();
    assert_eq!(room.vault.sweep_intents(NOW + 10 * MINUTE).await.unwrap(), 1);
    assert!(room.data.names().await.is_empty());
}

#[tokio::test]
async fn objects_that_cannot_be_removed_are_not_in_the_way_of_others() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    // More than the store may be silent about in a row.
    let mut stuck = Vec::new();
    for _ in 0..5 {
        stuck.push(room.sealed(&keys, "original", b"bytes").await.id.to_string());
    }
    let names = stuck.clone();
    room.data.fail(move |operation| {
        let stuck = names.iter().any(|name| operation.path.ends_with(name));
        (operation.name == "delete" && stuck).then_some(Fault::Down)
    });
    let later = NOW + 10 * MINUTE;
    for _ in 0..3 {
        room.sealed(&keys, "original", b"others").await;
        room.vault.sweep_intents(later).await.unwrap_err();
        assert_eq!(room.data.names().await.len(), stuck.len());
    }
    room.data.heal();
    assert_eq!(room.vault.sweep_intents(later).await.unwrap(), 5);
    assert!(room.data.names().await.is_empty());
}

#[tokio::test]
async fn an_upload_in_parts_of_a_killed_process_is_ended() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let mut writer = room
        .vault
        .create_object(&keys, ObjectKind::Video, "original", holder())
        .await
        .unwrap();
    writer.write(&plain(9 << 20)).await.unwrap();
    std::mem::forget(writer);
    assert_eq!(room.vault.sweep_intents(NOW + 10 * MINUTE).await.unwrap(), 1);
    let aborted = room
        .data
        .seen()
        .iter()
        .filter(|operation| operation.name == "abort_multipart")
        .count();
    assert_eq!(aborted, 1);
}

#[tokio::test]
async fn a_writer_that_slept_over_its_lease_leaves_nothing_behind() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let mut writer = room
        .vault
        .create_object(&keys, ObjectKind::Video, "original", holder())
        .await
        .unwrap();
    writer.write(b"bytes").await.unwrap();
    room.vault.sweep_intents(NOW + 10 * MINUTE).await.unwrap();
    let late = writer.finish().await;
    assert!(matches!(late, Err(VaultError::LeaseLost { .. })), "{late:?}");
    assert!(room.data.names().await.is_empty());
}

#[tokio::test]
async fn pieces_of_an_ended_lease_go_and_extended_ones_stay() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let (ended, extended) = (ClipId::random(), ClipId::random());
    for upload in [ended, extended] {
        let key = room.vault.make_upload_key(upload).unwrap();
        for _ in 0..2 {
            let id = room.piece_name(upload).await;
            put_piece(&room.vault, &key, owner, (id, 0), b"piece").await.unwrap();
        }
    }
    let mut tx = room.catalog.begin().await.unwrap();
    assert_eq!(
        tx.extend_intents(extended.as_bytes(), NOW + 10 * MINUTE).await.unwrap(),
        2
    );
    tx.commit().await.unwrap();
    assert_eq!(room.vault.sweep_intents(NOW + 2 * MINUTE).await.unwrap(), 2);
    assert_eq!(room.staging.names().await.len(), 2);
    let mut tx = room.catalog.begin().await.unwrap();
    assert_eq!(tx.end_intents(extended.as_bytes(), NOW).await.unwrap(), 2);
    tx.commit().await.unwrap();
    assert_eq!(room.vault.sweep_intents(NOW).await.unwrap(), 2);
    assert!(room.staging.names().await.is_empty());
}

#[tokio::test]
async fn a_lease_begins_with_its_object_however_old_its_holder_is() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let holder = holder();
    room.clock.advance(60 * MINUTE);
    let writer = room
        .vault
        .create_object(&keys, ObjectKind::Image, "poster", holder)
        .await;
    assert_eq!(room.vault.sweep_intents(NOW + 60 * MINUTE).await.unwrap(), 0);
    writer.unwrap().finish().await.unwrap();
    assert_eq!(room.vault.sweep_intents(NOW + 70 * MINUTE).await.unwrap(), 1);
}
