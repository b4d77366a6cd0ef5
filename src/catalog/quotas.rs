//! What owners and vehicles keep, and how much that may be.
//!
//! What is on its way counts as long as it was said to be: an upload that was let in fits to its end.

use sqlx::any::AnyRow;

use super::row::Row;
use super::uploads::signed;
use super::{Catalog, CatalogError, Tx};
use crate::model::{DeviceId, OwnerId};

/// The most that may be kept; none: as much as there is room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quotas {
    /// Bytes of an owner: sealed objects, and what is on its way.
    pub bytes: Option<u64>,
    /// Clips of an owner, the trash included.
    pub clips: Option<u64>,
    /// Bytes of each vehicle.
    pub bytes_each: Option<u64>,
    /// Clips of each vehicle.
    pub clips_each: Option<u64>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Sealed objects, and uploads as long as they were said to be.
    pub bytes: u64,
    /// Clips, those that are on their way and those in the trash included.
    pub clips: u64,
}

/// How much a vehicle, or an owner's apps, keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptBy {
    /// The vehicle; none: the owner's apps.
    pub device: Option<DeviceId>,
    pub kept: Kept,
}

/// One row for each vehicle that has something, the owner's apps among them.
const KEPT: &str = "SELECT device_id, CAST(sum(bytes) AS BIGINT) AS bytes, CAST(sum(clips) AS BIGINT) AS clips FROM ( \
     SELECT c.device_id AS device_id, coalesce((SELECT sum(o.size_bytes) FROM objects o WHERE o.clip_id = c.id), 0) AS bytes, \
     CASE WHEN c.state = 'erasing' THEN 0 ELSE 1 END AS clips FROM clips c WHERE c.owner_id = $1 \
     UNION ALL SELECT device_id, CASE WHEN concat = 'final' THEN 0 ELSE coalesce(length, received) END AS bytes, 0 AS clips \
     FROM uploads WHERE owner_id = $1 AND state IN ('open', 'complete')) kept GROUP BY device_id";

const QUOTAS: &str = "SELECT most_bytes, most_clips, most_bytes_each, most_clips_each FROM owners WHERE id = $1";

impl Quotas {
    /// What an owner may keep: what was said of this one, else of everybody.
    #[must_use]
    pub fn or(self, of_all: Self) -> Self {
        Self {
            bytes: self.bytes.or(of_all.bytes),
            clips: self.clips.or(of_all.clips),
            bytes_each: self.bytes_each.or(of_all.bytes_each),
            clips_each: self.clips_each.or(of_all.clips_each),
        }
    }

    /// Whether there is one at all: else nothing has to be counted.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Catalog {
    /// What was said of this owner.
    pub async fn quotas(&self, owner: OwnerId) -> Result<Quotas, CatalogError> {
        let row = sqlx::query(QUOTAS)
            .bind(owner.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        quotas(row.as_ref())
    }

    /// How much an owner keeps, by vehicle.
    pub async fn kept(&self, owner: OwnerId) -> Result<Vec<KeptBy>, CatalogError> {
        let rows = sqlx::query(KEPT)
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(kept).collect()
    }
}

impl Tx {
    /// What was said of this owner, in this transaction.
    pub async fn quotas(&mut self, owner: OwnerId) -> Result<Quotas, CatalogError> {
        let row = sqlx::query(QUOTAS)
            .bind(owner.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        quotas(row.as_ref())
    }

    /// How much an owner keeps, by vehicle, in this transaction.
    pub async fn kept(&mut self, owner: OwnerId) -> Result<Vec<KeptBy>, CatalogError> {
        let rows = sqlx::query(KEPT)
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(kept).collect()
    }

    /// Says what an owner may keep; false when there is no such owner.
    pub async fn set_quotas(&mut self, owner: OwnerId, quotas: &Quotas) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE owners SET most_bytes = $1, most_clips = $2, most_bytes_each = $3, most_clips_each = $4 \
             WHERE id = $5 AND state = 'active'",
        )
        .bind(quotas.bytes.map(signed))
        .bind(quotas.clips.map(signed))
        .bind(quotas.bytes_each.map(signed))
        .bind(quotas.clips_each.map(signed))
        .bind(owner.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn quotas(row: Option<&AnyRow>) -> Result<Quotas, CatalogError> {
    let Some(row) = row else {
        return Ok(Quotas::default());
    };
    let row = Row::new("owners", row);
    let most = |column| row.maybe_int(column)?.map(|_| row.size(column)).transpose();
    Ok(Quotas {
        bytes: most("most_bytes")?,
        clips: most("most_clips")?,
        bytes_each: most("most_bytes_each")?,
        clips_each: most("most_clips_each")?,
    })
}

fn kept(row: &AnyRow) -> Result<KeptBy, CatalogError> {
    let row = Row::new("clips", row);
    Ok(KeptBy {
        device: row.maybe_id("device_id")?,
        kept: Kept {
            bytes: row.size("bytes")?,
            clips: row.size("clips")?,
        },
    })
}
