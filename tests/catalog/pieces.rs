//! Pieces and the keys they are sealed under: in what order they are read, and how they go.

use dashvault::catalog::{Catalog, CatalogError, IntentLocation, PieceRow, UploadKeyRow};
use dashvault::model::{ClipId, ObjectId, UploadKeyId};

use crate::both;
use crate::uploads::{an_owner, an_upload, write};

async fn a_key(catalog: &Catalog, upload: ClipId) -> UploadKeyRow {
    let key = UploadKeyRow {
        id: UploadKeyId::random(),
        upload,
        sealed: b"a sealed key".to_vec(),
    };
    write!(catalog, tx => tx.insert_upload_key(&key));
    key
}

fn a_piece(key: &UploadKeyRow, start: u64, length: u64) -> PieceRow {
    PieceRow {
        id: ObjectId::random(),
        upload: key.upload,
        key: key.id,
        start,
        length,
        commitment: [9; 32],
    }
}

#[tokio::test]
async fn pieces_are_read_in_their_order_and_page_by_page() {
    both(async |catalog| {
        let at = an_owner(&catalog).await;
        let key = a_key(&catalog, an_upload(&catalog, at).await).await;
        let other = a_key(&catalog, an_upload(&catalog, at).await).await;
        let pieces = [a_piece(&key, 0, 10), a_piece(&key, 10, 5), a_piece(&key, 15, 1)];
        for piece in [&pieces[2], &pieces[0], &pieces[1], &a_piece(&other, 0, 3)] {
            write!(catalog, tx => tx.insert_piece(piece, 20));
        }
        assert_eq!(catalog.pieces_of(key.upload, None, 10).await.unwrap(), pieces);
        assert_eq!(catalog.pieces_of(key.upload, None, 2).await.unwrap(), pieces[..2]);
        assert_eq!(catalog.pieces_of(key.upload, Some(10), 10).await.unwrap(), pieces[2..]);
    })
    .await;
}

#[tokio::test]
async fn no_two_pieces_begin_at_one_offset() {
    both(async |catalog| {
        let key = a_key(&catalog, an_upload(&catalog, an_owner(&catalog).await).await).await;
        write!(catalog, tx => tx.insert_piece(&a_piece(&key, 0, 10), 20));
        let mut tx = catalog.begin().await.unwrap();
        let refused = tx.insert_piece(&a_piece(&key, 0, 12), 20).await;
        assert!(matches!(refused, Err(CatalogError::Exists(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_key_is_kept_once_and_only_for_its_upload() {
    both(async |catalog| {
        let at = an_owner(&catalog).await;
        let key = a_key(&catalog, an_upload(&catalog, at).await).await;
        write!(catalog, tx => tx.insert_upload_key(&key));
        assert_eq!(
            catalog.upload_keys_of(key.upload).await.unwrap(),
            std::slice::from_ref(&key)
        );
        let other = an_upload(&catalog, at).await;
        assert_eq!(catalog.upload_keys_of(other).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn pieces_of_an_ended_upload_become_ended_intents_and_its_keys_go_last() {
    both(async |catalog| {
        let at = an_owner(&catalog).await;
        let key = a_key(&catalog, an_upload(&catalog, at).await).await;
        let pieces = [a_piece(&key, 0, 10), a_piece(&key, 10, 5), a_piece(&key, 15, 1)];
        for piece in &pieces {
            write!(catalog, tx => tx.insert_piece(piece, 20));
        }
        assert_eq!(catalog.uploads_to_release(None, 10).await.unwrap(), []);
        write!(catalog, tx => tx.end_upload(key.upload, 30));
        assert_eq!(catalog.uploads_to_release(None, 10).await.unwrap(), [key.upload]);
        assert_eq!(catalog.uploads_to_release(Some(key.upload), 10).await.unwrap(), []);

        assert_eq!(write!(catalog, tx => tx.release_pieces(at.0, key.upload, 2, 40)), 2);
        assert_eq!(catalog.pieces_of(key.upload, None, 10).await.unwrap(), pieces[..1]);
        assert_eq!(catalog.upload_keys_of(key.upload).await.unwrap().len(), 1);
        assert_eq!(
            write!(catalog, tx => tx.remove_tombstones(i64::MAX)),
            0,
            "pieces are left"
        );

        assert_eq!(write!(catalog, tx => tx.release_pieces(at.0, key.upload, 2, 40)), 1);
        assert_eq!(catalog.pieces_of(key.upload, None, 10).await.unwrap(), []);
        assert_eq!(catalog.upload_keys_of(key.upload).await.unwrap(), []);
        assert_eq!(catalog.uploads_to_release(None, 10).await.unwrap(), []);
        assert_eq!(write!(catalog, tx => tx.release_pieces(at.0, key.upload, 2, 40)), 0);

        let intents = catalog.ended_intents(40, 10).await.unwrap();
        let mut found: Vec<_> = intents.iter().map(|intent| intent.object).collect();
        let mut told: Vec<_> = pieces.iter().map(|piece| piece.id).collect();
        found.sort();
        told.sort();
        assert_eq!(found, told);
        for intent in intents {
            assert_eq!(intent.location, IntentLocation::Staging);
            assert_eq!(&intent.holder, key.upload.as_bytes());
        }
        assert_eq!(write!(catalog, tx => tx.remove_tombstones(i64::MAX)), 1);
    })
    .await;
}
