//! One upload made of partial ones: no byte is copied, none is lost, and what is no part of it stays apart.

use dashvault::ingest::{IngestError, ReceiptState};
use dashvault::model::{ClipId, ClipState, Clock as _, Concat, EventKind, UploadState};

use crate::room::{Room, START_MS, WEEK_MS, noise};

impl Room {
    async fn begin_part(&self, length: u64) -> ClipId {
        let begun = self.ingest.create_partial(&self.vehicle, Some(length), None).await;
        begun.expect("a partial upload").id
    }

    async fn part(&self, bytes: &[u8]) -> ClipId {
        let id = self.begin_part(bytes.len() as u64).await;
        assert!(self.append(id, 0, bytes).await.expect("room").is_complete());
        id
    }
}

#[tokio::test]
async fn parts_become_one_upload_in_the_order_that_is_told() {
    let room = Room::new().await;
    let bytes = noise(3000);
    let (first, second) = (room.part(&bytes[..1000]).await, room.part(&bytes[1000..]).await);
    let pieces = room.staged_objects().await;
    let made = room.ingest.join(&room.vehicle, &[second, first], None).await.unwrap();
    assert_eq!(
        (made.offset, made.length, made.concat),
        (3000, Some(3000), Concat::Final)
    );
    assert_eq!(room.state(made.id).await, UploadState::Complete);
    assert_eq!(room.finish_jobs(made.id).await, 1);
    assert_eq!(room.catalog.parts_of(made.id).await.unwrap(), [second, first]);
    assert_eq!(room.staged_objects().await, pieces, "nothing was written anew");
    let clip = room.catalog.clip_any(made.id).await.unwrap().unwrap();
    assert_eq!(clip.state, ClipState::Queued);
    assert_eq!(
        room.events(made.id).await,
        [EventKind::UploadComplete, EventKind::UploadCreated]
    );
    assert_eq!(room.offset(made.id).await, 3000);
}

#[tokio::test]
async fn a_part_is_no_clip() {
    let room = Room::new().await;
    let part = room.part(&noise(1000)).await;
    assert!(room.catalog.clip_any(part).await.unwrap().is_none());
    assert_eq!(room.finish_jobs(part).await, 0);
    assert!(room.events(part).await.is_empty());
    let receipt = room.ingest.receipt(&room.vehicle, part).await;
    assert!(matches!(receipt, Err(IngestError::NotFound)), "{receipt:?}");
    let next = room.another_node().await;
    assert_eq!(next.recover().await.unwrap(), 0, "nor does a restart make one of it");
    assert_eq!(room.offset(part).await, 1000);
}

#[tokio::test]
async fn a_request_to_join_whose_answer_was_lost_makes_no_second_upload() {
    let room = Room::new().await;
    let parts = [room.part(&noise(1000)).await, room.part(&noise(2000)).await];
    let made = room.ingest.join(&room.vehicle, &parts, None).await.unwrap();
    let again = room.ingest.join(&room.vehicle, &parts, None).await.unwrap();
    assert_eq!((again.id, again.offset), (made.id, 3000));
    assert_eq!(room.finish_jobs(made.id).await, 1);
    let other = room.part(&noise(10)).await;
    for taken in [vec![parts[1], parts[0]], vec![parts[0]], vec![other, parts[0]]] {
        let refused = room.ingest.join(&room.vehicle, &taken, None).await;
        assert!(matches!(refused, Err(IngestError::PartTaken)), "{refused:?}");
    }
    assert_eq!(room.offset(other).await, 10, "a refusal changes nothing");
    assert_eq!(room.state(other).await, UploadState::Open);
}

#[tokio::test]
async fn what_cannot_be_joined_is_refused_and_stays_as_it_was() {
    let room = Room::new().await;
    let (part, unfinished) = (room.part(&noise(1000)).await, room.begin_part(1000).await);
    room.append(unfinished, 0, &noise(999)).await.unwrap();
    let whole = room.begin(10).await;
    let join = async |parts: Vec<ClipId>| room.ingest.join(&room.vehicle, &parts, None).await;
    for parts in [vec![], vec![part, part], vec![part, whole], vec![part; 101]] {
        let refused = join(parts).await;
        assert!(matches!(refused, Err(IngestError::InvalidParts { .. })), "{refused:?}");
    }
    let refused = join(vec![part, unfinished]).await;
    assert!(matches!(refused, Err(IngestError::PartMissing)), "{refused:?}");
    let refused = join(vec![part, ClipId::random()]).await;
    assert!(matches!(refused, Err(IngestError::NotFound)), "{refused:?}");
    // Another vehicle's parts are not to be had, nor by the owner's apps.
    for who in [&room.another_vehicle(&room.owner).await, &room.owner] {
        let refused = room.ingest.join(who, &[part], None).await;
        assert!(matches!(refused, Err(IngestError::NotFound)), "{refused:?}");
    }
    assert_eq!(room.state(part).await, UploadState::Open);
    assert_eq!(room.append(unfinished, 999, b"x").await.unwrap().offset, 1000);
    assert!(join(vec![part, unfinished]).await.unwrap().is_complete());
}

