//! What every store promises.

use bytes::Bytes;
use dashvault::model::ObjectId;
use dashvault::store::{Location, Store, StoreError};
use futures_util::TryStreamExt as _;

/// Holds a store against all of it. Every function takes names of its own, so that they may share the store.
pub async fn hold(store: &Store) {
    store.ping().await.unwrap();
    // Pieces of uploads are written in another way than objects.
    for at in [Location::Data, Location::Staging] {
        what_was_put_is_got(store, at).await;
        a_name_is_not_given_twice(store, at).await;
        parts_become_one_object(store, at).await;
        few_bytes_in_parts_are_an_object_too(store, at).await;
        an_aborted_object_never_is(store, at).await;
    }
    a_range_has_exactly_what_was_asked_for(store).await;
    what_is_not_there_is_missing(store).await;
    an_object_in_parts_is_not_there_before_it_is_finished(store).await;
    another_process_ends_an_upload_by_its_name(store).await;
    deleting_twice_is_fine(store).await;
    locations_are_apart_and_are_listed(store).await;
}

/// Bytes without a period, so that a wrong offset shows.
fn bytes(length: usize) -> Bytes {
    (0..length as u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

async fn what_was_put_is_got(store: &Store, at: Location) {
    for length in [0, 1, 128 << 10, 3 << 20] {
        let (id, bytes) = (ObjectId::random(), bytes(length));
        store.put(at, id, bytes.clone()).await.unwrap();
        assert!(store.get(at, id).await.unwrap() == bytes, "{length} bytes");
        assert_eq!(store.size(at, id).await.unwrap(), length as u64);
    }
}

async fn a_range_has_exactly_what_was_asked_for(store: &Store) {
    let (id, bytes) = (ObjectId::random(), bytes(1000));
    store.put(Location::Staging, id, bytes.clone()).await.unwrap();
    for (start, end) in [(0, 1), (0, 1000), (999, 1000), (100, 900)] {
        let ranged = store.get_range(Location::Staging, id, start..end).await.unwrap();
        assert_eq!(ranged.bytes, bytes.slice(start as usize..end as usize));
        assert_eq!(ranged.object_size, 1000);
    }
    for (start, end) in [(0, 1001), (999, 1002), (1000, 1001), (5000, 6000)] {
        let short = store.get_range(Location::Staging, id, start..end).await;
        assert!(
            matches!(short, Err(StoreError::Short { .. })),
            "{start}..{end}: {short:?}"
        );
    }
}

async fn what_is_not_there_is_missing(store: &Store) {
    let id = ObjectId::random();
    let is_missing = |error: StoreError| matches!(error, StoreError::Missing(missing) if missing == id);
    assert!(is_missing(store.get(Location::Data, id).await.unwrap_err()));
    assert!(is_missing(store.size(Location::Data, id).await.unwrap_err()));
    assert!(is_missing(store.get_range(Location::Data, id, 0..1).await.unwrap_err()));
}

async fn a_name_is_not_given_twice(store: &Store, at: Location) {
    let (id, first) = (ObjectId::random(), bytes(10));
    store.put(at, id, first.clone()).await.unwrap();
    let second = store.put(at, id, bytes(11)).await;
    assert!(matches!(second, Err(StoreError::Exists(_))), "{second:?}");
    assert_eq!(store.get(at, id).await.unwrap(), first);
}

async fn parts_become_one_object(store: &Store, at: Location) {
    let part = store.part_bytes(at);
    let (id, bytes) = (ObjectId::random(), bytes(2 * part + 12_345));
    let mut parts = store.begin(at, id).await.unwrap();
    for start in (0..bytes.len()).step_by(part) {
        let end = bytes.len().min(start + part);
        parts.put(bytes.slice(start..end)).await.unwrap();
    }
    parts.finish().await.unwrap();
    assert_eq!(store.size(at, id).await.unwrap(), bytes.len() as u64);
    assert!(store.get(at, id).await.unwrap() == bytes);
}

async fn few_bytes_in_parts_are_an_object_too(store: &Store, at: Location) {
    let (id, bytes) = (ObjectId::random(), bytes(7));
    let mut parts = store.begin(at, id).await.unwrap();
    parts.put(bytes.clone()).await.unwrap();
    parts.finish().await.unwrap();
    assert_eq!(store.get(at, id).await.unwrap(), bytes);
}

async fn an_object_in_parts_is_not_there_before_it_is_finished(store: &Store) {
    let id = ObjectId::random();
    let mut parts = store.begin(Location::Data, id).await.unwrap();
    parts.put(bytes(store.part_bytes(Location::Data))).await.unwrap();
    let early = store.size(Location::Data, id).await;
    assert!(matches!(early, Err(StoreError::Missing(_))), "{early:?}");
    parts.finish().await.unwrap();
    store.size(Location::Data, id).await.unwrap();
}

async fn an_aborted_object_never_is(store: &Store, at: Location) {
    let id = ObjectId::random();
    let mut parts = store.begin(at, id).await.unwrap();
    parts.put(bytes(store.part_bytes(at))).await.unwrap();
    parts.abort().await.unwrap();
    let gone = store.size(at, id).await;
    assert!(matches!(gone, Err(StoreError::Missing(_))), "{gone:?}");
}

async fn another_process_ends_an_upload_by_its_name(store: &Store) {
    let id = ObjectId::random();
    let mut parts = store.begin(Location::Data, id).await.unwrap();
    let Some(name) = parts.name().map(str::to_owned) else {
        // A folder's half files have no name; the next start removes them.
        return parts.abort().await.unwrap();
    };
    parts.put(bytes(store.part_bytes(Location::Data))).await.unwrap();
    store.abort_multipart(Location::Data, id, &name).await.unwrap();
    // The first one can neither go on nor finish.
    assert!(parts.finish().await.is_err());
    let gone = store.size(Location::Data, id).await;
    assert!(matches!(gone, Err(StoreError::Missing(_))), "{gone:?}");
    store.abort_multipart(Location::Data, id, &name).await.unwrap();
}

async fn deleting_twice_is_fine(store: &Store) {
    let ids = [ObjectId::random(), ObjectId::random(), ObjectId::random()];
    for id in ids {
        store.put(Location::Data, id, bytes(5)).await.unwrap();
    }
    store.delete(Location::Data, ids[0]).await.unwrap();
    store.delete(Location::Data, ids[0]).await.unwrap();
    store.delete_all(Location::Data, &ids).await.unwrap();
    for id in ids {
        let gone = store.get(Location::Data, id).await;
        assert!(matches!(gone, Err(StoreError::Missing(_))), "{gone:?}");
    }
}

async fn locations_are_apart_and_are_listed(store: &Store) {
    let id = ObjectId::random();
    for (location, length) in [
        (Location::Data, 1),
        (Location::Staging, 2),
        (Location::KeyPlane, 3),
        (Location::Tombstones, 4),
    ] {
        store.put(location, id, bytes(length)).await.unwrap();
    }
    store.delete(Location::Staging, id).await.unwrap();
    for (location, size) in [
        (Location::Data, Some(1)),
        (Location::Staging, None),
        (Location::KeyPlane, Some(3)),
        (Location::Tombstones, Some(4)),
    ] {
        let listed: Vec<_> = store.list(location).try_collect().await.unwrap();
        let found = listed.iter().find(|entry| entry.id == id);
        assert_eq!(found.map(|entry| entry.size_bytes), size, "{location:?}");
        let recent = listed.iter().all(|entry| entry.modified_ms > 1_600_000_000_000);
        assert!(recent, "{location:?}: a time of this century");
    }
}
