//! Erases an owner: queues the erasure of every clip, waits until none is left, then removes the rest and the keys.

use super::Inner;
use super::error::JobError;
use super::lease::Held;
use crate::catalog::{ErasureKind, NewJob};
use crate::model::{JobId, JobKind, OwnerId};

/// Erasures queued in one transaction.
const BATCH: u32 = 50;

impl Inner {
    pub(super) async fn erase_owner(&self, held: &Held) -> Result<(), JobError> {
        let owner = held.row.owner;
        while self.queue_erasures(held, owner).await? {}
        self.wait_for_clips(owner).await?;
        self.erase_parts(held, owner).await?;
        self.remove_what_remains(held, owner).await?;
        // Its own transaction: the keys and the owner's state go together, and then out of the log. The job ends after
        // that, so that whatever is cut off in between is done again.
        self.vault.erase_owner_keys(owner).await?;
        // A request that was let in before the erasure began may have begun an upload meanwhile.
        self.wait_for_clips(owner).await?;
        let mut tx = self.begin_held(held).await?;
        tx.untie_erasures_of(owner).await?;
        self.vault
            .sign_erasure(&mut tx, ErasureKind::Owner, owner.as_bytes())
            .await?;
        self.commit_end(tx, held, None).await
    }

    /// Queues the erasure of some clips of the owner, whatever their state; false when there are no more to queue.
    async fn queue_erasures(&self, held: &Held, owner: OwnerId) -> Result<bool, JobError> {
        let clips = self.catalog.clips_without_erasure(owner, BATCH).await?;
        if clips.is_empty() {
            return Ok(false);
        }
        let run_after = self.clock.now_ms();
        let mut tx = self.begin_step(held).await?;
        for clip in &clips {
            tx.queue_erasure(&NewJob {
                id: JobId::random(),
                tenant: held.row.tenant,
                kind: JobKind::EraseClip,
                owner,
                clip: Some(*clip),
                link: None,
                run_after,
            })
            .await?;
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Held clips count too: their owner's keys stay until they are let go.
    async fn wait_for_clips(&self, owner: OwnerId) -> Result<(), JobError> {
        match self.catalog.clips_stamp(owner).await?.count {
            0 => Ok(()),
            _ => Err(JobError::Waits),
        }
    }

    /// Partial uploads that became no clip.
    async fn erase_parts(&self, held: &Held, owner: OwnerId) -> Result<(), JobError> {
        loop {
            let parts = self.catalog.parts_alone_of(owner, BATCH).await?;
            if parts.is_empty() {
                return Ok(());
            }
            let now = self.clock.now_ms();
            for part in parts {
                let mut tx = self.begin_step(held).await?;
                tx.erase_upload(part, now).await?;
                tx.end_intents(part.as_bytes(), now - 1).await?;
                tx.commit().await?;
                self.release_pieces(held, part).await?;
                self.vault.sweep_intents_of(part.as_bytes(), now).await?;
            }
        }
    }

    /// Links went with their clips.
    async fn remove_what_remains(&self, held: &Held, owner: OwnerId) -> Result<(), JobError> {
        let mut tx = self.begin_held(held).await?;
        tx.remove_pairing_codes_of(owner).await?;
        tx.remove_devices_of(owner).await?;
        tx.remove_credentials_of(owner).await?;
        tx.remove_events_of(owner).await?;
        Ok(tx.commit().await?)
    }
}
