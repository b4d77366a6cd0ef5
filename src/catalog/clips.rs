//! Clips: where each one is on its way, its wrapped key, and what is sealed about it.
//!
//! A clip may lie in the trash while its work goes on: then `state` is `trashed` and `state_before` is what the work
//! moves, so that a restored clip is where it would be. Every write raises the row's `updated_at`, also within one
//! millisecond and with clocks that differ, so that [`ClipsStamp`] tells every change.

use sqlx::any::AnyRow;

use super::row::{Row, cursor, places};
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, ClipState, DeviceId, OwnerId, TenantId, UnixMs};

/// Ids of one request; SQLite takes 32,766 parameters, and a page of clips needs far fewer.
pub const MAX_CLIP_IDS: usize = 1_000;

pub(super) const COLUMNS: &str = "id, tenant_id, owner_id, device_id, state, state_before, progress, incomplete, error_code, \
     kek_version, envelope, sealed_summary, sealed_details, sha256_index, held, created_at, updated_at, mark, trashed_at, \
     erase_at, coalesce((SELECT m.revision FROM mirrors m WHERE m.subject_id = clips.id AND m.kind = 'envelope' \
     AND m.state = 'newest'), 0) AS least_revision";

/// The state that work goes by: what lies in the trash keeps it in `state_before`.
const WORK_STATE: &str = "(CASE WHEN state = 'trashed' THEN state_before ELSE state END)";

/// A clip whose bytes begin to arrive.
#[derive(Debug, Clone)]
pub struct NewClip {
    /// The upload's id too.
    pub id: ClipId,
    /// Whose system.
    pub tenant: TenantId,
    /// Whose clip.
    pub owner: OwnerId,
    /// The vehicle that sends it; none when its owner does.
    pub device: Option<DeviceId>,
    /// When it was begun.
    pub created_at: UnixMs,
}

/// A row of the table.
#[derive(Debug, Clone)]
pub struct ClipRow {
    /// The clip.
    pub id: ClipId,
    /// Whose system.
    pub tenant: TenantId,
    /// Whose clip.
    pub owner: OwnerId,
    /// The vehicle that sent it.
    pub device: Option<DeviceId>,
    /// Where it is.
    pub state: ClipState,
    /// What a restore goes back to.
    pub state_before: Option<ClipState>,
    /// Per mille of the current work.
    pub progress: u64,
    /// Less could be decoded than was claimed.
    pub incomplete: bool,
    /// A stable word for why it failed.
    pub error_code: Option<String>,
    /// Which key of the owner wraps this clip's.
    pub kek_version: Option<u64>,
    /// A whole DCVE record; none until the original is sealed, and none once erased.
    pub envelope: Option<Vec<u8>>,
    /// The highest revision that the envelope ever had; an older one was put back. 0 while it has no mirror.
    pub least_revision: u32,
    /// Sealed under the clip's key.
    pub sealed_summary: Option<Vec<u8>>,
    /// Sealed under the clip's key.
    pub sealed_details: Option<Vec<u8>>,
    /// HMAC of the original's SHA-256 inside one owner and vehicle.
    pub sha256_index: Option<Vec<u8>>,
    /// It may be neither trashed nor erased.
    pub held: bool,
    /// When its upload was begun.
    pub created_at: UnixMs,
    /// Raised by every write of the row.
    pub updated_at: UnixMs,
    /// Random, set when the row was made; 0 in rows older than the column.
    pub mark: i64,
    /// Since when it lies in the trash.
    pub trashed_at: Option<UnixMs>,
    /// When it is erased.
    pub erase_at: Option<UnixMs>,
}

/// What a finish job knows of a clip; published with its objects in one transaction.
pub struct ClipPublication<'a> {
    /// The clip, in work: queued or transcoding, in the trash or not.
    pub id: ClipId,
    /// `Transcoding` when only the original is there yet, else `Ready` or `Failed`.
    pub state: ClipState,
    /// Less could be decoded than was claimed.
    pub incomplete: bool,
    /// A stable word for why it failed.
    pub error_code: Option<&'a str>,
    /// Which key of the owner wraps this clip's.
    pub kek_version: u64,
    /// A whole DCVE record.
    pub envelope: &'a [u8],
    /// A sealed `ClipSummary`.
    pub sealed_summary: &'a [u8],
    /// A sealed `ClipDetails`.
    pub sealed_details: &'a [u8],
    /// HMAC of the original's SHA-256 inside one owner and vehicle.
    pub sha256_index: Option<&'a [u8]>,
}

/// Differs whenever a clip of the owner came, changed or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClipsStamp {
    /// Number of clips.
    pub count: i64,
    /// Sum of `updated_at`, which every write of a row raises, and of `mark`, random for each row: one that went and one
    /// that came with the same times are told apart.
    pub sum: i64,
}

