//! Tombstones and receipts: the signed word that something is to be erased, in the key plane before anything is destroyed,
//! and the signed word that nothing of it is left.

use dashvault_keys::receipt::ErasureReceipt;
use dashvault_keys::tombstone::{Erased, Tombstone};

use super::mirror::{Entry, Mirrored};
use super::{Holder, Vault, VaultError};
use crate::catalog::{ErasureKind, ErasureRow, MirrorSubject, Tx};
use crate::model::{ClipId, ErasureId, OwnerId};

/// A tombstone that lies in the key plane and counts once it is recorded.
#[must_use = "it counts only once it is recorded, and is taken back otherwise"]
pub struct Buried {
    row: ErasureRow,
    mirrored: Mirrored,
}

impl Buried {
    /// Under which an owner's receipt is fetched.
    pub fn id(&self) -> ErasureId {
        self.row.id
    }
}

impl Vault {
    /// Writes the tombstone of a clip into the key plane. None when its erasure, or its owner's, was ordered before: then one
    /// is there.
    pub async fn bury_clip(&self, owner: OwnerId, clip: ClipId) -> Result<Option<Buried>, VaultError> {
        let of_owner = self
            .inner
            .catalog
            .erasure_of(ErasureKind::Owner, owner.as_bytes())
            .await?;
        if of_owner.is_some() {
            return Ok(None);
        }
        self.bury(ErasureKind::Clip, clip.as_bytes(), Some(owner)).await
    }

    /// Writes the tombstone of an owner or of a root epoch into the key plane; none when one is there.
    pub async fn bury(
        &self,
        kind: ErasureKind,
        subject: &[u8; 16],
        owner: Option<OwnerId>,
    ) -> Result<Option<Buried>, VaultError> {
        if self.inner.catalog.erasure_of(kind, subject).await?.is_some() {
            return Ok(None);
        }
        let ordered_at = self.now();
        let tombstone = Tombstone {
            what: erased(kind),
            subject: *subject,
            at_ms: ordered_at,
        };
        let signed = tombstone.sign(self.sys(), &self.receipt_signer()?);
        let entry = Entry {
            subject: *subject,
            revision: 1,
            bytes: &signed,
        };
        let mirrored = self
            // Held by its subject, so that the erasure itself ends what a dead process left on its way.
            .write_mirror(MirrorSubject::Tombstone, Holder::of(subject), vec![entry])
            .await?;
        Ok(Some(Buried {
            row: ErasureRow {
                id: ErasureId::random(),
                kind,
                subject: *subject,
                owner,
                tombstone: signed.to_vec(),
                ordered_at,
                receipt: None,
                done_at: None,
            },
            mirrored,
        }))
    }

    /// Makes a tombstone count, in the transaction that destroys or before it. When another was recorded meanwhile it is left
    /// to the sweep, and nothing else changes.
    pub async fn record_burial(&self, tx: &mut Tx, buried: &Buried) -> Result<(), VaultError> {
        if tx.insert_erasure(self.tenant(), &buried.row).await? {
            self.record_mirror(tx, &buried.mirrored).await?;
        }
        Ok(())
    }

    /// Takes a tombstone back whose erasure was refused in the end.
    pub async fn take_back(&self, buried: Buried) -> Result<(), VaultError> {
        self.remove_unrecorded(buried.mirrored).await
    }

    /// Signs the receipt of an erasure of which nothing is left, in the transaction that ends it. One that was never ordered
    /// gets none.
    pub async fn sign_erasure(&self, tx: &mut Tx, kind: ErasureKind, subject: &[u8; 16]) -> Result<(), VaultError> {
        let Some(row) = self.inner.catalog.erasure_of(kind, subject).await? else {
            return Ok(());
        };
        let now = self.now();
        let receipt = ErasureReceipt {
            what: erased(kind),
            subject: *subject,
            ordered_at_ms: row.ordered_at,
            done_at_ms: now,
        };
        let text = self.receipt_signer()?.sign_erasure(&receipt);
        tx.finish_erasure(kind, subject, &text, now).await?;
        Ok(())
    }

    /// The erasure of one of an owner's clips, if it was ordered.
    pub async fn erasure_of_clip(&self, owner: OwnerId, clip: ClipId) -> Result<Option<ErasureRow>, VaultError> {
        Ok(self.inner.catalog.erasure_of_clip(owner, clip).await?)
    }

    /// The keys that tombstones and receipts are signed with, former ones too.
    pub fn receipt_public_keys(&self) -> Result<Vec<[u8; 32]>, VaultError> {
        let keys = self.receipt_keys()?;
        Ok(keys.iter().map(|key| key.public_key).collect())
    }
}

fn erased(kind: ErasureKind) -> Erased {
    match kind {
        ErasureKind::Clip => Erased::Clip,
        ErasureKind::Owner => Erased::Owner,
        ErasureKind::Epoch => Erased::Epoch,
    }
}
