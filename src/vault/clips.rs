//! Clips' keys: a fresh DEK, its envelope, and the way back.

use std::sync::Arc;

use dashvault_keys::Secret32;
use dashvault_keys::envelope::{self, Envelope, EnvelopeError, Manifest, SealedEnvelope};

use super::{ClipKeys, OwnerKeys, Vault, VaultError};
use crate::model::{ClipId, OwnerId};

const DAMAGED: VaultError = VaultError::DamagedRow {
    table: "clips",
    column: "envelope",
};

impl Vault {
    /// A fresh DEK for a clip.
    pub fn make_clip_keys(&self, owner: &OwnerKeys, clip: ClipId) -> ClipKeys {
        self.clip_keys_of(owner, clip, Secret32::make_random())
    }

    /// The bytes for `clips.envelope`: the DEK wrapped by the owner's KEK, and the manifest under the DEK.
    pub fn envelope(&self, owner: &OwnerKeys, keys: &ClipKeys, revision: u32, manifest: &Manifest) -> Vec<u8> {
        let content = Envelope {
            clip: *keys.clip.as_bytes(),
            revision,
            owner: *keys.owner.as_bytes(),
            kek_version: owner.kek_version,
            dek: &keys.dek,
            manifest,
        };
        envelope::seal(self.sys(), &content, &owner.keys.kek, &self.system().record.locator)
            .expect("a clip's plan has some tens of objects, far below a manifest's bound")
    }

    /// Opens a clip's envelope. Another clip's, another owner's or a changed one is [`VaultError::DamagedRow`].
    pub fn clip_keys(&self, owner: &OwnerKeys, clip: ClipId, envelope: &[u8]) -> Result<ClipKeys, VaultError> {
        let dek = self.open_envelope(owner, clip, envelope).map_err(|_| DAMAGED)?;
        Ok(self.clip_keys_of(owner, clip, dek))
    }

    /// Reads a clip's row and opens its keys; none when the clip has no envelope: erased, or not finished yet.
    pub async fn read_clip_keys(&self, owner: OwnerId, clip: ClipId) -> Result<Option<ClipKeys>, VaultError> {
        let row = self.inner.catalog.clip(owner, clip).await?;
        let Some(envelope) = row.and_then(|row| row.envelope) else {
            return Ok(None);
        };
        match self.owner_keys(owner).await {
            Ok(keys) => self.clip_keys(&keys, clip, &envelope).map(Some),
            Err(VaultError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_envelope(&self, owner: &OwnerKeys, clip: ClipId, bytes: &[u8]) -> Result<Secret32, EnvelopeError> {
        let sealed = SealedEnvelope::parse(bytes)?.check(*clip.as_bytes(), 0)?;
        let located = sealed.locate(self.sys(), &self.system().record.locator)?;
        if located.owner != *owner.owner.as_bytes() || located.kek_version != owner.kek_version {
            return Err(EnvelopeError::Refused);
        }
        sealed.open_dek(self.sys(), &located, &owner.keys.kek)
    }

    fn clip_keys_of(&self, owner: &OwnerKeys, clip: ClipId, dek: Secret32) -> ClipKeys {
        ClipKeys {
            tenant: self.tenant(),
            owner: owner.owner,
            clip,
            dek: Arc::new(dek),
        }
    }
}
