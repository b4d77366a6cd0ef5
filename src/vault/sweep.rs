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

impl Vault {
    /// Removes what unpublished objects left whose lease has ended at `now`, and nothing else; how many there were.
    pub async fn sweep_intents(&self, now: UnixMs) -> Result<u64, VaultError> {
        let mut removed = 0;
        loop {
            let ended = self.take_ended(now).await?;
            let mut gone = Vec::new();
            let mut failed = None;
            for intent in &ended {
                match self.remove_unpublished(intent).await {
                    Ok(()) => gone.push(intent.object),
                    Err(error) => {
                        // A store that is down fails for the rest too; another failure is this object's own.
                        let down = matches!(error, StoreError::Unavailable(_));
                        failed.get_or_insert(error);
                        if down {
                            break;
                        }
                    }
                }
            }
            removed += gone.len() as u64;
            self.drop_swept(&gone).await?;
            if let Some(error) = failed {
                return Err(error.into());
            }
            if ended.len() < BATCH as usize {
                return Ok(removed);
            }
        }
    }

    /// Ended intents, taken: from here on nobody publishes their objects.
    async fn take_ended(&self, now: UnixMs) -> Result<Vec<IntentRow>, VaultError> {
        let ended = self.inner.catalog.ended_intents(now, BATCH).await?;
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
