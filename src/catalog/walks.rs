//! The rolling inventory's walks through the buckets: whose turn it is, how far each walk is, and what was found.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{Bucket, ClipId, ObjectId, UnixMs, WalkId, WalkStage};

/// Findings that are kept open for one bucket: whoever has more needs no list of all, and a walk counts them anyway.
pub const MOST_FINDINGS: u64 = 1_000;
/// Rows that one question gets at most: a year of a walk a day through three buckets, and more.
const MOST_ROWS: i64 = 10_000;
/// The one row of `inventory_turns`.
const TURN: &str = "rolling";

/// A row of `inventory_runs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkRow {
    pub id: WalkId,
    pub bucket: Bucket,
    pub stage: WalkStage,
    /// What was looked at last in this stage.
    pub cursor: Option<String>,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes that they have together.
    pub bytes: u64,
    /// Rows whose objects were asked for.
    pub rows: u64,
    pub findings: u64,
    /// Of them, those that may be plaintext.
    pub not_sealed: u64,
    pub clips_opened: u64,
    pub objects_opened: u64,
    /// How many of each format, version and suite, as a JSON object.
    pub forms: String,
    pub began_at: UnixMs,
    /// The last step.
    pub moved_at: UnixMs,
    /// None while it goes on.
    pub ended_at: Option<UnixMs>,
}

/// What a walk found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFinding {
    /// A stable word.
    pub flaw: &'static str,
    /// The object's name if it is one of ours; never a foreign one, which may tell of somebody.
    pub name: String,
    /// The clip that was opened, if it was found so.
    pub clip: Option<ClipId>,
}

/// A row of `inventory_findings`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingRow {
    pub bucket: Bucket,
    pub flaw: String,
    pub name: String,
    pub clip: Option<ClipId>,
    pub began_at: UnixMs,
    pub seen_at: UnixMs,
    /// The first walk that did not find it any more; none while it stands.
    pub ended_at: Option<UnixMs>,
}

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select_walks {
    ($rest:literal) => {
        concat!(
            "SELECT id, bucket, stage, cursor_at, objects, bytes, rows_checked, findings, not_sealed, clips_opened, \
             objects_opened, forms, began_at, moved_at, ended_at FROM inventory_runs ",
            $rest
        )
    };
}

/// Likewise.
macro_rules! select_findings {
    ($rest:literal) => {
        concat!(
            "SELECT bucket, flaw, name, clip_id, began_at, seen_at, ended_at FROM inventory_findings ",
            $rest
        )
    };
}

