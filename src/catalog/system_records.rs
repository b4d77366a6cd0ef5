//! The tenant's own keys, wrapped by the root key: one row a root epoch.

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{TenantId, UnixMs};

/// A wrapped system record.
pub struct SystemRecordRow {
    pub epoch: u32,
    pub revision: u32,
    pub record: Vec<u8>,
}

impl Catalog {
    /// The record of the newest root epoch.
    pub async fn system_record(&self, tenant: TenantId) -> Result<Option<SystemRecordRow>, CatalogError> {
        let row = sqlx::query(
            "SELECT epoch, revision, record FROM system_records WHERE tenant_id = $1 ORDER BY epoch DESC LIMIT 1",
        )
        .bind(tenant.as_bytes().to_vec())
        .fetch_optional(self.readers())
        .await?;
        row.map(|row| {
            let row = Row::new("system_records", &row);
            Ok(SystemRecordRow {
                epoch: row.count("epoch")?,
                revision: row.count("revision")?,
                record: row.bytes("record")?,
            })
        })
        .transpose()
    }
}

impl Tx {
    /// Adds the record of a root epoch; one that is there already is [`CatalogError::Exists`].
    pub async fn insert_system_record(
        &mut self,
        tenant: TenantId,
        record: &SystemRecordRow,
        now: UnixMs,
    ) -> Result<(), CatalogError> {
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
