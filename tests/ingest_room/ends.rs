//! How uploads end: completed after a crash, ended by their owner, expired, refused by a full store, signed for.

use bytes::Bytes;
use dashvault::access::Principal;
use dashvault::catalog::{ClipPublication, UploadStep};
use dashvault::ingest::{Body, IngestError, ReceiptState};
use dashvault::model::{ClipId, ClipState, Clock as _, EventKind, UploadState};
use dashvault::vault::{ClipDetails, Manifest};
use dashvault_keys::{digest, receipt};
use data_encoding::HEXLOWER;

use crate::room::{Room, START_MS, WEEK_MS, by_hand, noise, until};

const EVENT_MS: i64 = 31 * 24 * 3600 * 1000;

#[tokio::test]
async fn an_upload_with_all_its_bytes_completes_by_itself_after_a_restart() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    room.append(id, 0, &noise(400)).await.unwrap();
    // As a node of an earlier version left it: the offset is at the end, nothing else has happened.
    let row = room.catalog.upload(id).await.unwrap().unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    let step = UploadStep {
        id,
        epoch: row.epoch,
        from: 400,
        to: 1000,
        expires_at: row.expires_at,
    };
    assert!(tx.advance_upload(&step, START_MS).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(room.state(id).await, UploadState::Open);

    let next = room.another_node().await;
    assert_eq!(next.recover().await.unwrap(), 1);
    assert_eq!(next.recover().await.unwrap(), 0);
    assert_eq!(room.state(id).await, UploadState::Complete);
    assert_eq!(room.finish_jobs(id).await, 1);
    let clip = room.catalog.clip_any(id).await.unwrap().unwrap();
    assert_eq!(clip.state, ClipState::Queued);
}

#[tokio::test]
async fn an_owner_ends_an_upload_and_its_bytes_go() {
    let room = Room::new().await;
    let id = room.begin(10 << 20).await;
    room.append(id, 0, &noise(5 << 20)).await.unwrap();
    let refused = room.ingest.terminate(&room.vehicle, id).await;
    assert!(matches!(refused, Err(IngestError::Forbidden)), "{refused:?}");
    assert_eq!(room.offset(id).await, 5 << 20);

    room.ingest.terminate(&room.owner, id).await.unwrap();
    for gone in [
        room.ingest.offset(&room.vehicle, id).await.err(),
        room.append(id, 5 << 20, b"x").await.err(),
        room.ingest.terminate(&room.owner, id).await.err(),
        room.ingest.receipt(&room.vehicle, id).await.err(),
    ] {
        assert!(matches!(gone, Some(IngestError::Gone)), "{gone:?}");
    }
    assert!(room.catalog.clip_any(id).await.unwrap().is_none());
    assert_eq!(
        room.events(id).await,
        [EventKind::UploadCreated, EventKind::UploadEnded]
    );
    sweep(&room).await;
    assert_eq!(room.staged_objects().await, 0);
    assert!(room.catalog.upload_keys_of(id).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_complete_upload_is_not_ended_but_its_clip_deleted() {
    let room = Room::new().await;
    let id = room.begin(100).await;
    room.append(id, 0, &noise(100)).await.unwrap();
    let refused = room.ingest.terminate(&room.owner, id).await;
    assert!(matches!(refused, Err(IngestError::Complete)), "{refused:?}");
    assert!(room.received(id).await == noise(100));
}

#[tokio::test]
async fn an_upload_expires_a_week_after_its_last_byte() {
    let room = Room::new().await;
    let begun = room.ingest.create(&room.vehicle, Some(1000), None).await.unwrap();
    assert_eq!(begun.expires_at, Some(START_MS + WEEK_MS));
    let id = begun.id;
    room.clock.advance(WEEK_MS - 1);
    let status = room.append(id, 0, &noise(400)).await.unwrap();
    assert_eq!(status.expires_at, Some(START_MS + 2 * WEEK_MS - 1));
    room.clock.advance(WEEK_MS - 1);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 0);
    room.clock.advance(1);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 1);
    let gone = room.ingest.offset(&room.vehicle, id).await;
    assert!(matches!(gone, Err(IngestError::Gone)), "{gone:?}");
    assert_eq!(room.state(id).await, UploadState::Expired);
    assert!(room.catalog.clip_any(id).await.unwrap().is_none());
    sweep(&room).await;
    assert_eq!(room.staged_objects().await, 0);

    room.clock.advance(32 * 24 * 3600 * 1000);
    assert_eq!(room.ingest.sweep().await.unwrap().tombstones, 1);
    let unknown = room.ingest.offset(&room.vehicle, id).await;
    assert!(matches!(unknown, Err(IngestError::NotFound)), "{unknown:?}");
}

