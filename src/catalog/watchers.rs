//! Who watches our own buckets, and when each last did.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, MOST_ROWS, Tx};
use crate::model::{Bucket, ObjectId, UnixMs};

/// Rounds that may be missing before a watch counts as silent: one or two fail when a store is restarted.
const MISSING_ROUNDS: i64 = 5;
/// What a round may take itself, on a machine that is busy.
const ROUND_MS: i64 = 10_000;
/// Watchers that are listed; more places to look from nobody has.
const MOST_WATCHERS: i64 = 100;

/// A row of `watchers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherRow {
    /// A word for the place from which it looks.
    pub watcher: String,
    /// From one round to the next.
    pub interval_ms: i64,
    /// Its rounds, ever.
    pub rounds: u64,
    /// Its last round; before the first one, since when it is expected.
    pub round_at: UnixMs,
    /// Its last round that could tell anything of some bucket.
    pub seeing_at: Option<UnixMs>,
}

impl WatcherRow {
    /// From when on nobody can say that it still looks.
    pub fn silent_from(&self) -> UnixMs {
        self.round_at + silent_after_ms(self.interval_ms)
    }
}

/// How long after its last round a watch counts as silent.
pub const fn silent_after_ms(interval_ms: i64) -> i64 {
    MISSING_ROUNDS * interval_ms + ROUND_MS
}

/// A row of `watch_gaps`: a time in which nobody looked at a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchGapRow {
    pub bucket: Bucket,
    /// The last look before it.
    pub from: UnixMs,
    /// The first one after it.
    pub to: UnixMs,
}

impl Catalog {
    /// Everybody who watches, or is expected to.
    pub async fn watchers(&self) -> Result<Vec<WatcherRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT watcher, interval_ms, rounds, round_at, seeing_at FROM watchers ORDER BY watcher LIMIT $1",
        )
        .bind(MOST_WATCHERS)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Times without a look that overlap what is from `from` on and before `to`, oldest first; at most ten thousand.
    pub async fn watch_gaps(&self, from: UnixMs, to: UnixMs) -> Result<Vec<WatchGapRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT bucket, from_at, to_at FROM watch_gaps WHERE from_at < $1 AND to_at > $2 ORDER BY from_at, id LIMIT $3",
        )
        .bind(to)
        .bind(from)
        .bind(MOST_ROWS)
        .fetch_all(self.readers())
        .await?;
        let rows = rows.iter().map(|row| Row::new("watch_gaps", row));
        rows.map(|row| {
            Ok(WatchGapRow {
                bucket: row.state("bucket")?,
                from: row.int("from_at")?,
                to: row.int("to_at")?,
            })
        })
        .collect()
    }

    /// When somebody looked at a bucket for the first time; none: never.
    pub async fn first_look(&self, bucket: Bucket) -> Result<Option<UnixMs>, CatalogError> {
        let row = sqlx::query("SELECT MIN(at) AS at FROM verdict_changes WHERE bucket = $1")
            .bind(bucket.as_str())
            .fetch_one(self.readers())
            .await?;
        Row::new("verdict_changes", &row).maybe_int("at")
    }
}

impl Tx {
    /// Keeps a time in which nobody looked at a bucket.
    pub async fn note_watch_gap(&mut self, gap: &WatchGapRow) -> Result<(), CatalogError> {
        sqlx::query("INSERT INTO watch_gaps (id, bucket, from_at, to_at) VALUES ($1, $2, $3, $4)")
            .bind(ObjectId::random().as_bytes().to_vec())
            .bind(gap.bucket.as_str())
            .bind(gap.from)
            .bind(gap.to)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Notes a round that was made, and whether it could tell anything; how the watcher stood before, unless this is its
    /// first.
    pub async fn round_made(
        &mut self,
        watcher: &str,
        interval_ms: i64,
        is_seeing: bool,
        now: UnixMs,
    ) -> Result<Option<WatcherRow>, CatalogError> {
        // Locks the row first, so that of two nodes of one name one sees the other's round.
        self.expect_watcher(watcher, interval_ms, now).await?;
        let before =
            sqlx::query("SELECT watcher, interval_ms, rounds, round_at, seeing_at FROM watchers WHERE watcher = $1")
                .bind(watcher.to_owned())
                .fetch_one(self.connection())
                .await?;
        let before = read(&before)?;
        sqlx::query(
            "UPDATE watchers SET interval_ms = $1, rounds = rounds + 1, round_at = $2, \
             seeing_at = CASE WHEN $3 = 1 THEN $2 ELSE seeing_at END WHERE watcher = $4",
        )
        .bind(interval_ms)
        .bind(now)
        .bind(i64::from(is_seeing))
        .bind(watcher.to_owned())
        .execute(self.connection())
        .await?;
        Ok((before.rounds > 0).then_some(before))
    }

    /// Expects rounds of a watcher from now on, if it is not known yet.
    pub async fn expect_watcher(&mut self, watcher: &str, interval_ms: i64, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO watchers (watcher, interval_ms, rounds, round_at) VALUES ($1, $2, 0, $3) \
             ON CONFLICT (watcher) DO UPDATE SET interval_ms = watchers.interval_ms",
        )
        .bind(watcher.to_owned())
        .bind(interval_ms)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Expects nothing more of a watcher whose last round was before a time; false when it has looked since.
    pub async fn forget_watcher(&mut self, watcher: &str, before: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query("DELETE FROM watchers WHERE watcher = $1 AND round_at < $2")
            .bind(watcher.to_owned())
            .bind(before)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn read(row: &AnyRow) -> Result<WatcherRow, CatalogError> {
    let row = Row::new("watchers", row);
    Ok(WatcherRow {
        watcher: row.text("watcher")?,
        interval_ms: row.int("interval_ms")?,
        rounds: row.size("rounds")?,
        round_at: row.int("round_at")?,
        seeing_at: row.maybe_int("seeing_at")?,
    })
}
