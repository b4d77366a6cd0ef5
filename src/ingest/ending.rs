//! How uploads end without becoming a clip, and how one that a crash left full is completed.

use super::committer::complete;
use super::{Ingest, IngestError, Swept};
use crate::access::Principal;
use crate::audit::{EventKind, NewEvent};
use crate::catalog::Tx;
use crate::model::{ClipId, UnixMs, UploadState};

/// Rows of one look; the next look goes on.
const UPLOADS_A_LOOK: u32 = 100;
/// Looks of one sweep: 10,000 uploads, after which the next sweep goes on.
const LOOKS: usize = 100;
/// Pieces of one transaction: it must not keep the writers waiting.
const PIECES_A_STEP: u32 = 256;
/// A client that was away for so long is told 404 instead of 410.
const TOMBSTONE_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// Longest that an ending waits for a writer on this node; the epoch fences it anyway.
const ENDING_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

impl Ingest {
    pub(super) async fn end(&self, who: &Principal, id: ClipId) -> Result<(), IngestError> {
        let row = self.upload_of(who, id).await?;
        if !matches!(who, Principal::Owner(_)) {
            return Err(IngestError::Forbidden);
        }
        self.inner.live.take_over(id, ENDING_WAIT).await;
        let now = self.inner.clock.now_ms();
        let mut tx = self.inner.catalog.begin().await?;
        if !tx.end_upload(id, now).await? {
            tx.rollback().await?;
            return Err(match self.upload_of(who, id).await?.state {
                UploadState::Ended | UploadState::Expired => IngestError::Gone,
                _ => IngestError::Complete,
            });
        }
        self.clear(&mut tx, id, now).await?;
        let event = NewEvent::of_clip(row.owner, EventKind::UploadEnded, id);
        self.inner.audit.record(&mut tx, event).await?;
        tx.commit().await?;
        self.inner.live.forget(id);
        Ok(())
    }

    /// Takes away the clip of an upload that is over, and hands the first of its pieces to the sweep of intents.
    async fn clear(&self, tx: &mut Tx, id: ClipId, now: UnixMs) -> Result<(), IngestError> {
        if !(tx.erase_clip_keys(id, now).await? && tx.delete_clip(id).await?) {
            return Err(IngestError::Broken("an upload's clip is held or not there".into()));
        }
        tx.end_intents(id.as_bytes(), now).await?;
        tx.release_pieces(self.inner.vault.tenant(), id, PIECES_A_STEP, now)
            .await?;
        Ok(())
    }

    pub(super) async fn sweep_uploads(&self) -> Result<Swept, IngestError> {
        let now = self.inner.clock.now_ms();
        let mut swept = Swept::default();
        for _ in 0..LOOKS {
            let overdue = self.inner.catalog.uploads_to_expire(now, UPLOADS_A_LOOK).await?;
            if overdue.is_empty() {
                break;
            }
            for id in overdue {
                swept.expired += u64::from(self.expire(id, now).await?);
            }
        }
        for _ in 0..LOOKS {
            let over = self.inner.catalog.uploads_to_release(UPLOADS_A_LOOK).await?;
            if over.is_empty() {
                break;
            }
            for id in over {
                swept.pieces += self.release(id, now).await?;
            }
        }
        let mut tx = self.inner.catalog.begin().await?;
        swept.tombstones = tx.remove_tombstones(now - TOMBSTONE_MS).await?;
        tx.commit().await?;
        Ok(swept)
    }

    async fn expire(&self, id: ClipId, now: UnixMs) -> Result<bool, IngestError> {
        let Some(row) = self.inner.catalog.upload(id).await? else {
            return Ok(false);
        };
        let mut tx = self.inner.catalog.begin().await?;
        if !tx.expire_upload(id, now).await? {
            return Ok(false);
        }
        self.clear(&mut tx, id, now).await?;
        let event = NewEvent::of_clip(row.owner, EventKind::UploadExpired, id);
        self.inner.audit.record(&mut tx, event).await?;
        tx.commit().await?;
        self.inner.live.forget(id);
        Ok(true)
    }

    async fn release(&self, id: ClipId, now: UnixMs) -> Result<u64, IngestError> {
        let mut released = 0;
        loop {
            let mut tx = self.inner.catalog.begin().await?;
            let step = tx
                .release_pieces(self.inner.vault.tenant(), id, PIECES_A_STEP, now)
                .await?;
            tx.commit().await?;
            released += step;
            if step < u64::from(PIECES_A_STEP) {
                return Ok(released);
            }
        }
    }

    pub(super) async fn complete_full(&self) -> Result<u64, IngestError> {
        let mut completed = 0;
        loop {
            let full = self.inner.catalog.full_uploads(UPLOADS_A_LOOK).await?;
            if full.is_empty() {
                return Ok(completed);
            }
            for id in full {
                let now = self.inner.clock.now_ms();
                let mut tx = self.inner.catalog.begin().await?;
                completed += u64::from(complete(&mut tx, &self.inner.audit, id, now).await?);
                tx.commit().await?;
            }
        }
    }
}
