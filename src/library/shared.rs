//! What the holder of a link sees: the span, and whether it can be watched yet.

use super::clip::{Sealed, renditions, share};
use super::view::{SharedClip, SharedMedia, SharedMediaState, SharedView, Time};
use super::{Library, LibraryError};
use crate::access::LinkSession;
use crate::model::LinkMediaState;
use crate::vault::VaultError;

impl Library {
    /// What a link shows, and whether it can be watched yet. The session was authenticated for this request; a clip erased
    /// since is [`VaultError::Gone`].
    pub async fn shared(&self, session: &LinkSession) -> Result<SharedView, LibraryError> {
        let gone = || LibraryError::Vault(VaultError::Gone);
        let catalog = &self.inner.catalog;
        let row = catalog.clip(session.owner(), session.clip()).await?.ok_or_else(gone)?;
        let link = catalog.link_any(session.link()).await?.ok_or_else(gone)?;
        let keys = self.inner.vault.owner_keys(session.owner()).await?;
        let sealed = Sealed::open(self, &keys, &row)?.ok_or_else(gone)?;
        let objects = self.inner.vault.objects(&sealed.keys, Some(session.link())).await?;
        let span = session.span();
        let media = match link.media_state {
            LinkMediaState::Ready => SharedMedia {
                state: SharedMediaState::Ready,
                progress: 1.0,
            },
            LinkMediaState::Preparing => SharedMedia {
                state: SharedMediaState::Preparing,
                progress: self.progress(session).await?,
            },
            LinkMediaState::Failed | LinkMediaState::Removed => SharedMedia {
                state: SharedMediaState::Failed,
                progress: 0.0,
            },
        };
        let made = objects.iter().filter_map(|object| object.about.duration_ms).max();
        Ok(SharedView {
            link_id: session.link(),
            expires_at: Time(session.expires_at()),
            download: span.download,
            clip: SharedClip {
                duration_ms: made.or_else(|| span.to_ms.checked_sub(span.from_ms)),
                from_ms: span.from_ms,
                to_ms: span.to_ms,
                recorded_at: sealed.summary.recorded_at.map(Time),
                sha256_of_original: Some(sealed.details.sha256).filter(|hex| !hex.is_empty()),
                renditions: renditions(&objects),
            },
            media,
        })
    }

    /// How far the job is that makes the link's media.
    async fn progress(&self, session: &LinkSession) -> Result<f64, LibraryError> {
        let jobs = self.inner.catalog.jobs_of_clip(session.clip()).await?;
        let job = jobs.iter().find(|job| job.link == Some(session.link()));
        Ok(job.map_or(0.0, |job| share(job.progress.into(), 1_000)))
    }
}
