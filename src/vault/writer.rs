//! Writes one object: plaintext in, sealed parts out, never more than two parts in memory.

use dashvault_keys::digest::Sha256;
use dashvault_keys::object::{self, ObjectError, Place, Sealer};

use super::objects::{Holder, SealedObject};
use super::outgoing::Outgoing;
use super::read::STEP_BYTES;
use super::{ClipKeys, Vault, VaultError};
use crate::catalog::{IntentLocation, IntentRow};
use crate::model::{Bucket, ObjectId, ObjectKind};
use crate::store::Location;

/// Seals what is written into the store. Dropped without [`ObjectWriter::finish`], what was stored is left to the sweep.
pub struct ObjectWriter {
    vault: Vault,
    id: ObjectId,
    kind: ObjectKind,
    rendition: String,
    sealer: Sealer,
    /// Of the plaintext.
    hash: Sha256,
    out: Outgoing,
}

impl Vault {
    /// Begins an object. Its intent is committed before the first byte.
    pub async fn create_object(
        &self,
        keys: &ClipKeys,
        kind: ObjectKind,
        rendition: &str,
        holder: Holder,
    ) -> Result<ObjectWriter, VaultError> {
        // Its envelope will lie in the key plane.
        self.may_write(&[Bucket::Data, Bucket::KeyPlane]).await?;
        let id = ObjectId::random();
        let place = Place {
            system: self.sys(),
            owner: *keys.owner.as_bytes(),
            clip: *keys.clip.as_bytes(),
            kind: kind as u8,
            rendition,
        };
        let sealer = Sealer::new(&keys.dek, &place, *id.as_bytes(), object::DEFAULT_LOG2_SEGMENT);
        let sealer = sealer.map_err(too_long)?;
        let now = self.now();
        let intent = IntentRow {
            object: id,
            location: IntentLocation::Data,
            holder: holder.id,
            multipart_id: None,
            lease_until: now.saturating_add(i64::try_from(holder.lease.as_millis()).unwrap_or(i64::MAX)),
        };
        let mut tx = self.inner.catalog.begin().await?;
        tx.insert_intent(self.tenant(), &intent, now).await?;
        tx.commit().await?;
        Ok(ObjectWriter {
            out: Outgoing::new(self, Location::Data, id),
            vault: self.clone(),
            id,
            kind,
            rendition: rendition.to_owned(),
            sealer,
            hash: Sha256::new(),
        })
    }

    /// Whether an object's intent still stands; if the sweep took it, what was stored since is removed here, for nobody
    /// else knows of it any more.
    pub(super) async fn keep_or_remove(&self, location: Location, id: ObjectId) -> Result<(), VaultError> {
        if self
            .inner
            .catalog
            .intent(id)
            .await?
            .is_some_and(|intent| !intent.is_swept())
        {
            return Ok(());
        }
        self.inner.store.delete(location, id).await?;
        Err(VaultError::LeaseLost { object: id })
    }
}

impl ObjectWriter {
    /// The object's id, which stands in `intents`.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Seals more plaintext.
    pub async fn write(&mut self, plain: &[u8]) -> Result<(), VaultError> {
        for step in plain.chunks(STEP_BYTES) {
            self.sealer.push(step, self.out.sealed()).map_err(too_long)?;
            self.hash.update(step);
            self.out.send_whole_parts().await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Ends the object and makes it durable.
    pub async fn finish(mut self) -> Result<SealedObject, VaultError> {
        // Padding may be much longer than a part: sealed in steps too.
        while !self.sealer.pad(STEP_BYTES, self.out.sealed()).map_err(too_long)? {
            self.out.send_whole_parts().await?;
            tokio::task::yield_now().await;
        }
        let sealed = self.sealer.finish(self.out.sealed()).map_err(too_long)?;
        self.out.finish().await?;
        let sha256 = self.hash.finish();
        Ok(SealedObject::new(self.id, self.kind, self.rendition, &sealed, sha256))
    }

    /// Takes back what was stored, and its intent.
    pub async fn abort(self) -> Result<(), VaultError> {
        self.out.abort().await?;
        let mut tx = self.vault.inner.catalog.begin().await?;
        tx.remove_intent(self.id).await?;
        Ok(tx.commit().await?)
    }
}

fn too_long(error: ObjectError) -> VaultError {
    match error {
        ObjectError::TooLong => VaultError::OverLimit {
            limit_bytes: object::MAX_PADDED_BYTES,
        },
        other => VaultError::Refused(other.into()),
    }
}
