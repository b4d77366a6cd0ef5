//! Begins uploads.

use super::begun::BegunBefore;
use super::{Ingest, IngestError, Kept, UploadStatus, metadata};
use crate::access::Principal;
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{Begun, NewClip, NewUpload, Tx, UploadTraits};
use crate::model::{ClipId, Concat, DeviceId, OwnerId};
use crate::vault::UploadMetadata;

/// The word of clips that wait longer for their rest.
pub(super) const EVENT: &str = "event";
/// Another creation of the same clip may come in between; after that there is one to be found.
const TRIES: u32 = 3;

/// How an upload is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Creation {
    /// To be gone on with, and found again when its creation is repeated.
    Resumable,
    /// In one request; nobody comes back to it.
    Plain,
    /// A part of a clip.
    Partial,
}

impl Ingest {
    pub(super) async fn create_upload(
        &self,
        who: &Principal,
        creation: Creation,
        length: Option<u64>,
        header: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        let (owner, device) = sender_of(who)?;
        if length == Some(0) {
            return Err(IngestError::Empty);
        }
        let limit = self.inner.config.max_upload_bytes;
        if length.is_some_and(|length| length > limit) {
            return Err(IngestError::TooLarge { limit });
        }
        let metadata = metadata::parse(header)?;
        self.inner.may_begin()?;
        let _place = self.inner.beginnings.take(self.inner.clock.now_ms())?;
        for _ in 0..TRIES {
            let mut begun = match creation {
                Creation::Resumable => self.inner.vault.begun_indexes(owner, device, &metadata, length),
                Creation::Plain | Creation::Partial => None,
            };
            if let Some(indexes) = &begun {
                match self.begun_before(owner, device, indexes, &metadata, length).await? {
                    BegunBefore::Known(status) => return Ok(status),
                    BegunBefore::Unknown => {}
                    // Sent anew, and not found again: the finished clip has the index.
                    BegunBefore::Unreadable => begun = None,
                }
            }
            self.inner.room_for_one_more(owner, device).await?;
            self.room_for_kind(metadata.kind.as_deref()).await?;
            self.inner.vault.may_take_clips().await?;
            let begun = begun.as_ref().map(|indexes| Begun {
                index: indexes.all[0],
                by_name: indexes.by_name,
            });
            let traits = UploadTraits {
                is_event: metadata.kind.as_deref() == Some(EVENT),
                concat: match creation {
                    Creation::Partial => Concat::Partial,
                    Creation::Resumable | Creation::Plain => Concat::Whole,
                },
                begun,
            };
            if let Some(status) = self.insert((owner, device), length, &metadata, traits).await? {
                return Ok(status);
            }
        }
        Err(super::BUSY)
    }

    /// Adds the rows of a new upload; none when another request has just begun the same one.
    async fn insert(
        &self,
        (owner, device): (OwnerId, Option<DeviceId>),
        length: Option<u64>,
        metadata: &UploadMetadata,
        traits: UploadTraits,
    ) -> Result<Option<UploadStatus>, IngestError> {
        let (vault, now) = (&self.inner.vault, self.inner.clock.now_ms());
        let (id, tenant, expires_at) = (ClipId::random(), vault.tenant(), self.inner.expiry(traits.is_event));
        let concat = traits.concat;
        let mut tx = self.inner.catalog.begin().await?;
        hold_sender(&mut tx, owner, device).await?;
        let more = Kept {
            // While the length is not told: whether a byte is left.
            bytes: length.unwrap_or(1),
            // A part becomes one when it is joined.
            clips: u64::from(concat != Concat::Partial),
        };
        self.must_fit(&mut tx, (owner, device), more).await?;
        if let Some(begun) = &traits.begun {
            tx.free_begun(owner, &begun.index).await?;
        }
        let upload = NewUpload {
            id,
            tenant,
            owner,
            device,
            length,
            sealed_metadata: vault.seal_metadata(id, metadata)?,
            expires_at,
            created_at: now,
            traits,
        };
        if !tx.insert_upload(&upload).await? {
            tx.rollback().await?;
            return Ok(None);
        }
        if concat != Concat::Partial {
            tx.insert_clip(&NewClip {
                id,
                tenant,
                owner,
                device,
                created_at: now,
            })
            .await?;
            let event = NewEvent::of_clip(owner, EventKind::UploadCreated, id);
            self.inner.audit.record(&mut tx, event).await?;
        }
        tx.commit().await?;
        Ok(Some(UploadStatus {
            id,
            offset: 0,
            length,
            expires_at: Some(expires_at),
            concat,
            sha256: None,
        }))
    }
}

/// Nothing begins for an owner who is being erased, nor by a vehicle that was revoked since its request was let in.
pub(super) async fn hold_sender(tx: &mut Tx, owner: OwnerId, device: Option<DeviceId>) -> Result<(), IngestError> {
    if !tx.hold_owner(owner).await? {
        return Err(IngestError::NotFound);
    }
    match device {
        Some(device) if tx.hold_device(device).await?.is_none() => Err(IngestError::Forbidden),
        _ => Ok(()),
    }
}

/// Whose upload it becomes, and the vehicle that sends it.
pub(super) fn sender_of(who: &Principal) -> Result<(OwnerId, Option<DeviceId>), IngestError> {
    match who {
        Principal::Owner(session) => Ok((session.owner(), None)),
        Principal::Device(session) => Ok((session.owner(), Some(session.device()))),
        Principal::Link(_) => Err(IngestError::Forbidden),
    }
}
