//! Sealing and opening 256 MiB through the vault against ring's bare AES-256-GCM on the same segments.
//!
//! Ours is the whole way: intent, derivations, padding, parts, SHA-256; and back by a range read from a store in memory.
//! What is sealed goes to a store that throws it away, because filling fresh memory would take longer than sealing. The peer
//! seals and opens as many bytes in place, in segments of the same size. The format wants the SHA-256 of every object's
//! plaintext, so the ratio that counts is against AES and SHA-256 one after the other; that against AES alone is told too.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use dashvault::model::{ByteRange, ObjectKind};
use dashvault::vault::{ClipKeys, SealedObject, StoredObject};
use dashvault_test_support::Fault;
use futures_util::TryStreamExt as _;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};

#[expect(dead_code, reason = "the bench needs only a part of the tests' room")]
#[path = "../tests/vault_room/room.rs"]
mod room;

use room::{Room, holder, plain};

const PLAIN_BYTES: usize = 256 << 20;
const SEGMENT_BYTES: usize = 256 << 10;
const TAG_BYTES: usize = 16;
/// What is handed over at once.
const WRITE_BYTES: usize = 1 << 20;
/// Over some twenty seconds, so that what else the machine does for a moment is not what is measured.
const ROUNDS: usize = 21;
const AIM: f64 = 0.90;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(bench())
}

async fn bench() -> ExitCode {
    let room = Room::new().await;
    let keys = room.new_clip("bench").await;
    let bytes = plain(PLAIN_BYTES);
    let mut peer = Peer::new(&bytes);
    let object = stored(&room, &keys, &bytes).await;
    room.data
        .fail(|operation| (operation.name == "put_part").then_some(Fault::Forgotten));
    let mut rounds: [Vec<Duration>; 5] = Default::default();
    for round in 0..=ROUNDS {
        let (sealing, _) = seal(&room, &keys, &bytes).await;
        let opening = open(&room, &keys, &object).await;
        let [peer_sealing, peer_opening] = peer.round();
        let began = Instant::now();
        std::hint::black_box(digest(&SHA256, &bytes));
        let sealing_and_hashing = peer_sealing + began.elapsed();
        // The first round warms caches and memory.
        if round > 0 {
            let took = [sealing, sealing_and_hashing, peer_sealing, opening, peer_opening];
            rounds.iter_mut().zip(took).for_each(|(all, one)| all.push(one));
        }
    }
    let [sealing, sealing_and_hashing, peer_sealing, opening, peer_opening] = rounds.map(median);
    let aim = format!("(aim at least {AIM:.2})");
    let sealed = report("sealing", sealing, "AES-256-GCM and SHA-256", sealing_and_hashing, &aim);
    report(
        "sealing",
        sealing,
        "AES-256-GCM alone",
        peer_sealing,
        "(no aim: the hash is not optional)",
    );
    let opened = report("opening", opening, "AES-256-GCM", peer_opening, &aim);
    match sealed.min(opened) >= AIM {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

async fn stored(room: &Room, keys: &ClipKeys, bytes: &[u8]) -> StoredObject {
    let (_, sealed) = seal(room, keys, bytes).await;
    let mut tx = room.catalog.begin().await.expect("SQLite");
    let published = room.vault.publish(&mut tx, keys, &sealed, &sealed.about(), None).await;
    published.expect("an intent");
    tx.commit().await.expect("SQLite");
    let mut objects = room.vault.objects(keys, None).await.expect("SQLite");
    objects.pop().expect("what was published")
}

async fn seal(room: &Room, keys: &ClipKeys, bytes: &[u8]) -> (Duration, SealedObject) {
    let began = Instant::now();
    let writer = room
        .vault
        .create_object(keys, ObjectKind::Video, "1080p", holder())
        .await;
    let mut writer = writer.expect("an intent");
    for run in bytes.chunks(WRITE_BYTES) {
        writer.write(run).await.expect("memory has room");
    }
    let sealed = writer.finish().await.expect("memory has room");
    (began.elapsed(), sealed)
}

async fn open(room: &Room, keys: &ClipKeys, object: &StoredObject) -> Duration {
    let began = Instant::now();
    let mut stream = Box::pin(room.vault.read(keys, object, ByteRange::whole(PLAIN_BYTES as u64)));
    let mut length = 0;
    while let Some(chunk) = stream.try_next().await.expect("what was sealed") {
        length += chunk.len();
    }
    assert_eq!(length, PLAIN_BYTES);
    began.elapsed()
}

/// ring, a key, and a buffer of whole segments with their tags.
struct Peer {
    key: LessSafeKey,
    segments: Vec<u8>,
}

impl Peer {
    fn new(bytes: &[u8]) -> Self {
        let mut segments = Vec::with_capacity(PLAIN_BYTES + PLAIN_BYTES / 1000);
        for plain in bytes.chunks(SEGMENT_BYTES - TAG_BYTES) {
            segments.extend_from_slice(plain);
            segments.resize(segments.len() + TAG_BYTES, 0);
        }
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("32 bytes");
        Self {
            key: LessSafeKey::new(key),
            segments,
        }
    }

    fn round(&mut self) -> [Duration; 2] {
        let nonce = |index: usize| {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&(index as u64).to_be_bytes());
            Nonce::assume_unique_for_key(nonce)
        };
        let began = Instant::now();
        for (index, segment) in self.segments.chunks_mut(SEGMENT_BYTES).enumerate() {
            let (plain, tag) = segment.split_at_mut(segment.len() - TAG_BYTES);
            let made = self.key.seal_in_place_separate_tag(nonce(index), Aad::empty(), plain);
            tag.copy_from_slice(made.expect("a segment").as_ref());
        }
        let sealed = began.elapsed();
        let began = Instant::now();
        for (index, segment) in self.segments.chunks_mut(SEGMENT_BYTES).enumerate() {
            self.key
                .open_in_place(nonce(index), Aad::empty(), segment)
                .expect("what was sealed");
        }
        [sealed, began.elapsed()]
    }
}

/// The ratio of the two speeds.
fn report(name: &str, ours: Duration, peer_name: &str, peer: Duration, aim: &str) -> f64 {
    let speed = |took: Duration| PLAIN_BYTES as f64 / took.as_secs_f64() / 1e9;
    let ratio = peer.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{name} 256 MiB through the vault: ours {:.2} GB/s, peer (ring's {peer_name}) {:.2} GB/s, ratio {ratio:.2} {aim}",
        speed(ours),
        speed(peer)
    );
    ratio
}

fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort();
    rounds[rounds.len() / 2]
}