/// How much an owner keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClipTotals {
    /// Clips that are not being erased, the trash included.
    pub clips: u64,
    /// Bytes of all their sealed objects as stored.
    pub stored_bytes: u64,
}

impl Catalog {
    /// A clip of this owner.
    pub async fn clip(&self, owner: OwnerId, id: ClipId) -> Result<Option<ClipRow>, CatalogError> {
        Ok(self.clip_any(id).await?.filter(|row| row.owner == owner))
    }

    /// A clip, whoever owns it: for jobs, which carry their authority in their row.
    pub async fn clip_any(&self, id: ClipId) -> Result<Option<ClipRow>, CatalogError> {
        let text = format!("SELECT {COLUMNS} FROM clips WHERE id = $1");
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(clip_row).transpose()
    }

    /// All clips of an owner, in no order.
    pub async fn clips_of(&self, owner: OwnerId) -> Result<Vec<ClipRow>, CatalogError> {
        self.clips_changed_since(owner, UnixMs::MIN).await
    }

    /// An owner's clips whose `updated_at` is after `since`, in no order.
    pub async fn clips_changed_since(&self, owner: OwnerId, since: UnixMs) -> Result<Vec<ClipRow>, CatalogError> {
        let text = format!("SELECT {COLUMNS} FROM clips WHERE owner_id = $1 AND updated_at > $2");
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(owner.as_bytes().to_vec())
            .bind(since)
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(clip_row).collect()
    }

    /// Which clips an owner has, and the `updated_at` of each; in no order.
    pub async fn clip_versions(&self, owner: OwnerId) -> Result<Vec<(ClipId, UnixMs)>, CatalogError> {
        let rows = sqlx::query("SELECT id, updated_at FROM clips WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        let rows = rows.iter().map(|row| Row::new("clips", row));
        rows.map(|row| Ok((row.id("id")?, row.int("updated_at")?))).collect()
    }

    /// Those of `ids` (at most [`MAX_CLIP_IDS`]) that are this owner's, in no order.
    pub async fn clips_by_id(&self, owner: OwnerId, ids: &[ClipId]) -> Result<Vec<ClipRow>, CatalogError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = &ids[..ids.len().min(MAX_CLIP_IDS)];
        // The owner is compared here: were it in the condition, SQLite would walk all of an owner's clips to find some.
        let text = format!("SELECT {COLUMNS} FROM clips WHERE id IN ({})", places(ids.len()));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for id in ids {
            query = query.bind(id.as_bytes().to_vec());
        }
        let rows = query.fetch_all(self.readers()).await?;
        let rows: Vec<_> = rows.iter().map(clip_row).collect::<Result<_, _>>()?;
        Ok(rows.into_iter().filter(|row| row.owner == owner).collect())
    }

    /// Tells whether anything about an owner's clips has changed.
    pub async fn clips_stamp(&self, owner: OwnerId) -> Result<ClipsStamp, CatalogError> {
        let row = sqlx::query(
            "SELECT count(*) AS clips, CAST(coalesce(sum(updated_at + mark), 0) AS BIGINT) AS total FROM clips \
             WHERE owner_id = $1",
        )
        .bind(owner.as_bytes().to_vec())
        .fetch_one(self.readers())
        .await?;
        let row = Row::new("clips", &row);
        Ok(ClipsStamp {
            count: row.int("clips")?,
            sum: row.int("total")?,
        })
    }

