//! Opened keys, kept for a little while: a key service is asked once for an owner and not at every range of a film.
//!
//! An entry is found only by a digest of the wrapped blob that was just read from the catalogue, so that a blob which is
//! gone or was replaced, by whatever process, finds nothing. When the root key's provider does not answer, an entry that has
//! passed its time goes on being used for a grace; when it answers that the key is not to be had, nothing does.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dashvault_keys::{Secret32, digest};

use super::VaultError;
use super::outage::Outage;
use crate::model::{OwnerId, UnixMs};

/// Owners that watch or upload at the same time on one node; a KEK and a field key each, so well under a megabyte.
const MOST_ENTRIES: usize = 4096;
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

/// A key that was found or opened.
pub(super) struct Found {
    pub keys: Arc<OpenedKek>,
    /// Set when the key's time had passed and the provider does not answer: since when it has not.
    pub outage_since: Option<UnixMs>,
}

/// Why a key was not opened.
pub(super) enum Failed {
    /// The provider does not answer now: the grace applies.
    Passing(VaultError),
    /// The provider answered that the root key must not be used by anybody: every key in memory goes.
    Withdrawn(VaultError),
    /// This key is not to be had.
    Refused(VaultError),
}

struct Entry {
    owner: OwnerId,
    id: [u8; 16],
    version: u32,
    keys: Arc<OpenedKek>,
    opened_at: UnixMs,
}

type Digest = [u8; 32];

/// Opened keys. Erased when they leave and nobody uses them any more.
pub(super) struct KeyCache {
    /// How long an opened key stays.
    life_ms: i64,
    /// How long keys whose time has passed are used while the provider does not answer.
    grace_ms: i64,
    entries: Mutex<HashMap<Digest, Entry>>,
    /// Of keys that are being opened: whoever comes first opens, the others wait.
    gates: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

impl Key<'_> {
    fn digest(&self) -> Digest {
        let mut hash = digest::Sha256::new();
        hash.update(b"kek\0");
        hash.update(self.owner.as_bytes());
        hash.update(self.id);
        hash.update(&self.version.to_be_bytes());
        hash.update(self.blob);
        hash.finish()
    }
}

impl Entry {
    /// A clock that was set back must not keep a key for longer.
    fn is_younger(&self, age_ms: i64, now: UnixMs) -> bool {
        (0..age_ms).contains(&(now - self.opened_at))
    }
}

impl KeyCache {
    pub fn new(life_ms: i64, grace_ms: i64) -> Self {
        Self {
            life_ms,
            grace_ms,
            entries: Mutex::default(),
            gates: Mutex::default(),
        }
    }

    /// The opened key; `open` runs once however many ask at the same time, and not at all while an outage lasts and another
    /// has asked a moment ago.
    pub async fn get<F>(&self, key: &Key<'_>, now: UnixMs, outage: &Outage, open: F) -> Result<Found, VaultError>
    where
        F: AsyncFnOnce() -> Result<OpenedKek, Failed>,
    {
        let digest = key.digest();
        if let Some(keys) = self.fresh(&digest, now) {
            return Ok(keys);
        }
        let gate = Gate::of(self, digest);
        let _turn = gate.lock.lock().await;
        if let Some(keys) = self.fresh(&digest, now) {
            return Ok(keys);
        }
        if !outage.may_ask(now) {
            return self.on_grace(&digest, now, outage.since()).ok_or_else(unanswered);
        }
        match open().await {
            Ok(opened) => {
                outage.over();
                let keys = Arc::new(opened);
                self.keep(digest, key, keys.clone(), now);
                Ok(Found {
                    keys,
                    outage_since: None,
                })
            }
            Err(Failed::Passing(error)) => {
                let since = outage.lasts(now, &error);
                self.on_grace(&digest, now, Some(since)).ok_or(error)
            }
            Err(Failed::Withdrawn(error)) => {
                outage.over();
                self.clear();
                Err(error)
            }
            Err(Failed::Refused(error)) => {
                outage.over();
                self.locked().remove(&digest);
                Err(error)
            }
        }
    }

    /// Forgets an owner's keys.
    pub fn forget(&self, owner: OwnerId) {
        self.locked().retain(|_, entry| entry.owner != owner);
    }

    /// Forgets every key.
    pub fn clear(&self) {
        self.locked().clear();
    }

    /// Forgets the keys whose time has passed; those that an outage still needs stay until its grace is over.
    pub fn purge(&self, now: UnixMs, outage_since: Option<UnixMs>) {
        let grace = outage_since.is_some_and(|since| self.grace_left(since, now));
        self.locked()
            .retain(|_, entry| entry.is_younger(self.life_ms, now) || (grace && self.lasts(entry, now)));
    }

    pub fn life(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.life_ms).unwrap_or(1).max(1))
    }

    pub fn len(&self) -> usize {
        self.locked().len()
    }

    fn fresh(&self, digest: &Digest, now: UnixMs) -> Option<Found> {
        let entries = self.locked();
        let entry = entries
            .get(digest)
            .filter(|entry| entry.is_younger(self.life_ms, now))?;
        Some(Found {
            keys: entry.keys.clone(),
            outage_since: None,
        })
    }

    fn on_grace(&self, digest: &Digest, now: UnixMs, since: Option<UnixMs>) -> Option<Found> {
        let since = since.filter(|since| self.grace_left(*since, now))?;
        let entries = self.locked();
        let entry = entries.get(digest).filter(|entry| self.lasts(entry, now))?;
        Some(Found {
            keys: entry.keys.clone(),
            outage_since: Some(since),
        })
    }

    fn grace_left(&self, since: UnixMs, now: UnixMs) -> bool {
        (0..self.grace_ms).contains(&(now - since))
    }

    /// Outages that follow each other do not add up: a key is used for its life and one grace, then it is opened anew.
    fn lasts(&self, entry: &Entry, now: UnixMs) -> bool {
        entry.is_younger(self.life_ms.saturating_add(self.grace_ms), now)
    }

    fn keep(&self, digest: Digest, key: &Key<'_>, keys: Arc<OpenedKek>, now: UnixMs) {
        let mut entries = self.locked();
        // The same key under a blob that was replaced.
        entries.retain(|_, old| old.owner != key.owner || old.id != *key.id || old.version != key.version);
        if entries.len() >= MOST_ENTRIES
            && let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.opened_at).map(|(k, _)| *k)
        {
            entries.remove(&oldest);
        }
        let entry = Entry {
            owner: key.owner,
            id: *key.id,
            version: key.version,
            keys,
            opened_at: now,
        };
        entries.insert(digest, entry);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Digest, Entry>> {
        // Nothing between lock and unlock can leave the map half-changed.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unanswered() -> VaultError {
    VaultError::Unavailable("the root key's provider did not answer a moment ago".into())
}

/// One key's turn; gone from the map with the last who waits for it.
struct Gate<'a> {
    cache: &'a KeyCache,
    digest: Digest,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl<'a> Gate<'a> {
    fn of(cache: &'a KeyCache, digest: Digest) -> Self {
        let lock = Self::all(cache).entry(digest).or_default().clone();
        Self { cache, digest, lock }
    }

    fn all(cache: &KeyCache) -> MutexGuard<'_, HashMap<Digest, Arc<tokio::sync::Mutex<()>>>> {
        cache.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate<'_> {
    fn drop(&mut self) {
        let mut gates = Self::all(self.cache);
        // The map's and ours: nobody else waits.
        if Arc::strong_count(&self.lock) == 2 {
            gates.remove(&self.digest);
        }
    }
}

#[cfg(test)]
mod tests;
