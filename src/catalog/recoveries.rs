//! Rebuilding the catalogue from the buckets: begun in an empty one, or anew in one that was left half-done.

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{KekId, ObjectId, UnixMs};

/// What a recovery fills, in an order in which rows go before those that they refer to.
const FILLED: [&str; 13] = [
    "DELETE FROM objects",
    "DELETE FROM intents",
    "DELETE FROM jobs",
    "DELETE FROM events",
    "DELETE FROM clips",
    "DELETE FROM device_old_keys",
    "DELETE FROM devices",
    "DELETE FROM keks",
    "DELETE FROM erasures",
    "DELETE FROM mirrors",
    "DELETE FROM owners",
    "DELETE FROM system_records",
    "DELETE FROM tenants",
];

/// Whether a catalogue may be filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovering {
    /// It is empty now: it was, or it held what an unfinished recovery had left. That one can write nothing more.
    Begun(ObjectId),
    /// Somebody's vault is in it; nothing was touched.
    NotEmpty,
}

impl Catalog {
    /// Whether a recovery was begun and not finished.
    pub async fn is_half_recovered(&self) -> Result<bool, CatalogError> {
        let row = sqlx::query("SELECT count(*) AS n FROM recoveries WHERE finished_at IS NULL")
            .fetch_one(self.readers())
            .await?;
        Ok(Row::new("recoveries", &row).size("n")? > 0)
    }
}

impl Tx {
    /// Begins a recovery; what an unfinished one had filled goes.
    pub async fn begin_recovery(&mut self, now: UnixMs) -> Result<Recovering, CatalogError> {
        self.lock_tenants().await?;
        let left = sqlx::query("DELETE FROM recoveries WHERE finished_at IS NULL")
            .execute(self.connection())
            .await?;
        if left.rows_affected() > 0 {
            for text in FILLED {
                sqlx::query(text).execute(self.connection()).await?;
            }
        }
        if self.first_tenant().await?.is_some() {
            return Ok(Recovering::NotEmpty);
        }
        let id = ObjectId::random();
        sqlx::query("INSERT INTO recoveries (id, began_at) VALUES ($1, $2)")
            .bind(id.as_bytes().to_vec())
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(Recovering::Begun(id))
    }

    /// Keeps a recovery until this transaction ends; false when one that was begun later has emptied the catalogue.
    pub async fn hold_recovery(&mut self, id: ObjectId) -> Result<bool, CatalogError> {
        let held = sqlx::query("UPDATE recoveries SET began_at = began_at WHERE id = $1 AND finished_at IS NULL")
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(held.rows_affected() == 1)
    }

    /// Lets the catalogue be served from; the recovery is held.
    pub async fn finish_recovery(&mut self, id: ObjectId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query("UPDATE recoveries SET finished_at = $1 WHERE id = $2 AND finished_at IS NULL")
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Marks a key that opens older clips only.
    pub async fn retire_recovered_kek(&mut self, id: KekId) -> Result<(), CatalogError> {
        sqlx::query("UPDATE keks SET state = 'retired' WHERE id = $1")
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