    /// How much an owner keeps.
    pub async fn clip_totals(&self, owner: OwnerId) -> Result<ClipTotals, CatalogError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM clips WHERE owner_id = $1 AND state <> 'erasing') AS clips, \
             (SELECT CAST(coalesce(sum(o.size_bytes), 0) AS BIGINT) FROM objects o JOIN clips c ON c.id = o.clip_id \
             WHERE c.owner_id = $1) AS stored",
        )
        .bind(owner.as_bytes().to_vec())
        .fetch_one(self.readers())
        .await?;
        let row = Row::new("clips", &row);
        Ok(ClipTotals {
            clips: row.size("clips")?,
            stored_bytes: row.size("stored")?,
        })
    }

    /// How many of an owner's clips are held.
    pub async fn count_held_clips(&self, owner: OwnerId) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT COUNT(*) AS clips FROM clips WHERE owner_id = $1 AND held = 1")
            .bind(owner.as_bytes().to_vec())
            .fetch_one(self.readers())
            .await?;
        Row::new("clips", &row).size("clips")
    }

    /// At most `limit` clips of an owner, in whatever state, that are not held and whose erasure neither waits nor runs.
    pub async fn clips_without_erasure(&self, owner: OwnerId, limit: u32) -> Result<Vec<ClipId>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id FROM clips WHERE owner_id = $1 AND held = 0 AND NOT EXISTS (SELECT 1 FROM jobs \
             WHERE jobs.clip_id = clips.id AND jobs.kind = 'erase_clip' AND jobs.state IN ('queued', 'running')) LIMIT $2",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Row::new("clips", row).id("id")).collect()
    }

    /// At most `limit` clips whose days in the trash are over, the longest overdue first, from the first behind `after`;
    /// none that is held.
    pub async fn clips_to_erase(
        &self,
        now: UnixMs,
        after: Option<(UnixMs, ClipId)>,
        limit: u32,
    ) -> Result<Vec<ClipRow>, CatalogError> {
        let text = format!(
            "SELECT {COLUMNS} FROM clips WHERE state = 'trashed' AND held = 0 AND erase_at <= $1 \
             AND (erase_at > $2 OR (erase_at = $2 AND id > $3)) ORDER BY erase_at, id LIMIT $4"
        );
        let (time, id) = cursor(after.map(|(time, id)| (time, *id.as_bytes())));
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(time)
            .bind(id)
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(clip_row).collect()
    }
}

