//! One notice on its way to one sink. A delivery is claimed by lease, as a job is: whoever lost the lease changes nothing,
//! and what a node that died held is claimed again.

use sqlx::any::AnyRow;

use super::notices::NoticeRow;
use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{DeliveryId, JobId, NoticeId, UnixMs};

/// Notices that are put on their way in one transaction.
const SPREAD_AT_ONCE: i64 = 100;

/// A delivery and the lease that its holder writes under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryLease {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Random, new with every claim.
    pub lease: JobId,
}

/// A delivery that was claimed, and what is to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    pub held: DeliveryLease,
    /// This attempt included.
    pub attempts: u32,
    pub notice: NoticeRow,
}

/// Where a delivery is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryRow {
    pub notice: NoticeId,
    pub sink: String,
    /// waiting, sent or dead.
    pub state: String,
    pub attempts: u32,
    /// Why the last attempt failed, in a word.
    pub failure: Option<String>,
}

impl Catalog {
    /// Whether a sink has something to deliver now, or a notice raised after `since` is not on its way to it; cheaper than
    /// to try.
    pub async fn has_due_delivery(&self, sink: &str, since: UnixMs, now: UnixMs) -> Result<bool, CatalogError> {
        let row = sqlx::query(
            "SELECT 1 AS due WHERE EXISTS (SELECT 1 FROM deliveries WHERE sink = $1 AND state = 'waiting' \
             AND run_after <= $2 AND (lease_until IS NULL OR lease_until <= $2)) \
             OR EXISTS (SELECT 1 FROM notices n WHERE n.raised_at > $3 AND NOT EXISTS \
             (SELECT 1 FROM deliveries d WHERE d.notice_id = n.id AND d.sink = $1))",
        )
        .bind(sink)
        .bind(now)
        .bind(since)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.is_some())
    }

    /// The deliveries of a notice, by sink.
    pub async fn deliveries_of(&self, notice: NoticeId) -> Result<Vec<DeliveryRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT notice_id, sink, state, attempts, failure FROM deliveries WHERE notice_id = $1 ORDER BY sink",
        )
        .bind(notice.as_bytes().to_vec())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Puts notices raised after `since` on their way to these sinks, where they are not yet; how many deliveries were
    /// added. All of a node's sinks at once: a notice is settled when no delivery waits.
    pub async fn spread_notices(&mut self, sinks: &[&str], since: UnixMs, now: UnixMs) -> Result<u64, CatalogError> {
        let mut added = 0;
        for sink in sinks {
            let new = sqlx::query(
                "SELECT n.id AS id FROM notices n WHERE n.raised_at > $1 AND NOT EXISTS \
                 (SELECT 1 FROM deliveries d WHERE d.notice_id = n.id AND d.sink = $2) ORDER BY n.raised_at, n.id LIMIT $3",
            )
            .bind(since)
            .bind(*sink)
            .bind(SPREAD_AT_ONCE)
            .fetch_all(self.connection())
            .await?;
            for row in &new {
                added += self.add_delivery(Row::new("notices", row).id("id")?, sink, now).await?;
            }
        }
        Ok(added)
    }

    async fn add_delivery(&mut self, notice: NoticeId, sink: &str, now: UnixMs) -> Result<u64, CatalogError> {
        // Another node may add it at the same moment, or drop the notice; the row of the notice is locked by the first
        // statement.
        let there = sqlx::query("UPDATE notices SET settled_at = NULL WHERE id = $1")
            .bind(notice.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        if there.rows_affected() == 0 {
            return Ok(0);
        }
        let added = sqlx::query(
            "INSERT INTO deliveries (id, notice_id, sink, state, attempts, run_after) \
             VALUES ($1, $2, $3, 'waiting', 0, $4) ON CONFLICT (notice_id, sink) DO NOTHING",
        )
        .bind(DeliveryId::random().as_bytes().to_vec())
        .bind(notice.as_bytes().to_vec())
        .bind(sink)
        .bind(now)
        .execute(self.connection())
        .await?;
        self.settle(notice, now).await?;
        Ok(added.rows_affected())
    }

    /// Claims the most severe and then oldest delivery to a sink that is due, and counts an attempt.
    ///
    /// `None` also when another node took the same one at the same moment: ask again later.
    pub async fn claim_delivery(
        &mut self,
        sink: &str,
        lease: JobId,
        now: UnixMs,
        until: UnixMs,
    ) -> Result<Option<Claimed>, CatalogError> {
        // The outer condition repeats the inner one: PostgreSQL checks it again on the row that another node has just
        // changed, and the delivery is not claimed twice.
        let row = sqlx::query(
            "UPDATE deliveries SET attempts = attempts + 1, lease_id = $1, lease_until = $2 \
             WHERE id = (SELECT d.id FROM deliveries d JOIN notices n ON n.id = d.notice_id \
                         WHERE d.sink = $3 AND d.state = 'waiting' AND d.run_after <= $4 \
                         AND (d.lease_until IS NULL OR d.lease_until <= $4) \
                         ORDER BY CASE n.severity WHEN 'page' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, \
                         n.raised_at, d.id LIMIT 1) \
             AND state = 'waiting' AND run_after <= $4 AND (lease_until IS NULL OR lease_until <= $4) \
             RETURNING id, notice_id, attempts",
        )
        .bind(lease.as_bytes().to_vec())
        .bind(until)
        .bind(sink)
        .bind(now)
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let row = Row::new("deliveries", &row);
        let Some(notice) = self.notice(row.id("notice_id")?).await? else {
            return Ok(None);
        };
        Ok(Some(Claimed {
            held: DeliveryLease {
                delivery: row.id("id")?,
                lease,
            },
            attempts: row.count("attempts")?,
            notice,
        }))
    }

    /// Ends a delivery that was made; false when the lease is lost.
    pub async fn delivery_made(&mut self, claimed: &Claimed, now: UnixMs) -> Result<bool, CatalogError> {
        self.end_delivery(claimed, "sent", None, now).await
    }

    /// Gives a delivery up; false when the lease is lost.
    pub async fn give_up_delivery(
        &mut self,
        claimed: &Claimed,
        failure: &str,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        self.end_delivery(claimed, "dead", Some(failure), now).await
    }

    /// Lets a delivery be tried again, not before a time; false when the lease is lost.
    pub async fn retry_delivery(
        &mut self,
        claimed: &Claimed,
        failure: &str,
        run_after: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE deliveries SET run_after = $1, failure = $2, lease_id = NULL, lease_until = NULL \
             WHERE id = $3 AND lease_id = $4 AND state = 'waiting'",
        )
        .bind(run_after)
        .bind(failure)
        .bind(claimed.held.delivery.as_bytes().to_vec())
        .bind(claimed.held.lease.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    async fn end_delivery(
        &mut self,
        claimed: &Claimed,
        state: &'static str,
        failure: Option<&str>,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE deliveries SET state = $1, failure = $2, ended_at = $3, lease_id = NULL, lease_until = NULL \
             WHERE id = $4 AND lease_id = $5 AND state = 'waiting'",
        )
        .bind(state)
        .bind(failure)
        .bind(now)
        .bind(claimed.held.delivery.as_bytes().to_vec())
        .bind(claimed.held.lease.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        self.settle(claimed.notice.id, now).await?;
        self.count_outcome(state, 1).await?;
        Ok(true)
    }

    /// Marks a notice of which no delivery waits.
    async fn settle(&mut self, notice: NoticeId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE notices SET settled_at = $1 WHERE id = $2 AND settled_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM deliveries WHERE notice_id = $2 AND state = 'waiting')",
        )
        .bind(now)
        .bind(notice.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<DeliveryRow, CatalogError> {
    let row = Row::new("deliveries", row);
    Ok(DeliveryRow {
        notice: row.id("notice_id")?,
        sink: row.text("sink")?,
        state: row.text("state")?,
        attempts: row.count("attempts")?,
        failure: row.maybe_text("failure")?,
    })
}
