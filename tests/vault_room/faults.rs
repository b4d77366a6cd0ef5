//! A store that is down, full, or loses answers.

use dashvault::model::{ClipId, ObjectKind, OwnerId};
use dashvault::vault::VaultError;
use dashvault_test_support::Fault;

use crate::room::put_piece;
use crate::{MINUTE, NOW, Room, holder, plain};

#[tokio::test]
async fn a_store_that_is_down_or_full_is_told_so_to_every_writer_and_reader() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "original", &plain(1000)).await;
    for (fault, full) in [(Fault::Down, false), (Fault::Full, true)] {
        let is_told = |error: VaultError| match error {
            VaultError::Full(_) => full && error.is_passing(),
            VaultError::Unavailable(_) => !full && error.is_passing(),
            _ => false,
        };
        room.data.fail(move |_| Some(fault));
        room.staging.fail(move |_| Some(fault));
        for length in [10, 9 << 20] {
            let mut writer = room
                .vault
                .create_object(&keys, ObjectKind::Video, "720p", holder())
                .await
                .unwrap();
            let written = writer.write(&plain(length)).await;
            let ended = match written {
                Ok(()) => writer.finish().await.map(drop),
                Err(error) => Err(error),
            };
            assert!(is_told(ended.unwrap_err()), "{fault:?}, {length} bytes");
        }
        let upload = ClipId::random();
        let key = room.vault.make_upload_key(upload).unwrap();
        let id = room.piece_name(upload).await;
        let put = put_piece(&room.vault, &key, OwnerId::random(), (id, 0), b"piece").await;
        assert!(is_told(put.unwrap_err()), "{fault:?}");
        let read = room.vault.read_all(&keys, &object, 1000).await;
        assert!(is_told(read.unwrap_err()), "{fault:?}");
        assert!(is_told(room.vault.ready().await.unwrap_err()), "{fault:?}");
        room.data.heal();
        room.staging.heal();
    }
    assert_eq!(room.vault.read_all(&keys, &object, 1000).await.unwrap(), plain(1000));
}

#[tokio::test]
async fn a_finish_whose_answer_was_lost_leaves_an_intent_and_the_sweep_tidies_up() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    for (length, operation) in [(10, "put"), (9 << 20, "complete_multipart")] {
        room.data
            .fail(move |seen| (seen.name == operation).then_some(Fault::Lost));
        let mut writer = room
            .vault
            .create_object(&keys, ObjectKind::Video, "720p", holder())
            .await
            .unwrap();
        writer.write(&plain(length)).await.unwrap();
        writer.finish().await.unwrap_err();
        assert_eq!(room.data.names().await.len(), 1, "it landed");
        room.data.heal();
        assert_eq!(room.vault.sweep_intents(NOW + 10 * MINUTE).await.unwrap(), 1);
        assert!(room.data.names().await.is_empty());
    }
}

#[tokio::test]
async fn a_fault_in_the_middle_of_a_read_ends_the_stream_with_it() {
    use dashvault::model::ByteRange;
    use futures_util::StreamExt as _;
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "original", &plain(6_000_000)).await;
    let already = room.data.seen().len();
    room.data
        .fail(move |operation| (operation.number >= already + 2).then_some(Fault::Down));
    let mut stream = Box::pin(room.vault.read(&keys, &object, ByteRange::whole(6_000_000)));
    let mut bytes = Vec::new();
    let ended = loop {
        match stream.next().await {
            Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            other => break other,
        }
    };
    assert!(matches!(ended, Some(Err(VaultError::Unavailable(_)))));
    assert!(!bytes.is_empty() && plain(6_000_000).starts_with(&bytes));
}

#[tokio::test]
async fn what_a_store_only_said_to_have_kept_is_found_by_reading_back() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    room.data
        .fail(|operation| (operation.name == "put_part").then_some(Fault::Forgotten));
    let sealed = room.sealed(&keys, "original", &plain(9 << 20)).await;
    let refused = room.vault.verify(&keys, &sealed).await;
    assert!(matches!(refused, Err(VaultError::Damaged { .. })), "{refused:?}");
}