impl Tx {
    /// Adds a clip in state uploading.
    pub async fn insert_clip(&mut self, clip: &NewClip) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO clips (id, tenant_id, owner_id, device_id, state, progress, incomplete, held, created_at, \
             updated_at, mark) VALUES ($1, $2, $3, $4, 'uploading', 0, 0, 0, $5, $5, $6)",
        )
        .bind(clip.id.as_bytes().to_vec())
        .bind(clip.tenant.as_bytes().to_vec())
        .bind(clip.owner.as_bytes().to_vec())
        .bind(clip.device.map(|id| id.as_bytes().to_vec()))
        .bind(clip.created_at)
        .bind(mark(clip.id))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Moves a clip's work from one of the states `from` to `to`, its progress back to zero. A clip in the trash stays
    /// there and is moved beneath. False when its work was in none of them.
    pub async fn set_clip_state(
        &mut self,
        id: ClipId,
        from: &[ClipState],
        to: ClipState,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let text = format!(
            "UPDATE clips SET state = CASE WHEN state = 'trashed' THEN state ELSE $3 END, \
             state_before = CASE WHEN state = 'trashed' THEN $3 ELSE NULL END, progress = 0, {RAISE} \
             WHERE id = $2 AND $4 LIKE '%,' || {WORK_STATE} || ',%'"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .bind(to.as_str())
            .bind(words(from))
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Tells how far the current work is, in per mille; false when the clip is not transcoding.
    pub async fn set_clip_progress(&mut self, id: ClipId, per_mille: u16, now: UnixMs) -> Result<bool, CatalogError> {
        let text = format!("UPDATE clips SET progress = $3, {RAISE} WHERE id = $2 AND {WORK_STATE} = 'transcoding'");
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .bind(i64::from(per_mille.min(1_000)))
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Writes what a finish job knows of a clip and where that leaves it. False when the clip is not in work any more:
    /// erased meanwhile, or published by another; then nothing of the transaction may stay.
    /// One under a key that was destroyed meanwhile is [`CatalogError::Superseded`].
    pub async fn publish_clip(&mut self, clip: &ClipPublication<'_>, now: UnixMs) -> Result<bool, CatalogError> {
        self.hold_kek_of(clip.id, clip.kek_version).await?;
        let text = format!(
            "UPDATE clips SET state = CASE WHEN state = 'trashed' THEN state ELSE $3 END, \
             state_before = CASE WHEN state = 'trashed' THEN $3 ELSE NULL END, progress = $4, incomplete = $5, \
             error_code = $6, kek_version = $7, envelope = $8, sealed_summary = $9, sealed_details = $10, \
             sha256_index = coalesce($11, sha256_index), {RAISE} \
             WHERE id = $2 AND {WORK_STATE} IN ('queued', 'transcoding')"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(clip.id.as_bytes().to_vec())
            .bind(clip.state.as_str())
            .bind(if clip.state == ClipState::Ready { 1_000_i64 } else { 0 })
            .bind(i64::from(clip.incomplete))
            .bind(clip.error_code)
            .bind(i64::try_from(clip.kek_version).unwrap_or(i64::MAX))
            .bind(clip.envelope.to_vec())
            .bind(clip.sealed_summary.to_vec())
            .bind(clip.sealed_details.to_vec())
            .bind(clip.sha256_index.map(<[u8]>::to_vec))
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a clip's work without anything to keep but a reason: its bytes cannot be had.
    pub async fn fail_clip(&mut self, id: ClipId, error_code: &str, now: UnixMs) -> Result<bool, CatalogError> {
        let text = format!(
            "UPDATE clips SET state = CASE WHEN state = 'trashed' THEN state ELSE 'failed' END, \
             state_before = CASE WHEN state = 'trashed' THEN 'failed' ELSE NULL END, progress = 0, error_code = $3, \
             {RAISE} WHERE id = $2 AND {WORK_STATE} IN ('queued', 'transcoding')"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .bind(error_code)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts a clip into the trash until `erase_at`. False when it is held, still uploading, or not there to be trashed.
    pub async fn trash_clip(
        &mut self,
        owner: OwnerId,
        id: ClipId,
        now: UnixMs,
        erase_at: UnixMs,
    ) -> Result<bool, CatalogError> {
        let text = format!(
            "UPDATE clips SET state_before = state, state = 'trashed', trashed_at = $1, erase_at = $4, {RAISE} \
             WHERE id = $2 AND owner_id = $3 AND held = 0 AND state IN ('queued', 'transcoding', 'ready', 'failed')"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .bind(owner.as_bytes().to_vec())
            .bind(erase_at)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a clip out of the trash. False when it is not in it, or its time there is over.
    pub async fn restore_clip(&mut self, owner: OwnerId, id: ClipId, now: UnixMs) -> Result<bool, CatalogError> {
        let text = format!(
            "UPDATE clips SET state = state_before, state_before = NULL, trashed_at = NULL, erase_at = NULL, {RAISE} \
             WHERE id = $2 AND owner_id = $3 AND state = 'trashed' AND erase_at > $1"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes the way back from a clip whose days in the trash are over at `now`; the state becomes erasing. False when it was
    /// restored or held meanwhile, or is not due.
    pub async fn begin_due_erasure(&mut self, id: ClipId, now: UnixMs) -> Result<bool, CatalogError> {
        let text = format!(
            "UPDATE clips SET state = 'erasing', state_before = NULL, progress = 0, {RAISE} \
             WHERE id = $2 AND state = 'trashed' AND held = 0 AND erase_at <= $1"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Locks a clip's row until the commit; false when the clip is not ready. (An update that changes nothing: SQLite has no
    /// `FOR UPDATE`.)
    pub async fn hold_ready_clip(&mut self, id: ClipId) -> Result<bool, CatalogError> {
        let done = sqlx::query("UPDATE clips SET state = state WHERE id = $1 AND state = 'ready'")
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes away the row of a clip whose keys are destroyed; false when they are not. Its objects and links go before.
    pub async fn delete_clip(&mut self, id: ClipId) -> Result<bool, CatalogError> {
        let done = sqlx::query("DELETE FROM clips WHERE id = $1 AND state = 'erasing' AND envelope IS NULL")
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

/// `$1` is the time now; a row's time never stands still nor runs back.
pub(super) const RAISE: &str = "updated_at = CASE WHEN updated_at >= $1 THEN updated_at + 1 ELSE $1 END";

/// A clip's mark: four of its id's random bytes.
fn mark(id: ClipId) -> i64 {
    let [a, b, c, d, ..] = *id.as_bytes();
    i64::from(u32::from_be_bytes([a, b, c, d]))
}

fn words(states: &[ClipState]) -> String {
    let mut words = String::from(",");
    for state in states {
        words.push_str(state.as_str());
        words.push(',');
    }
    words
}

pub(super) fn clip_row(row: &AnyRow) -> Result<ClipRow, CatalogError> {
    let row = Row::new("clips", row);
    Ok(ClipRow {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        owner: row.id("owner_id")?,
        device: row.maybe_id("device_id")?,
        state: row.state("state")?,
        state_before: match row.maybe_text("state_before")? {
            Some(_) => Some(row.state("state_before")?),
            None => None,
        },
        progress: row.size("progress")?,
        incomplete: row.flag("incomplete")?,
        error_code: row.maybe_text("error_code")?,
        kek_version: match row.maybe_int("kek_version")? {
            Some(_) => Some(row.size("kek_version")?),
            None => None,
        },
        envelope: row.maybe_bytes("envelope")?,
        least_revision: row.count("least_revision")?,
        sealed_summary: row.maybe_bytes("sealed_summary")?,
        sealed_details: row.maybe_bytes("sealed_details")?,
        sha256_index: row.maybe_bytes("sha256_index")?,
        held: row.flag("held")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
        mark: row.int("mark")?,
        trashed_at: row.maybe_int("trashed_at")?,
        erase_at: row.maybe_int("erase_at")?,
    })
}
