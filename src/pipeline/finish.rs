//! Finishes an upload: the original is sealed and published first, then renditions are made of it.
//!
//! What a crash leaves is told by the clip's row. No envelope: the original is sealed anew from its pieces. An envelope, and
//! the clip still in work: renditions are made anew. Any other state: the work was done before.

use std::sync::Arc;

use super::error::JobError;
use super::lease::Held;
use super::original::Published;
use super::renditions::MakeError;
use super::{Inner, Made};
use crate::audit::NewEvent;
use crate::catalog::{ClipPublication, ClipRow};
use crate::media::{self, MediaError};
use crate::model::{ClipId, ClipState, EventKind, NOT_AS_DECLARED};
use crate::vault::{ClipDetails, ClipKeys, ClipSummary, Manifest, StoredObject};

impl Inner {
    /// Does the job; the code of a clip that failed for good.
    pub(super) async fn finish(&self, held: &Held) -> Result<Option<&'static str>, JobError> {
        let clip = held
            .row
            .clip
            .ok_or_else(|| JobError::internal("a finish job without a clip"))?;
        if !self.start_work(held, clip).await? {
            self.finish_again(held, clip).await?;
            return Ok(None);
        }
        let row = self.clip(clip).await?;
        let owner_keys = self.vault.owner_keys(row.owner).await?;
        let published = match &row.envelope {
            Some(envelope) => Published {
                keys: Arc::new(self.vault.clip_keys(&owner_keys, clip, envelope, row.least_revision)?),
                sound: true,
            },
            None => self.publish_original(held, &row, &owner_keys).await?,
        };
        self.release_pieces(held, clip).await?;
        if !published.sound {
            let tx = self.begin_held(held).await?;
            self.commit_end(tx, held, Some(NOT_AS_DECLARED)).await?;
            return Ok(Some(NOT_AS_DECLARED));
        }
        self.publish_renditions(held, clip, &published.keys).await
    }

    /// The clip was published by an earlier attempt, or erased: only what comes after is done.
    async fn finish_again(&self, held: &Held, clip: ClipId) -> Result<(), JobError> {
        // A clip that failed without an original keeps its pieces.
        let row = self.catalog.clip_any(clip).await?;
        if row.is_some_and(|row| row.envelope.is_some()) {
            self.release_pieces(held, clip).await?;
        }
        let tx = self.begin_held(held).await?;
        self.commit_end(tx, held, None).await
    }

    /// Takes the clip's work up; false when there is none. What an earlier attempt had begun to write is given to the sweep.
    async fn start_work(&self, held: &Held, clip: ClipId) -> Result<bool, JobError> {
        let now = self.clock.now_ms();
        let mut tx = self.begin_held(held).await?;
        let in_work = [ClipState::Queued, ClipState::Transcoding];
        let started = tx.set_clip_state(clip, &in_work, ClipState::Transcoding, now).await?;
        let left = tx.end_intents(held.row.id.as_bytes(), now - 1).await?;
        tx.commit().await?;
        if left > 0 {
            self.sweep_intents_of(held.row.id.as_bytes()).await;
        }
        Ok(started)
    }

    async fn clip(&self, clip: ClipId) -> Result<ClipRow, JobError> {
        self.catalog.clip_any(clip).await?.ok_or(JobError::Gone)
    }

    async fn publish_renditions(
        &self,
        held: &Held,
        clip: ClipId,
        keys: &Arc<ClipKeys>,
    ) -> Result<Option<&'static str>, JobError> {
        let row = self.clip(clip).await?;
        let original = self.original(keys).await?;
        match self.make(held, keys, original.clone(), media::plan).await {
            Ok(made) => {
                self.commit_ready(held, &row, keys, &original, &made).await?;
                Ok(None)
            }
            Err(MakeError::Clip(error)) => {
                self.commit_failed(held, &row, keys, &original, &error).await?;
                Ok(Some(error.code()))
            }
            Err(MakeError::Job(error)) => Err(error),
        }
    }

    /// The published original of a clip.
    pub(super) async fn original(&self, keys: &ClipKeys) -> Result<StoredObject, JobError> {
        let objects = self.vault.objects(keys, None).await?;
        let original = objects.into_iter().find(|object| object.about.rendition == "original");
        original.ok_or_else(|| JobError::internal("a clip with keys has no original"))
    }

    async fn commit_ready(
        &self,
        held: &Held,
        row: &ClipRow,
        keys: &ClipKeys,
        original: &StoredObject,
        made: &Made,
    ) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        let details: ClipDetails = keys.open(row.id.as_bytes(), sealed(&row.sealed_details)?)?;
        let summary: ClipSummary = keys.open(row.id.as_bytes(), sealed(&row.sealed_summary)?)?;
        let summary = ClipSummary {
            duration_ms: Some(made.duration_ms),
            has_audio: made.has_audio,
            width: made.width,
            height: made.height,
            ..summary
        };
        let rest = made.objects.iter().map(|(object, about)| object.in_manifest(about));
        let manifest = Manifest {
            incomplete: made.incomplete,
            objects: std::iter::once(original.in_manifest()?).chain(rest).collect(),
            ..manifest_of(row, ClipState::Ready, None, &summary, &details)
        };
        let envelope = self.vault.seal_envelope(keys, &manifest, self.holder(held)).await?;
        let sealed_summary = keys.seal(row.id.as_bytes(), &summary);

        let mut tx = self.begin_held(held).await?;
        for (object, about) in &made.objects {
            self.vault.publish(&mut tx, keys, object, about, None).await?;
        }
        let publication = ClipPublication {
            id: row.id,
            state: ClipState::Ready,
            incomplete: made.incomplete,
            error_code: None,
            kek_version: envelope.kek_version.into(),
            envelope: &envelope.bytes,
            sealed_summary: &sealed_summary,
            sealed_details: sealed(&row.sealed_details)?,
            sha256_index: None,
        };
        if !tx.publish_clip(&publication, now).await? {
            return Err(JobError::Gone);
        }
        self.vault.record_mirror(&mut tx, &envelope.mirrored).await?;
        let event = NewEvent::of_clip(row.owner, EventKind::ClipReady, row.id);
        self.audit.record(&mut tx, event).await?;
        self.commit_end(tx, held, None).await
    }

    /// The clip stays with its original and a reason.
    async fn commit_failed(
        &self,
        held: &Held,
        row: &ClipRow,
        keys: &ClipKeys,
        original: &StoredObject,
        error: &MediaError,
    ) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        let details: ClipDetails = keys.open(row.id.as_bytes(), sealed(&row.sealed_details)?)?;
        let details = ClipDetails {
            error_detail: Some(error.to_string()),
            ..details
        };
        let sealed_details = keys.seal(row.id.as_bytes(), &details);
        let summary: ClipSummary = keys.open(row.id.as_bytes(), sealed(&row.sealed_summary)?)?;
        let manifest = Manifest {
            objects: vec![original.in_manifest()?],
            ..manifest_of(row, ClipState::Failed, Some(error.code()), &summary, &details)
        };
        let envelope = self.vault.seal_envelope(keys, &manifest, self.holder(held)).await?;
        let mut tx = self.begin_held(held).await?;
        let publication = ClipPublication {
            id: row.id,
            state: ClipState::Failed,
            incomplete: false,
            error_code: Some(error.code()),
            kek_version: envelope.kek_version.into(),
            envelope: &envelope.bytes,
            sealed_summary: sealed(&row.sealed_summary)?,
            sealed_details: &sealed_details,
            sha256_index: None,
        };
        if !tx.publish_clip(&publication, now).await? {
            return Err(JobError::Gone);
        }
        self.vault.record_mirror(&mut tx, &envelope.mirrored).await?;
        let event = NewEvent::of_clip(row.owner, EventKind::ClipFailed, row.id);
        self.audit.record(&mut tx, event).await?;
        self.commit_end(tx, held, Some(error.code())).await
    }
}

/// What a clip's manifest says beside its objects: enough to make its row again without the catalogue.
pub(super) fn manifest_of(
    row: &ClipRow,
    state: ClipState,
    error_code: Option<&str>,
    summary: &ClipSummary,
    details: &ClipDetails,
) -> Manifest {
    Manifest {
        recorded_at: details.recorded_at,
        received_at: Some(details.received_at),
        duration_ms: summary.duration_ms,
        state: Some(state.as_str().to_owned()),
        error_code: error_code.map(str::to_owned),
        incomplete: row.incomplete,
        held: row.held,
        created_at: Some(row.created_at),
        summary: serde_json::to_value(summary).ok(),
        details: serde_json::to_value(details).ok(),
        objects: Vec::new(),
    }
}

/// A column that stands in every row with an envelope; none when the clip was erased between two reads.
fn sealed(column: &Option<Vec<u8>>) -> Result<&[u8], JobError> {
    column.as_deref().ok_or(JobError::Gone)
}
