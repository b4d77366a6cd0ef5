//! Opened keys, kept for a little while: a key service is asked once for an owner and not at every range of a film.
//!
//! An entry is found only by a digest of the wrapped blob that was just read from the catalogue, so that a blob which is
//! gone or was replaced, by whatever process, finds nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use dashvault_keys::{Secret32, digest};
use tokio::sync::OnceCell;

use super::VaultError;
use crate::model::{OwnerId, UnixMs};

/// Owners that watch or upload at the same time on one node; a KEK and a field key each, so well under a megabyte.
const MOST_ENTRIES: usize = 4096;
/// How long an opened key stays: the length of a film's pause, and the longest that a key taken back from the key service
/// still serves.
const LIFE_MS: i64 = 5 * 60 * 1000;

/// An owner's opened KEK and field key.
pub(super) struct OpenedKek {
    pub kek: Secret32,
    pub field: Secret32,
}

/// What an entry is found by.
pub(super) struct Key<'a> {
    pub owner: OwnerId,
    pub id: &'a [u8; 16],
    pub version: u32,
    /// The whole record, in which suite and policy stand too.
    pub blob: &'a [u8],
}

struct Entry {
    owner: OwnerId,
    /// Filled by whoever came first; the others wait for it.
    cell: Arc<OnceCell<Arc<OpenedKek>>>,
    dies_at: UnixMs,
}

/// Opened keys. Erased when they leave and nobody uses them any more.
#[derive(Default)]
pub(super) struct KeyCache {
    entries: Mutex<HashMap<[u8; 32], Entry>>,
}

impl Key<'_> {
    fn digest(&self) -> [u8; 32] {
        let mut hash = digest::Sha256::new();
        hash.update(b"kek\0");
        hash.update(self.owner.as_bytes());
        hash.update(self.id);
        hash.update(&self.version.to_be_bytes());
        hash.update(self.blob);
        hash.finish()
    }
}

impl KeyCache {
    /// The opened key; `open` runs once however many ask at the same time.
    pub async fn get<F>(&self, key: &Key<'_>, now: UnixMs, open: F) -> Result<Arc<OpenedKek>, VaultError>
    where
        F: AsyncFnOnce() -> Result<OpenedKek, VaultError>,
    {
        let cell = self.cell(key, now);
        cell.get_or_try_init(async || open().await.map(Arc::new)).await.cloned()
    }

    /// Forgets an owner's keys.
    pub fn forget(&self, owner: OwnerId) {
        self.locked().retain(|_, entry| entry.owner != owner);
    }

    fn cell(&self, key: &Key<'_>, now: UnixMs) -> Arc<OnceCell<Arc<OpenedKek>>> {
        let mut entries = self.locked();
        let digest = key.digest();
        // A clock that was set back must not keep a key for longer.
        entries.retain(|_, entry| now < entry.dies_at && entry.dies_at <= now + LIFE_MS);
        if let Some(entry) = entries.get(&digest) {
            return entry.cell.clone();
        }
        if entries.len() >= MOST_ENTRIES
            && let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.dies_at).map(|(k, _)| *k)
        {
            entries.remove(&oldest);
        }
        let cell = Arc::new(OnceCell::new());
        entries.insert(
            digest,
            Entry {
                owner: key.owner,
                cell: cell.clone(),
                dies_at: now + LIFE_MS,
            },
        );
        cell
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Entry>> {
        // Nothing between lock and unlock can leave the map half-changed.
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

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

    struct Counted(AtomicU32);

    impl Counted {
        async fn open(&self) -> Result<OpenedKek, VaultError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            Ok(OpenedKek {
                kek: Secret32::make_random(),
                field: Secret32::make_random(),
            })
        }

        fn count(&self) -> u32 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn many_who_ask_at_once_open_once() {
        let (cache, opened) = (KeyCache::default(), Counted(AtomicU32::new(0)));
        let asked = (0..50).map(async |_| {
            cache
                .get(&key(owner(1), b"blob"), 0, async || opened.open().await)
                .await
        });
        let got = futures_util::future::join_all(asked).await;
        assert_eq!(opened.count(), 1);
        assert!(got.iter().all(|keys| keys.is_ok()));
    }

    #[tokio::test]
    async fn another_blob_or_a_late_hour_opens_again() {
        let (cache, opened) = (KeyCache::default(), Counted(AtomicU32::new(0)));
        for (blob, now, count) in [
            (&b"blob"[..], 0, 1),
            (b"blob", LIFE_MS - 1, 1),
            (b"other", LIFE_MS - 1, 2),
            (b"blob", LIFE_MS, 3),
        ] {
            let got = cache.get(&key(owner(1), blob), now, async || opened.open().await).await;
            assert!(got.is_ok());
            assert_eq!(opened.count(), count, "at {now}");
        }
    }

    #[tokio::test]
    async fn what_failed_is_not_kept() {
        let (cache, opened) = (KeyCache::default(), Counted(AtomicU32::new(0)));
        let failed = cache
            .get(&key(owner(1), b"blob"), 0, async || Err(VaultError::Gone))
            .await;
        assert!(matches!(failed, Err(VaultError::Gone)));
        let got = cache
            .get(&key(owner(1), b"blob"), 0, async || opened.open().await)
            .await;
        assert!(got.is_ok() && opened.count() == 1);
    }

    #[tokio::test]
    async fn a_forgotten_owners_key_is_erased_and_others_stay() {
        let (cache, opened) = (KeyCache::default(), Counted(AtomicU32::new(0)));
        let mut held = Vec::new();
        for n in [1, 2] {
            let got = cache
                .get(&key(owner(n), b"blob"), 0, async || opened.open().await)
                .await;
            held.push(Arc::downgrade(&got.ok().unwrap()));
        }
        cache.forget(owner(1));
        assert_eq!(held.iter().map(|kept| kept.strong_count()).collect::<Vec<_>>(), [0, 1]);
    }

    #[tokio::test]
    async fn it_never_holds_more_than_its_bound() {
        let (cache, opened) = (KeyCache::default(), Counted(AtomicU32::new(0)));
        for n in 0..MOST_ENTRIES + 10 {
            let blob = n.to_be_bytes();
            let got = cache.get(&key(owner(1), &blob), 0, async || opened.open().await).await;
            assert!(got.is_ok());
        }
        assert_eq!(cache.locked().len(), MOST_ENTRIES);
    }
}
