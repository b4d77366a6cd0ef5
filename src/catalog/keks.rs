//! Owners' key-encryption keys, as whole DCVK records.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{KekId, OwnerId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner_id, version, epoch, revision, record FROM keks ",
            $rest
        )
    };
}

/// A row of `keks`.
#[derive(Clone)]
pub struct KekRow {
    pub id: KekId,
    pub owner: OwnerId,
    pub version: u32,
    /// The root epoch of the record's wrap.
    pub epoch: u32,
    pub revision: u32,
    /// Whole DCVK bytes.
    pub record: Vec<u8>,
}

impl Catalog {
    /// An owner's newest key.
    pub async fn active_kek(&self, owner: OwnerId) -> Result<Option<KekRow>, CatalogError> {
        let row = sqlx::query(select!(
            "WHERE owner_id = $1 AND state = 'active' ORDER BY version DESC LIMIT 1"
        ))
        .bind(owner.as_bytes().to_vec())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(read).transpose()
    }
}

impl Tx {
    /// Adds an active key; [`CatalogError::Superseded`] when its root epoch has passed.
    pub async fn insert_kek(&mut self, tenant: TenantId, kek: &KekRow, now: UnixMs) -> Result<(), CatalogError> {
        self.hold_epoch(tenant, kek.epoch).await?;
        sqlx::query(
            "INSERT INTO keks (id, tenant_id, owner_id, version, state, epoch, record, revision, created_at) \
             VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8)",
        )
        .bind(kek.id.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .bind(kek.owner.as_bytes().to_vec())
        .bind(i64::from(kek.version))
        .bind(i64::from(kek.epoch))
        .bind(kek.record.clone())
        .bind(i64::from(kek.revision))
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Destroys every key of an owner: each record is overwritten with zeros of its length, then the rows go.
    pub async fn destroy_keks(&mut self, owner: OwnerId) -> Result<u64, CatalogError> {
        let rows = sqlx::query(select!("WHERE owner_id = $1"))
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.connection())
            .await?;
        for row in &rows {
            let kek = read(row)?;
            sqlx::query("UPDATE keks SET record = $1 WHERE id = $2")
                .bind(vec![0_u8; kek.record.len()])
                .bind(kek.id.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
        }
        let gone = sqlx::query("DELETE FROM keks WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(gone.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<KekRow, CatalogError> {
    let row = Row::new("keks", row);
    Ok(KekRow {
        id: row.id("id")?,
        owner: row.id("owner_id")?,
        version: row.count("version")?,
        epoch: row.count("epoch")?,
        revision: row.count("revision")?,
        record: row.bytes("record")?,
    })
}
