//! The cache by itself: how often it opens, what it keeps and for how long, and what an outage changes.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

const LIFE_MS: i64 = 5 * 60 * 1000;
const HOUR_MS: i64 = 3_600_000;

fn owner(n: u8) -> OwnerId {
    OwnerId::from_bytes([n; 16])
}

fn key(owner: OwnerId, blob: &[u8]) -> Key<'_> {
    Key {
        owner,
        id: &[7; 16],
        version: 1,
        blob,
    }
}

/// How a provider is to answer.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Up,
    Down,
    Withdrawn,
    Damaged,
}

struct House {
    cache: KeyCache,
    outage: Outage,
    asked: AtomicU32,
}

impl House {
    fn new() -> Self {
        Self {
            cache: KeyCache::new(LIFE_MS, HOUR_MS),
            outage: Outage::default(),
            asked: AtomicU32::new(0),
        }
    }

    async fn get(&self, key: &Key<'_>, now: UnixMs, mood: Mood) -> Result<Found, VaultError> {
        let open = async || {
            self.asked.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            match mood {
                Mood::Up => Ok(OpenedKek {
                    kek: Secret32::make_random(),
                    field: Secret32::make_random(),
                }),
                Mood::Down => Err(Failed::Passing(VaultError::Unavailable("down".into()))),
                Mood::Withdrawn => Err(Failed::Withdrawn(VaultError::Gone)),
                Mood::Damaged => Err(Failed::Refused(VaultError::Gone)),
            }
        };
        self.cache.get(key, now, &self.outage, open).await
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn many_who_ask_at_once_open_once() {
    let house = House::new();
    let key = key(owner(1), b"blob");
    let got = futures_util::future::join_all((0..50).map(|_| house.get(&key, 0, Mood::Up))).await;
    assert_eq!(house.asked(), 1);
    assert!(got.iter().all(Result::is_ok));
    assert!(
        Gate::all(&house.cache).is_empty(),
        "a turn that is over leaves nothing behind"
    );
}

#[tokio::test]
async fn another_blob_or_a_late_hour_opens_again() {
    let house = House::new();
    for (blob, now, count) in [
        (&b"blob"[..], 0, 1),
        (b"blob", LIFE_MS - 1, 1),
        (b"other", LIFE_MS - 1, 2),
        (b"other", 2 * LIFE_MS, 3),
        (b"other", 0, 4),
    ] {
        assert!(house.get(&key(owner(1), blob), now, Mood::Up).await.is_ok());
        assert_eq!(house.asked(), count, "at {now}");
    }
}

#[tokio::test]
async fn a_blob_that_was_replaced_takes_its_key_out_of_memory() {
    let house = House::new();
    let found = house.get(&key(owner(1), b"blob"), 0, Mood::Up).await.ok().unwrap();
    let old = Arc::downgrade(&found.keys);
    drop(found);
    let other = house.get(&key(owner(2), b"blob"), 0, Mood::Up).await.ok().unwrap();
    house.get(&key(owner(1), b"rewrapped"), 1, Mood::Up).await.ok().unwrap();
    assert_eq!(old.strong_count(), 0);
    assert_eq!(Arc::strong_count(&other.keys), 2, "another owner's stays");
}

#[tokio::test]
async fn what_failed_is_not_kept() {
    let house = House::new();
    let failed = house.get(&key(owner(1), b"blob"), 0, Mood::Damaged).await;
    assert!(matches!(failed, Err(VaultError::Gone)));
    assert!(house.get(&key(owner(1), b"blob"), 0, Mood::Up).await.is_ok());
    assert_eq!(house.asked(), 2);
}

#[tokio::test]
async fn a_forgotten_owners_key_is_erased_and_others_stay() {
    let house = House::new();
    let mut held = Vec::new();
    for n in [1, 2] {
        let got = house.get(&key(owner(n), b"blob"), 0, Mood::Up).await.ok().unwrap();
        held.push(Arc::downgrade(&got.keys));
    }
    house.cache.forget(owner(1));
    assert_eq!(held.iter().map(|kept| kept.strong_count()).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn it_never_holds_more_than_its_bound() {
    let house = House::new();
    for n in 0..MOST_ENTRIES + 10 {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let key = Key {
            id: &id,
            ..key(owner(1), b"blob")
        };
        assert!(house.get(&key, 0, Mood::Up).await.is_ok());
    }
    assert_eq!(house.cache.len(), MOST_ENTRIES);
}

#[tokio::test]
async fn in_an_outage_a_key_in_memory_serves_for_the_grace_and_no_longer() {
    let house = House::new();
    let key = key(owner(1), b"blob");
    assert!(house.get(&key, 0, Mood::Up).await.is_ok());
    let fresh = house.get(&key, LIFE_MS - 1, Mood::Down).await.ok().unwrap();
    assert_eq!(
        fresh.outage_since, None,
        "its time has not passed: nobody asked the provider"
    );
    let began = LIFE_MS;
    let kept = house.get(&key, began, Mood::Down).await.ok().unwrap();
    assert_eq!(kept.outage_since, Some(began));
    let last = house.get(&key, began + HOUR_MS - 1, Mood::Down).await.ok().unwrap();
    assert_eq!(last.outage_since, Some(began));
    let over = house.get(&key, began + HOUR_MS, Mood::Down).await;
    assert!(matches!(over, Err(VaultError::Unavailable(_))));
    let back = house.get(&key, began + HOUR_MS, Mood::Up).await;
    assert!(
        matches!(back, Err(VaultError::Unavailable(_))),
        "another has asked a moment ago"
    );
    let back = house.get(&key, began + HOUR_MS + 2_000, Mood::Up).await.ok().unwrap();
    assert_eq!(back.outage_since, None);
}

#[tokio::test]
async fn in_an_outage_a_key_that_is_not_in_memory_fails_at_once_and_one_in_two_seconds_asks() {
    let house = House::new();
    for n in 0..100 {
        let got = house.get(&key(owner(n), b"blob"), 1_000, Mood::Down).await;
        assert!(matches!(got, Err(VaultError::Unavailable(_))));
    }
    assert_eq!(house.asked(), 1);
    assert!(house.get(&key(owner(1), b"blob"), 3_000, Mood::Down).await.is_err());
    assert_eq!(house.asked(), 2);
}

#[tokio::test]
async fn a_blob_that_was_replaced_has_no_grace() {
    let house = House::new();
    assert!(house.get(&key(owner(1), b"blob"), 0, Mood::Up).await.is_ok());
    let other = house.get(&key(owner(1), b"another"), LIFE_MS, Mood::Down).await;
    assert!(matches!(other, Err(VaultError::Unavailable(_))));
}

#[tokio::test]
async fn an_answer_that_the_key_is_withdrawn_ends_every_grace_at_once() {
    let house = House::new();
    let kept = house.get(&key(owner(1), b"blob"), 0, Mood::Up).await.ok().unwrap();
    assert!(house.get(&key(owner(2), b"blob"), 0, Mood::Down).await.is_err());
    let refused = house.get(&key(owner(2), b"blob"), 2_000, Mood::Withdrawn).await;
    assert!(matches!(refused, Err(VaultError::Gone)));
    assert_eq!(Arc::strong_count(&kept.keys), 1, "only the test holds it");
    let refused = house.get(&key(owner(1), b"blob"), 2_000, Mood::Withdrawn).await;
    assert!(matches!(refused, Err(VaultError::Gone)));
}

#[tokio::test]
async fn a_key_that_is_refused_has_no_grace_and_others_keep_theirs() {
    let house = House::new();
    for n in [1, 2] {
        assert!(house.get(&key(owner(n), b"blob"), 0, Mood::Up).await.is_ok());
    }
    assert!(
        house
            .get(&key(owner(1), b"blob"), LIFE_MS, Mood::Damaged)
            .await
            .is_err()
    );
    let now = LIFE_MS + 1;
    assert!(house.get(&key(owner(1), b"blob"), now, Mood::Down).await.is_err());
    let kept = house.get(&key(owner(2), b"blob"), now, Mood::Down).await.ok().unwrap();
    assert_eq!(kept.outage_since, Some(now));
}

#[tokio::test]
async fn purging_keeps_what_an_outage_needs_and_nothing_else() {
    let house = House::new();
    assert!(house.get(&key(owner(1), b"blob"), 0, Mood::Up).await.is_ok());
    house.cache.purge(LIFE_MS - 1, None);
    assert_eq!(house.cache.len(), 1);
    house.cache.purge(LIFE_MS, Some(LIFE_MS));
    assert_eq!(house.cache.len(), 1);
    house.cache.purge(LIFE_MS + HOUR_MS, Some(LIFE_MS));
    assert_eq!(house.cache.len(), 0);
    assert!(house.get(&key(owner(1), b"blob"), 0, Mood::Up).await.is_ok());
    house.cache.purge(LIFE_MS, None);
    assert_eq!(house.cache.len(), 0);
}

#[tokio::test]
async fn outages_that_follow_each_other_do_not_add_up() {
    let house = House::new();
    let key = key(owner(1), b"blob");
    assert!(house.get(&key, 0, Mood::Up).await.is_ok());
    let end = LIFE_MS + HOUR_MS;
    house.outage.lasts(end - 1, &std::io::Error::other("down"));
    assert!(house.get(&key, end - 1, Mood::Down).await.is_ok());
    assert!(house.get(&key, end, Mood::Down).await.is_err());
}
