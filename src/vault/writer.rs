//! Writes one object: plaintext in, sealed parts out, never more than two parts in memory.

use dashvault_keys::object::{self, ObjectError, Place, Sealer};

use super::objects::{Holder, SealedObject};
use super::read::STEP_BYTES;
use super::{ClipKeys, Vault, VaultError};
use crate::catalog::{IntentLocation, IntentRow};
use crate::model::{Bucket, ObjectId, ObjectKind};
use crate::store::{Location, Parts};

/// Seals what is written into the store. Dropped without [`ObjectWriter::finish`], what was stored is left to the sweep.
pub struct ObjectWriter {
    vault: Vault,
    id: ObjectId,
    kind: ObjectKind,
    rendition: String,
    sealer: Sealer,
    /// Sealed bytes that are not yet a part.
    sealed: Vec<u8>,
    part_bytes: usize,
    /// Begun with the first whole part; a smaller object is stored at once.
    parts: Option<Parts>,
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
            part_bytes: self.inner.store.part_bytes(Location::Data),
            vault: self.clone(),
            id,
            kind,
            rendition: rendition.to_owned(),
            sealer,
            sealed: Vec::new(),
            parts: None,
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
            self.sealer.push(step, &mut self.sealed).map_err(too_long)?;
            self.send_whole_parts().await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Ends the object and makes it durable.
    pub async fn finish(mut self) -> Result<SealedObject, VaultError> {
        // Padding may be much longer than a part: sealed in steps too.
        while !self.sealer.pad(STEP_BYTES, &mut self.sealed).map_err(too_long)? {
            self.send_whole_parts().await?;
            tokio::task::yield_now().await;
        }
        let sealed = self.sealer.finish(&mut self.sealed).map_err(too_long)?;
        let rest = std::mem::take(&mut self.sealed);
        match self.parts.take() {
            Some(mut parts) => {
                if !rest.is_empty() {
                    parts.put(rest.into()).await?;
                }
                parts.finish().await?;
            }
            None => self.vault.inner.store.put(Location::Data, self.id, rest.into()).await?,
        }
        self.vault.keep_or_remove(Location::Data, self.id).await?;
        Ok(SealedObject::new(self.id, self.kind, self.rendition, &sealed))
    }

    /// Takes back what was stored, and its intent.
    pub async fn abort(self) -> Result<(), VaultError> {
        if let Some(parts) = self.parts {
            parts.abort().await?;
        }
        self.vault.inner.store.delete(Location::Data, self.id).await?;
        let mut tx = self.vault.inner.catalog.begin().await?;
        tx.remove_intent(self.id).await?;
        Ok(tx.commit().await?)
    }

    async fn send_whole_parts(&mut self) -> Result<(), VaultError> {
        while self.sealed.len() >= self.part_bytes {
            let mut rest = Vec::with_capacity(self.part_bytes + STEP_BYTES * 2);
            rest.extend_from_slice(&self.sealed[self.part_bytes..]);
            self.sealed.truncate(self.part_bytes);
            let part = std::mem::replace(&mut self.sealed, rest);
            self.begun_parts().await?.put(part.into()).await?;
        }
        Ok(())
    }

    /// The upload in parts; its name stands in the intent before the first part is sent.
    async fn begun_parts(&mut self) -> Result<&mut Parts, VaultError> {
        let parts = match self.parts.take() {
            Some(parts) => parts,
            None => self.begin_parts().await?,
        };
        Ok(self.parts.insert(parts))
    }

    async fn begin_parts(&mut self) -> Result<Parts, VaultError> {
        let inner = &self.vault.inner;
        let parts = inner.store.begin(Location::Data, self.id).await?;
        let Some(name) = parts.name() else {
            return Ok(parts);
        };
        let mut tx = inner.catalog.begin().await?;
        if tx.set_intent_multipart(self.id, name).await? {
            tx.commit().await?;
            return Ok(parts);
        }
        drop(tx);
        parts.abort().await?;
        Err(VaultError::LeaseLost { object: self.id })
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
