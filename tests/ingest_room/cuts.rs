//! What arrived is kept, and in what pieces.

use std::time::Duration;

use bytes::Bytes;
use dashvault::ingest::{Body, Config, IngestError};
use dashvault::model::{ClipState, EventKind, UploadState};

use crate::room::{Room, by_hand, cut, noise, until, whole};

#[tokio::test]
async fn an_upload_in_one_body_is_received_exactly_and_queued_once() {
    let room = Room::new().await;
    let bytes = noise(9 << 20);
    let id = room.begin(bytes.len() as u64).await;
    let status = room.append(id, 0, &bytes).await.unwrap();
    assert_eq!(
        (status.offset, status.length),
        (bytes.len() as u64, Some(bytes.len() as u64))
    );
    assert!(status.is_complete() && status.expires_at.is_none());
    assert!(room.received(id).await == bytes);
    assert_eq!(room.state(id).await, UploadState::Complete);
    assert_eq!(room.finish_jobs(id).await, 1);
    let clip = room.catalog.clip_any(id).await.unwrap().unwrap();
    assert_eq!(clip.state, ClipState::Queued);
    assert_eq!(
        room.events(id).await,
        [EventKind::UploadComplete, EventKind::UploadCreated]
    );
    let pieces = room.catalog.pieces_of(id, None, 100).await.unwrap();
    assert!(pieces.iter().all(|piece| piece.length <= 6 << 20));
    assert_eq!(pieces.len(), 2);
}

#[tokio::test]
async fn a_cut_keeps_what_arrived() {
    let room = Room::new().await;
    let bytes = noise(5_000_000);
    let id = room.begin(8_000_000).await;
    let ended = room
        .ingest
        .append(
            &room.vehicle,
            id,
            Body {
                announced_bytes: Some(8_000_000),
                ..Body::at(0, cut(&bytes))
            },
        )
        .await;
    assert!(
        matches!(ended, Err(IngestError::Interrupted { offset: 5_000_000 })),
        "{ended:?}"
    );
    assert_eq!(room.offset(id).await, 5_000_000);
    assert!(room.received(id).await == bytes);
    assert_eq!(room.state(id).await, UploadState::Open);
}

#[tokio::test]
async fn a_body_shorter_than_announced_was_cut() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    let ended = room
        .ingest
        .append(
            &room.vehicle,
            id,
            Body {
                announced_bytes: Some(1000),
                ..Body::at(0, whole(&noise(600)))
            },
        )
        .await;
    assert!(
        matches!(ended, Err(IngestError::Interrupted { offset: 600 })),
        "{ended:?}"
    );
    assert_eq!(room.received(id).await.len(), 600);
}

#[tokio::test]
async fn a_request_that_is_dropped_leaves_what_it_brought() {
    let room = Room::new().await;
    let bytes = noise(300_000);
    let id = room.begin(1_000_000).await;
    let (send, body) = by_hand();
    let request = room.ingest.append(&room.vehicle, id, Body::at(0, body));
    send.send(Bytes::from(bytes.clone())).unwrap();
    let dropped = tokio::time::timeout(Duration::from_millis(200), request).await;
    assert!(dropped.is_err(), "the body had not ended");
    until("the writer flushes", async || {
        room.catalog.upload(id).await.unwrap().unwrap().received == 300_000
    })
    .await;
    assert!(room.received(id).await == bytes);
}

#[tokio::test]
async fn a_body_that_stalls_ends_as_if_cut() {
    let room = Room::with(Config {
        body_idle: Duration::from_millis(50),
        ..Config::default()
    })
    .await;
    let id = room.begin(1000).await;
    let (send, body) = by_hand();
    send.send(Bytes::from(noise(400))).unwrap();
    let ended = room
        .ingest
        .append(
            &room.vehicle,
            id,
            Body {
                announced_bytes: Some(1000),
                ..Body::at(0, body)
            },
        )
        .await;
    assert!(
        matches!(ended, Err(IngestError::Interrupted { offset: 400 })),
        "{ended:?}"
    );
    assert_eq!(room.offset(id).await, 400);
}

#[tokio::test]
async fn a_body_that_drips_ends_as_if_cut_and_a_slow_one_goes_on() {
    let room = Room::with(Config {
        slow_bytes: 1000,
        slow_window: Duration::from_millis(400),
        ..Config::default()
    })
    .await;
    for (bytes_a_tick, lasts) in [(10, false), (400, true)] {
        let id = room.begin(8000).await;
        let (send, body) = by_hand();
        let drip = async {
            let bytes = noise(8000);
            for tick in bytes.chunks(bytes_a_tick) {
                if send.send(Bytes::copy_from_slice(tick)).is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            drop(send);
        };
        let began = std::time::Instant::now();
        let (ended, ()) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), drip);
        if lasts {
            assert_eq!(ended.expect("slow and steady").offset, 8000);
        } else {
            let Err(IngestError::Interrupted { offset }) = ended else {
                panic!("{ended:?}");
            };
            assert!((10..1000).contains(&offset), "{offset}");
            assert!(began.elapsed() < Duration::from_secs(20));
            assert_eq!(room.offset(id).await, offset, "what came is kept");
        }
    }
}

