//! Partial uploads and the uploads that are made of them (tus 1.0.0, concatenation).
//!
//! A partial upload stays open when all its bytes are there, so that it expires like any other. Joining completes it: from
//! then on it takes nothing and ends with what it became a part of.

use super::row::Row;
use super::uploads::signed;
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, DeviceId, OwnerId, UnixMs};

impl Catalog {
    /// The partial uploads that a final one is made of, in their order; none of any other.
    pub async fn parts_of(&self, upload: ClipId) -> Result<Vec<ClipId>, CatalogError> {
        let rows = sqlx::query("SELECT part_id FROM upload_parts WHERE upload_id = $1 ORDER BY place")
            .bind(upload.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        let parts = rows.iter().map(|row| Row::new("upload_parts", row).id("part_id"));
        parts.collect()
    }

    /// Partial uploads of an owner that no clip leads to and that hold something still, at most `limit`.
    pub async fn parts_alone_of(&self, owner: OwnerId, limit: u32) -> Result<Vec<ClipId>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id FROM uploads WHERE owner_id = $1 AND concat = 'partial' AND (state = 'open' OR \
             (state <> 'complete' AND EXISTS (SELECT 1 FROM upload_keys WHERE upload_keys.upload_id = uploads.id))) \
             ORDER BY id LIMIT $2",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Row::new("uploads", row).id("id")).collect()
    }

    /// The final upload that a partial one became a part of.
    pub async fn joined_to(&self, part: ClipId) -> Result<Option<ClipId>, CatalogError> {
        let row = sqlx::query("SELECT upload_id FROM upload_parts WHERE part_id = $1")
            .bind(part.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.map(|row| Row::new("upload_parts", &row).id("upload_id"))
            .transpose()
    }
}

impl Tx {
    /// Completes a partial upload of this sender that has all its bytes, for the final one that it is to be a part of; its
    /// length. None when it is not all there, not partial, another's, or joined already.
    pub async fn join_part(
        &mut self,
        part: ClipId,
        owner: OwnerId,
        device: Option<DeviceId>,
        now: UnixMs,
    ) -> Result<Option<u64>, CatalogError> {
        let row = sqlx::query(
            "UPDATE uploads SET state = 'complete', epoch = epoch + 1, updated_at = $1 WHERE id = $2 AND owner_id = $3 \
             AND coalesce(device_id, $5) = $4 AND state = 'open' AND concat = 'partial' AND received = length \
             RETURNING received",
        )
        .bind(now)
        .bind(part.as_bytes().to_vec())
        .bind(owner.as_bytes().to_vec())
        // No vehicle has an empty id.
        .bind(device.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(Vec::<u8>::new())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Row::new("uploads", &row).size("received")).transpose()
    }

    /// Notes what a final upload is made of.
    pub async fn insert_parts(&mut self, upload: ClipId, parts: &[ClipId]) -> Result<(), CatalogError> {
        for (place, part) in (0_u64..).zip(parts) {
            sqlx::query("INSERT INTO upload_parts (part_id, upload_id, place) VALUES ($1, $2, $3)")
                .bind(part.as_bytes().to_vec())
                .bind(upload.as_bytes().to_vec())
                .bind(signed(place))
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// The parts of an upload that is finished or over are over too.
    pub(super) async fn bury_parts(&mut self, upload: ClipId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE uploads SET state = 'ended', epoch = epoch + 1, received = 0, length = NULL, sealed_metadata = NULL, \
             is_event = 0, updated_at = $1 WHERE state = 'complete' AND concat = 'partial' \
             AND id IN (SELECT part_id FROM upload_parts WHERE upload_id = $2) \
             AND EXISTS (SELECT 1 FROM uploads u WHERE u.id = $2 AND u.state IN ('finished', 'ended', 'expired'))",
        )
        .bind(now)
        .bind(upload.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// What tombstones older than `before` were made of is forgotten before they are.
    pub(super) async fn forget_parts(&mut self, before: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "DELETE FROM upload_parts WHERE upload_id IN \
             (SELECT id FROM uploads WHERE state IN ('ended', 'expired') AND updated_at < $1)",
        )
        .bind(before)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
