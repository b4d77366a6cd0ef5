//! The tenant's own keys, wrapped by the root key: one row a root epoch.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{TenantId, UnixMs};

const NEWEST: &str =
    "SELECT epoch, revision, record FROM system_records WHERE tenant_id = $1 ORDER BY epoch DESC LIMIT 1";

/// A wrapped system record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemRecordRow {
    pub epoch: u32,
    pub revision: u32,
    pub record: Vec<u8>,
}

impl Catalog {
    /// The record of the newest root epoch.
    pub async fn system_record(&self, tenant: TenantId) -> Result<Option<SystemRecordRow>, CatalogError> {
        let row = sqlx::query(NEWEST)
            .bind(tenant.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }
}

impl Tx {
    /// The record of the newest root epoch, which nobody else changes until this transaction ends, and no newer epoch comes
    /// either.
    pub async fn hold_system_record(&mut self, tenant: TenantId) -> Result<Option<SystemRecordRow>, CatalogError> {
        self.hold_tenant(tenant).await?;
        let row = sqlx::query(NEWEST)
            .bind(tenant.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Refuses what was wrapped under a root epoch that has passed ([`CatalogError::Superseded`]), and lets none pass until
    /// this transaction ends: whoever still holds an older root key in memory writes nothing that dies with it.
    pub async fn hold_epoch(&mut self, tenant: TenantId, epoch: u32) -> Result<(), CatalogError> {
        let newest = self.hold_system_record(tenant).await?;
        match newest {
            Some(newest) if newest.epoch > epoch => Err(CatalogError::Superseded),
            _ => Ok(()),
        }
    }

    /// Puts another revision into the record of its epoch if it has the revision `before` still.
    pub async fn replace_system_record(
        &mut self,
        tenant: TenantId,
        record: &SystemRecordRow,
        before: u32,
    ) -> Result<bool, CatalogError> {
        self.hold_tenant(tenant).await?;
        let done = sqlx::query(
            "UPDATE system_records SET record = $1, revision = $2 WHERE tenant_id = $3 AND epoch = $4 AND revision = $5",
        )
        .bind(record.record.clone())
        .bind(i64::from(record.revision))
        .bind(tenant.as_bytes().to_vec())
        .bind(i64::from(record.epoch))
        .bind(i64::from(before))
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Destroys the records of the epochs before `epoch`: each is overwritten with zeros of its length, then the rows go.
    pub async fn destroy_system_records_before(&mut self, tenant: TenantId, epoch: u32) -> Result<u64, CatalogError> {
        let rows =
            sqlx::query("SELECT epoch, revision, record FROM system_records WHERE tenant_id = $1 AND epoch < $2")
                .bind(tenant.as_bytes().to_vec())
                .bind(i64::from(epoch))
                .fetch_all(self.connection())
                .await?;
        for row in &rows {
            let old = read(row)?;
            sqlx::query("UPDATE system_records SET record = $1 WHERE tenant_id = $2 AND epoch = $3")
                .bind(vec![0_u8; old.record.len()])
                .bind(tenant.as_bytes().to_vec())
                .bind(i64::from(old.epoch))
                .execute(self.connection())
                .await?;
        }
        let gone = sqlx::query("DELETE FROM system_records WHERE tenant_id = $1 AND epoch < $2")
            .bind(tenant.as_bytes().to_vec())
            .bind(i64::from(epoch))
            .execute(self.connection())
            .await?;
        Ok(gone.rows_affected())
    }

    /// Makes everybody wait who wants to hold the same tenant. (An update that changes nothing: SQLite has no `FOR UPDATE`.)
    async fn hold_tenant(&mut self, tenant: TenantId) -> Result<(), CatalogError> {
        sqlx::query("UPDATE tenants SET created_at = created_at WHERE id = $1")
            .bind(tenant.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Adds the record of a root epoch, and with it the fence of [`Self::hold_epoch`]; one that is there already is
    /// [`CatalogError::Exists`].
    pub async fn insert_system_record(
        &mut self,
        tenant: TenantId,
        record: &SystemRecordRow,
        now: UnixMs,
    ) -> Result<(), CatalogError> {
        self.hold_tenant(tenant).await?;
        sqlx::query(
            "INSERT INTO system_records (tenant_id, epoch, revision, record, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(tenant.as_bytes().to_vec())
        .bind(i64::from(record.epoch))
        .bind(i64::from(record.revision))
        .bind(record.record.clone())
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<SystemRecordRow, CatalogError> {
    let row = Row::new("system_records", row);
    Ok(SystemRecordRow {
        epoch: row.count("epoch")?,
        revision: row.count("revision")?,
        record: row.bytes("record")?,
    })
}
