//! Signed statements about the buckets, each chained to the one before, and what they state.

use sqlx::any::AnyRow;

use super::exposure::read_verdict;
use super::row::Row;
use super::{Catalog, CatalogError, Tx, VerdictRow};
use crate::model::UnixMs;

/// A row of `attestations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationRow {
    /// Counts up from 1.
    pub seq: u64,
    pub at: UnixMs,
    /// Of the statement: what the next one names.
    pub sha256: [u8; 32],
    /// Changes of verdicts that it knows of.
    pub changes: u64,
    /// Statement and signature, as they are given away.
    pub line: String,
}

/// A bucket's verdict, and how often it was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedRow {
    pub verdict: VerdictRow,
    /// Rounds that were ever made.
    pub rounds: u64,
    /// Changes of the verdict that there ever were.
    pub changes: u64,
}

impl Catalog {
    /// Every bucket that was ever looked at.
    pub async fn watched(&self) -> Result<Vec<WatchedRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT bucket, verdict, since_at, checked_at, private_at, reason, rounds, changes FROM bucket_verdicts \
             ORDER BY bucket",
        )
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let verdict = read_verdict(row)?;
                let row = Row::new("bucket_verdicts", row);
                Ok(WatchedRow {
                    verdict,
                    rounds: row.size("rounds")?,
                    changes: row.size("changes")?,
                })
            })
            .collect()
    }

    /// The chain's newest statement.
    pub async fn newest_attestation(&self) -> Result<Option<AttestationRow>, CatalogError> {
        let row = sqlx::query("SELECT seq, at, sha256, changes, line FROM attestations ORDER BY seq DESC LIMIT 1")
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// At most `limit` statements after one, in their order.
    pub async fn attestations_after(&self, seq: u64, limit: u32) -> Result<Vec<AttestationRow>, CatalogError> {
        let rows =
            sqlx::query("SELECT seq, at, sha256, changes, line FROM attestations WHERE seq > $1 ORDER BY seq LIMIT $2")
                .bind(i64::try_from(seq).unwrap_or(i64::MAX))
                .bind(i64::from(limit))
                .fetch_all(self.readers())
                .await?;
        rows.iter().map(read).collect()
    }

    /// The number of the last statement before a time; 0 when there is none.
    pub async fn attested_before(&self, at: UnixMs) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT COALESCE(MAX(seq), 0) AS seq FROM attestations WHERE at < $1")
            .bind(at)
            .fetch_one(self.readers())
            .await?;
        Row::new("attestations", &row).size("seq")
    }
}

impl Tx {
    /// Adds the next statement; [`CatalogError::Exists`] when another node has added one of its number.
    pub async fn add_attestation(&mut self, row: &AttestationRow) -> Result<(), CatalogError> {
        let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        sqlx::query("INSERT INTO attestations (seq, at, sha256, changes, line) VALUES ($1, $2, $3, $4, $5)")
            .bind(number(row.seq))
            .bind(row.at)
            .bind(row.sha256.to_vec())
            .bind(number(row.changes))
            .bind(row.line.clone())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<AttestationRow, CatalogError> {
    let row = Row::new("attestations", row);
    Ok(AttestationRow {
        seq: row.size("seq")?,
        at: row.int("at")?,
        sha256: row.array("sha256")?,
        changes: row.size("changes")?,
        line: row.text("line")?,
    })
}
