//! The keys that pieces are sealed under: one an upload and receiving process, itself sealed to the ingest key.

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, UploadKeyId};

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct UploadKeyRow {
    /// The key's id.
    pub id: UploadKeyId,
    /// The upload whose pieces it seals.
    pub upload: ClipId,
    /// The key, sealed to the ingest key.
    pub sealed: Vec<u8>,
}

impl Catalog {
    /// The keys of an upload, in no order.
    pub async fn upload_keys_of(&self, upload: ClipId) -> Result<Vec<UploadKeyRow>, CatalogError> {
        let rows = sqlx::query("SELECT id, upload_id, sealed_key FROM upload_keys WHERE upload_id = $1")
            .bind(upload.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row::new("upload_keys", row);
                Ok(UploadKeyRow {
                    id: row.id("id")?,
                    upload: row.id("upload_id")?,
                    sealed: row.bytes("sealed_key")?,
                })
            })
            .collect()
    }
}

impl Tx {
    /// Adds a key; adding it again does no harm.
    pub async fn insert_upload_key(&mut self, key: &UploadKeyRow) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO upload_keys (id, upload_id, sealed_key) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING",
        )
        .bind(key.id.as_bytes().to_vec())
        .bind(key.upload.as_bytes().to_vec())
        .bind(key.sealed.clone())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Removes the keys of an upload whose pieces are gone.
    pub async fn delete_upload_keys(&mut self, upload: ClipId) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM upload_keys WHERE upload_id = $1")
            .bind(upload.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
