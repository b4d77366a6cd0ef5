//! The newest request wins: older ones are flushed and fenced, on one node and across nodes, and bytes of two requests never
//! mix.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dashvault::access::{OwnerSession, Principal};
use dashvault::ingest::{Body, Config, Ingest, IngestError};
use dashvault::model::{ClipId, DeviceId, UploadState};
use dashvault_test_support::rounds;
use futures_util::{StreamExt as _, stream};

use crate::room::{Room, START_MS, by_hand, noise, until, whole};

/// A piece's time that no test waits for: what is durable was flushed for a reason.
fn patient() -> Config {
    Config {
        piece_time: Duration::from_secs(3600),
        ..Config::default()
    }
}

#[tokio::test]
async fn a_question_flushes_the_request_under_way_and_ends_it() {
    let room = Room::with(patient()).await;
    let bytes = noise(300_000);
    let id = room.begin(1_000_000).await;
    let (send, body) = by_hand();
    send.send(Bytes::from(bytes.clone())).unwrap();
    let asking = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = Instant::now();
        let offset = room.offset(id).await;
        (offset, asked.elapsed())
    };
    let (ended, (offset, took)) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), asking);
    assert!(matches!(ended, Err(IngestError::Fenced)), "{ended:?}");
    assert_eq!(offset, 300_000, "what had arrived is told");
    assert!(took < Duration::from_millis(200), "{took:?}");
    assert!(room.received(id).await == bytes);
    assert!(
        room.append(id, offset, &noise(1000)).await.is_ok(),
        "the offset told can be used"
    );
}

#[tokio::test]
async fn a_question_does_not_wait_for_a_slow_store() {
    let room = Room::with(patient()).await;
    let id = room.begin(1_000_000).await;
    let (send, body) = by_hand();
    send.send(Bytes::from(noise(300_000))).unwrap();
    room.weather.slow(Duration::from_millis(700));
    let asking = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let asked = Instant::now();
        let offset = room.offset(id).await;
        let took = asked.elapsed();
        assert!(room.received(id).await.is_empty());
        (offset, took)
    };
    let (ended, (offset, took)) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), asking);
    assert!(matches!(ended, Err(IngestError::Fenced)), "{ended:?}");
    assert_eq!(offset, 0);
    assert!(took < Duration::from_millis(200), "{took:?}");
    assert!(room.received(id).await.is_empty(), "a fenced piece counts for nothing");
    room.weather.slow(Duration::ZERO);
    assert!(room.append(id, 0, &noise(1000)).await.is_ok());
}

#[tokio::test]
async fn an_owners_look_leaves_the_vehicle_alone() {
    let room = Room::with(patient()).await;
    let id = room.begin(1000).await;
    let (send, body) = by_hand();
    let looking = async {
        send.send(Bytes::from(noise(400))).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(room.ingest.offset(&room.owner, id).await.unwrap().offset, 0);
        drop(send);
    };
    let (ended, ()) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), looking);
    assert_eq!(ended.unwrap().offset, 400);
}

#[tokio::test]
async fn a_second_request_goes_on_where_the_first_one_was() {
    let room = Room::with(patient()).await;
    let bytes = noise(500_000);
    let id = room.begin(bytes.len() as u64).await;
    let (send, body) = by_hand();
    send.send(Bytes::copy_from_slice(&bytes[..200_000])).unwrap();
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let refused = room.append(id, 0, &bytes).await;
        let Err(IngestError::Mismatch { offset }) = refused else {
            panic!("{refused:?}")
        };
        room.append(id, offset, &bytes[offset as usize..]).await
    };
    let (first, second) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), second);
    assert!(matches!(first, Err(IngestError::Fenced)), "{first:?}");
    assert!(second.unwrap().is_complete());
    assert!(room.received(id).await == bytes);
}

