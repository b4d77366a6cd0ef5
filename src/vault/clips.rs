//! Clips' keys: a fresh DEK, its envelope, and the way back.

use std::sync::Arc;

use dashvault_keys::Secret32;
use dashvault_keys::envelope::{self, Envelope, EnvelopeError, Manifest, SealedEnvelope};

use super::mirror::Mirrored;
use super::{ClipKeys, Holder, OwnerKeys, Vault, VaultError};
use crate::catalog::MirrorSubject;
use crate::model::{ClipId, OwnerId};

const DAMAGED: VaultError = VaultError::DamagedRow {
    table: "clips",
    column: "envelope",
};

/// An envelope that lies in the key plane and is not yet in its clip's row.
#[must_use = "it counts only once it is recorded"]
pub struct EnvelopeMade {
    /// For `clips.envelope`.
    pub bytes: Vec<u8>,
    /// For `clips.kek_version`.
    pub kek_version: u32,
    /// For [`Vault::record_mirror`].
    pub mirrored: Mirrored,
}

impl Vault {
    /// A fresh DEK for a clip.
    pub fn make_clip_keys(&self, owner: &OwnerKeys, clip: ClipId) -> ClipKeys {
        self.clip_keys_of(owner, clip, Secret32::make_random())
    }

    /// The bytes for `clips.envelope`: the DEK wrapped by the owner's KEK, and the manifest under the DEK.
    pub fn envelope(
        &self,
        owner: &OwnerKeys,
        keys: &ClipKeys,
        revision: u32,
        manifest: &Manifest,
    ) -> Result<Vec<u8>, VaultError> {
        let content = Envelope {
            clip: *keys.clip.as_bytes(),
            revision,
            owner: *keys.owner.as_bytes(),
            kek_version: owner.kek_version,
            dek: &keys.dek,
            manifest,
        };
        let sealed = envelope::seal(self.sys(), &content, &owner.keys.kek, &self.system()?.record.locator);
        Ok(sealed.expect("a clip's plan has some tens of objects, far below a manifest's bound"))
    }

    /// The clip's next envelope under the owner's newest KEK, written into the key plane too; it counts from
    /// [`Vault::record_mirror`] on.
    pub async fn seal_envelope(
        &self,
        keys: &ClipKeys,
        manifest: &Manifest,
        holder: Holder,
    ) -> Result<EnvelopeMade, VaultError> {
        // Work on a clip takes minutes, and the owner may have got a new KEK meanwhile.
        let owner = self.owner_keys(keys.owner).await?;
        let row = self.inner.catalog.clip(keys.owner, keys.clip).await?;
        let before = row.and_then(|row| row.envelope);
        let current = before.as_deref().and_then(|bytes| SealedEnvelope::parse(bytes).ok());
        let current = current.map_or(0, |sealed| sealed.revision());
        let subject = keys.clip.as_bytes();
        let revision = self.next_revision(MirrorSubject::Envelope, subject, current).await?;
        let bytes = self.envelope(&owner, keys, revision, manifest)?;
        let mirrored = self.mirror_envelope(keys.clip, revision, &bytes, holder).await?;
        Ok(EnvelopeMade {
            bytes,
            kek_version: owner.kek_version,
            mirrored,
        })
    }

    /// Opens the envelope of a clip's row. Another clip's, another owner's or a changed one is [`VaultError::DamagedRow`], one
    /// older than `least_revision` [`VaultError::OldRevision`], and one under a KEK that these keys do not have, because it
    /// was replaced meanwhile, [`VaultError::Superseded`]: read row and keys again.
    pub fn clip_keys(
        &self,
        owner: &OwnerKeys,
        clip: ClipId,
        envelope: &[u8],
        least_revision: u32,
    ) -> Result<ClipKeys, VaultError> {
        let dek = self.open_envelope(owner, clip, envelope, least_revision)?;
        Ok(self.clip_keys_of(owner, clip, dek))
    }

    /// What a clip's envelope says that the clip consists of.
    pub fn manifest(&self, keys: &ClipKeys, envelope: &[u8]) -> Result<Manifest, VaultError> {
        SealedEnvelope::parse(envelope)
            .and_then(|sealed| sealed.check(*keys.clip.as_bytes(), 0))
            .and_then(|sealed| sealed.open_manifest(self.sys(), &keys.dek))
            .map_err(from_envelope)
    }

    /// Reads a clip's row and opens its keys; none when the clip has no envelope: erased, or not finished yet.
    pub async fn read_clip_keys(&self, owner: OwnerId, clip: ClipId) -> Result<Option<ClipKeys>, VaultError> {
        match self.read_clip_keys_once(owner, clip).await {
            Err(VaultError::Superseded) => self.read_clip_keys_once(owner, clip).await,
            read => read,
        }
    }

    async fn read_clip_keys_once(&self, owner: OwnerId, clip: ClipId) -> Result<Option<ClipKeys>, VaultError> {
        let row = self.inner.catalog.clip(owner, clip).await?;
        let Some((envelope, least)) = row.and_then(|row| Some((row.envelope?, row.least_revision))) else {
            return Ok(None);
        };
        match self.owner_keys(owner).await {
            Ok(keys) => self.clip_keys(&keys, clip, &envelope, least).map(Some),
            Err(VaultError::Gone) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open_envelope(
        &self,
        owner: &OwnerKeys,
        clip: ClipId,
        bytes: &[u8],
        least_revision: u32,
    ) -> Result<Secret32, VaultError> {
        let sealed = SealedEnvelope::parse(bytes)
            .and_then(|sealed| sealed.check(*clip.as_bytes(), least_revision))
            .map_err(from_envelope)?;
        let located = sealed.locate(self.sys(), &self.system()?.record.locator);
        let located = located.map_err(from_envelope)?;
        if located.owner != *owner.owner.as_bytes() {
            return Err(DAMAGED);
        }
        // The owner's keys and the row were not read at the same time, and the KEK was replaced in between.
        let kek = owner.kek(located.kek_version).ok_or(VaultError::Superseded)?;
        sealed.open_dek(self.sys(), &located, kek).map_err(from_envelope)
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

fn from_envelope(error: EnvelopeError) -> VaultError {
    match error {
        EnvelopeError::OldRevision { found, least } => VaultError::OldRevision {
            table: "clips",
            found,
            least,
        },
        _ => DAMAGED,
    }
}