#[tokio::test]
async fn half_a_second_ends_a_piece_while_the_body_goes_on() {
    let room = Room::with(Config {
        piece_time: Duration::from_millis(50),
        ..Config::default()
    })
    .await;
    let id = room.begin(3000).await;
    let (send, body) = by_hand();
    let bytes = noise(3000);
    let sending = async {
        for part in 0..3 {
            send.send(Bytes::copy_from_slice(&bytes[part * 1000..][..1000]))
                .unwrap();
            let so_far = (part as u64 + 1) * 1000;
            if so_far < 3000 {
                until("the piece is durable while the request goes on", async || {
                    room.catalog.upload(id).await.unwrap().unwrap().received == so_far
                })
                .await;
            }
        }
        drop(send);
    };
    let (ended, ()) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), sending);
    assert_eq!(ended.unwrap().offset, 3000);
    assert!(room.received(id).await == bytes);
    assert_eq!(room.catalog.pieces_of(id, None, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn uploads_without_a_shared_budget_still_get_through() {
    let room = Room::with(Config {
        buffer_bytes: 0,
        ..Config::default()
    })
    .await;
    let bytes = noise(500_000);
    let id = room.begin(bytes.len() as u64).await;
    assert!(room.append(id, 0, &bytes).await.unwrap().is_complete());
    assert!(room.received(id).await == bytes);
    let pieces = room.catalog.pieces_of(id, None, 100).await.unwrap();
    assert!(
        pieces.iter().all(|piece| piece.length <= 64 << 10),
        "each has its own 64 KiB"
    );
}

#[tokio::test]
async fn any_node_goes_on_with_an_upload_that_another_began() {
    let room = Room::new().await;
    let other = room.another_node().await;
    let bytes = noise(2_000_000);
    let id = room.begin(bytes.len() as u64).await;
    room.append(id, 0, &bytes[..700_000]).await.unwrap();
    let at = other.offset(&room.vehicle, id).await.unwrap();
    assert_eq!(at.offset, 700_000);
    let status = other
        .append(&room.vehicle, id, Body::at(at.offset, whole(&bytes[700_000..])))
        .await
        .unwrap();
    assert!(status.is_complete());
    assert!(room.received(id).await == bytes);
    assert_eq!(
        room.catalog.upload_keys_of(id).await.unwrap().len(),
        2,
        "each process seals under its own key"
    );
}

#[tokio::test]
async fn many_small_bodies_share_one_key_and_leave_no_intent_when_complete() {
    let room = Room::new().await;
    let bytes = noise(20_000);
    let id = room.begin(bytes.len() as u64).await;
    for (part, chunk) in bytes.chunks(1000).enumerate() {
        room.append(id, part as u64 * 1000, chunk).await.unwrap();
    }
    assert!(room.received(id).await == bytes);
    assert_eq!(room.catalog.upload_keys_of(id).await.unwrap().len(), 1);
    room.clock.advance(1);
    let left = room.catalog.ended_intents(i64::MAX, 100).await.unwrap();
    assert!(left.len() < 16, "names that were not used: {}", left.len());
    room.vault
        .sweep_intents(dashvault::model::Clock::now_ms(&*room.clock))
        .await
        .unwrap();
    assert!(room.catalog.ended_intents(i64::MAX, 100).await.unwrap().is_empty());
    assert!(room.catalog.swept_intents(None, 100).await.unwrap().is_empty());
    assert!(room.received(id).await == bytes, "the sweep took a piece that counts");
}

#[tokio::test]
async fn nothing_that_was_received_or_said_lies_in_the_catalogue_unsealed() {
    let room = Room::new().await;
    let bytes = b"PLANTED-IN-THE-CLIP ".repeat(1000);
    // "PLANTED-NAME.mp4"
    let metadata = "filename UExBTlRFRC1OQU1FLm1wNA==";
    let upload = room
        .ingest
        .create(&room.vehicle, Some(bytes.len() as u64), Some(metadata))
        .await
        .unwrap();
    room.append(upload.id, 0, &bytes).await.unwrap();
    let row = room.catalog.upload(upload.id).await.unwrap().unwrap();
    let told = room
        .vault
        .open_metadata(upload.id, &row.sealed_metadata.unwrap())
        .await
        .unwrap();
    assert_eq!(told.filename.as_deref(), Some("PLANTED-NAME.mp4"));
    let mut seen = 0;
    for entry in std::fs::read_dir(room.folder().join("catalogue")).unwrap() {
        let file = std::fs::read(entry.unwrap().path()).unwrap();
        seen += file.len();
        for planted in [&b"PLANTED-IN-THE-CLIP"[..], b"PLANTED-NAME", b"UExBTlRFRC1OQU1F"] {
            assert!(!file.windows(planted.len()).any(|window| window == planted));
        }
    }
    assert!(seen > 10_000, "the catalogue was not looked at");
}