#[tokio::test]
async fn a_writer_on_another_node_is_fenced_by_the_epoch() {
    let room = Room::with(patient()).await;
    let other = room.another_node().await;
    let id = room.begin(1000).await;
    let (send, body) = by_hand();
    send.send(Bytes::from(noise(400))).unwrap();
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let at = other.offset(&room.vehicle, id).await.unwrap().offset;
        assert_eq!(at, 0, "another node's buffer cannot be flushed from here");
        let status = other.append(&room.vehicle, id, Body::at(at, whole(&noise(1000)))).await;
        drop(send);
        status
    };
    let (first, second) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), second);
    assert!(matches!(first, Err(IngestError::Fenced)), "{first:?}");
    assert!(second.unwrap().is_complete());
    assert!(room.received(id).await == noise(1000));
    assert_eq!(room.finish_jobs(id).await, 1);
}

#[tokio::test]
async fn a_revoked_vehicle_moves_nothing_any_more_and_what_it_sent_stays() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    let (send, body) = by_hand();
    send.send(Bytes::from(noise(400))).unwrap();
    let (Principal::Owner(owner), Principal::Device(vehicle)) = (&room.owner, &room.vehicle) else {
        panic!("an owner and a vehicle")
    };
    let revoked = async {
        until("the first bytes are durable", async || {
            room.catalog.upload(id).await.unwrap().unwrap().received == 400
        })
        .await;
        room.access.revoke_device(owner, vehicle.device()).await.unwrap();
        send.send(Bytes::from(noise(1000)[400..700].to_vec())).unwrap();
        // The body stays open: only the revocation ends it.
        send
    };
    let sending = tokio::time::timeout(
        Duration::from_secs(5),
        room.ingest.append(&room.vehicle, id, Body::at(0, body)),
    );
    let (sent, _send) = tokio::join!(sending, revoked);
    assert!(matches!(sent, Ok(Err(IngestError::Revoked))), "{sent:?}");
    let row = room.catalog.upload(id).await.unwrap().unwrap();
    assert_eq!((row.received, row.state), (400, UploadState::Open));
}

#[tokio::test]
async fn a_service_that_ends_keeps_what_arrived_and_asks_to_come_back() {
    let room = Room::with(patient()).await;
    let id = room.begin(1000).await;
    let (send, body) = by_hand();
    send.send(Bytes::from(noise(400))).unwrap();
    let ending = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        room.ingest.shut_down().await;
    };
    let (ended, ()) = tokio::join!(room.ingest.append(&room.vehicle, id, Body::at(0, body)), ending);
    assert!(matches!(ended, Err(IngestError::Busy { .. })), "{ended:?}");
    assert!(room.received(id).await == noise(400));
    let refused = room.append(id, 400, b"x").await;
    assert!(matches!(refused, Err(IngestError::Busy { .. })), "{refused:?}");
    let next = room.another_node().await;
    assert_eq!(next.offset(&room.vehicle, id).await.unwrap().offset, 400);
}

/// A generator whose seed a failure prints.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Bytes that tell who sent them and where they belong.
fn marked(sender: u8, from: u64, to: u64) -> Vec<u8> {
    (from..to).map(|at| (at % 61) as u8 * 4 + sender).collect()
}

/// Turns of a sender; a race takes some ten.
const MAX_TURNS: u32 = 2_000;

/// One sender: asks, sends a random part from where the upload stands, with pauses, perhaps cut, until it is complete.
/// What it was told to be durable.
async fn sender(node: &Ingest, room: &Room, id: ClipId, length: u64, me: u8, seed: u64) -> Vec<(u64, u64)> {
    let mut dice = Dice(seed | 1);
    let mut told = Vec::new();
    let mut at = 0;
    for _ in 0..MAX_TURNS {
        let to = length.min(at + 1 + dice.below(length));
        let bytes = marked(me, at, to);
        let chunk = 1 + dice.below(bytes.len() as u64 + 1) as usize;
        let (pause, cut) = (dice.below(3), dice.below(4) == 0);
        let mut chunks: Vec<Result<Bytes, ()>> = bytes.chunks(chunk).map(Bytes::copy_from_slice).map(Ok).collect();
        if cut {
            chunks.truncate(1 + dice.below(chunks.len() as u64) as usize);
            chunks.push(Err(()));
        }
        let body = stream::iter(chunks).then(move |chunk| async move {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            chunk
        });
        match node.append(&room.vehicle, id, Body::at(at, body)).await {
            Ok(status) => {
                told.push((at, status.offset));
                at = status.offset;
            }
            Err(IngestError::Interrupted { offset }) => {
                told.push((at, offset));
                at = offset;
            }
            Err(IngestError::Mismatch { offset }) => at = offset,
            Err(IngestError::Fenced) => {
                // Two that take over from each other at once would go on so; clients wait a moment, too.
                tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
                at = node.offset(&room.vehicle, id).await.unwrap().offset;
            }
            Err(IngestError::TooLarge { limit: 0 }) => return told,
            Err(other) => panic!("seed {seed}: {other:?}"),
        }
        if at == length {
            return told;
        }
    }
    panic!("seed {seed}: the senders never came to an end");
}

