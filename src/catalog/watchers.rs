//! Who watches our own buckets, and when each last did.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::UnixMs;

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
        self.round_at + MISSING_ROUNDS * self.interval_ms + ROUND_MS
    }
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
}

impl Tx {
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
