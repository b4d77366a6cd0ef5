//! Pieces and metadata of uploads.

use dashvault::model::{ClipId, OwnerId};
use dashvault::vault::{PieceRef, UploadKey, UploadMetadata, VaultError};

use crate::room::put_piece;
use crate::{Room, name, plain};

async fn put(room: &Room, key: &UploadKey, owner: OwnerId, start: u64, bytes: &[u8]) -> PieceRef {
    let id = room.piece_name(key.upload).await;
    let commitment = put_piece(&room.vault, key, owner, (id, start), bytes).await.unwrap();
    PieceRef {
        id,
        start,
        length: bytes.len() as u64,
        commitment,
    }
}

#[tokio::test]
async fn a_piece_comes_back_under_the_key_that_the_row_holds() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let made = room.vault.make_upload_key(ClipId::random()).unwrap();
    for length in [0, 1, 65_480, 65_481, 4 << 20] {
        let bytes = plain(length);
        let piece = put(&room, &made, owner, 17, &bytes).await;
        let key = room
            .vault
            .open_upload_key(made.upload, made.id, &made.sealed)
            .await
            .unwrap();
        assert!(
            *room.vault.open_piece(&key, owner, &piece).await.unwrap() == bytes,
            "{length} bytes"
        );
    }
}

#[tokio::test]
async fn pieces_lie_in_staging_and_are_not_padded() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let key = room.vault.make_upload_key(ClipId::random()).unwrap();
    let piece = put(&room, &key, owner, 0, b"ten bytes.").await;
    assert!(room.data.names().await.is_empty());
    assert_eq!(room.staging.object(&name(piece.id)).await.len(), 128 + 10 + 16);
}

#[tokio::test]
async fn a_piece_opens_only_at_its_own_place() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let key = room.vault.make_upload_key(ClipId::random()).unwrap();
    let one = put(&room, &key, owner, 0, &plain(1000)).await;
    let two = put(&room, &key, owner, 1000, &plain(1000)).await;
    let refused = async |key: &UploadKey, owner, piece: PieceRef| {
        let opened = room.vault.open_piece(key, owner, &piece).await;
        assert!(matches!(opened, Err(VaultError::Damaged { .. })), "{piece:?}");
    };
    let changed = |change: fn(&mut PieceRef)| {
        let mut piece = one.clone();
        change(&mut piece);
        piece
    };
    refused(&key, owner, changed(|piece| piece.start = 1)).await;
    refused(&key, owner, changed(|piece| piece.length = 999)).await;
    refused(&key, owner, changed(|piece| piece.length = 1001)).await;
    refused(&key, owner, changed(|piece| piece.length = 1 << 40)).await;
    refused(&key, owner, changed(|piece| piece.commitment[0] ^= 1)).await;
    refused(&key, OwnerId::random(), one.clone()).await;
    refused(&room.vault.make_upload_key(key.upload).unwrap(), owner, one.clone()).await;
    refused(
        &key,
        owner,
        PieceRef {
            id: two.id,
            ..one.clone()
        },
    )
    .await;
    let longer = [&room.staging.object(&name(two.id)).await[..], b"x"].concat();
    room.staging.replace(&name(two.id), longer).await;
    refused(&key, owner, two.clone()).await;
    let bytes = room.staging.object(&name(two.id)).await;
    room.staging.replace(&name(one.id), bytes).await;
    refused(&key, owner, one).await;
}

#[tokio::test]
async fn a_missing_piece_is_told_apart_from_a_damaged_one() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let key = room.vault.make_upload_key(ClipId::random()).unwrap();
    let piece = put(&room, &key, owner, 0, b"bytes").await;
    room.staging.remove(&name(piece.id)).await;
    let missing = room.vault.open_piece(&key, owner, &piece).await;
    assert!(matches!(missing, Err(VaultError::Missing { object, .. }) if object == piece.id));
}

#[tokio::test]
async fn a_piece_has_a_bound() {
    let room = Room::new().await;
    let key = room.vault.make_upload_key(ClipId::random()).unwrap();
    let piece = (room.piece_name(key.upload).await, 0);
    let refused = put_piece(&room.vault, &key, OwnerId::random(), piece, &plain((16 << 20) + 1)).await;
    assert!(matches!(refused, Err(VaultError::OverLimit { .. })), "{refused:?}");
}

#[tokio::test]
async fn an_uploads_key_opens_only_for_its_own_upload_and_id() {
    let room = Room::new().await;
    let key = room.vault.make_upload_key(ClipId::random()).unwrap();
    let other = room.vault.make_upload_key(ClipId::random()).unwrap();
    let open = async |upload, id| room.vault.open_upload_key(upload, id, &key.sealed).await;
    assert!(open(key.upload, key.id).await.is_ok());
    assert!(open(other.upload, key.id).await.is_err());
    assert!(open(key.upload, other.id).await.is_err());
}

#[tokio::test]
async fn metadata_comes_back_and_its_length_tells_little() {
    let room = Room::new().await;
    let upload = ClipId::random();
    let said = UploadMetadata {
        filename: Some("2026-11-25 crash at home.mp4".to_owned()),
        lat: Some(52.5),
        ..UploadMetadata::default()
    };
    let sealed = room.vault.seal_metadata(upload, &said).unwrap();
    assert!(room.vault.open_metadata(upload, &sealed).await.unwrap() == said);
    assert_eq!(
        sealed.len(),
        room.vault
            .seal_metadata(upload, &UploadMetadata::default())
            .unwrap()
            .len()
    );
    let moved = room.vault.open_metadata(ClipId::random(), &sealed).await;
    assert!(matches!(moved, Err(VaultError::DamagedRow { table: "uploads", .. })));
}

#[tokio::test]
async fn receiving_needs_no_root_key() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    std::fs::remove_file(&room.keyring).unwrap();
    let key = room.vault.make_upload_key(ClipId::random()).unwrap();
    put(&room, &key, owner, 0, b"received").await;
    room.vault
        .seal_metadata(key.upload, &UploadMetadata::default())
        .unwrap();
}
