//! Erases a clip: its tombstone and its wrapped key first, so that all else is unreadable whatever happens next, then objects,
//! pieces, the mirror, rows; the receipt last.

use super::Inner;
use super::error::JobError;
use super::lease::Held;
use crate::audit::NewEvent;
use crate::catalog::{ErasureKind, MirrorSubject};
use crate::model::{ClipId, EventKind, ObjectId};

/// Objects removed between two looks at the lease.
const BATCH: usize = 50;

impl Inner {
    pub(super) async fn erase_clip(&self, held: &Held) -> Result<(), JobError> {
        let clip = held
            .row
            .clip
            .ok_or_else(|| JobError::internal("an erasure without a clip"))?;
        match self.catalog.clip_any(clip).await? {
            // Held again since the erasure was asked for, or erased by an earlier attempt whose answer was lost.
            Some(row) if row.held => return self.end_erasure(held, Some("held")).await,
            None => return self.end_erasure(held, None).await,
            Some(_) => {}
        }
        self.destroy_keys(held, clip).await?;
        let objects = self.catalog.all_objects_of(clip).await?;
        for batch in objects.chunks(BATCH) {
            self.remove_objects(held, batch).await?;
            held.set_progress(500);
        }
        self.end_what_writes(held, clip).await?;
        self.vault
            .destroy_mirrors(MirrorSubject::Envelope, clip.as_bytes())
            .await?;
        self.delete_rows(held, clip).await
    }

    async fn end_erasure(&self, held: &Held, code: Option<&str>) -> Result<(), JobError> {
        let tx = self.begin_held(held).await?;
        self.commit_end(tx, held, code).await
    }

    /// The tombstone first, so that no older database undoes what follows. From here on nothing of the clip can be opened, by
    /// whomever and from whichever copy of the bucket.
    async fn destroy_keys(&self, held: &Held, clip: ClipId) -> Result<(), JobError> {
        let buried = self.vault.bury_clip(held.row.owner, clip).await?;
        let now = self.clock.now_ms();
        let mut tx = self.begin_held(held).await?;
        // Jobs before the clip, as every job locks them.
        tx.cancel_jobs_of_clip(clip, held.row.id, now).await?;
        if !tx.erase_clip_keys(clip, now).await? {
            tx.rollback().await?;
            if let Some(buried) = buried {
                self.vault.take_back(buried).await?;
            }
            return Err(JobError::internal("the clip was held while its erasure began"));
        }
        if let Some(buried) = &buried {
            self.vault.record_burial(&mut tx, buried).await?;
        }
        tx.delete_links_of(clip).await?;
        tx.remove_wishes_of_clip(clip).await?;
        tx.commit().await?;
        self.catalog.checkpoint().await?;
        Ok(())
    }

    /// Bytes first: a crash between the two leaves rows that name nothing, and the next attempt walks them again.
    pub(super) async fn remove_objects(&self, held: &Held, ids: &[ObjectId]) -> Result<(), JobError> {
        self.vault.remove_objects(ids).await?;
        let mut tx = self.begin_held(held).await?;
        tx.delete_objects(ids).await?;
        Ok(tx.commit().await?)
    }

    /// Pieces, half-written objects and multipart uploads of the upload and of every job of the clip.
    async fn end_what_writes(&self, held: &Held, clip: ClipId) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        let jobs = self.catalog.jobs_of_clip(clip).await?;
        let mut tx = self.begin_held(held).await?;
        tx.erase_upload(clip, now).await?;
        tx.end_intents(clip.as_bytes(), now - 1).await?;
        for job in &jobs {
            tx.end_intents(job.id.as_bytes(), now - 1).await?;
        }
        tx.commit().await?;
        self.release_pieces(held, clip).await?;
        // What is the clip's own has to go before its rows do, and nothing else is waited for. A store that is down leaves it
        // to the next attempt or the next sweep; the intents stay until then.
        let now = self.clock.now_ms();
        let parts = self.catalog.parts_of(clip).await?;
        let uploads = std::iter::once(&clip).chain(&parts).map(ClipId::as_bytes);
        for holder in uploads.chain(jobs.iter().map(|job| job.id.as_bytes())) {
            self.vault.sweep_intents_of(holder, now).await?;
        }
        Ok(())
    }

    async fn delete_rows(&self, held: &Held, clip: ClipId) -> Result<(), JobError> {
        let mut tx = self.begin_held(held).await?;
        // A link's job may have published between the two walks; its lease is gone now, so this is the last look.
        let objects = self.catalog.all_objects_of(clip).await?;
        if !objects.is_empty() {
            return Err(JobError::internal("objects of the clip came while it was erased"));
        }
        self.vault
            .sign_erasure(&mut tx, ErasureKind::Clip, clip.as_bytes())
            .await?;
        if tx.delete_clip(clip).await? {
            let event = NewEvent::of_clip(held.row.owner, EventKind::ClipErased, clip);
            self.audit.record(&mut tx, event).await?;
        }
        self.commit_end(tx, held, None).await?;
        // For the rows that went since, and once more for the key, should somebody have read from the log at the first time.
        if let Err(error) = self.catalog.checkpoint().await {
            // The sweep comes back to it.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the database's log could not be emptied"
            );
        }
        Ok(())
    }
}
