//! Pieces of uploads: sealed objects in the staging location, each an unbroken run of an upload's bytes.

use super::row::{LINES_A_STATEMENT, Row, lines_of_places};
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, ObjectId, TenantId, UnixMs, UploadKeyId};

/// A row of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceRow {
    /// The object in the staging location.
    pub id: ObjectId,
    /// The upload it is a piece of.
    pub upload: ClipId,
    /// The key that seals it.
    pub key: UploadKeyId,
    /// Offset of its first byte in the upload.
    pub start: u64,
    /// Bytes in it.
    pub length: u64,
    /// The sealed object's commitment.
    pub commitment: [u8; 32],
}

impl Catalog {
    /// Pieces of an upload in their order, at most `limit`, from the first that begins after `after_start`.
    pub async fn pieces_of(
        &self,
        upload: ClipId,
        after_start: Option<u64>,
        limit: u32,
    ) -> Result<Vec<PieceRow>, CatalogError> {
        let after = after_start.map_or(-1, |start| i64::try_from(start).unwrap_or(i64::MAX));
        let rows = sqlx::query(
            "SELECT id, upload_id, key_id, start_at, length, commitment FROM pieces \
             WHERE upload_id = $1 AND start_at > $2 ORDER BY start_at LIMIT $3",
        )
        .bind(upload.as_bytes().to_vec())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter()
            .map(|row| {
                let row = Row::new("pieces", row);
                Ok(PieceRow {
                    id: row.id("id")?,
                    upload: row.id("upload_id")?,
                    key: row.id("key_id")?,
                    start: row.size("start_at")?,
                    length: row.size("length")?,
                    commitment: row.array("commitment")?,
                })
            })
            .collect()
    }

    /// Uploads that are over and still have pieces or keys, at most `limit`, by their ids, from the first behind `after`.
    pub async fn uploads_to_release(&self, after: Option<ClipId>, limit: u32) -> Result<Vec<ClipId>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id FROM uploads WHERE state IN ('ended', 'expired') \
             AND EXISTS (SELECT 1 FROM upload_keys WHERE upload_keys.upload_id = uploads.id) \
             AND id > $1 ORDER BY id LIMIT $2",
        )
        .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Row::new("uploads", row).id("id")).collect()
    }
}

impl Tx {
    /// Adds a piece, in the transaction that moves the upload's offset past it.
    pub async fn insert_piece(&mut self, piece: &PieceRow, now: UnixMs) -> Result<(), CatalogError> {
        self.insert_pieces(&[piece], now).await
    }

    /// As [`Self::insert_piece`], many at once.
    pub async fn insert_pieces(&mut self, pieces: &[&PieceRow], now: UnixMs) -> Result<(), CatalogError> {
        for some in pieces.chunks(LINES_A_STATEMENT) {
            let text = format!(
                "INSERT INTO pieces (id, upload_id, key_id, start_at, length, commitment, created_at) VALUES {}",
                lines_of_places(some.len(), 7)
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
            for piece in some {
                query = query
                    .bind(piece.id.as_bytes().to_vec())
                    .bind(piece.upload.as_bytes().to_vec())
                    .bind(piece.key.as_bytes().to_vec())
                    .bind(i64::try_from(piece.start).unwrap_or(i64::MAX))
                    .bind(i64::try_from(piece.length).unwrap_or(i64::MAX))
                    .bind(piece.commitment.to_vec())
                    .bind(now);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Turns at most `limit` pieces of an upload, the last ones first, into intents whose lease has ended, so that the
    /// sweep of intents removes their objects; once none is left, the upload's keys go too. How many pieces it were.
    pub async fn release_pieces(
        &mut self,
        tenant: TenantId,
        upload: ClipId,
        limit: u32,
        now: UnixMs,
    ) -> Result<u64, CatalogError> {
        // Before any lease that a clock a little behind ours would still find good; never 0, which means swept.
        let ended = (now - 1).max(1);
        sqlx::query(
            "INSERT INTO intents (object_id, tenant_id, location, holder_id, multipart_id, lease_until, created_at) \
             SELECT id, $1, 'staging', upload_id, NULL, $2, $3 FROM pieces WHERE upload_id = $4 \
             ORDER BY start_at DESC LIMIT $5 ON CONFLICT (object_id) DO NOTHING",
        )
        .bind(tenant.as_bytes().to_vec())
        .bind(ended)
        .bind(now)
        .bind(upload.as_bytes().to_vec())
        .bind(i64::from(limit))
        .execute(&mut *self.connection())
        .await?;
        let done = sqlx::query(
            "DELETE FROM pieces WHERE upload_id = $1 AND EXISTS (SELECT 1 FROM intents WHERE object_id = pieces.id)",
        )
        .bind(upload.as_bytes().to_vec())
        .execute(&mut *self.connection())
        .await?;
        let left = sqlx::query("SELECT 1 FROM pieces WHERE upload_id = $1 LIMIT 1")
            .bind(upload.as_bytes().to_vec())
            .fetch_optional(&mut *self.connection())
            .await?;
        if left.is_none() {
            self.delete_upload_keys(upload).await?;
        }
        Ok(done.rows_affected())
    }
}
