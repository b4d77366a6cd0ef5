//! Decoys: what is shown when one is used, as a hash; where it was planted; how often it was used.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{DecoyId, DecoyKind, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, public_key, place, created_at, first_used_at, last_used_at, uses FROM decoys ",
            $rest
        )
    };
}

/// A row to add.
pub struct NewDecoy<'a> {
    pub id: DecoyId,
    pub kind: DecoyKind,
    /// SHA-256 of what is shown when it is used.
    pub trap_hash: &'a [u8; 32],
    /// A vehicle's.
    pub public_key: Option<&'a [u8; 32]>,
    /// Where it was planted, in the operator's words.
    pub place: &'a str,
    pub created_at: UnixMs,
}

/// A row of `decoys`, without the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecoyRow {
    pub id: DecoyId,
    pub kind: DecoyKind,
    pub public_key: Option<Vec<u8>>,
    pub place: String,
    pub created_at: UnixMs,
    pub first_used_at: Option<UnixMs>,
    pub last_used_at: Option<UnixMs>,
    pub uses: u64,
}

impl Catalog {
    /// The decoy that was shown, if it is one.
    pub async fn decoy_by_hash(&self, trap_hash: &[u8; 32]) -> Result<Option<DecoyRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE trap_hash = $1"))
            .bind(trap_hash.to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// At most `limit` decoys, the oldest first.
    pub async fn decoys(&self, limit: u32) -> Result<Vec<DecoyRow>, CatalogError> {
        let rows = sqlx::query(select!("ORDER BY created_at, id LIMIT $1"))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// How many there are.
    pub async fn count_decoys(&mut self) -> Result<u32, CatalogError> {
        let row = sqlx::query("SELECT count(*) AS decoys FROM decoys")
            .fetch_one(self.connection())
            .await?;
        Row::new("decoys", &row).count("decoys")
    }

    /// Adds a decoy.
    pub async fn insert_decoy(&mut self, decoy: &NewDecoy<'_>) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO decoys (id, kind, trap_hash, public_key, place, created_at, uses) \
             VALUES ($1, $2, $3, $4, $5, $6, 0)",
        )
        .bind(decoy.id.as_bytes().to_vec())
        .bind(decoy.kind.as_str())
        .bind(decoy.trap_hash.to_vec())
        .bind(decoy.public_key.map(|key| key.to_vec()))
        .bind(decoy.place.to_owned())
        .bind(decoy.created_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Notes that a decoy was used; false when it has been removed.
    pub async fn use_decoy(&mut self, id: DecoyId, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE decoys SET uses = uses + 1, first_used_at = COALESCE(first_used_at, $1), last_used_at = $2 \
             WHERE id = $3",
        )
        .bind(now)
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes a decoy: from then on it is an unknown credential. False when there is none.
    pub async fn remove_decoy(&mut self, id: DecoyId) -> Result<bool, CatalogError> {
        let done = sqlx::query("DELETE FROM decoys WHERE id = $1")
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn read(row: &AnyRow) -> Result<DecoyRow, CatalogError> {
    let row = Row::new("decoys", row);
    Ok(DecoyRow {
        id: row.id("id")?,
        kind: row.state("kind")?,
        public_key: row.maybe_bytes("public_key")?,
        place: row.state("place")?,
        created_at: row.int("created_at")?,
        first_used_at: row.maybe_int("first_used_at")?,
        last_used_at: row.maybe_int("last_used_at")?,
        uses: row.size("uses")?,
    })
}
