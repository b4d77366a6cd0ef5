//! What nobody holds any more: half-written objects, media of links that are over, trash that is due, old jobs, and what is
//! destroyed and still stands in the database's log.

use super::{Inner, PipelineError};
use crate::catalog::{ClipRow, LinkRow, NewJob};
use crate::model::{JobId, JobKind, LinkMediaState, Trouble, UnixMs};

/// Rows of one look; a walk goes on behind the last of them.
const BATCH: u32 = 100;
/// Ended jobs are kept for a day, for whoever looks into what happened.
const KEPT_MS: i64 = 24 * 3_600 * 1_000;

/// Rows in a row for which nothing answers before it is asked whether anything does: so many may each be in trouble of their
/// own.
const MAX_SILENCES: u32 = 3;

/// What went wrong in a walk whose rows do not stop each other.
#[derive(Default)]
struct Troubles {
    /// The one that is told.
    first: Option<PipelineError>,
    silences: u32,
}

impl Troubles {
    fn end(self) -> Result<(), PipelineError> {
        self.first.map_or(Ok(()), Err)
    }
}

impl Inner {
    /// One walk. Any number of nodes may walk at once: whatever two of them see is removed once and then not there. What
    /// stops one part or one row does not stop the others; the first failure is told.
    pub(super) async fn sweep(&self) -> Result<(), PipelineError> {
        let now = self.clock.now_ms();
        let intents = self.vault.sweep_intents(now).await;
        let links = self.clear_links(now).await;
        let trash = self.queue_due_trash(now).await;
        let jobs = self.forget_jobs(now).await;
        let key_plane = self.sweep_key_plane().await;
        let log = self.catalog.checkpoint_if_owed().await;
        intents?;
        links.and(trash).and(jobs).and(key_plane)?;
        log?;
        Ok(())
    }

    /// What an older database lacks comes into the key plane, small objects become packs, superseded ones go.
    async fn sweep_key_plane(&self) -> Result<(), PipelineError> {
        let missing = self.vault.mirror_missing().await;
        let swept = self.vault.sweep_key_plane().await?;
        if swept.packed + swept.removed > 0 {
            tracing::debug!(packed = swept.packed, removed = swept.removed, "swept the key plane");
        }
        missing?;
        // Once a process; after what was missing is there.
        self.vault.compare_with_key_plane().await?;
        Ok(())
    }

    async fn clear_links(&self, now: UnixMs) -> Result<(), PipelineError> {
        let (mut after, mut troubles) = (None, Troubles::default());
        loop {
            let links = self.catalog.links_to_clear(now, after, BATCH).await?;
            for link in &links {
                let cleared = self.clear_link(link).await;
                if !self.goes_on(&mut troubles, cleared).await {
                    return troubles.end();
                }
            }
            after = links.last().map(|link| (link.expires_at, link.id));
            if links.len() < BATCH as usize {
                return troubles.end();
            }
        }
    }

    async fn queue_due_trash(&self, now: UnixMs) -> Result<(), PipelineError> {
        let (mut after, mut troubles) = (None, Troubles::default());
        loop {
            let clips = self.catalog.clips_to_erase(now, after, BATCH).await?;
            for clip in &clips {
                let queued = self.queue_due(clip, now).await;
                if !self.goes_on(&mut troubles, queued).await {
                    return troubles.end();
                }
            }
            after = clips.last().and_then(|clip| Some((clip.erase_at?, clip.id)));
            if clips.len() < BATCH as usize {
                return troubles.end();
            }
        }
    }

    /// The way back ends in the transaction that queues the erasure: a clip is restored before it or not at all.
    async fn queue_due(&self, clip: &ClipRow, now: UnixMs) -> Result<(), PipelineError> {
        let mut tx = self.catalog.begin().await?;
        // Jobs before clips, as every job locks them.
        tx.queue_erasure(&NewJob {
            id: JobId::random(),
            tenant: clip.tenant,
            kind: JobKind::EraseClip,
            owner: clip.owner,
            clip: Some(clip.id),
            link: None,
            run_after: now,
        })
        .await?;
        if tx.begin_due_erasure(clip.id, now).await? {
            tx.commit().await?;
        }
        Ok(())
    }

    /// Notes how a row of a walk went; false when store or catalogue do not answer any more, so that the rest would fail too.
    async fn goes_on(&self, troubles: &mut Troubles, done: Result<(), PipelineError>) -> bool {
        let Err(error) = done else {
            troubles.silences = 0;
            return true;
        };
        let silent = error.trouble() == Trouble::Unavailable;
        troubles.silences = if silent { troubles.silences + 1 } else { 0 };
        troubles.first.get_or_insert(error);
        if troubles.silences < MAX_SILENCES {
            return true;
        }
        troubles.silences = 0;
        self.vault.ready().await.is_ok()
    }

    async fn forget_jobs(&self, now: UnixMs) -> Result<(), PipelineError> {
        let mut tx = self.catalog.begin().await?;
        tx.remove_ended_jobs(now - KEPT_MS, BATCH).await?;
        Ok(tx.commit().await?)
    }

    /// Removes what one holder's intents with an ended lease have left, if the store is there; else the next sweep does.
    pub(super) async fn sweep_intents_of(&self, holder: &[u8; 16]) {
        if let Err(error) = self.vault.sweep_intents_of(holder, self.clock.now_ms()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "leftovers wait for the next sweep"
            );
        }
    }

    /// Takes the job away first, so that nothing is published after the walk over what was.
    async fn clear_link(&self, link: &LinkRow) -> Result<(), PipelineError> {
        let now = self.clock.now_ms();
        let mut tx = self.catalog.begin().await?;
        tx.cancel_jobs_of_link(link.id, now).await?;
        tx.commit().await?;
        let objects = self.catalog.objects_of(link.clip, Some(link.id)).await?;
        let ids: Vec<_> = objects.iter().map(|object| object.id).collect();
        self.vault.remove_objects(&ids).await?;
        let mut tx = self.catalog.begin().await?;
        tx.delete_objects(&ids).await?;
        tx.set_link_media(link.id, link.media_state, LinkMediaState::Removed, None)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}
