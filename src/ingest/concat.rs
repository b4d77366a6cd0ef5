//! One upload made of partial ones (tus 1.0.0, concatenation).
//!
//! No byte is moved: the pieces stay where they lie, sealed to the place they were received at, and the job that seals the
//! original reads them part by part. So it costs one transaction, whatever the length, and nothing is ever durable twice.

use std::collections::BTreeSet;

use super::committer::complete;
use super::create::{hold_sender, sender_of};
use super::{Ingest, IngestError, Kept, UploadStatus, metadata};
use crate::access::Principal;
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{NewClip, NewUpload, UploadRow, UploadStep, UploadTraits};
use crate::model::{ClipId, Concat, UploadState};

/// Parts of one upload: rows of one transaction, and addresses that fit a request's head. Clients use two to six.
const MAX_PARTS: usize = 100;

impl Ingest {
    pub(super) async fn join_parts(
        &self,
        who: &Principal,
        parts: &[ClipId],
        header: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        let (owner, device) = sender_of(who)?;
        let metadata = metadata::parse(header)?;
        if parts.is_empty() || parts.len() > MAX_PARTS {
            return Err(IngestError::InvalidParts {
                reason: "one to a hundred partial uploads make one upload",
            });
        }
        if parts.iter().collect::<BTreeSet<_>>().len() != parts.len() {
            return Err(IngestError::InvalidParts {
                reason: "a partial upload becomes part of one upload, once",
            });
        }
        self.inner.may_begin()?;
        for part in parts {
            let row = self.upload_of(who, *part).await?;
            if row.device != device {
                return Err(IngestError::NotFound);
            }
            if let Some(status) = self.joined_before(&row, parts).await? {
                return Ok(status);
            }
        }

        let (vault, now) = (&self.inner.vault, self.inner.clock.now_ms());
        let (id, tenant) = (ClipId::random(), vault.tenant());
        let mut tx = self.inner.catalog.begin().await?;
        hold_sender(&mut tx, owner, device).await?;
        // The parts' bytes counted when they began; that they are a clip counts now.
        let more = Kept { bytes: 0, clips: 1 };
        self.must_fit(&mut tx, (owner, device), more).await?;
        let (mut length, limit) = (0, self.inner.config.max_upload_bytes);
        // In the order of their ids, so that two requests never wait for each other crosswise.
        for part in parts.iter().collect::<BTreeSet<_>>() {
            let joined = tx.join_part(*part, owner, device, now).await?;
            // Looked at above, and changed since.
            length += joined.ok_or(IngestError::PartMissing)?;
            // What fenced writers left is no part of it.
            tx.end_intents(part.as_bytes(), now).await?;
        }
        if length > limit {
            return Err(IngestError::TooLarge { limit });
        }
        let expires_at = self.inner.expiry(false);
        tx.insert_clip(&NewClip {
            id,
            tenant,
            owner,
            device,
            created_at: now,
        })
        .await?;
        tx.insert_upload(&NewUpload {
            id,
            tenant,
            owner,
            device,
            length: Some(length),
            sealed_metadata: vault.seal_metadata(id, &metadata)?,
            expires_at,
            created_at: now,
            traits: UploadTraits {
                concat: Concat::Final,
                ..UploadTraits::default()
            },
        })
        .await?;
        tx.insert_parts(id, parts).await?;
        let event = NewEvent::of_clip(owner, EventKind::UploadCreated, id);
        self.inner.audit.record(&mut tx, event).await?;
        let step = UploadStep {
            id,
            epoch: 0,
            from: 0,
            to: length,
            expires_at,
        };
        let moved = tx.advance_upload(&step, now).await?;
        if !(moved && complete(&mut tx, &self.inner.audit, id, now).await?) {
            return Err(IngestError::Broken("an upload that was just made is not there".into()));
        }
        tx.commit().await?;
        parts.iter().for_each(|part| self.inner.live.forget(*part));
        Ok(UploadStatus {
            id,
            offset: length,
            length: Some(length),
            expires_at: None,
            concat: Concat::Final,
            sha256: None,
        })
    }

    /// The upload that was made of exactly these parts, when this is one of them and the answer was lost.
    async fn joined_before(&self, part: &UploadRow, parts: &[ClipId]) -> Result<Option<UploadStatus>, IngestError> {
        if part.concat != Concat::Partial {
            return Err(IngestError::InvalidParts {
                reason: "an upload that was not begun as a partial one",
            });
        }
        if let Some(made) = self.inner.catalog.joined_to(part.id).await? {
            if self.inner.catalog.parts_of(made).await? != parts {
                return Err(IngestError::PartTaken);
            }
            let made = self.inner.catalog.upload(made).await?.ok_or(IngestError::Gone)?;
            return self.status_of(&made).await.map(Some);
        }
        match part.state {
            UploadState::Open if part.length == Some(part.received) => Ok(None),
            UploadState::Open => Err(IngestError::PartMissing),
            _ => Err(IngestError::Gone),
        }
    }
}