async fn race(room: &Room, nodes: [&Ingest; 2], seed: u64) {
    let mut dice = Dice(seed | 1);
    let length = 1 + dice.below(200_000);
    let id = room.begin(length).await;
    let (a, b) = tokio::join!(
        sender(nodes[0], room, id, length, 1, dice.below(u64::MAX)),
        sender(nodes[1], room, id, length, 2, dice.below(u64::MAX))
    );
    let received = room.received(id).await;
    assert_eq!(received.len() as u64, length, "seed {seed}");
    for (at, byte) in received.iter().enumerate() {
        let place = (at as u64 % 61) as u8 * 4;
        assert!(
            [place + 1, place + 2].contains(byte),
            "seed {seed}: a byte moved to {at}"
        );
    }
    for (me, told) in [(1, a), (2, b)] {
        for (from, to) in told {
            assert!(
                received[from as usize..to as usize] == marked(me, from, to),
                "seed {seed}: what sender {me} was told to be durable at {from}..{to} is not there"
            );
        }
    }
    assert_eq!(room.finish_jobs(id).await, 1, "seed {seed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_senders_of_one_upload_never_mix_their_bytes() {
    let races = rounds("ingest: races of two senders", 1000, 10_000);
    // One vehicle sends all of them at once here.
    let room = Room::with(Config {
        max_writers_each: 64,
        ..Config::default()
    })
    .await;
    let other = room.another_node().await;
    let first = Dice(u64::from(std::process::id()) << 20 | 1).below(u64::MAX);
    // Half of them on one node, half on two; many at once, so that they share commits.
    stream::iter(0..u64::from(races))
        .for_each_concurrent(16, |round| {
            let (room, other) = (&room, &other);
            async move {
                let nodes = if round % 2 == 0 {
                    [&room.ingest, &room.ingest]
                } else {
                    [&room.ingest, other]
                };
                race(room, nodes, first.wrapping_add(round)).await;
            }
        })
        .await;
}

#[tokio::test]
async fn the_sweep_never_takes_a_piece_of_a_slow_writer() {
    let room = Room::new().await;
    let id = room.begin(1000).await;
    // The lease of a reserved name ends while its piece is on its way to the store.
    room.weather.slow(Duration::from_millis(300));
    let sweeping = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        room.clock.advance(2 * 3600 * 1000);
        let now = dashvault::model::Clock::now_ms(&*room.clock);
        room.vault.sweep_intents(now).await.unwrap();
    };
    let bytes = noise(400);
    let (refused, ()) = tokio::join!(room.append(id, 0, &bytes), sweeping);
    assert!(
        matches!(refused, Err(IngestError::Unavailable(_) | IngestError::Broken(_))),
        "{refused:?}"
    );
    room.weather.slow(Duration::ZERO);
    assert_eq!(room.offset(id).await, 0, "a piece that was swept counts for nothing");
    assert!(room.append(id, 0, &bytes).await.is_ok());
    assert!(room.received(id).await == bytes);
    until("nothing is left over", async || room.staged_objects().await <= 2).await;
}

