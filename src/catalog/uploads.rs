//! Uploads: where each one stands, and tombstones of those that are over.
//!
//! `received` is the one truth for the offset. It moves only by [`Tx::advance_upload`], which names the epoch and the
//! offset that its caller goes by: a writer that was fenced, on whichever node, moves nothing.

use sqlx::any::AnyRow;

use super::row::{LINES_A_STATEMENT, Row, cursor, lines_of_places, places};
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, Concat, DeviceId, OwnerId, TenantId, UnixMs, UploadState};

pub(super) const COLUMNS: &str = "id, tenant_id, owner_id, device_id, state, epoch, received, length, sealed_metadata, expires_at, \
     created_at, updated_at, is_event, concat";

/// An upload that begins.
#[derive(Debug, Clone)]
pub struct NewUpload {
    /// The clip's id too.
    pub id: ClipId,
    /// Whose system.
    pub tenant: TenantId,
    /// Whose clip it becomes.
    pub owner: OwnerId,
    /// The vehicle that sends it; none when its owner does.
    pub device: Option<DeviceId>,
    /// Bytes there will be; none while its sender does not know.
    pub length: Option<u64>,
    /// What was said about it, sealed to the ingest key.
    pub sealed_metadata: Vec<u8>,
    /// When it ends if nothing comes.
    pub expires_at: UnixMs,
    /// When it was begun.
    pub created_at: UnixMs,
    /// What kind of upload it is.
    pub traits: UploadTraits,
}

/// What is kept of an upload's kind.
#[derive(Debug, Clone)]
pub struct UploadTraits {
    /// Waits for its rest as long as events do.
    pub is_event: bool,
    /// What its bytes become.
    pub concat: Concat,
    /// What a repeated creation finds it by.
    pub begun: Option<Begun>,
}

impl Default for UploadTraits {
    /// A routine clip that nothing is known of beforehand.
    fn default() -> Self {
        Self {
            is_event: false,
            concat: Concat::Whole,
            begun: None,
        }
    }
}

/// What a repeated creation finds its upload by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// An HMAC; no two uploads have the same one.
    pub index: [u8; 32],
    /// Made of a name and not of the clip's bytes: it is kept as long as the clip.
    pub by_name: bool,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadRow {
    /// The clip's id too.
    pub id: ClipId,
    /// Whose system.
    pub tenant: TenantId,
    /// Whose clip it becomes.
    pub owner: OwnerId,
    /// The vehicle that sends it; none when its owner does.
    pub device: Option<DeviceId>,
    /// Where it is.
    pub state: UploadState,
    /// Raised by every newer request.
    pub epoch: u64,
    /// Durable bytes; 0 again once finished or over, as an exact length says what clip it is.
    pub received: u64,
    /// Bytes there will be; none while its sender does not know, and once finished or over.
    pub length: Option<u64>,
    /// What was said about it; none once finished or over.
    pub sealed_metadata: Option<Vec<u8>>,
    /// When it ends if nothing comes.
    pub expires_at: UnixMs,
    /// When it was begun.
    pub created_at: UnixMs,
    /// When its offset or state last changed.
    pub updated_at: UnixMs,
    /// Whether it waits for its rest as long as events do; false again once finished or over.
    pub is_event: bool,
    /// What its bytes become.
    pub concat: Concat,
}

/// A step of an upload's offset.
#[derive(Debug, Clone, Copy)]
pub struct UploadStep {
    /// The upload.
    pub id: ClipId,
    /// The epoch that the writer began with.
    pub epoch: u64,
    /// The offset that the bytes begin at.
    pub from: u64,
    /// The offset after them.
    pub to: u64,
    /// When the upload now ends if nothing more comes.
    pub expires_at: UnixMs,
}

/// How many uploads are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenUploads {
    /// Of the vehicle, or of the owner's apps.
    pub of_device: u64,
    /// Of the owner, all vehicles included.
    pub of_owner: u64,
}