#[tokio::test]
async fn an_event_waits_31_days_for_its_rest() {
    let room = Room::new().await;
    let event = format!("kind {}", data_encoding::BASE64.encode(b"event"));
    let begun = room
        .ingest
        .create(&room.vehicle, Some(1000), Some(&event))
        .await
        .unwrap();
    assert_eq!(begun.expires_at, Some(START_MS + EVENT_MS));
    room.clock.advance(EVENT_MS - 1);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 0);
    let status = room.append(begun.id, 0, &noise(400)).await.unwrap();
    assert_eq!(
        status.expires_at,
        Some(START_MS + 2 * EVENT_MS - 1),
        "every byte puts it off"
    );
    let asked = room.ingest.offset(&room.vehicle, begun.id).await.unwrap();
    assert_eq!(asked.expires_at, status.expires_at);
    room.clock.advance(EVENT_MS);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 1);
    let gone = room.ingest.offset(&room.vehicle, begun.id).await;
    assert!(matches!(gone, Err(IngestError::Gone)), "{gone:?}");
}

#[tokio::test]
async fn nothing_expires_under_a_request_that_brings_bytes() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    let (send, body) = by_hand();
    let appending = room.ingest.append(&room.vehicle, id, Body::at(0, body));
    let sweeping = async {
        send.send(Bytes::from(noise(400))).unwrap();
        until("the first bytes are durable", async || {
            room.catalog.upload(id).await.unwrap().unwrap().received == 400
        })
        .await;
        // Longer than any upload lives, without a byte.
        room.clock.advance(2 * WEEK_MS);
        assert_eq!(room.ingest.sweep().await.unwrap().expired, 0);
        send.send(Bytes::from(noise(600))).unwrap();
        drop(send);
    };
    let (appended, ()) = tokio::join!(appending, sweeping);
    assert!(appended.unwrap().is_complete());
    // One that is over leaves the next sweep nothing to wait for.
    let left = room.begin(1000).await;
    room.append(left, 0, &noise(10)).await.unwrap();
    room.clock.advance(WEEK_MS);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 1);
}

#[tokio::test]
async fn the_bytes_of_an_expired_upload_are_back_within_two_hours() {
    let room = Room::new().await;
    let id = room.begin(10 << 20).await;
    room.append(id, 0, &noise(5 << 20)).await.unwrap();
    // Reserved, written and never committed, as a process that died leaves it.
    let key = room.vault.make_upload_key(id).unwrap();
    let Principal::Device(session) = &room.vehicle else {
        unreachable!()
    };
    let hour = 3600 * 1000;
    room.clock.advance(WEEK_MS - hour);
    let now = room.clock.now_ms();
    let orphan = room.vault.name_pieces(id, 1, now + hour).remove(0);
    let mut tx = room.catalog.begin().await.unwrap();
    tx.insert_intent(room.vault.tenant(), &orphan, now).await.unwrap();
    tx.commit().await.unwrap();
    let piece = room.vault.begin_piece(&key, session.owner(), orphan.object, 5 << 20);
    let mut piece = piece.await.unwrap();
    piece.write(b"lost").await.unwrap();
    piece.finish().await.unwrap();
    assert_eq!(room.staged_objects().await, 2);
    room.clock.advance(hour);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 1);
    assert_eq!(room.state(id).await, UploadState::Expired);
    room.clock.advance(2 * hour);
    room.ingest.sweep().await.unwrap();
    room.vault.sweep_intents(room.clock.now_ms()).await.unwrap();
    assert_eq!(room.staged_objects().await, 0);
    assert!(room.catalog.pieces_of(id, None, 10).await.unwrap().is_empty());
    assert!(room.catalog.upload_keys_of(id).await.unwrap().is_empty());
    assert!(room.catalog.ended_intents(i64::MAX, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_that_cannot_be_ended_is_not_in_the_way_of_others() {
    let room = Room::new().await;
    let stuck = room.begin(1000).await;
    room.clock.advance(1);
    let (one, other) = (room.begin(1000).await, room.begin(1000).await);
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.hold_clip(stuck, true, START_MS).await.unwrap());
    tx.commit().await.unwrap();
    room.clock.advance(WEEK_MS);
    assert!(room.ingest.sweep().await.is_err(), "it is told");
    assert_eq!(room.state(stuck).await, UploadState::Open);
    for id in [one, other] {
        assert_eq!(room.state(id).await, UploadState::Expired);
    }
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.hold_clip(stuck, false, START_MS).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 1);
}

#[tokio::test]
async fn a_full_store_loses_nothing_and_the_upload_goes_on_when_there_is_room() {
    let room = Room::new().await;
    let bytes = noise(9 << 20);
    let id = room.begin(bytes.len() as u64).await;
    room.append(id, 0, &bytes[..5 << 20]).await.unwrap();
    room.weather.full(true);
    let full = room.append(id, 5 << 20, &bytes[5 << 20..]).await;
    assert!(matches!(full, Err(IngestError::Full(_))), "{full:?}");
    assert_eq!(room.offset(id).await, 5 << 20);
    room.weather.full(false);
    assert!(room.append(id, 5 << 20, &bytes[5 << 20..]).await.unwrap().is_complete());
    assert!(room.received(id).await == bytes);
}

