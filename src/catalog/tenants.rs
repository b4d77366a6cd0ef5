//! Brands and fleets.

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{TenantId, UnixMs};

const OLDEST: &str = "SELECT id FROM tenants ORDER BY created_at, id LIMIT 1";

impl Catalog {
    /// The oldest tenant; a deployment with one brand has no other.
    pub async fn first_tenant(&self) -> Result<Option<TenantId>, CatalogError> {
        let row = sqlx::query(OLDEST).fetch_optional(self.readers()).await?;
        row.map(|row| Row::new("tenants", &row).id("id")).transpose()
    }
}

impl Tx {
    /// Makes everybody else who wants to add a tenant wait until this transaction ends.
    pub async fn lock_tenants(&mut self) -> Result<(), CatalogError> {
        // SQLite's write transactions hold the one lock from their beginning.
        if self.connection().backend_name() == "PostgreSQL" {
            sqlx::query("LOCK TABLE tenants IN EXCLUSIVE MODE")
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }

    /// The oldest tenant, read in this transaction.
    pub async fn first_tenant(&mut self) -> Result<Option<TenantId>, CatalogError> {
        let row = sqlx::query(OLDEST).fetch_optional(self.connection()).await?;
        row.map(|row| Row::new("tenants", &row).id("id")).transpose()
    }

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