impl Catalog {
    /// How many uploads an owner has open, and how many of them a vehicle (none: the owner's apps) sends.
    pub async fn open_uploads(&self, owner: OwnerId, device: Option<DeviceId>) -> Result<OpenUploads, CatalogError> {
        let row = sqlx::query(
            "SELECT count(*) AS of_owner, CAST(coalesce(sum(CASE WHEN coalesce(device_id, $2) = $2 THEN 1 ELSE 0 END), 0) \
             AS BIGINT) AS of_device FROM uploads WHERE owner_id = $1 AND state = 'open'",
        )
        .bind(owner.as_bytes().to_vec())
        // No vehicle has an empty id.
        .bind(device.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .fetch_one(self.readers())
        .await?;
        let row = Row::new("uploads", &row);
        Ok(OpenUploads {
            of_device: row.size("of_device")?,
            of_owner: row.size("of_owner")?,
        })
    }

    /// An upload, whoever's it is.
    pub async fn upload(&self, id: ClipId) -> Result<Option<UploadRow>, CatalogError> {
        let text = format!("SELECT {COLUMNS} FROM uploads WHERE id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(upload_row).transpose()
    }

    /// The epochs of these uploads, at most [`super::MAX_CLIP_IDS`] of them; one that is not there is left out.
    pub async fn upload_epochs(&self, ids: &[ClipId]) -> Result<Vec<(ClipId, u64)>, CatalogError> {
        let text = format!("SELECT id, epoch FROM uploads WHERE id IN ({})", places(ids.len()));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for id in ids {
            query = query.bind(id.as_bytes().to_vec());
        }
        let rows = query.fetch_all(self.readers()).await?;
        let rows = rows.iter().map(|row| Row::new("uploads", row));
        rows.map(|row| Ok((row.id("id")?, row.size("epoch")?))).collect()
    }

    /// Open uploads that have all their bytes, at most `limit`, by their ids, from the first behind `after`.
    pub async fn full_uploads(&self, after: Option<ClipId>, limit: u32) -> Result<Vec<ClipId>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id FROM uploads WHERE state = 'open' AND received = length AND concat <> 'partial' AND id > $1 \
             ORDER BY id LIMIT $2",
        )
        .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Row::new("uploads", row).id("id")).collect()
    }

    /// Open uploads to which nothing came for too long and when each was over, the longest overdue first, at most `limit`,
    /// from the first behind `after`.
    pub async fn uploads_to_expire(
        &self,
        now: UnixMs,
        after: Option<(UnixMs, ClipId)>,
        limit: u32,
    ) -> Result<Vec<(UnixMs, ClipId)>, CatalogError> {
        let (time, id) = cursor(after.map(|(time, id)| (time, *id.as_bytes())));
        let rows = sqlx::query(
            "SELECT id, expires_at FROM uploads WHERE state = 'open' AND expires_at <= $1 \
             AND (expires_at > $2 OR (expires_at = $2 AND id > $3)) ORDER BY expires_at, id LIMIT $4",
        )
        .bind(now)
        .bind(time)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let rows = rows.iter().map(|row| Row::new("uploads", row));
        rows.map(|row| Ok((row.int("expires_at")?, row.id("id")?))).collect()
    }
}

