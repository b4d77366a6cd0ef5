//! What each reader has used of an hour's allowance, for all nodes and over restarts.

use super::row::Row;
use super::{CatalogError, Tx};
use crate::model::{CredentialId, UnixMs};

/// What a reader asks for.
pub struct Allowance<'a> {
    /// Who.
    pub reader: CredentialId,
    /// Which allowance, as a stable word.
    pub reach: &'a str,
    /// What is asked for, as the time in which it comes back.
    pub cost_ms: i64,
    /// The whole allowance, as the time in which it comes back.
    pub whole_ms: i64,
}

/// What a reader has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Used {
    /// Whether it got what it asked for.
    pub granted: bool,
    /// When its allowance is whole again.
    pub whole_at: UnixMs,
}

impl Tx {
    /// Takes from a reader's allowance, in one statement: of several nodes that ask at once none is given what another got
    /// (the generic cell rate algorithm of ITU-T I.371). A clock that was set back keeps nobody waiting for longer than the
    /// whole allowance takes.
    pub async fn take_allowance(&mut self, asked: &Allowance<'_>, now: UnixMs) -> Result<Used, CatalogError> {
        let (cost, limit) = (asked.cost_ms, now + asked.whole_ms);
        let row = sqlx::query(
            "INSERT INTO reader_brakes (credential_id, reach, whole_at, granted) VALUES ($1, $2, $3, 1) \
             ON CONFLICT (credential_id, reach) DO UPDATE SET \
             granted = CASE WHEN reader_brakes.whole_at <= $4 THEN 1 ELSE 0 END, \
             whole_at = CASE WHEN reader_brakes.whole_at < $5 THEN $6 \
             WHEN reader_brakes.whole_at <= $7 THEN reader_brakes.whole_at + $8 \
             WHEN reader_brakes.whole_at > $9 THEN $10 ELSE reader_brakes.whole_at END \
             RETURNING whole_at, granted",
        )
        .bind(asked.reader.as_bytes().to_vec())
        .bind(asked.reach.to_owned())
        .bind(now + cost)
        .bind(limit - cost)
        .bind(now)
        .bind(now + cost)
        .bind(limit - cost)
        .bind(cost)
        .bind(limit)
        .bind(limit)
        .fetch_one(self.connection())
        .await?;
        let row = Row::new("reader_brakes", &row);
        Ok(Used {
            granted: row.flag("granted")?,
            whole_at: row.int("whole_at")?,
        })
    }

    /// Removes the rows of whoever has the whole allowance again: a reader without a row has it too. How many they were.
    pub async fn sweep_allowances(&mut self, now: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM reader_brakes WHERE whole_at <= $1")
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}
