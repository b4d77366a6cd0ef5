//! A creation that is repeated, because its answer was lost or because the vehicle has the clip still: answered with what is
//! there already.
//!
//! Nothing but the vehicle's own uploads can be found, and every question goes the same way: an index of owner, vehicle and
//! what the clip is, in two look-ups. What others hold changes neither the answer nor what is done for it.

use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use tokio::time::timeout;

use super::{Ingest, IngestError, UploadStatus};
use crate::catalog::UploadRow;
use crate::model::{DeviceId, OwnerId, UploadState};
use crate::vault::{BegunIndexes, UploadMetadata};

/// How long a creation waits for the owner's key, which is needed to find finished clips. A root key's service that takes
/// longer costs the vehicle a clip sent twice, and no more.
const KEY_WAIT: Duration = Duration::from_millis(500);

/// What is known of a creation that may be a repeated one.
pub(super) enum BegunBefore {
    /// Where the upload stands that was begun before, or the finished clip.
    Known(UploadStatus),
    /// Nothing that the vehicle could go on with.
    Unknown,
    /// There is a finished clip, and the key that would tell of it is not to be had now. It keeps its index.
    Unreadable,
}

impl Ingest {
    /// What a creation finds.
    pub(super) async fn begun_before(
        &self,
        owner: OwnerId,
        device: Option<DeviceId>,
        indexes: &BegunIndexes,
        metadata: &UploadMetadata,
        length: Option<u64>,
    ) -> Result<BegunBefore, IngestError> {
        let under_way = self.inner.catalog.upload_begun(owner, &indexes.all).await?;
        let received = self.received_before(owner, device, metadata).await?;
        let Some(row) = under_way.or(received) else {
            return Ok(BegunBefore::Unknown);
        };
        let status = match timeout(KEY_WAIT, self.status_of(&row)).await {
            Ok(Ok(status)) => status,
            // Ended or erased since.
            Ok(Err(IngestError::Gone)) => return Ok(BegunBefore::Unknown),
            Ok(Err(IngestError::Unavailable(_))) | Err(_) => return Ok(BegunBefore::Unreadable),
            Ok(Err(error)) => return Err(error),
        };
        if length.is_some() && status.length != length {
            return Ok(BegunBefore::Unknown);
        }
        if row.state != UploadState::Open {
            return Ok(BegunBefore::Known(status));
        }
        let expires_at = self.inner.expiry(row.is_event);
        let mut tx = self.inner.catalog.begin().await?;
        tx.put_off(row.id, expires_at).await?;
        tx.commit().await?;
        Ok(BegunBefore::Known(UploadStatus {
            expires_at: Some(expires_at),
            ..status
        }))
    }

    /// A clip of this vehicle with exactly the declared bytes.
    async fn received_before(
        &self,
        owner: OwnerId,
        device: Option<DeviceId>,
        metadata: &UploadMetadata,
    ) -> Result<Option<UploadRow>, IngestError> {
        let declared = metadata.sha256.as_ref();
        let Some(sha256) = declared.and_then(|hex| HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok()) else {
            return Ok(None);
        };
        let Ok(Ok(keys)) = timeout(KEY_WAIT, self.inner.vault.owner_keys(owner)).await else {
            return Ok(None);
        };
        let indexes = keys.clip_indexes(device, &sha256);
        Ok(self.inner.catalog.clip_of_sha256(owner, &indexes).await?)
    }
}
