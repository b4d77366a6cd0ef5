//! How uploads end without becoming a clip, and how one that a crash left full is completed.

use super::committer::complete;
use super::{Ingest, IngestError, Swept};
use crate::access::Principal;
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{Tx, UploadRow};
use crate::model::{ClipId, Concat, UnixMs, UploadState};

/// Rows of one look; the next look goes on.
const UPLOADS_A_LOOK: u32 = 100;
/// Looks of one sweep: 10,000 uploads, after which the next sweep goes on.
const LOOKS: usize = 100;
/// Pieces of one transaction: it must not keep the writers waiting.
const PIECES_A_STEP: u32 = 256;
/// A client that was away for so long is told 404 instead of 410.
const TOMBSTONE_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// Uploads in a row for which the catalogue does not answer before it counts as away.
const MAX_SILENCES: u32 = 3;
/// Longest that an ending waits for a writer on this node; the epoch fences it anyway.
const ENDING_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

impl Ingest {
    pub(super) async fn end(&self, who: &Principal, id: ClipId) -> Result<(), IngestError> {
        let row = self.upload_of(who, id).await?;
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
        self.clear(&mut tx, &row, now).await?;
        self.tell(&mut tx, &row, EventKind::UploadEnded).await?;
        tx.commit().await?;
        self.inner.live.forget(id);
        Ok(())
    }

    /// Takes away the clip of an upload that is over, and hands the first of its pieces to the sweep of intents.
    async fn clear(&self, tx: &mut Tx, row: &UploadRow, now: UnixMs) -> Result<(), IngestError> {
        let id = row.id;
        let has_clip = row.concat != Concat::Partial;
        if has_clip && !(tx.erase_clip_keys(id, now).await? && tx.delete_clip(id).await?) {
            return Err(IngestError::Broken("an upload's clip is held or not there".into()));
        }
        tx.end_intents(id.as_bytes(), now).await?;
        tx.release_pieces(self.inner.vault.tenant(), id, PIECES_A_STEP, now)
            .await?;
        Ok(())
    }

    /// A part that ends is no event of any clip.
    async fn tell(&self, tx: &mut Tx, row: &UploadRow, kind: EventKind) -> Result<(), IngestError> {
        if row.concat != Concat::Partial {
            let event = NewEvent::of_clip(row.owner, kind, row.id);
            self.inner.audit.record(tx, event).await?;
        }
        Ok(())
    }

    pub(super) async fn sweep_uploads(&self) -> Result<Swept, IngestError> {
        let now = self.inner.clock.now_ms();
        let (mut swept, mut troubles) = (Swept::default(), Troubles::default());
        let mut after = None;
        for _ in 0..LOOKS {
            let overdue = self.inner.catalog.uploads_to_expire(now, after, UPLOADS_A_LOOK).await?;
            let Some(last) = overdue.last().copied() else { break };
            after = Some(last);
            for (_, id) in overdue {
                swept.expired += u64::from(troubles.unless(self.expire(id, now).await)?);
            }
        }
        let mut after = None;
        for _ in 0..LOOKS {
            let over = self.inner.catalog.uploads_to_release(after, UPLOADS_A_LOOK).await?;
            let Some(last) = over.last().copied() else { break };
            after = Some(last);
            for id in over {
                swept.pieces += troubles.unless(self.release(id, now).await)?;
            }
        }
        let mut tx = self.inner.catalog.begin().await?;
        swept.tombstones = tx.remove_tombstones(now - TOMBSTONE_MS).await?;
        tx.commit().await?;
        troubles.end(swept)
    }

    async fn expire(&self, id: ClipId, now: UnixMs) -> Result<bool, IngestError> {
        let Some(row) = self.inner.catalog.upload(id).await? else {
            return Ok(false);
        };
        // Its bytes put its end off, however far the clock was set forward meanwhile. On another node they do so every half
        // second, and a body that brings none ends within a minute.
        if self.inner.live.is_busy(id) {
            return Ok(false);
        }
        let mut tx = self.inner.catalog.begin().await?;
        if !tx.expire_upload(id, now).await? {
            return Ok(false);
        }
        self.clear(&mut tx, &row, now).await?;
        self.tell(&mut tx, &row, EventKind::UploadExpired).await?;
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
        let (mut completed, mut troubles) = (0, Troubles::default());
        let mut after = None;
        loop {
            let full = self.inner.catalog.full_uploads(after, UPLOADS_A_LOOK).await?;
            let Some(last) = full.last().copied() else {
                return troubles.end(completed);
            };
            after = Some(last);
            for id in full {
                completed += u64::from(troubles.unless(self.complete_one(id).await)?);
            }
        }
    }

    async fn complete_one(&self, id: ClipId) -> Result<bool, IngestError> {
        let now = self.inner.clock.now_ms();
        let mut tx = self.inner.catalog.begin().await?;
        let completed = complete(&mut tx, &self.inner.audit, id, now).await?;
        tx.commit().await?;
        Ok(completed)
    }
}

/// What went wrong in a walk whose uploads do not stop each other.
#[derive(Default)]
struct Troubles {
    /// The one that is told.
    first: Option<IngestError>,
    silences: u32,
}

impl Troubles {
    /// What was done for an upload, or nothing if that failed. An error once the catalogue was silent for so many in a row
    /// that it is away.
    fn unless<T: Default>(&mut self, done: Result<T, IngestError>) -> Result<T, IngestError> {
        let error = match done {
            Ok(done) => {
                self.silences = 0;
                return Ok(done);
            }
            Err(error) => error,
        };
        let silent = matches!(error, IngestError::Unavailable(_));
        self.silences = if silent { self.silences + 1 } else { 0 };
        if self.silences >= MAX_SILENCES {
            return Err(error);
        }
        self.first.get_or_insert(error);
        Ok(T::default())
    }

    fn end<T>(self, done: T) -> Result<T, IngestError> {
        self.first.map_or(Ok(done), Err)
    }
}