impl Catalog {
    /// The walk that goes on, if one does.
    pub async fn open_walk(&self) -> Result<Option<WalkRow>, CatalogError> {
        let row = sqlx::query(select_walks!("WHERE ended_at IS NULL ORDER BY began_at, id LIMIT 1"))
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read_walk).transpose()
    }

    /// The last walk through a bucket that came to its end.
    pub async fn last_walk(&self, bucket: Bucket) -> Result<Option<WalkRow>, CatalogError> {
        let row = sqlx::query(select_walks!(
            "WHERE bucket = $1 AND ended_at IS NOT NULL ORDER BY ended_at DESC LIMIT 1"
        ))
        .bind(bucket.as_str())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(read_walk).transpose()
    }

    /// Walks through a bucket that came to their end from `from` on and before `to`, oldest first; at most ten thousand.
    pub async fn walks(&self, bucket: Bucket, from: UnixMs, to: UnixMs) -> Result<Vec<WalkRow>, CatalogError> {
        let rows = sqlx::query(select_walks!(
            "WHERE bucket = $1 AND ended_at >= $2 AND ended_at < $3 ORDER BY ended_at LIMIT $4"
        ))
        .bind(bucket.as_str())
        .bind(from)
        .bind(to)
        .bind(MOST_ROWS)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read_walk).collect()
    }

    /// What stands at any time from `from` on and before `to`, oldest first; at most ten thousand.
    pub async fn findings(&self, from: UnixMs, to: UnixMs) -> Result<Vec<FindingRow>, CatalogError> {
        let rows = sqlx::query(select_findings!(
            "WHERE began_at < $1 AND (ended_at IS NULL OR ended_at > $2) ORDER BY began_at, id LIMIT $3"
        ))
        .bind(to)
        .bind(from)
        .bind(MOST_ROWS)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read_finding).collect()
    }

    /// A clip whose objects did not open as they were sealed, and that this walk has not opened yet: the longest unseen one.
    pub async fn clip_with_findings(&self, walk: WalkId) -> Result<Option<ClipId>, CatalogError> {
        let row = sqlx::query(
            "SELECT clip_id FROM inventory_findings WHERE clip_id IS NOT NULL AND ended_at IS NULL AND run_id <> $1 \
             ORDER BY seen_at, id LIMIT 1",
        )
        .bind(walk.as_bytes().to_vec())
        .fetch_optional(self.readers())
        .await?;
        row.map(|row| Row::new("inventory_findings", &row).id("clip_id"))
            .transpose()
    }

    /// The sealed clip that comes first after `from`, or the first of all: a random `from` gives a random one.
    pub async fn some_clip(&self, from: ClipId) -> Result<Option<ClipId>, CatalogError> {
        for from in [from, ClipId::from_bytes([0; 16])] {
            let row = sqlx::query("SELECT id FROM clips WHERE id >= $1 AND envelope IS NOT NULL ORDER BY id LIMIT 1")
                .bind(from.as_bytes().to_vec())
                .fetch_optional(self.readers())
                .await?;
            if let Some(row) = row {
                return Row::new("clips", &row).id("id").map(Some);
            }
        }
        Ok(None)
    }

    /// How many objects the rows count on in a bucket.
    pub async fn count_objects(&self, bucket: Bucket) -> Result<u64, CatalogError> {
        let text = match bucket {
            Bucket::Data => "SELECT COUNT(*) AS n FROM objects",
            Bucket::Staging => "SELECT COUNT(*) AS n FROM pieces",
            Bucket::KeyPlane => "SELECT COUNT(DISTINCT object_id) AS n FROM mirrors",
        };
        let row = sqlx::query(text).fetch_one(self.readers()).await?;
        Row::new("objects", &row).size("n")
    }
}

