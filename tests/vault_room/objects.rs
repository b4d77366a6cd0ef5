//! What is sealed comes back, whole and by ranges.

use dashvault::model::{ByteRange, ObjectKind};
use dashvault::vault::VaultError;
use futures_util::{StreamExt as _, TryStreamExt as _};

use crate::{Room, holder, name, plain};

#[tokio::test]
async fn an_object_comes_back_as_it_was_written() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    // Nothing, one byte, around the first segments' ends, and more than two parts of 8 MiB.
    let segment = 256 << 10;
    for length in [0, 1, segment - 56, segment - 55, 2 * segment, 17_000_000] {
        let bytes = plain(length);
        let object = room.published(&keys, "original", &bytes).await;
        assert_eq!(object.about.length, length as u64);
        let got = room.vault.read_all(&keys, &object, u64::MAX).await.unwrap();
        assert!(got == bytes, "{length} bytes");
        assert_eq!(room.data.object(&name(object.id)).await.len() as u64, object.size_bytes);
    }
}

#[tokio::test]
async fn a_range_is_exactly_the_bytes_asked_for() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let bytes = plain(3_000_000);
    let object = room.published(&keys, "1080p", &bytes).await;
    let first = (256 << 10) - 56;
    let next = first + (256 << 10) - 16;
    for (start, end) in [
        (0, 1),
        (first - 1, first + 1),
        (first, next),
        (next - 1, next),
        (1_000_000, 2_500_000),
        (2_999_999, 3_000_000),
        (5, 5),
    ] {
        let range = ByteRange {
            start: start as u64,
            end: end as u64,
        };
        let chunks: Vec<_> = room.vault.read(&keys, &object, range).try_collect().await.unwrap();
        assert!(chunks.concat() == bytes[start..end], "{start}..{end}");
    }
}

#[tokio::test]
async fn a_two_byte_probe_costs_one_segment() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "1080p", &plain(3_000_000)).await;
    let before = room.data.seen().len();
    let range = ByteRange {
        start: 1_500_000,
        end: 1_500_002,
    };
    let chunks: Vec<_> = room.vault.read(&keys, &object, range).try_collect().await.unwrap();
    assert_eq!(chunks.concat().len(), 2);
    // The prelude and the segment; nothing is read for the sake of the size.
    assert_eq!(room.data.seen().len() - before, 2);
}

#[tokio::test]
async fn padding_never_comes_back() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "poster", b"short").await;
    assert_eq!(object.padded_size, 128 << 10);
    let beyond = ByteRange { start: 0, end: 6 };
    let refused = room.vault.read(&keys, &object, beyond).try_collect::<Vec<_>>().await;
    assert!(matches!(refused, Err(VaultError::Damaged { .. })));
    assert_eq!(room.vault.read_all(&keys, &object, 5).await.unwrap(), b"short");
}

#[tokio::test]
async fn a_stream_asks_nothing_before_it_is_polled_and_three_chunks_ahead_at_most() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "1080p", &plain(12_000_000)).await;
    let before = room.data.seen().len();
    let mut stream = Box::pin(room.vault.read(&keys, &object, ByteRange::whole(12_000_000)));
    tokio::task::yield_now().await;
    assert_eq!(room.data.seen().len(), before);
    stream.next().await.unwrap().unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let asked = room.data.seen().len() - before;
    assert!(asked <= 4, "{asked} requests for the first chunk");
    drop(stream);
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(room.data.seen().len() - before <= 4, "a dropped stream goes on reading");
}

#[tokio::test]
async fn what_is_read_whole_has_a_bound() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "1080p.index", &plain(1000)).await;
    let refused = room.vault.read_all(&keys, &object, 999).await;
    assert!(matches!(refused, Err(VaultError::OverLimit { limit_bytes: 999 })));
}

#[tokio::test]
async fn an_intent_stands_before_the_first_byte_and_leaves_with_the_row() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let mut writer = room
        .vault
        .create_object(&keys, ObjectKind::Video, "original", holder())
        .await
        .unwrap();
    let id = writer.id();
    assert!(room.catalog.intent(id).await.unwrap().is_some());
    assert!(room.data.names().await.is_empty());
    writer.write(&plain(9 << 20)).await.unwrap();
    let named = room.catalog.intent(id).await.unwrap().unwrap().multipart_id;
    assert!(named.is_some(), "an upload in parts without a name");
    let sealed = writer.finish().await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault
        .publish(&mut tx, &keys, &sealed, &sealed.about(), None)
        .await
        .unwrap();
    drop(tx);
    assert!(room.catalog.intent(id).await.unwrap().is_some(), "rolled back together");
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault
        .publish(&mut tx, &keys, &sealed, &sealed.about(), None)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert!(room.catalog.intent(id).await.unwrap().is_none());
    assert_eq!(room.vault.objects(&keys, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_aborted_object_leaves_neither_bytes_nor_intent() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    for length in [10, 9 << 20] {
        let mut writer = room
            .vault
            .create_object(&keys, ObjectKind::Video, "720p", holder())
            .await
            .unwrap();
        let id = writer.id();
        writer.write(&plain(length)).await.unwrap();
        writer.abort().await.unwrap();
        assert!(room.catalog.intent(id).await.unwrap().is_none());
        assert!(room.data.names().await.is_empty());
    }
}

#[tokio::test]
async fn reading_back_finds_what_was_written_and_nothing_else() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let sealed = room.sealed(&keys, "original", &plain(2_000_000)).await;
    room.vault.verify(&keys, &sealed).await.unwrap();
    let mut other_hash = sealed.clone();
    other_hash.sha256[0] ^= 1;
    let mut other_length = sealed.clone();
    other_length.length -= 1;
    for wrong in [other_hash, other_length] {
        let refused = room.vault.verify(&keys, &wrong).await;
        assert!(matches!(refused, Err(VaultError::Damaged { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn removed_objects_are_gone_and_removing_again_is_fine() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let object = room.published(&keys, "original", b"bytes").await;
    for _ in 0..2 {
        room.vault.remove_objects(&[object.id]).await.unwrap();
        assert!(room.data.names().await.is_empty());
    }
    let missing = room.vault.read_all(&keys, &object, 100).await;
    assert!(matches!(missing, Err(VaultError::Missing { object: id, .. }) if id == object.id));
}

#[tokio::test]
async fn a_manifest_entry_is_the_same_before_and_after_publishing() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let sealed = room.sealed(&keys, "original", b"bytes").await;
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault
        .publish(&mut tx, &keys, &sealed, &sealed.about(), None)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let stored = room.vault.objects(&keys, None).await.unwrap().remove(0);
    assert!(stored.in_manifest().unwrap() == sealed.in_manifest(&sealed.about()));
}
