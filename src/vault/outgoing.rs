//! The sealed bytes of one object on their way into the store: at once when they are few, in parts when they are many.

use super::{Vault, VaultError};
use crate::model::ObjectId;
use crate::store::{Location, Parts};

/// Sealed bytes of one object. Dropped without [`Outgoing::finish`], what was stored is left to the sweep.
pub(super) struct Outgoing {
    vault: Vault,
    location: Location,
    id: ObjectId,
    /// What is not yet a part.
    sealed: Vec<u8>,
    part_bytes: usize,
    /// Begun with the first whole part; a smaller object is stored at once.
    parts: Option<Parts>,
}

impl Outgoing {
    /// Of an object whose intent is committed.
    pub fn new(vault: &Vault, location: Location, id: ObjectId) -> Self {
        Self {
            part_bytes: vault.inner.store.part_bytes(location),
            vault: vault.clone(),
            location,
            id,
            sealed: Vec::new(),
            parts: None,
        }
    }

    /// Where sealed bytes are appended.
    pub fn sealed(&mut self) -> &mut Vec<u8> {
        &mut self.sealed
    }

    /// Sends what fills whole parts; one is on its way while the caller seals the next.
    pub async fn send_whole_parts(&mut self) -> Result<(), VaultError> {
        while self.sealed.len() >= self.part_bytes {
            let rest = &self.sealed[self.part_bytes..];
            // As much again will come, and a little more before it is noticed.
            let mut next = Vec::with_capacity(self.part_bytes + rest.len() + (self.part_bytes >> 3));
            next.extend_from_slice(rest);
            self.sealed.truncate(self.part_bytes);
            let part = std::mem::replace(&mut self.sealed, next);
            self.begun_parts().await?.put(part.into()).await?;
        }
        Ok(())
    }

    /// Sends the rest; the object is whole and durable afterwards.
    pub async fn finish(mut self) -> Result<(), VaultError> {
        let rest = std::mem::take(&mut self.sealed);
        match self.parts.take() {
            Some(mut parts) => {
                if !rest.is_empty() {
                    parts.put(rest.into()).await?;
                }
                parts.finish().await?;
            }
            None => self.vault.inner.store.put(self.location, self.id, rest.into()).await?,
        }
        self.vault.keep_or_remove(self.location, self.id).await
    }

    /// Takes back what was stored.
    pub async fn abort(self) -> Result<(), VaultError> {
        if let Some(parts) = self.parts {
            parts.abort().await?;
        }
        Ok(self.vault.inner.store.delete(self.location, self.id).await?)
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
        let parts = inner.store.begin(self.location, self.id).await?;
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
