//! The vault's own objects for the watch: a canary in each bucket that strangers are to be refused, and the removal of what a
//! stranger could write.
//!
//! A canary is a sealed object like any other, of an owner that is the vault itself, and holds nothing. Its name and its key
//! are derived from the system record, so that a recovery tells it from a customer's object that no table knows.

use dashvault_keys::object::{self, Place, Sealer};
use dashvault_keys::{Secret32, field};

use super::{Vault, VaultError};
use crate::catalog::{CanaryRow, NewNotice};
use crate::model::{Bucket, ObjectId, ObjectKind, Severity, UnixMs};
use crate::store::{Location, StoreError};

/// What a canary holds.
const NOTHING: &[u8] = b"canary";
/// Of a canary whose row is younger the object may be under way, put by another node.
const UNDER_WAY_MS: UnixMs = 10 * 60 * 1000;

/// An object's path in its bucket.
pub fn object_path(bucket: Bucket, id: ObjectId) -> String {
    Location::of(bucket).name(id)
}

impl Vault {
    /// Puts a canary into each of `buckets` where there is none, but the key plane: the system record's own mirror always lies
    /// there. May be called again and again.
    pub async fn plant_canaries(&self, buckets: &[Bucket]) -> Result<(), VaultError> {
        if self.is_waiting() {
            // Those of an earlier start lie there.
            return Ok(());
        }
        let known = self.inner.catalog.canaries().await?;
        for bucket in buckets.iter().copied().filter(|bucket| *bucket != Bucket::KeyPlane) {
            let id = self.canary(bucket)?;
            let is_there = match self.inner.store.size(Location::of(bucket), id).await {
                Ok(_) => true,
                Err(StoreError::Missing(_)) => false,
                Err(error) => return Err(error.into()),
            };
            if is_there && known.iter().any(|row| row.object == id) {
                continue;
            }
            let (sealed, now) = (self.seal_canary(bucket, id)?, self.now());
            let row = CanaryRow {
                bucket,
                object: id,
                size_bytes: sealed.len() as u64,
                created_at: now,
            };
            // Known before its first byte: nobody takes it for an object without an owner.
            let mut tx = self.inner.catalog.begin().await?;
            if let Some(gone) = known.iter().find(|row| row.object == id && !is_there)
                && now - gone.created_at > UNDER_WAY_MS
            {
                tx.raise_notice(&canary_gone(gone), now).await?;
            }
            tx.set_canary(&row).await?;
            tx.commit().await?;
            if !is_there {
                match self.inner.store.put(Location::of(bucket), id, sealed.into()).await {
                    // Another node was a moment faster.
                    Ok(()) | Err(StoreError::Exists(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }

    /// The name of a bucket's canary.
    pub(super) fn canary(&self, bucket: Bucket) -> Result<ObjectId, VaultError> {
        let mut id = [0; 16];
        id.copy_from_slice(&self.of_canary(bucket, "canary name")?[..16]);
        Ok(ObjectId::from_bytes(id))
    }

    /// Removes an object that the watch could write as a stranger; one that is not there is fine.
    pub async fn remove_probe_write(&self, bucket: Bucket, name: ObjectId) -> Result<(), VaultError> {
        Ok(self.inner.store.delete(Location::of(bucket), name).await?)
    }

    fn seal_canary(&self, bucket: Bucket, id: ObjectId) -> Result<Vec<u8>, VaultError> {
        let key = Secret32::from_bytes(self.of_canary(bucket, "canary key")?);
        let place = Place {
            system: self.sys(),
            owner: *self.sys(),
            clip: *id.as_bytes(),
            kind: ObjectKind::Other as u8,
            rendition: "canary",
        };
        let refused = |error: object::ObjectError| VaultError::Refused(error.into());
        let mut sealer = Sealer::new(&key, &place, *id.as_bytes(), object::DEFAULT_LOG2_SEGMENT).map_err(refused)?;
        let mut sealed = Vec::new();
        sealer.push(NOTHING, &mut sealed).map_err(refused)?;
        sealer.finish(&mut sealed).map_err(refused)?;
        Ok(sealed)
    }

    fn of_canary(&self, bucket: Bucket, purpose: &str) -> Result<[u8; 32], VaultError> {
        let system = self.system()?;
        let value = bucket.as_str().as_bytes();
        Ok(field::index(&system.record.locator, self.sys(), purpose, value))
    }
}

fn canary_gone(gone: &CanaryRow) -> NewNotice {
    let bucket = gone.bucket.as_str();
    NewNotice {
        kind: "canary-gone",
        severity: Severity::Page,
        subject: format!("The canary of bucket {bucket} is gone: somebody, or something, deletes there"),
        facts: format!(
            "The object {} lay in bucket {bucket} and nothing of the vault's removes it. A new one was put there.\n\
             Look at who may delete in this bucket, at its lifecycle rules and at the store's log, and run `dashvault \
             inventory`: clips may be gone too.",
            object_path(gone.bucket, gone.object)
        ),
        once_for: Some(format!("canary-gone:{bucket}:{}", gone.created_at)),
    }
}
