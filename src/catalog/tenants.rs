//! Brands and fleets.

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{TenantId, UnixMs};

impl Catalog {
    /// The oldest tenant; a deployment with one brand has no other.
    pub async fn first_tenant(&self) -> Result<Option<TenantId>, CatalogError> {
        let row = sqlx::query("SELECT id FROM tenants ORDER BY created_at, id LIMIT 1")
            .fetch_optional(self.readers())
            .await?;
        row.map(|row| Row::new("tenants", &row).id("id")).transpose()
    }
}

impl Tx {
    /// Adds a tenant.
    pub async fn insert_tenant(&mut self, id: TenantId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query("INSERT INTO tenants (id, created_at) VALUES ($1, $2)")
            .bind(id.as_bytes().to_vec())
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
