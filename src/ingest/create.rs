//! Begins uploads.

use super::{Ingest, IngestError, UploadStatus, metadata};
use crate::access::Principal;
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{NewClip, NewUpload};
use crate::model::ClipId;

impl Ingest {
    pub(super) async fn create_upload(
        &self,
        who: &Principal,
        length: Option<u64>,
        header: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        let (owner, device) = match who {
            Principal::Owner(session) => (session.owner(), None),
            Principal::Device(session) => (session.owner(), Some(session.device())),
            Principal::Link(_) => return Err(IngestError::Forbidden),
        };
        if length == Some(0) {
            return Err(IngestError::Empty);
        }
        let limit = self.inner.config.max_upload_bytes;
        if length.is_some_and(|length| length > limit) {
            return Err(IngestError::TooLarge { limit });
        }
        let metadata = metadata::parse(header)?;
        self.inner.room_for_one_more(owner, device).await?;
        self.inner.vault.may_take_clips().await?;

        let (vault, now) = (&self.inner.vault, self.inner.clock.now_ms());
        let (id, tenant, expires_at) = (ClipId::random(), vault.tenant(), self.inner.expiry());
        let mut tx = self.inner.catalog.begin().await?;
        // Nothing begins for an owner who is being erased.
        if !tx.hold_owner(owner).await? {
            return Err(IngestError::NotFound);
        }
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
            length,
            sealed_metadata: vault.seal_metadata(id, &metadata)?,
            expires_at,
            created_at: now,
        })
        .await?;
        let event = NewEvent::of_clip(owner, EventKind::UploadCreated, id);
        self.inner.audit.record(&mut tx, event).await?;
        tx.commit().await?;
        Ok(UploadStatus {
            id,
            offset: 0,
            length,
            expires_at: Some(expires_at),
        })
    }
}