#[tokio::test]
async fn a_store_that_is_away_is_told_as_such_and_leaves_nothing_but_intents() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    room.weather.away(true);
    let away = room.append(id, 0, &noise(1000)).await;
    assert!(matches!(away, Err(IngestError::Unavailable(_))), "{away:?}");
    assert_eq!(room.state(id).await, UploadState::Open);
    room.weather.away(false);
    assert!(room.append(id, 0, &noise(1000)).await.unwrap().is_complete());
    sweep(&room).await;
    assert_eq!(room.staged_objects().await, 1);
    assert!(room.received(id).await == noise(1000));
}

#[tokio::test]
async fn a_receipt_comes_when_the_original_is_sealed_and_stands_for_exactly_its_bytes() {
    let room = Room::new().await;
    let bytes = noise(1000);
    let id = room.begin(1000).await;
    let pending = room.ingest.receipt(&room.vehicle, id).await.unwrap();
    assert_eq!(pending, ReceiptState::Pending);
    room.append(id, 0, &bytes).await.unwrap();
    let pending = room.ingest.receipt(&room.vehicle, id).await.unwrap();
    assert_eq!(pending, ReceiptState::Pending);

    finish(&room, id, &bytes, None).await;
    let signed = room.ingest.receipt(&room.vehicle, id).await.unwrap();
    let ReceiptState::Signed(text) = signed else {
        panic!("{signed:?}")
    };
    let told = receipt::verify(&text, &room.vault.receipt_public_key().unwrap()).expect("the vault's signature");
    assert_eq!((told.clip, told.sha256), (*id.as_bytes(), digest::sha256(&bytes)));
    assert_eq!((told.length, told.at_ms), (1000, START_MS));
    let again = room.ingest.receipt(&room.vehicle, id).await.unwrap();
    assert_eq!(again, ReceiptState::Signed(text));
    let status = room.ingest.offset(&room.vehicle, id).await.unwrap();
    assert_eq!(
        (status.offset, status.length),
        (1000, Some(1000)),
        "its row has forgotten the length"
    );
}

#[tokio::test]
async fn bytes_that_are_not_what_was_declared_get_no_receipt() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    room.append(id, 0, &noise(1000)).await.unwrap();
    finish(&room, id, &noise(1000), Some("sha256_mismatch")).await;
    let refused = room.ingest.receipt(&room.vehicle, id).await.unwrap();
    assert_eq!(refused, ReceiptState::Refused("sha256_mismatch".to_owned()));
}

#[tokio::test]
async fn a_clip_that_failed_before_it_was_sealed_gets_no_receipt_and_one_that_failed_later_does() {
    let room = Room::new().await;
    let lost = room.begin(1000).await;
    room.append(lost, 0, &noise(1000)).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.fail_clip(lost, "internal", START_MS).await.unwrap());
    tx.commit().await.unwrap();
    let refused = room.ingest.receipt(&room.vehicle, lost).await.unwrap();
    assert_eq!(refused, ReceiptState::Refused("internal".to_owned()));

    let kept = room.begin(1000).await;
    room.append(kept, 0, &noise(1000)).await.unwrap();
    finish(&room, kept, &noise(1000), Some("no_video")).await;
    let signed = room.ingest.receipt(&room.vehicle, kept).await.unwrap();
    assert!(matches!(signed, ReceiptState::Signed(_)), "{signed:?}");
}

/// Gives ended leases to the sweep of intents, as the pipeline does every minute.
async fn sweep(room: &Room) {
    room.ingest.sweep().await.unwrap();
    room.clock.advance(2 * 3600 * 1000);
    room.vault.sweep_intents(room.clock.now_ms()).await.unwrap();
}

/// What the finish job leaves, as far as a receipt needs it.
async fn finish(room: &Room, id: ClipId, bytes: &[u8], error_code: Option<&str>) {
    let row = room.catalog.upload(id).await.unwrap().unwrap();
    let owner = room.vault.owner_keys(row.owner).await.unwrap();
    let keys = room.vault.make_clip_keys(&owner, id);
    let details = ClipDetails {
        sha256: HEXLOWER.encode(&digest::sha256(bytes)),
        bytes: bytes.len() as u64,
        received_at: row.updated_at,
        ..ClipDetails::default()
    };
    let envelope = room.vault.envelope(&owner, &keys, 1, &Manifest::default()).unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    let publication = ClipPublication {
        id,
        state: if error_code.is_some() {
            ClipState::Failed
        } else {
            ClipState::Ready
        },
        incomplete: false,
        error_code,
        kek_version: 1,
        envelope: &envelope,
        sealed_summary: b"",
        sealed_details: &keys.seal(id.as_bytes(), &details),
        sha256_index: None,
    };
    assert!(tx.publish_clip(&publication, START_MS).await.unwrap());
    assert!(tx.finish_upload(id, START_MS).await.unwrap());
    tx.commit().await.unwrap();
}
