//! Whether one more upload fits what its owner and its vehicle may keep.
//!
//! It is counted in the transaction that adds the upload, and creations of one owner wait for each other there: no race gets
//! more in. What has no length yet is let in and bounded as its bytes come, by each request for itself: so many requests at
//! once may exceed by what was left, and no further ones.

use super::{Ingest, IngestError};
use crate::access::OwnerSession;
use crate::catalog::{Kept, KeptBy, Quotas, Tx, UploadRow};
use crate::model::{DeviceId, OwnerId};

/// What an owner keeps, and may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// All of it.
    pub kept: Kept,
    /// By vehicle; none: the owner's apps.
    pub by_device: Vec<KeptBy>,
    /// Uploads that are open.
    pub open_uploads: u64,
    /// The most there may be.
    pub quotas: Quotas,
    /// The most uploads that may be open.
    pub most_open: u64,
    /// And of one vehicle.
    pub most_open_each: u64,
}

/// Which quota is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Bytes of the owner.
    OwnerBytes,
    /// Clips of the owner.
    OwnerClips,
    /// Bytes of the vehicle.
    VehicleBytes,
    /// Clips of the vehicle.
    VehicleClips,
}

/// Where an upload without a length ends.
pub(super) struct EndByQuota {
    /// The most bytes it may have.
    pub at: u64,
    /// Which quota is full then.
    pub quota: Quota,
    /// How much that is.
    pub limit: u64,
}

impl Quota {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnerBytes => "owner_bytes",
            Self::OwnerClips => "owner_clips",
            Self::VehicleBytes => "vehicle_bytes",
            Self::VehicleClips => "vehicle_clips",
        }
    }
}

impl Ingest {
    /// What an owner keeps, and may keep.
    pub async fn usage(&self, session: &OwnerSession) -> Result<Usage, IngestError> {
        let (owner, catalog) = (session.owner(), &self.inner.catalog);
        let quotas = catalog.quotas(owner).await?.or(self.inner.config.quotas);
        let by_device = catalog.kept(owner).await?;
        Ok(Usage {
            kept: of_all(&by_device),
            by_device,
            open_uploads: catalog.open_uploads(owner, None).await?.of_owner,
            quotas,
            most_open: self.inner.config.max_open_of_owner,
            most_open_each: self.inner.config.max_open_each,
        })
    }

    /// Whether so much more fits. The transaction holds the owner.
    pub(super) async fn must_fit(
        &self,
        tx: &mut Tx,
        (owner, device): (OwnerId, Option<DeviceId>),
        more: Kept,
    ) -> Result<(), IngestError> {
        let quotas = tx.quotas(owner).await?.or(self.inner.config.quotas);
        if !quotas.is_any() {
            return Ok(());
        }
        let kept = tx.kept(owner).await?;
        match over(&quotas, &kept, device, more) {
            Some((quota, limit)) => Err(IngestError::OverQuota { quota, limit }),
            None => Ok(()),
        }
    }

    /// Where an upload without a length ends when a quota of bytes is full, and which one; none when there is no such quota.
    pub(super) async fn end_by_quota(&self, row: &UploadRow) -> Result<Option<EndByQuota>, IngestError> {
        let quotas = self.inner.catalog.quotas(row.owner).await?.or(self.inner.config.quotas);
        if quotas.bytes.is_none() && quotas.bytes_each.is_none() {
            return Ok(None);
        }
        let kept = self.inner.catalog.kept(row.owner).await?;
        let each = row.device.map(|id| of(&kept, id));
        let ends = [
            (Quota::OwnerBytes, quotas.bytes, Some(of_all(&kept))),
            (Quota::VehicleBytes, quotas.bytes_each, each),
        ];
        let ends = ends.into_iter().filter_map(|(quota, limit, kept)| {
            let limit = limit?;
            let at = row.received.saturating_add(limit.saturating_sub(kept?.bytes));
            Some(EndByQuota { at, quota, limit })
        });
        Ok(ends.min_by_key(|end| end.at))
    }
}

/// The first quota that `more` does not fit, and how much it is.
fn over(quotas: &Quotas, kept: &[KeptBy], device: Option<DeviceId>, more: Kept) -> Option<(Quota, u64)> {
    let all = of_all(kept);
    let each = device.map(|id| of(kept, id));
    let checks = [
        (Quota::OwnerBytes, quotas.bytes, Some(all.bytes), more.bytes),
        (Quota::OwnerClips, quotas.clips, Some(all.clips), more.clips),
        (
            Quota::VehicleBytes,
            quotas.bytes_each,
            each.map(|kept| kept.bytes),
            more.bytes,
        ),
        (
            Quota::VehicleClips,
            quotas.clips_each,
            each.map(|kept| kept.clips),
            more.clips,
        ),
    ];
    checks.into_iter().find_map(|(quota, most, kept, more)| {
        let most = most?;
        // Whoever adds nothing to what is full already is not refused for it.
        (more > 0 && kept?.saturating_add(more) > most).then_some((quota, most))
    })
}

fn of_all(kept: &[KeptBy]) -> Kept {
    kept.iter().fold(Kept::default(), |sum, by| Kept {
        bytes: sum.bytes.saturating_add(by.kept.bytes),
        clips: sum.clips.saturating_add(by.kept.clips),
    })
}

fn of(kept: &[KeptBy], device: DeviceId) -> Kept {
    let own = kept.iter().find(|by| by.device == Some(device));
    own.map_or_else(Kept::default, |by| by.kept)
}