#[tokio::test]
async fn a_final_upload_and_its_parts_take_nothing_more() {
    let room = Room::new().await;
    let part = room.part(&noise(1000)).await;
    let made = room.ingest.join(&room.vehicle, &[part], None).await.unwrap().id;
    let refused = room.append(made, 1000, b"x").await;
    assert!(matches!(refused, Err(IngestError::Forbidden)), "{refused:?}");
    let refused = room.append(part, 1000, b"x").await;
    assert!(
        matches!(refused, Err(IngestError::TooLarge { limit: 0 })),
        "{refused:?}"
    );
    let refused = room.ingest.terminate(&room.owner, part).await;
    assert!(matches!(refused, Err(IngestError::Complete)), "{refused:?}");
    assert_eq!(room.received(part).await.len(), 1000);
    let pending = room.ingest.receipt(&room.vehicle, made).await.unwrap();
    assert_eq!(pending, ReceiptState::Pending);
}

#[tokio::test]
async fn a_part_that_nobody_joins_expires_with_its_bytes() {
    let room = Room::new().await;
    let part = room.part(&noise(1000)).await;
    let (joined, made) = {
        let joined = room.part(&noise(10)).await;
        let made = room.ingest.join(&room.vehicle, &[joined], None).await.unwrap();
        (joined, made.id)
    };
    room.clock.advance(WEEK_MS);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 1);
    let gone = room.ingest.offset(&room.vehicle, part).await;
    assert!(matches!(gone, Err(IngestError::Gone)), "{gone:?}");
    assert_eq!(
        room.state(joined).await,
        UploadState::Complete,
        "it waits for its clip to be sealed"
    );
    assert_eq!(room.state(made).await, UploadState::Complete);
    room.vault.sweep_intents(room.clock.now_ms()).await.unwrap();
    assert_eq!(room.staged_objects().await, 1, "only the joined one's");
}

#[tokio::test]
async fn parts_of_an_event_wait_as_long_as_events_do() {
    let room = Room::new().await;
    let event = format!("kind {}", data_encoding::BASE64.encode(b"event"));
    let begun = room.ingest.create_partial(&room.vehicle, Some(10), Some(&event)).await;
    let begun = begun.unwrap();
    room.append(begun.id, 0, &noise(10)).await.unwrap();
    room.clock.advance(4 * WEEK_MS);
    assert_eq!(room.ingest.sweep().await.unwrap().expired, 0);
    assert!(room.ingest.join(&room.vehicle, &[begun.id], None).await.is_ok());
}

#[tokio::test]
async fn parts_go_with_the_clip_that_they_became() {
    let room = Room::new().await;
    let part = room.part(&noise(1000)).await;
    let made = room.ingest.join(&room.vehicle, &[part], None).await.unwrap().id;
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.erase_upload(made, START_MS).await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(room.state(part).await, UploadState::Ended);
    assert_eq!(room.ingest.sweep().await.unwrap().pieces, 1);
    room.clock.advance(2 * 3600 * 1000);
    room.vault.sweep_intents(room.clock.now_ms()).await.unwrap();
    assert_eq!(room.staged_objects().await, 0);
    room.clock.advance(32 * 24 * 3600 * 1000);
    assert_eq!(room.ingest.sweep().await.unwrap().tombstones, 2);
    assert!(room.catalog.parts_of(made).await.unwrap().is_empty());
}

#[tokio::test]
async fn two_requests_for_the_same_parts_make_one_upload() {
    let room = Room::on_postgres().await;
    let parts = [room.part(&noise(1000)).await, room.part(&noise(2000)).await];
    let other = room.another_node().await;
    let (one, two) = tokio::join!(
        room.ingest.join(&room.vehicle, &parts, None),
        other.join(&room.vehicle, &parts, None)
    );
    let made: Vec<_> = [one, two].into_iter().filter_map(Result::ok).collect();
    assert!(!made.is_empty());
    let again = room.ingest.join(&room.vehicle, &parts, None).await.unwrap();
    assert!(made.iter().all(|status| status.id == again.id));
}