impl Tx {
    /// Takes the turn to walk, or keeps it, until `until`; false while another node has it. Nobody else takes it before this
    /// transaction ends.
    pub async fn take_walking_turn(
        &mut self,
        holder: WalkId,
        now: UnixMs,
        until: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "INSERT INTO inventory_turns (name, holder_id, held_until) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET holder_id = excluded.holder_id, held_until = excluded.held_until \
             WHERE inventory_turns.holder_id = excluded.holder_id OR inventory_turns.held_until <= $4",
        )
        .bind(TURN)
        .bind(holder.as_bytes().to_vec())
        .bind(until)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives the turn back.
    pub async fn leave_walking_turn(&mut self, holder: WalkId) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM inventory_turns WHERE name = $1 AND holder_id = $2")
            .bind(TURN)
            .bind(holder.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Begins a walk through a bucket; one that is under way already is [`CatalogError::Exists`].
    pub async fn begin_walk(&mut self, bucket: Bucket, now: UnixMs) -> Result<WalkRow, CatalogError> {
        let walk = WalkRow {
            id: WalkId::random(),
            bucket,
            stage: WalkStage::Objects,
            cursor: None,
            objects: 0,
            bytes: 0,
            rows: 0,
            findings: 0,
            not_sealed: 0,
            clips_opened: 0,
            objects_opened: 0,
            forms: "{}".to_owned(),
            began_at: now,
            moved_at: now,
            ended_at: None,
        };
        sqlx::query(
            "INSERT INTO inventory_runs (id, bucket, stage, objects, bytes, rows_checked, findings, not_sealed, \
             clips_opened, objects_opened, forms, began_at, moved_at) VALUES ($1, $2, $3, 0, 0, 0, 0, 0, 0, 0, $4, $5, $6)",
        )
        .bind(walk.id.as_bytes().to_vec())
        .bind(bucket.as_str())
        .bind(walk.stage.as_str())
        .bind(walk.forms.clone())
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(walk)
    }

    /// Writes down how far a walk is.
    pub async fn move_walk(&mut self, walk: &WalkRow) -> Result<(), CatalogError> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        sqlx::query(
            "UPDATE inventory_runs SET stage = $1, cursor_at = $2, objects = $3, bytes = $4, rows_checked = $5, \
             findings = $6, not_sealed = $7, clips_opened = $8, objects_opened = $9, forms = $10, moved_at = $11, \
             ended_at = $12 WHERE id = $13 AND ended_at IS NULL",
        )
        .bind(walk.stage.as_str())
        .bind(walk.cursor.clone())
        .bind(count(walk.objects))
        .bind(count(walk.bytes))
        .bind(count(walk.rows))
        .bind(count(walk.findings))
        .bind(count(walk.not_sealed))
        .bind(count(walk.clips_opened))
        .bind(count(walk.objects_opened))
        .bind(walk.forms.clone())
        .bind(walk.moved_at)
        .bind(walk.ended_at)
        .bind(walk.id.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Writes down a finding, or that it still stands; true when it is new. Past [`MOST_FINDINGS`] nothing is written down.
    pub async fn note_finding(
        &mut self,
        walk: &WalkRow,
        finding: &NewFinding,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let seen = sqlx::query(
            "UPDATE inventory_findings SET seen_at = $1, run_id = $2 \
             WHERE bucket = $3 AND flaw = $4 AND name = $5 AND ended_at IS NULL",
        )
        .bind(now)
        .bind(walk.id.as_bytes().to_vec())
        .bind(walk.bucket.as_str())
        .bind(finding.flaw)
        .bind(finding.name.clone())
        .execute(self.connection())
        .await?;
        if seen.rows_affected() > 0 || self.open_findings(walk.bucket).await? >= MOST_FINDINGS {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO inventory_findings (id, bucket, flaw, name, clip_id, run_id, began_at, seen_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(ObjectId::random().as_bytes().to_vec())
        .bind(walk.bucket.as_str())
        .bind(finding.flaw)
        .bind(finding.name.clone())
        .bind(finding.clip.map(|clip| clip.as_bytes().to_vec()))
        .bind(walk.id.as_bytes().to_vec())
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(true)
    }

    /// Ends what a whole walk did not find any more; how many that were. What was opened by key is another's to end.
    pub async fn end_findings_before(&mut self, walk: &WalkRow, now: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query(
            "UPDATE inventory_findings SET ended_at = $1 \
             WHERE bucket = $2 AND run_id <> $3 AND clip_id IS NULL AND ended_at IS NULL",
        )
        .bind(now)
        .bind(walk.bucket.as_str())
        .bind(walk.id.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }

    /// Ends what this walk did not find of a clip that it has opened.
    pub async fn end_findings_of(&mut self, walk: &WalkRow, clip: ClipId, now: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query(
            "UPDATE inventory_findings SET ended_at = $1 WHERE clip_id = $2 AND run_id <> $3 AND ended_at IS NULL",
        )
        .bind(now)
        .bind(clip.as_bytes().to_vec())
        .bind(walk.id.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }

    async fn open_findings(&mut self, bucket: Bucket) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT COUNT(*) AS n FROM inventory_findings WHERE bucket = $1 AND ended_at IS NULL")
            .bind(bucket.as_str())
            .fetch_one(self.connection())
            .await?;
        Row::new("inventory_findings", &row).size("n")
    }
}

fn read_walk(row: &AnyRow) -> Result<WalkRow, CatalogError> {
    let row = Row::new("inventory_runs", row);
    Ok(WalkRow {
        id: row.id("id")?,
        bucket: row.state("bucket")?,
        stage: row.state("stage")?,
        cursor: row.maybe_text("cursor_at")?,
        objects: row.size("objects")?,
        bytes: row.size("bytes")?,
        rows: row.size("rows_checked")?,
        findings: row.size("findings")?,
        not_sealed: row.size("not_sealed")?,
        clips_opened: row.size("clips_opened")?,
        objects_opened: row.size("objects_opened")?,
        forms: row.text("forms")?,
        began_at: row.int("began_at")?,
        moved_at: row.int("moved_at")?,
        ended_at: row.maybe_int("ended_at")?,
    })
}

fn read_finding(row: &AnyRow) -> Result<FindingRow, CatalogError> {
    let row = Row::new("inventory_findings", row);
    Ok(FindingRow {
        bucket: row.state("bucket")?,
        flaw: row.text("flaw")?,
        name: row.text("name")?,
        clip: row.maybe_id("clip_id")?,
        began_at: row.int("began_at")?,
        seen_at: row.int("seen_at")?,
        ended_at: row.maybe_int("ended_at")?,
    })
}
