//! The ciphertext proof: what is not sealed, not ours or not there is named, and what is under way is no finding.

use std::time::Duration;

use dashvault::model::{Bucket, ObjectId};
use dashvault::vault::{Inventory, InventoryTotals, StoredFlaw};
use dashvault_keys::object::{DEFAULT_LOG2_SEGMENT, kind, padded_length, size};
use futures_util::FutureExt as _;

use crate::{Room, name, plain, store};

const BUCKETS: [Bucket; 3] = [Bucket::Data, Bucket::Staging, Bucket::KeyPlane];

fn inventory(room: &Room) -> Inventory {
    let store = store(&room.data, &room.staging, &room.keyplane);
    Inventory::new(room.catalog.clone(), store).again_after(Duration::ZERO)
}

async fn take(room: &Room, bucket: Bucket) -> InventoryTotals {
    inventory(room).take(bucket, &|_| {}).await.unwrap()
}

/// What is wrong with one name; panics when more is said of it.
fn flaw(totals: &InventoryTotals, path: &str) -> Option<StoredFlaw> {
    let found: Vec<_> = totals.unfit.iter().filter(|one| one.path == path).collect();
    assert!(found.len() <= 1, "{found:?}");
    found.first().map(|one| one.flaw)
}

#[tokio::test]
async fn what_the_vault_made_has_nothing_wrong_published_or_not_yet() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.ready_clip(&room.keys(owner).await).await;
    room.published(&keys, "extra", &plain(300_000)).await;
    room.sealed(&keys, "under-way", &plain(700_000)).await;
    for bucket in BUCKETS {
        let totals = take(&room, bucket).await;
        assert_eq!(totals.unfit, [], "{bucket:?}");
        let there = [&room.data, &room.staging, &room.keyplane][bucket as usize]
            .names()
            .await;
        assert_eq!(totals.objects, there.len() as u64, "{bucket:?}");
    }
    assert_eq!(take(&room, Bucket::Data).await.objects, 3);
    assert!(take(&room, Bucket::KeyPlane).await.objects > 0);
}

#[tokio::test]
async fn plaintext_noise_and_foreign_names_are_found_in_every_bucket() {
    let room = Room::new().await;
    let (movie, noise, empty) = (ObjectId::random(), ObjectId::random(), ObjectId::random());
    let mut mp4 = b"\0\0\0\x20ftypisom\0\0\x02\0isomiso2avc1mp41".to_vec();
    mp4.extend(plain(200_000));
    for (bucket, objects) in BUCKETS.into_iter().zip([&room.data, &room.staging, &room.keyplane]) {
        objects.replace(&name(movie), mp4.clone()).await;
        // It looks as random as anything that is sealed, and has a size that an object can have.
        let noise_bytes = size(padded_length(200_000, kind::VIDEO), DEFAULT_LOG2_SEGMENT) as usize;
        objects.replace(&name(noise), plain(noise_bytes)).await;
        objects.replace(&name(empty), Vec::new()).await;
        objects.replace("holiday.mp4", mp4.clone()).await;
        let totals = take(&room, bucket).await;
        assert_eq!(totals.unfit.len(), 4, "{:?}", totals.unfit);
        for id in [movie, noise, empty] {
            assert_eq!(flaw(&totals, &name(id)), Some(StoredFlaw::IllFormed), "{bucket:?}");
        }
        assert_eq!(flaw(&totals, "holiday.mp4"), Some(StoredFlaw::ForeignName));
    }
}

#[tokio::test]
async fn a_well_formed_object_that_is_not_what_was_sealed_is_found() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let mut names = Vec::new();
    for rendition in ["grown", "odd", "other-key", "copied", "gone"] {
        names.push(name(room.published(&keys, rendition, &plain(300_000)).await.id));
    }
    let [grown, odd, other_key, copied, gone] = &names[..] else {
        panic!("five objects");
    };
    let bytes = room.data.object(grown).await.to_vec();
    let longer = size(padded_length(900_000, kind::VIDEO), bytes[6]) as usize;
    let mut changed = bytes.clone();
    changed.resize(longer, 7);
    room.data.replace(grown, changed).await;
    let mut changed = room.data.object(odd).await.to_vec();
    changed.push(7);
    room.data.replace(odd, changed).await;
    let mut changed = room.data.object(other_key).await.to_vec();
    changed[60] ^= 1;
    room.data.replace(other_key, changed).await;
    let (thief, stranger) = (ObjectId::random(), ObjectId::random());
    let mut changed = room.data.object(copied).await.to_vec();
    room.data.replace(&name(thief), changed.clone()).await;
    changed[8..24].copy_from_slice(stranger.as_bytes());
    room.data.replace(&name(stranger), changed).await;
    room.data.remove(gone).await;
    let totals = take(&room, Bucket::Data).await;
    assert_eq!(flaw(&totals, grown), Some(StoredFlaw::OtherSize));
    assert_eq!(flaw(&totals, odd), Some(StoredFlaw::IllFormed));
    assert_eq!(flaw(&totals, other_key), Some(StoredFlaw::OtherCommitment));
    assert_eq!(flaw(&totals, copied), None);
    assert_eq!(flaw(&totals, &name(thief)), Some(StoredFlaw::OtherName));
    assert_eq!(flaw(&totals, &name(stranger)), Some(StoredFlaw::Unknown));
    assert_eq!(flaw(&totals, gone), Some(StoredFlaw::Missing));
    assert_eq!(totals.unfit.len(), 6, "{:?}", totals.unfit);
}

#[tokio::test]
async fn every_fixed_byte_of_the_head_counts_and_so_does_a_piece_s_size() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let path = name(room.published(&keys, "original", &plain(300_000)).await.id);
    let sealed = room.data.object(&path).await.to_vec();
    // Magic, version, suite, segment size, flags, and the length of Tink's header.
    for at in (0..8).chain([88]) {
        let mut changed = sealed.clone();
        changed[at] ^= 0x40;
        room.data.replace(&path, changed).await;
        let totals = take(&room, Bucket::Data).await;
        assert_eq!(flaw(&totals, &path), Some(StoredFlaw::IllFormed), "byte {at}");
    }
    // Pieces are not padded: only the room for a last segment's tag tells that nothing has this size.
    let id = ObjectId::random();
    let mut piece = sealed;
    piece[8..24].copy_from_slice(id.as_bytes());
    let full = size(0, piece[6]) as usize - 16 + (1 << piece[6]) - 40;
    for (bytes, expected) in [(full, StoredFlaw::Unknown), (full + 9, StoredFlaw::IllFormed)] {
        piece.resize(bytes, 7);
        room.staging.replace(&name(id), piece.clone()).await;
        let totals = take(&room, Bucket::Staging).await;
        assert_eq!(flaw(&totals, &name(id)), Some(expected), "{bytes} bytes");
    }
}

#[tokio::test]
async fn what_went_between_the_two_looks_is_no_finding() {
    let room = Room::new().await;
    let (stays, goes) = (name(ObjectId::random()), name(ObjectId::random()));
    for path in [&stays, &goes] {
        room.data.replace(path, b"nobody's".as_slice()).await;
    }
    let told = |_| {
        // Memory answers at once; there is one batch, so this is heard once.
        room.data.remove(&goes).now_or_never().expect("removed");
    };
    let totals = inventory(&room).take(Bucket::Data, &told).await.unwrap();
    assert_eq!(totals.objects, 2);
    assert_eq!(flaw(&totals, &goes), None);
    assert_eq!(flaw(&totals, &stays), Some(StoredFlaw::IllFormed));
}
