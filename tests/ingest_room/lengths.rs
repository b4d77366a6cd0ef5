//! Uploads whose length is told late, or by the end of a body.

use dashvault::ingest::{Body, IngestError, UploadEnd};
use dashvault::model::UploadState;

use crate::room::{Room, cut, noise, whole};

async fn deferred(room: &Room) -> dashvault::model::ClipId {
    let begun = room.ingest.create(&room.vehicle, None, None).await.unwrap();
    assert_eq!((begun.offset, begun.length), (0, None));
    begun.id
}

#[tokio::test]
async fn a_length_may_come_with_any_request_and_the_last_byte_completes() {
    let room = Room::new().await;
    let bytes = noise(3_000);
    let id = deferred(&room).await;
    let first = room
        .ingest
        .append(&room.vehicle, id, Body::at(0, whole(&bytes[..1_000])))
        .await;
    assert_eq!(first.unwrap().length, None);
    let second = Body {
        end: UploadEnd::At(3_000),
        ..Body::at(1_000, whole(&bytes[1_000..2_000]))
    };
    let second = room.ingest.append(&room.vehicle, id, second).await.unwrap();
    assert_eq!((second.offset, second.length), (2_000, Some(3_000)));
    let last = room
        .ingest
        .append(&room.vehicle, id, Body::at(2_000, whole(&bytes[2_000..])))
        .await;
    assert!(last.unwrap().is_complete());
    assert_eq!(room.state(id).await, UploadState::Complete);
    assert_eq!(
        (room.received(id).await == bytes, room.finish_jobs(id).await),
        (true, 1)
    );
}

#[tokio::test]
async fn an_upload_ends_where_its_last_body_ends_and_not_where_it_was_cut() {
    let room = Room::new().await;
    let bytes = noise(2_000);
    let id = deferred(&room).await;
    let body = Body {
        end: UploadEnd::WithBody,
        ..Body::at(0, cut(&bytes[..700]))
    };
    let ended = room.ingest.append(&room.vehicle, id, body).await;
    assert!(
        matches!(ended, Err(IngestError::Interrupted { offset: 700 })),
        "{ended:?}"
    );
    assert_eq!(room.state(id).await, UploadState::Open, "a cut ends nothing");
    let body = Body {
        end: UploadEnd::WithBody,
        ..Body::at(700, whole(&bytes[700..]))
    };
    let ended = room.ingest.append(&room.vehicle, id, body).await.unwrap();
    assert_eq!(
        (ended.offset, ended.length, ended.is_complete()),
        (2_000, Some(2_000), true)
    );
    assert_eq!(room.state(id).await, UploadState::Complete);
}

#[tokio::test]
async fn an_empty_body_may_say_that_nothing_is_missing_and_say_so_again() {
    let room = Room::new().await;
    let id = deferred(&room).await;
    room.ingest
        .append(&room.vehicle, id, Body::at(0, whole(&noise(500))))
        .await
        .unwrap();
    for _ in 0..2 {
        let body = Body {
            announced_bytes: Some(0),
            end: UploadEnd::WithBody,
            ..Body::at(500, whole(b""))
        };
        assert!(room.ingest.append(&room.vehicle, id, body).await.unwrap().is_complete());
    }
    assert_eq!(room.state(id).await, UploadState::Complete);
}

#[tokio::test]
async fn another_length_than_was_said_is_refused_and_loses_nothing() {
    let room = Room::new().await;
    let id = deferred(&room).await;
    room.ingest
        .append(&room.vehicle, id, Body::at(0, whole(&noise(500))))
        .await
        .unwrap();
    let says = |length| Body {
        end: UploadEnd::At(length),
        ..Body::at(500, whole(b"more"))
    };
    for (length, why) in [(499, "fewer than are there"), (u64::MAX, "more than are taken")] {
        let refused = room.ingest.append(&room.vehicle, id, says(length)).await;
        assert!(
            matches!(refused, Err(IngestError::Inconsistent | IngestError::TooLarge { .. })),
            "{why}: {refused:?}"
        );
    }
    assert_eq!(
        room.ingest.append(&room.vehicle, id, says(600)).await.unwrap().offset,
        504
    );
    let body = Body {
        end: UploadEnd::At(601),
        ..Body::at(504, whole(b"x"))
    };
    let refused = room.ingest.append(&room.vehicle, id, body).await;
    assert!(matches!(refused, Err(IngestError::Inconsistent)), "{refused:?}");
    let body = Body {
        end: UploadEnd::WithBody,
        ..Body::at(504, whole(b"too early an end"))
    };
    let refused = room.ingest.append(&room.vehicle, id, body).await;
    assert!(matches!(refused, Err(IngestError::Inconsistent)), "{refused:?}");
    assert_eq!(
        room.ingest.offset(&room.vehicle, id).await.unwrap().offset,
        520,
        "what came is kept"
    );
}

#[tokio::test]
async fn an_upload_of_unknown_length_stays_below_the_limit() {
    let room = Room::with(dashvault::ingest::Config {
        max_upload_bytes: 1_000,
        ..Default::default()
    })
    .await;
    let id = deferred(&room).await;
    let refused = room
        .ingest
        .append(&room.vehicle, id, Body::at(0, whole(&noise(1_001))))
        .await;
    assert!(
        matches!(refused, Err(IngestError::TooLarge { limit: 1_000 })),
        "{refused:?}"
    );
}
