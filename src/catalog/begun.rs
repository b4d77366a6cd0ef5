//! How a repeated creation finds what was begun before: an upload that is under way, or a clip that is there.

use super::row::places;
use super::uploads::{COLUMNS, UploadRow, upload_row};
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, NOT_AS_DECLARED, OwnerId, UnixMs};

impl Catalog {
    /// The upload of an owner that was begun under one of these indexes. One whose clip failed before it was sealed is no
    /// upload to go on with, and not found.
    pub async fn upload_begun(&self, owner: OwnerId, indexes: &[[u8; 32]]) -> Result<Option<UploadRow>, CatalogError> {
        let text = format!(
            "SELECT {COLUMNS} FROM uploads WHERE begun_index IN ({}) AND owner_id = ${} \
             AND state IN ('open', 'complete', 'finished') AND NOT (state = 'complete' AND EXISTS (SELECT 1 FROM clips \
             WHERE clips.id = uploads.id AND (clips.state = 'failed' OR clips.state_before = 'failed'))) LIMIT 1",
            places(indexes.len()),
            indexes.len() + 1
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for index in indexes {
            query = query.bind(index.to_vec());
        }
        let row = query
            .bind(owner.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(upload_row).transpose()
    }

    /// A clip of an owner whose original has one of these indexes. One that came with other bytes than were declared is kept
    /// apart and not found, and neither is one whose upload is over.
    pub async fn clip_of_sha256(
        &self,
        owner: OwnerId,
        indexes: &[[u8; 32]],
    ) -> Result<Option<UploadRow>, CatalogError> {
        let columns: Vec<_> = COLUMNS.split(", ").map(|column| format!("u.{column}")).collect();
        let text = format!(
            "SELECT {} FROM clips c JOIN uploads u ON u.id = c.id WHERE c.sha256_index IN ({}) AND c.owner_id = ${} \
             AND u.state = 'finished' AND coalesce(c.error_code, '') <> ${} ORDER BY c.created_at LIMIT 1",
            columns.join(", "),
            places(indexes.len()),
            indexes.len() + 1,
            indexes.len() + 2
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for index in indexes {
            query = query.bind(index.to_vec());
        }
        let row = query
            .bind(owner.as_bytes().to_vec())
            .bind(NOT_AS_DECLARED)
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(upload_row).transpose()
    }
}

impl Tx {
    /// Puts off the end of an open upload whose creation was repeated; no request on it is ended.
    pub async fn put_off(&mut self, id: ClipId, expires_at: UnixMs) -> Result<(), CatalogError> {
        sqlx::query("UPDATE uploads SET expires_at = $1 WHERE id = $2 AND state = 'open' AND expires_at < $1")
            .bind(expires_at)
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Lets go of the index of an upload that is nothing to go on with, so that another can have it.
    pub async fn free_begun(&mut self, owner: OwnerId, index: &[u8; 32]) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE uploads SET begun_index = NULL WHERE begun_index = $1 AND owner_id = $2 AND state = 'complete' \
             AND EXISTS (SELECT 1 FROM clips WHERE clips.id = uploads.id \
             AND (clips.state = 'failed' OR clips.state_before = 'failed'))",
        )
        .bind(index.to_vec())
        .bind(owner.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}
