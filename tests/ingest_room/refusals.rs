//! What is refused, and that a refusal leaves everything as it was.

use dashvault::access::Principal;
use dashvault::ingest::{Body, Checksum, Config, IngestError};
use dashvault::model::{ClipId, UploadState};
use dashvault_keys::digest;
use data_encoding::BASE64;

use crate::room::{Room, cut, noise, whole};

fn sha1(bytes: &[u8]) -> Checksum {
    let mut sum = digest::Sha1::new();
    sum.update(bytes);
    Checksum::parse(&format!("sha1 {}", BASE64.encode(&sum.finish()))).unwrap()
}

fn sha256(bytes: &[u8]) -> Checksum {
    Checksum::parse(&format!("sha256 {}", BASE64.encode(&digest::sha256(bytes)))).unwrap()
}

#[tokio::test]
async fn a_wrong_offset_is_told_the_right_one() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    room.append(id, 0, &noise(400)).await.unwrap();
    for wrong in [0, 399, 401, 1000, u64::MAX] {
        let refused = room.append(id, wrong, &noise(10)).await;
        assert!(
            matches!(refused, Err(IngestError::Mismatch { offset: 400 })),
            "{wrong}: {refused:?}"
        );
    }
    assert!(room.received(id).await == noise(400));
}

#[tokio::test]
async fn more_bytes_than_were_said_are_refused_and_the_upload_stays_open() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    room.append(id, 0, &noise(400)).await.unwrap();
    let announced = room.append(id, 400, &noise(601)).await;
    assert!(
        matches!(announced, Err(IngestError::TooLarge { limit: 600 })),
        "{announced:?}"
    );
    let body = whole(&noise(601));
    let streamed = room.ingest.append(&room.vehicle, id, Body::at(400, body)).await;
    assert!(
        matches!(streamed, Err(IngestError::TooLarge { limit: 600 })),
        "{streamed:?}"
    );
    assert_eq!(room.state(id).await, UploadState::Open);
    assert_eq!(room.offset(id).await, 400);
    assert!(room.append(id, 400, &noise(600)).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_long_body_past_the_length_never_completes_the_upload() {
    let room = Room::new().await;
    let bytes = noise((8 << 20) + 1);
    let id = room.begin(8 << 20).await;
    let streamed = room.ingest.append(&room.vehicle, id, Body::at(0, whole(&bytes))).await;
    assert!(matches!(streamed, Err(IngestError::TooLarge { .. })), "{streamed:?}");
    assert_eq!(room.state(id).await, UploadState::Open);
    assert_eq!(room.finish_jobs(id).await, 0);
}

#[tokio::test]
async fn empty_and_oversized_uploads_are_not_begun() {
    let room = Room::with(Config {
        max_upload_bytes: 1000,
        ..Config::default()
    })
    .await;
    let empty = room.ingest.create(&room.vehicle, Some(0), None).await;
    assert!(matches!(empty, Err(IngestError::Empty)), "{empty:?}");
    for length in [1001, u64::MAX] {
        let refused = room.ingest.create(&room.vehicle, Some(length), None).await;
        assert!(
            matches!(refused, Err(IngestError::TooLarge { limit: 1000 })),
            "{refused:?}"
        );
    }
    assert!(room.ingest.create(&room.vehicle, Some(1000), None).await.is_ok());
}

#[tokio::test]
async fn wrong_metadata_names_its_key_and_begins_nothing() {
    let room = Room::new().await;
    for (header, expected) in [
        ("filename not base64!", "filename"),
        ("sha256 YWJj", "sha256"),
        ("recorded_at eWVzdGVyZGF5", "recorded_at"),
        ("lat OTE=,lon MA==", "lat"),
    ] {
        let refused = room.ingest.create(&room.vehicle, Some(10), Some(header)).await;
        assert!(
            matches!(refused, Err(IngestError::InvalidMetadata { key, .. }) if key == expected),
            "{header}: {refused:?}"
        );
    }
    let Principal::Owner(owner) = &room.owner else {
        unreachable!("the owner is an owner")
    };
    assert!(room.catalog.clips_of(owner.owner()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_right_checksum_is_taken_and_a_wrong_one_leaves_nothing() {
    let room = Room::new().await;
    let bytes = noise(6 << 20);
    let id = room.begin(bytes.len() as u64).await;
    let (first, second) = bytes.split_at(5 << 20);
    for (sum, of) in [(sha1(second), "sha1"), (sha256(second), "sha256")] {
        let body = whole(first);
        let refused = room
            .ingest
            .append(
                &room.vehicle,
                id,
                Body {
                    checksum: Some(sum),
                    ..Body::at(0, body)
                },
            )
            .await;
        assert!(matches!(refused, Err(IngestError::Checksum)), "{of}: {refused:?}");
        assert_eq!(room.offset(id).await, 0);
        assert!(room.received(id).await.is_empty());
    }
    let body = whole(first);
    let taken = room
        .ingest
        .append(
            &room.vehicle,
            id,
            Body {
                checksum: Some(sha1(first)),
                ..Body::at(0, body)
            },
        )
        .await;
    assert_eq!(taken.unwrap().offset, 5 << 20);
    let body = whole(second);
    let taken = room
        .ingest
        .append(
            &room.vehicle,
            id,
            Body {
                checksum: Some(sha256(second)),
                ..Body::at(5 << 20, body)
            },
        )
        .await;
    assert!(taken.unwrap().is_complete());
    assert!(room.received(id).await == bytes);
    assert_eq!(room.finish_jobs(id).await, 1);
}

#[tokio::test]
async fn a_body_with_a_checksum_that_is_cut_leaves_nothing() {
    let room = Room::new().await;
    let bytes = noise(5 << 20);
    let id = room.begin(bytes.len() as u64).await;
    let body = cut(&bytes[..bytes.len() - 1]);
    let ended = room
        .ingest
        .append(
            &room.vehicle,
            id,
            Body {
                checksum: Some(sha256(&bytes)),
                ..Body::at(0, body)
            },
        )
        .await;
    assert!(
        matches!(ended, Err(IngestError::Interrupted { offset: 0 })),
        "{ended:?}"
    );
    assert!(room.received(id).await.is_empty());
}

#[tokio::test]
async fn a_body_with_a_checksum_has_a_limit() {
    let room = Room::new().await;
    let id = room.begin(1 << 30).await;
    let body = whole(b"");
    let announced = Some(Checksum::MAX_BODY_BYTES + 1);
    let refused = room
        .ingest
        .append(
            &room.vehicle,
            id,
            Body {
                announced_bytes: announced,
                checksum: Some(sha256(b"")),
                ..Body::at(0, body)
            },
        )
        .await;
    assert!(
        matches!(
            refused,
            Err(IngestError::TooLarge {
                limit: Checksum::MAX_BODY_BYTES
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn nobody_else_learns_that_an_upload_exists() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    room.append(id, 0, &noise(400)).await.unwrap();
    let stranger = room.another_owner().await;
    let strangers_van = room.another_vehicle(&stranger).await;
    let second_van = room.another_vehicle(&room.owner).await;
    for who in [&stranger, &strangers_van, &second_van] {
        let (known, unknown) = (
            room.ingest.offset(who, id).await,
            room.ingest.offset(who, ClipId::random()).await,
        );
        assert!(matches!(known, Err(IngestError::NotFound)), "{known:?}");
        assert!(matches!(unknown, Err(IngestError::NotFound)));
        let appended = room.ingest.append(who, id, Body::at(400, whole(b"x"))).await;
        assert!(matches!(appended, Err(IngestError::NotFound)), "{appended:?}");
        let ended = room.ingest.terminate(who, id).await;
        assert!(matches!(ended, Err(IngestError::NotFound)), "{ended:?}");
        let receipt = room.ingest.receipt(who, id).await;
        assert!(matches!(receipt, Err(IngestError::NotFound)), "{receipt:?}");
    }
    assert!(room.received(id).await == noise(400));
}

#[tokio::test]
async fn an_owner_sends_and_asks_too() {
    let room = Room::new().await;
    let id = room.ingest.create(&room.owner, Some(500), None).await.unwrap().id;
    let body = whole(&noise(500));
    let sent = room
        .ingest
        .append(
            &room.owner,
            id,
            Body {
                announced_bytes: Some(500),
                ..Body::at(0, body)
            },
        )
        .await;
    assert!(sent.unwrap().is_complete());
    let of_vehicle = room.begin(100).await;
    assert_eq!(room.ingest.offset(&room.owner, of_vehicle).await.unwrap().offset, 0);
    let refused = room.ingest.offset(&room.vehicle, id).await;
    assert!(
        matches!(refused, Err(IngestError::NotFound)),
        "a vehicle sees only what it sends itself: {refused:?}"
    );
}

#[tokio::test]
async fn the_last_body_repeated_is_answered_as_before() {
    let room = Room::new().await;
    let id = room.begin(500).await;
    room.append(id, 0, &noise(500)).await.unwrap();
    let again = room.append(id, 0, &noise(500)).await;
    assert!(matches!(again, Err(IngestError::Mismatch { offset: 500 })), "{again:?}");
    let nothing_more = room.append(id, 500, b"").await.unwrap();
    assert!(nothing_more.is_complete());
    let more = room.append(id, 500, b"x").await;
    assert!(matches!(more, Err(IngestError::TooLarge { limit: 0 })), "{more:?}");
    assert_eq!(room.offset(id).await, 500);
    assert_eq!(room.finish_jobs(id).await, 1);
}

#[tokio::test]
async fn nothing_begins_for_an_owner_who_is_being_erased() {
    let room = Room::new().await;
    let Principal::Owner(owner) = &room.owner else {
        panic!("an owner");
    };
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.begin_owner_erasure(owner.owner()).await.unwrap());
    tx.commit().await.unwrap();
    let refused = room.ingest.create(&room.vehicle, Some(1000), None).await;
    assert!(matches!(refused, Err(IngestError::NotFound)), "{:?}", refused.err());
    assert!(room.catalog.clips_of(owner.owner()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_vehicle_and_an_owner_have_so_many_open_uploads_and_no_more() {
    let config = Config {
        max_open_each: 2,
        max_open_of_owner: 3,
        ..Config::default()
    };
    let room = Room::with(config).await;
    let another = room.another_vehicle(&room.owner).await;
    let stranger = room.another_owner().await;
    for _ in 0..2 {
        room.ingest.create(&room.vehicle, Some(1000), None).await.unwrap();
    }
    let refused = room.ingest.create(&room.vehicle, Some(1000), None).await;
    assert!(matches!(refused, Err(IngestError::Busy { .. })), "{refused:?}");
    let last = room.ingest.create(&another, Some(1000), None).await.unwrap();
    let refused = room.ingest.create(&room.owner, Some(1000), None).await;
    assert!(matches!(refused, Err(IngestError::Busy { .. })), "{refused:?}");
    room.ingest.create(&stranger, Some(1000), None).await.unwrap();
    room.ingest.terminate(&room.owner, last.id).await.unwrap();
    room.ingest.create(&room.owner, Some(1000), None).await.unwrap();
}
