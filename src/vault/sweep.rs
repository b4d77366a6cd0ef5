//! The sweep: what was begun and never published goes, and nothing else.
//!
//! It walks intents whose lease has ended. An object that no table knows is never removed: after an old database is put
//! beside a newer bucket, such an object is somebody's clip.

use super::{Vault, VaultError};
use crate::catalog::{IntentLocation, IntentRow};
use crate::model::{ObjectId, UnixMs};
use crate::store::{Location, StoreError};

/// Intents taken in one transaction.
const BATCH: u32 = 200;
/// Objects in a row of which the store tells nothing before it is asked whether it is there at all: each may take all the time
/// that the store's client is patient.
const MAX_SILENCES: u32 = 3;

/// What a walk has come to.
#[derive(Default)]
struct Walk {
    removed: u64,
    /// The first failure; a later one is likely to be the same.
    failed: Option<StoreError>,
    silences: u32,
    /// The store is away: the rest would fail too.
    over: bool,
}

impl Walk {
    fn end(self) -> Result<u64, VaultError> {
        match self.failed {
            Some(error) => Err(error.into()),
            None => Ok(self.removed),
        }
    }
}

impl Vault {
    /// Removes what unpublished objects left whose lease has ended at `now`, and nothing else; how many there were.
    ///
    /// What fails stays taken for the next sweep and does not stop the others. Those that no sweep has tried yet come first,
    /// so that one which always fails is not in their way.
    pub async fn sweep_intents(&self, now: UnixMs) -> Result<u64, VaultError> {
        let mut walk = Walk::default();
        let mut whole = true;
        // Every turn takes what it lists, so that the next one lists others.
        while whole && !walk.over {
            let ended = self.inner.catalog.ended_intents(now, BATCH).await?;
            whole = ended.len() == BATCH as usize;
            self.remove_taken(ended, now, &mut walk).await?;
        }
        // What has just failed here would fail again.
        let (mut whole, mut after) = (walk.failed.is_none(), None);
        while whole && !walk.over {
            let swept = self.inner.catalog.swept_intents(after, BATCH).await?;
            whole = swept.len() == BATCH as usize;
            after = swept.last().map(|intent| intent.object);
            self.remove_taken(swept, now, &mut walk).await?;
        }
        walk.end()
    }

    /// As [`Vault::sweep_intents`], of one holder alone and until nothing of it is left: whatever others left behind, and
    /// whatever stops its removal, is not in the way.
    pub async fn sweep_intents_of(&self, holder: &[u8; 16], now: UnixMs) -> Result<u64, VaultError> {
        let mut walk = Walk::default();
        loop {
            let ended = self.inner.catalog.ended_intents_of(holder, now, BATCH).await?;
            let whole = ended.len() == BATCH as usize;
            self.remove_taken(ended, now, &mut walk).await?;
            if !whole || walk.failed.is_some() {
                return walk.end();
            }
        }
    }

    /// Takes intents, so that from here on nobody publishes their objects, and removes the objects and then the rows.
    async fn remove_taken(&self, ended: Vec<IntentRow>, now: UnixMs, walk: &mut Walk) -> Result<(), VaultError> {
        let mut gone = Vec::new();
        for intent in self.take_ended(ended, now).await? {
            match self.remove_unpublished(&intent).await {
                Ok(()) => {
                    walk.silences = 0;
                    gone.push(intent.object);
                }
                Err(error) => {
                    walk.silences = match error {
                        StoreError::Unavailable(_) => walk.silences + 1,
                        _ => 0,
                    };
                    walk.failed.get_or_insert(error);
                    if walk.silences == MAX_SILENCES {
                        walk.silences = 0;
                        walk.over = self.inner.store.ping().await.is_err();
                    }
                    if walk.over {
                        break;
                    }
                }
            }
        }
        walk.removed += gone.len() as u64;
        self.drop_swept(&gone).await
    }

    async fn take_ended(&self, ended: Vec<IntentRow>, now: UnixMs) -> Result<Vec<IntentRow>, VaultError> {
        if ended.is_empty() {
            return Ok(ended);
        }
        let mut taken = Vec::with_capacity(ended.len());
        let mut tx = self.inner.catalog.begin().await?;
        for intent in ended {
            // Its holder may have extended or published it a moment ago.
            if let Some(intent) = tx.take_ended_intent(intent.object, now).await? {
                taken.push(intent);
            }
        }
        tx.commit().await?;
        Ok(taken)
    }

    async fn remove_unpublished(&self, intent: &IntentRow) -> Result<(), StoreError> {
        let location = match intent.location {
            IntentLocation::Data => Location::Data,
            IntentLocation::Staging => Location::Staging,
            IntentLocation::KeyPlane => Location::KeyPlane,
            IntentLocation::Tombstones => Location::Tombstones,
        };
        if let Some(name) = &intent.multipart_id {
            self.inner.store.abort_multipart(location, intent.object, name).await?;
        }
        self.inner.store.delete(location, intent.object).await
    }

    async fn drop_swept(&self, gone: &[ObjectId]) -> Result<(), VaultError> {
        if gone.is_empty() {
            return Ok(());
        }
        let mut tx = self.inner.catalog.begin().await?;
        for object in gone {
            tx.drop_swept_intent(*object).await?;
        }
        Ok(tx.commit().await?)
    }
}
