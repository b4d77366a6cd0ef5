//! What is turned away when much is received: what would begin first, then further bytes, and never a question.

use bytes::Bytes;
use dashvault::access::Principal;
use dashvault::ingest::{Body, Config, IngestError};
use dashvault::model::ClipId;
use futures_util::future::join_all;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;

use crate::room::{Room, by_hand, until, whole};

/// A body under way, of which a byte is durable.
struct Sending {
    hand: UnboundedSender<Bytes>,
    request: JoinHandle<Result<u64, IngestError>>,
}

impl Sending {
    async fn begin(room: &Room, id: ClipId) -> Self {
        let (hand, body) = by_hand();
        hand.send(Bytes::from_static(b"1")).expect("a request");
        let (ingest, who) = (room.ingest.clone(), room.vehicle.clone());
        let request = tokio::spawn(async move {
            let ended = ingest.append(&who, id, Body::at(0, body)).await;
            ended.map(|status| status.offset)
        });
        until("a body is under way", async || {
            room.catalog.upload(id).await.unwrap().unwrap().received == 1
        })
        .await;
        Self { hand, request }
    }

    async fn end(self) {
        drop(self.hand);
        assert_eq!(self.request.await.unwrap().unwrap(), 1, "what was under way goes on");
    }
}

async fn sending(room: &Room, count: usize) -> Vec<Sending> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(Sending::begin(room, room.begin(1000).await).await);
    }
    all
}

async fn create(room: &Room) -> Result<ClipId, IngestError> {
    let begun = room.ingest.create(&room.vehicle, Some(10), None).await;
    begun.map(|status| status.id)
}

#[tokio::test]
async fn what_would_begin_is_turned_away_first_then_further_bytes_and_never_a_question() {
    let room = Room::with(Config {
        max_writers: 8,
        max_writers_each: 64,
        ..Config::default()
    })
    .await;
    let (next, last) = (room.begin(1000).await, room.begin(1000).await);
    let mut under_way = sending(&room, 6).await;
    create(&room).await.expect("two turns are left");

    under_way.push(Sending::begin(&room, room.begin(1000).await).await);
    let refused = create(&room).await;
    assert!(matches!(refused, Err(IngestError::Busy { .. })), "{refused:?}");
    // The last turn is for bytes of what has begun.
    under_way.push(Sending::begin(&room, next).await);
    let refused = room.append(last, 0, b"1").await;
    assert!(matches!(refused, Err(IngestError::Busy { .. })), "{refused:?}");
    let refused = create(&room).await;
    assert!(matches!(refused, Err(IngestError::Busy { .. })), "{refused:?}");
    assert_eq!(room.offset(last).await, 0, "where it stands is always told");

    for one in under_way {
        one.end().await;
    }
    assert_eq!(room.append(last, 0, b"1").await.expect("a turn").offset, 1);
    create(&room).await.expect("room");
}

#[tokio::test]
async fn a_vehicle_sends_four_bodies_at_once_and_no_fifth() {
    let room = Room::new().await;
    let fifth = room.begin(1000).await;
    let under_way = sending(&room, 4).await;
    let refused = room.append(fifth, 0, b"1").await;
    assert!(matches!(refused, Err(IngestError::Busy { .. })), "{refused:?}");
    assert_eq!(room.offset(fifth).await, 0, "where it stands is told");
    let sister = room.another_vehicle(&room.owner).await;
    let of_sister = room.ingest.create(&sister, Some(10), None).await.expect("room").id;
    let taken = room.ingest.append(&sister, of_sister, Body::at(0, whole(b"1"))).await;
    assert_eq!(taken.expect("a turn of its own").offset, 1);
    for one in under_way {
        one.end().await;
    }
    assert_eq!(room.append(fifth, 0, b"1").await.expect("a turn").offset, 1);
}

#[tokio::test]
async fn thirty_two_uploads_begin_at_a_time_and_the_others_are_called_back() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    let Principal::Owner(owner) = &room.owner else {
        panic!("an owner")
    };
    // While somebody holds the owner, no upload of the owner's is begun.
    let mut held = room.catalog.begin().await.unwrap();
    assert!(held.hold_owner(owner.owner()).await.unwrap());
    let crowd: Vec<_> = (0..40)
        .map(|_| {
            let (ingest, who) = (room.ingest.clone(), room.vehicle.clone());
            tokio::spawn(async move { ingest.create(&who, Some(10), None).await })
        })
        .collect();
    until("eight are turned away at once", async || {
        crowd.iter().filter(|one| one.is_finished()).count() == 8
    })
    .await;
    held.rollback().await.unwrap();
    let outcomes: Vec<_> = join_all(crowd).await.into_iter().map(Result::unwrap).collect();
    let begun = outcomes.iter().filter(|one| one.is_ok()).count();
    assert_eq!(begun, 32, "{outcomes:?}");
    let busy = |one: &&Result<_, IngestError>| matches!(one, Err(IngestError::Busy { retry_after_secs: 1.. }));
    assert_eq!(outcomes.iter().filter(busy).count(), 8, "{outcomes:?}");
    assert_eq!(room.append(id, 0, b"1").await.expect("what has begun").offset, 1);
    create(&room).await.expect("places come back");
}
