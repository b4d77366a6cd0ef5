//! The roll of the root epoch: the living move under a new root key, and what was erased stays behind under the old one,
//! which is then destroyed. Whoever keeps an old copy of catalogue, key plane and bucket has nothing that opens it.
//!
//! The order is the design: new root key, fence, indexes, KEKs, wraps, verification, tombstone, destruction. A run that is cut
//! off goes on where it was: root key and fence tell that it began, the rows how far it came.

use dashvault_keys::Secret32;
use dashvault_keys::tombstone::Tombstone;

use super::super::{Vault, VaultError, run_blocking};
use super::root::root_says;
use super::{Failures, Tell};
use crate::catalog::{CatalogError, ErasureKind, OwnerState};
use crate::model::OwnerId;

/// How often the fence is tried that others get in the way of.
const TRIES: usize = 10;
/// An index key ends when every owner has a new index, not by time.
const NO_END: i64 = i64::MAX;

/// What a roll did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rolled {
    /// The root epoch that wraps now.
    pub epoch: u32,
    /// The epochs that were destroyed: every copy of what they wrapped, keyring backups included, opens nothing any more.
    pub destroyed: Vec<u32>,
    /// Whether an earlier run had begun it.
    pub resumed: bool,
    /// KEK records that got a wrap of the new root key.
    pub rewrapped: u64,
    /// Owners who got a new KEK because they had erased clips.
    pub renewed: u64,
    /// Envelopes that were sealed under those.
    pub envelopes: u64,
    /// KEK records that were opened under the new root key alone, before the old one was destroyed.
    pub verified: u64,
    /// What does not open. When there is any, nothing was destroyed.
    pub failures: Failures,
}

impl Vault {
    /// Rolls the root epoch. While [`Rolled::failures`] names anything, the old root key stays: mend or erase it, and roll
    /// again, which goes on.
    pub async fn roll_epoch(&self, tell: Tell<'_>) -> Result<Rolled, VaultError> {
        self.refresh_system().await?;
        self.erase_the_dying().await?;
        let mut report = self.begin_roll().await?;
        self.raise_fence().await?;
        report.epoch = self.system()?.epoch;
        report.failures = self.finish_index(tell).await?;
        let owners = self.inner.catalog.owners_with_erased_clips(self.tenant()).await?;
        let renewed = self.rotate_owners(&owners, tell).await?;
        (report.renewed, report.envelopes) = (renewed.owners, renewed.envelopes);
        let rewrapped = self.rewrap_keks(tell).await?;
        report.rewrapped = rewrapped.rewrapped;
        let (verified, unverified) = self.verify_keks(report.epoch, tell).await?;
        report.verified = verified;
        for found in [renewed.failures, rewrapped.failures, unverified] {
            if !found.is_empty() {
                // The same record may be named by each of them.
                report.failures = found;
            }
        }
        if !report.failures.is_empty() {
            return Ok(report);
        }
        report.destroyed = self.destroy_epochs_before(report.epoch).await?;
        Ok(report)
    }

    /// Owners whose erasure was ordered do not move under the new root key.
    async fn erase_the_dying(&self) -> Result<(), VaultError> {
        for owner in self.inner.catalog.owners_in(self.tenant(), OwnerState::Erasing).await? {
            self.erase_owner_keys(owner).await?;
        }
        Ok(())
    }

    /// The new root key, unless an earlier run has added it.
    async fn begin_roll(&self) -> Result<Rolled, VaultError> {
        let (root, fence) = (self.inner.root.clone(), self.system()?.epoch);
        let state = run_blocking(move || root.state()).await.map_err(root_says)?;
        let resumed = state.epoch > fence || state.epochs.iter().any(|epoch| *epoch < fence);
        if !resumed {
            // Two who roll at the same time have one new epoch.
            let root = self.inner.root.clone();
            run_blocking(move || root.add_epoch(state.epoch))
                .await
                .map_err(root_says)?;
        }
        Ok(Rolled {
            resumed,
            ..Rolled::default()
        })
    }

    /// The system record of the new epoch, with a new index key beside the old ones: from its commit on the catalogue takes
    /// nothing that is wrapped by an older root key.
    async fn raise_fence(&self) -> Result<(), VaultError> {
        for _ in 0..TRIES {
            let held = self.newest_system_row().await?;
            if held.epoch >= self.root_epoch().await? {
                self.refresh_system().await?;
                return Ok(());
            }
            let mut record = self.open_system_row(&held).await?;
            let now = self.now();
            record.forget_ended(now);
            record.index.rotate(Secret32::make_random(), now, NO_END);
            let next = self.seal_system(record, held.revision).await?;
            let mirrored = self.mirror_system(&next).await?;
            let mut tx = self.inner.catalog.begin().await?;
            let newest = tx.hold_system_record(self.tenant()).await?;
            if newest.as_ref() != Some(&held) {
                continue;
            }
            match tx.insert_system_record(self.tenant(), &next, now).await {
                Err(CatalogError::Exists(_)) => continue,
                other => other?,
            }
            match self.record_mirror(&mut tx, &mirrored).await {
                Err(VaultError::Superseded | VaultError::LeaseLost { .. }) => continue,
                other => other?,
            }
            tx.commit().await?;
        }
        Err(VaultError::Superseded)
    }

    /// Tombstone first, then the older system records, then the root keys themselves.
    async fn destroy_epochs_before(&self, epoch: u32) -> Result<Vec<u32>, VaultError> {
        let root = self.inner.root.clone();
        let state = run_blocking(move || root.state()).await.map_err(root_says)?;
        let old: Vec<_> = state.epochs.into_iter().filter(|old| *old < epoch).collect();
        for old in &old {
            let subject = Tombstone::epoch_subject(*old);
            if let Some(buried) = self.bury(ErasureKind::Epoch, &subject, None).await? {
                let mut tx = self.inner.catalog.begin().await?;
                self.record_burial(&mut tx, &buried).await?;
                tx.commit().await?;
            }
        }
        let mut tx = self.inner.catalog.begin().await?;
        tx.destroy_system_records_before(self.tenant(), epoch).await?;
        tx.commit().await?;
        self.inner.catalog.checkpoint().await?;
        for old in &old {
            let (root, old) = (self.inner.root.clone(), *old);
            run_blocking(move || root.destroy_epoch(old)).await.map_err(root_says)?;
        }
        Ok(old)
    }

    /// Every owner whose keys are there.
    pub async fn living_owners(&self) -> Result<Vec<OwnerId>, VaultError> {
        Ok(self.inner.catalog.owners_in(self.tenant(), OwnerState::Active).await?)
    }
}