impl Tx {
    /// Adds an open upload at offset 0. False when there is one that a repeated creation finds already: then none was added.
    pub async fn insert_upload(&mut self, upload: &NewUpload) -> Result<bool, CatalogError> {
        let (traits, begun) = (&upload.traits, upload.traits.begun.as_ref());
        let done = sqlx::query(
            "INSERT INTO uploads (id, tenant_id, owner_id, device_id, state, epoch, received, length, sealed_metadata, \
             expires_at, created_at, updated_at, is_event, concat, begun_index, begun_by_name) \
             VALUES ($1, $2, $3, $4, 'open', 0, 0, $5, $6, $7, $8, $8, $9, $10, $11, $12) \
             ON CONFLICT (begun_index) DO NOTHING",
        )
        .bind(upload.id.as_bytes().to_vec())
        .bind(upload.tenant.as_bytes().to_vec())
        .bind(upload.owner.as_bytes().to_vec())
        .bind(upload.device.map(|id| id.as_bytes().to_vec()))
        .bind(upload.length.map(signed))
        .bind(upload.sealed_metadata.clone())
        .bind(upload.expires_at)
        .bind(upload.created_at)
        .bind(i64::from(traits.is_event))
        .bind(traits.concat.as_str())
        .bind(begun.map(|begun| begun.index.to_vec()))
        .bind(i64::from(begun.is_some_and(|begun| begun.by_name)))
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Fences every older writer of an open upload by raising its epoch, and puts its end off. None when it is not open.
    pub async fn fence_upload(&mut self, id: ClipId, expires_at: UnixMs) -> Result<Option<UploadRow>, CatalogError> {
        let text = format!(
            "UPDATE uploads SET epoch = epoch + 1, expires_at = CASE WHEN expires_at > $1 THEN expires_at ELSE $1 END \
             WHERE id = $2 AND state = 'open' RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(expires_at)
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(upload_row).transpose()
    }

    /// Fences whatever a vehicle is sending; its open uploads stay as they are, for their owner. How many.
    pub async fn fence_uploads_of(&mut self, owner: OwnerId, device: DeviceId) -> Result<u64, CatalogError> {
        let done = sqlx::query(
            "UPDATE uploads SET epoch = epoch + 1 WHERE owner_id = $1 AND device_id = $2 AND state = 'open'",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(device.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }

    /// Moves the offset past bytes that are durable. False when the writer was fenced, the upload stands elsewhere, is
    /// over, or would become longer than it was said to be: then nothing was moved.
    pub async fn advance_upload(&mut self, step: &UploadStep, now: UnixMs) -> Result<bool, CatalogError> {
        let moved = self.advance_uploads(&[step], now).await?;
        Ok(moved == [true])
    }

    /// As [`Self::advance_upload`], many at once; for each whether it was moved. No two are of one upload and one epoch.
    pub async fn advance_uploads(&mut self, steps: &[&UploadStep], now: UnixMs) -> Result<Vec<bool>, CatalogError> {
        let mut moved = Vec::with_capacity(steps.len());
        for some in steps.chunks(LINES_A_STATEMENT) {
            let text = format!(
                "WITH steps (step_id, step_epoch, step_from, step_to, step_expires, step_now) AS (VALUES {}) \
                 UPDATE uploads SET received = step_to, updated_at = step_now, expires_at = step_expires FROM steps \
                 WHERE id = step_id AND epoch = step_epoch AND received = step_from AND state = 'open' \
                 AND (length IS NULL OR length >= step_to)",
                lines_of_places(some.len(), 6)
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
            for step in some {
                query = query
                    .bind(step.id.as_bytes().to_vec())
                    .bind(signed(step.epoch))
                    .bind(signed(step.from))
                    .bind(signed(step.to))
                    .bind(step.expires_at)
                    .bind(now);
            }
            // A row that is given back costs more than its change, so only the number is asked for.
            let done = query.execute(self.connection()).await?.rows_affected();
            if done == some.len() as u64 || done == 0 {
                moved.extend(some.iter().map(|_| done > 0));
            } else {
                moved.extend(self.those_that_stand_at(some).await?);
            }
        }
        Ok(moved)
    }

    /// For each step whether its upload stands where it leads, in its epoch: only the writer of that epoch brings it there.
    async fn those_that_stand_at(&mut self, steps: &[&UploadStep]) -> Result<Vec<bool>, CatalogError> {
        let text = format!(
            "SELECT id, epoch, received FROM uploads WHERE state = 'open' AND id IN ({})",
            places(steps.len())
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for step in steps {
            query = query.bind(step.id.as_bytes().to_vec());
        }
        let mut found = Vec::with_capacity(steps.len());
        for row in query.fetch_all(self.connection()).await? {
            let row = Row::new("uploads", &row);
            found.push((row.id::<ClipId>("id")?, row.int("epoch")?, row.int("received")?));
        }
        let stands = |step: &&UploadStep| found.contains(&(step.id, signed(step.epoch), signed(step.to)));
        Ok(steps.iter().map(stands).collect())
    }

    /// Notes how many bytes an upload that was begun without a length will have. False when the writer was fenced, the length
    /// is known already, or more bytes are there.
    pub async fn set_upload_length(
        &mut self,
        id: ClipId,
        epoch: u64,
        length: u64,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE uploads SET length = $1, updated_at = $2 \
             WHERE id = $3 AND epoch = $4 AND state = 'open' AND length IS NULL AND received <= $1",
        )
        .bind(signed(length))
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .bind(signed(epoch))
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Completes an open upload that has all its bytes; none when it has not, was completed before, or is a part.
    pub async fn complete_upload(&mut self, id: ClipId, now: UnixMs) -> Result<Option<UploadRow>, CatalogError> {
        let text = format!(
            "UPDATE uploads SET state = 'complete', updated_at = $1 WHERE id = $2 AND state = 'open' \
             AND received = length AND concat <> 'partial' RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(upload_row).transpose()
    }

    /// Marks a complete upload as finished, its original sealed and read back, and clears what would tell the clip's
    /// exact length and name. The partial uploads that it was made of are over then. False when it is not complete.
    pub async fn finish_upload(&mut self, id: ClipId, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE uploads SET state = 'finished', received = 0, length = NULL, sealed_metadata = NULL, is_event = 0, \
             begun_index = CASE WHEN begun_by_name = 1 THEN begun_index ELSE NULL END, updated_at = $1 \
             WHERE id = $2 AND state = 'complete'",
        )
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        self.bury_parts(id, now).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends an open upload for its owner and leaves a tombstone; false when it is not open.
    pub async fn end_upload(&mut self, id: ClipId, now: UnixMs) -> Result<bool, CatalogError> {
        self.bury(id, &[UploadState::Open], UploadState::Ended, None, now).await
    }

    /// Ends an upload because its clip is erased, whatever its state; false when there is none or it was over already.
    pub async fn erase_upload(&mut self, id: ClipId, now: UnixMs) -> Result<bool, CatalogError> {
        let from = [UploadState::Open, UploadState::Complete, UploadState::Finished];
        self.bury(id, &from, UploadState::Ended, None, now).await
    }

    /// Ends an open upload whose time is over; false when it is not open or bytes came meanwhile.
    pub async fn expire_upload(&mut self, id: ClipId, now: UnixMs) -> Result<bool, CatalogError> {
        self.bury(id, &[UploadState::Open], UploadState::Expired, Some(now), now)
            .await
    }

    /// The epoch rises too, so that a writer which is still at it moves nothing.
    async fn bury(
        &mut self,
        id: ClipId,
        from: &[UploadState],
        to: UploadState,
        expired_by: Option<UnixMs>,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let words: Vec<_> = from.iter().map(|state| state.as_str()).collect();
        let done = sqlx::query(
            "UPDATE uploads SET state = $1, epoch = epoch + 1, received = 0, length = NULL, sealed_metadata = NULL, \
             is_event = 0, begun_index = NULL, updated_at = $2 WHERE id = $3 AND $4 LIKE '%,' || state || ',%' AND expires_at <= $5",
        )
        .bind(to.as_str())
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .bind(format!(",{},", words.join(",")))
        .bind(expired_by.unwrap_or(UnixMs::MAX))
        .execute(self.connection())
        .await?;
        self.bury_parts(id, now).await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes tombstones older than `before` whose pieces are gone; how many.
    pub async fn remove_tombstones(&mut self, before: UnixMs) -> Result<u64, CatalogError> {
        self.forget_parts(before).await?;
        let done = sqlx::query(
            "DELETE FROM uploads WHERE state IN ('ended', 'expired') AND updated_at < $1 \
             AND NOT EXISTS (SELECT 1 FROM pieces WHERE pieces.upload_id = uploads.id) \
             AND NOT EXISTS (SELECT 1 FROM upload_keys WHERE upload_keys.upload_id = uploads.id)",
        )
        .bind(before)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }
}

/// Lengths and offsets are at most 64 GiB, epochs count requests: neither comes near 2^63.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn upload_row(row: &AnyRow) -> Result<UploadRow, CatalogError> {
    let row = Row::new("uploads", row);
    let length = match row.maybe_int("length")? {
        Some(_) => Some(row.size("length")?),
        None => None,
    };
    Ok(UploadRow {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        owner: row.id("owner_id")?,
        device: row.maybe_id("device_id")?,
        state: row.state("state")?,
        epoch: row.size("epoch")?,
        received: row.size("received")?,
        length,
        sealed_metadata: row.maybe_bytes("sealed_metadata")?,
        expires_at: row.int("expires_at")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
        is_event: row.flag("is_event")?,
        concat: row.state("concat")?,
    })
}
