//! Wrapped keys that were put back, swapped, cut or moved: each is refused in its own words, and nothing of it opens.

use dashvault::catalog::{Catalog, MirrorRow, MirrorState, MirrorSubject};
use dashvault::model::{ClipId, ObjectId};
use dashvault::vault::{ClipSummary, VaultError};

use crate::Room;

/// Writes an envelope into a clip's row, as whoever can write the database does.
async fn put_envelope(catalog: &Catalog, clip: ClipId, envelope: &[u8]) {
    let row = catalog.clip_any(clip).await.unwrap().unwrap();
    let mut tx = catalog.begin().await.unwrap();
    let before = row.envelope.unwrap();
    assert!(tx.replace_envelope(clip, &before, 1, envelope).await.unwrap());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn an_older_envelope_that_was_put_back_is_refused_with_both_revisions() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await.clip();
    let row = room.catalog.clip_any(clip).await.unwrap().unwrap();
    let old = row.envelope.unwrap();
    assert!(room.vault.hold_clip(clip, true).await.unwrap());
    let new = room.catalog.clip_any(clip).await.unwrap().unwrap().envelope.unwrap();
    put_envelope(&room.catalog, clip, &old).await;
    let refused = room.vault.read_clip_keys(owner, clip).await.err().unwrap();
    let VaultError::OldRevision { table, found, least } = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((table, found, least), ("clips", 1, 2));
    let said = VaultError::OldRevision { table, found, least }.to_string();
    assert!(
        said.contains("put back") && said.contains("dashvault recover"),
        "{said}"
    );
    put_envelope(&room.catalog, clip, &new).await;
    assert!(room.vault.read_clip_keys(owner, clip).await.unwrap().is_some());
}

#[tokio::test]
async fn an_older_kek_record_that_was_put_back_is_refused() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let old = room.catalog.active_kek(owner).await.unwrap().unwrap();
    let change = room.vault.change_vehicles(&keys, |_| {}).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault.record_kek(&mut tx, &change).await.unwrap();
    assert!(tx.replace_kek(&old, 2).await.unwrap());
    tx.commit().await.unwrap();
    let refused = room.vault.owner_keys(owner).await.err().unwrap();
    assert!(
        matches!(
            refused,
            VaultError::OldRevision {
                table: "keks",
                found: 1,
                least: 2
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_swapped_kek_row_is_refused() {
    let room = Room::new().await;
    let (anna, bert) = (room.owner("anna").await, room.owner("bert").await);
    let (of_anna, of_bert) = (
        room.catalog.active_kek(anna).await.unwrap().unwrap(),
        room.catalog.active_kek(bert).await.unwrap().unwrap(),
    );
    let mut swapped = of_anna.clone();
    swapped.record = of_bert.record;
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.replace_kek(&swapped, of_anna.revision).await.unwrap());
    tx.commit().await.unwrap();
    let refused = room.vault.owner_keys(anna).await.err().unwrap();
    assert!(
        matches!(
            refused,
            VaultError::DamagedRow {
                table: "keks",
                column: "record"
            }
        ),
        "{refused:?}"
    );
    room.vault.owner_keys(bert).await.unwrap();
}

#[tokio::test]
async fn a_cut_envelope_and_one_of_another_row_are_refused() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let (clip, other) = (room.ready_clip(&keys).await.clip(), room.ready_clip(&keys).await.clip());
    let whole = room.catalog.clip_any(clip).await.unwrap().unwrap().envelope.unwrap();
    let of_other = room.catalog.clip_any(other).await.unwrap().unwrap().envelope.unwrap();
    for cut in [0, 1, 59, 60, 187, 191, whole.len() - 1] {
        put_envelope(&room.catalog, clip, &whole[..cut]).await;
        let refused = room.vault.read_clip_keys(owner, clip).await.err().unwrap();
        assert!(
            matches!(
                refused,
                VaultError::DamagedRow {
                    table: "clips",
                    column: "envelope"
                }
            ),
            "{cut}: {refused:?}"
        );
    }
    put_envelope(&room.catalog, clip, &of_other).await;
    let refused = room.vault.read_clip_keys(owner, clip).await.err().unwrap();
    assert!(
        matches!(refused, VaultError::DamagedRow { table: "clips", .. }),
        "{refused:?}"
    );
    put_envelope(&room.catalog, clip, &whole).await;
    room.vault.read_clip_keys(owner, clip).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_field_that_was_moved_to_another_row_is_refused() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let (clip, other) = (room.ready_clip(&keys).await, room.ready_clip(&keys).await);
    let sealed = clip.seal(clip.clip().as_bytes(), &ClipSummary::default());
    assert!(clip.open::<ClipSummary>(clip.clip().as_bytes(), &sealed).is_ok());
    for refused in [
        clip.open::<ClipSummary>(other.clip().as_bytes(), &sealed).err(),
        other.open::<ClipSummary>(other.clip().as_bytes(), &sealed).err(),
    ] {
        let refused = refused.unwrap();
        assert!(
            matches!(
                refused,
                VaultError::DamagedRow {
                    table: "clips",
                    column: "sealed_summary"
                }
            ),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn the_next_revision_is_above_any_that_was_seen_in_the_key_plane() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let clip = room.ready_clip(&room.keys(owner).await).await.clip();
    let mut tx = room.catalog.begin().await.unwrap();
    let seen = MirrorRow {
        object: ObjectId::random(),
        kind: MirrorSubject::Envelope,
        subject: *clip.as_bytes(),
        revision: 9,
        state: MirrorState::Ahead,
        packed: 1,
    };
    tx.insert_mirror(room.vault.tenant(), &seen, 1).await.unwrap();
    tx.commit().await.unwrap();
    assert!(room.vault.hold_clip(clip, true).await.unwrap());
    let newest = room
        .catalog
        .newest_mirror(MirrorSubject::Envelope, clip.as_bytes())
        .await
        .unwrap();
    assert_eq!(newest.unwrap().revision, 10);
}
