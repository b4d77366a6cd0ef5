//! Owners' key-encryption keys, as whole DCVK records.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{KekId, OwnerId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner_id, version, epoch, revision, record, coalesce((SELECT m.revision FROM mirrors m \
             WHERE m.subject_id = keks.id AND m.kind = 'kek' AND m.state = 'newest'), 0) AS least_revision FROM keks ",
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
    /// The highest revision that the record ever had; an older one was put back. 0 while it has no mirror; not written.
    pub least_revision: u32,
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

    /// One key.
    pub async fn kek(&self, id: KekId) -> Result<Option<KekRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE id = $1"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every key of an owner, the oldest version first.
    pub async fn keks_of(&self, owner: OwnerId) -> Result<Vec<KekRow>, CatalogError> {
        let rows = sqlx::query(select!("WHERE owner_id = $1 ORDER BY version"))
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Replaces a key's record if it has the revision `before` still.
    pub async fn replace_kek(&mut self, kek: &KekRow, before: u32) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE keks SET epoch = $1, record = $2, revision = $3 WHERE id = $4 AND revision = $5 AND owner_id = $6",
        )
        .bind(i64::from(kek.epoch))
        .bind(kek.record.clone())
        .bind(i64::from(kek.revision))
        .bind(kek.id.as_bytes().to_vec())
        .bind(i64::from(before))
        .bind(kek.owner.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

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

    /// Destroys every key of an owner: each record is overwritten with zeros of its length, then the rows go. Their ids.
    pub async fn destroy_keks(&mut self, owner: OwnerId) -> Result<Vec<KekId>, CatalogError> {
        let rows = sqlx::query(select!("WHERE owner_id = $1"))
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.connection())
            .await?;
        let mut destroyed = Vec::with_capacity(rows.len());
        for row in &rows {
            let kek = read(row)?;
            destroyed.push(kek.id);
            sqlx::query("UPDATE keks SET record = $1 WHERE id = $2")
                .bind(vec![0_u8; kek.record.len()])
                .bind(kek.id.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
        }
        sqlx::query("DELETE FROM keks WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(destroyed)
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
        least_revision: row.count("least_revision")?,
        record: row.bytes("record")?,
    })
}
