//! Makes a link's own media from the original, under the clip's key: the chosen span encoded anew, nothing beside it.

use std::sync::Arc;

use super::Inner;
use super::error::JobError;
use super::lease::Held;
use super::renditions::MakeError;
use crate::catalog::LinkRow;
use crate::media;
use crate::model::{ClipState, LinkMediaState};
use crate::vault::LinkAbout;

impl Inner {
    /// Does the job; the code of a link that failed for good.
    pub(super) async fn link_media(&self, held: &Held) -> Result<Option<&'static str>, JobError> {
        let id = held
            .row
            .link
            .ok_or_else(|| JobError::internal("a link's job without a link"))?;
        let Some(link) = self.catalog.link_any(id).await? else {
            return Err(JobError::Gone);
        };
        self.clear_attempt(held).await?;
        if link.media_state != LinkMediaState::Preparing || self.is_over(&link) {
            // Its end removes its media; see the sweep.
            let tx = self.begin_held(held).await?;
            self.commit_end(tx, held, None).await?;
            return Ok(None);
        }
        let keys = self
            .vault
            .read_clip_keys(link.owner, link.clip)
            .await?
            .ok_or(JobError::Gone)?;
        let keys = Arc::new(keys);
        let about: LinkAbout = keys.open(link.id.as_bytes(), &link.sealed_about)?;
        let original = self.original(&keys).await?;
        let from_ms = about.from_ms.unwrap_or(0);
        let plan = |probe: &media::Probe| {
            let to_ms = about.to_ms.unwrap_or(probe.duration_ms);
            media::plan_link(probe, from_ms, to_ms, about.audio)
        };
        match self.make(held, &keys, original, plan).await {
            Ok(made) => {
                let mut tx = self.begin_held(held).await?;
                if !tx
                    .set_link_media(id, LinkMediaState::Preparing, LinkMediaState::Ready, None)
                    .await?
                {
                    return Err(JobError::Gone);
                }
                for (object, about) in &made.objects {
                    self.vault.publish(&mut tx, &keys, object, about, Some(id)).await?;
                }
                self.commit_end(tx, held, None).await?;
                Ok(None)
            }
            Err(MakeError::Clip(error)) => {
                let mut tx = self.begin_held(held).await?;
                tx.set_link_media(
                    id,
                    LinkMediaState::Preparing,
                    LinkMediaState::Failed,
                    Some(error.code()),
                )
                .await?;
                self.commit_end(tx, held, Some(error.code())).await?;
                Ok(Some(error.code()))
            }
            Err(MakeError::Job(error)) => Err(error),
        }
    }

    fn is_over(&self, link: &LinkRow) -> bool {
        link.revoked_at.is_some()
            || link.expires_at <= self.clock.now_ms()
            || matches!(link.clip_state, ClipState::Trashed | ClipState::Erasing)
    }

    /// Gives what an earlier attempt had begun to write to the sweep.
    async fn clear_attempt(&self, held: &Held) -> Result<(), JobError> {
        let mut tx = self.begin_held(held).await?;
        let left = tx.end_intents(held.row.id.as_bytes(), self.clock.now_ms() - 1).await?;
        tx.commit().await?;
        if left > 0 {
            self.sweep_intents_of(held.row.id.as_bytes()).await;
        }
        Ok(())
    }
}