#[tokio::test]
async fn a_revoked_vehicles_body_ends_within_5_s_on_any_node_and_its_owner_keeps_what_came() {
    let room = Room::with(Config {
        piece_time: Duration::from_millis(20),
        ..Config::default()
    })
    .await;
    let (Principal::Owner(owner), Principal::Device(vehicle)) = (&room.owner, &room.vehicle) else {
        panic!("an owner and a vehicle")
    };
    let other = room.another_node().await;
    let (one, two) = (room.begin(1 << 20).await, room.begin(1 << 20).await);
    // Neither body brings anything more, and neither ends by itself before half a minute has passed.
    let (send_one, body_one) = by_hand();
    let (send_two, body_two) = by_hand();
    for send in [&send_one, &send_two] {
        send.send(Bytes::from(noise(1000))).unwrap();
    }
    let revoking = async {
        until("both bodies are durable", async || {
            let received = async |id| room.catalog.upload(id).await.unwrap().unwrap().received;
            received(one).await + received(two).await == 2000
        })
        .await;
        room.access.revoke_device(owner, vehicle.device()).await.unwrap();
        Instant::now()
    };
    let at_it = async {
        let first = room.ingest.append(&room.vehicle, one, Body::at(0, body_one));
        let second = other.append(&room.vehicle, two, Body::at(0, body_two));
        let ended = tokio::join!(first, second);
        (ended, Instant::now())
    };
    let (revoked, ((first, second), ended)) = tokio::join!(revoking, at_it);
    assert!(matches!(first, Err(IngestError::Revoked)), "{first:?}");
    assert!(matches!(second, Err(IngestError::Revoked)), "{second:?}");
    let took = ended.duration_since(revoked);
    assert!(took < Duration::from_secs(5), "{took:?}");
    for id in [one, two] {
        assert_eq!(room.ingest.offset(&room.owner, id).await.unwrap().offset, 1000);
        assert!(room.received(id).await == noise(1000), "it opens for its owner");
    }
}

/// An owner's session and one of its vehicles.
fn both_of(room: &Room) -> (&OwnerSession, DeviceId) {
    match (&room.owner, &room.vehicle) {
        (Principal::Owner(owner), Principal::Device(vehicle)) => (owner, vehicle.device()),
        _ => panic!("an owner and a vehicle"),
    }
}

#[tokio::test]
async fn a_request_that_was_let_in_before_its_vehicle_was_revoked_moves_and_begins_nothing() {
    let quick = || Config {
        piece_time: Duration::from_millis(20),
        ..Config::default()
    };
    for room in [Room::with(quick()).await, Room::on_postgres_with(quick()).await] {
        let (owner, vehicle) = both_of(&room);
        let id = room.begin(1 << 20).await;
        let part = room
            .ingest
            .create_partial(&room.vehicle, Some(3), None)
            .await
            .unwrap()
            .id;
        room.append(part, 0, b"all").await.unwrap();
        room.access.revoke_device(owner, vehicle).await.unwrap();

        let (send, body) = by_hand();
        send.send(Bytes::from(noise(1000))).unwrap();
        // The body stays open: only the revocation ends it.
        let sending = room.ingest.append(&room.vehicle, id, Body::at(0, body));
        let sent = tokio::time::timeout(Duration::from_secs(2), sending).await;
        assert!(matches!(sent, Ok(Err(IngestError::Revoked))), "{sent:?}");
        drop(send);
        assert_eq!(room.ingest.offset(&room.owner, id).await.unwrap().offset, 0);
        assert!(room.received(id).await.is_empty());

        let begun = room.ingest.create(&room.vehicle, Some(1000), None).await;
        assert!(matches!(begun, Err(IngestError::Forbidden)), "{begun:?}");
        let joined = room.ingest.join(&room.vehicle, &[part], None).await;
        assert!(matches!(joined, Err(IngestError::Forbidden)), "{joined:?}");
    }
}

#[tokio::test]
async fn a_request_that_fences_while_its_vehicle_is_being_revoked_moves_nothing() {
    for room in [Room::new().await, Room::on_postgres().await] {
        let (owner, vehicle) = both_of(&room);
        let id = room.begin(1000).await;
        let mut tx = room.catalog.begin().await.unwrap();
        assert!(tx.revoke_device(owner.owner(), vehicle, START_MS).await.unwrap());
        assert_eq!(tx.fence_uploads_of(owner.owner(), vehicle).await.unwrap(), 1);
        let revoking = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            tx.commit().await.unwrap();
        };
        let bytes = noise(400);
        let (sent, ()) = tokio::join!(room.append(id, 0, &bytes), revoking);
        assert!(matches!(sent, Err(IngestError::Revoked)), "{sent:?}");
        assert_eq!(room.ingest.offset(&room.owner, id).await.unwrap().offset, 0);
    }
}
