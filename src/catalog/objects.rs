//! Published sealed objects.

use sqlx::any::AnyRow;

use super::row::{Row, places};
use super::{Catalog, CatalogError, MAX_CLIP_IDS, Tx};
use crate::model::{ClipId, LinkId, ObjectId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, clip_id, link_id, suite, log2_segment, padded_size, size_bytes, commitment, sealed_about, created_at FROM objects ",
            $rest
        )
    };
}

/// A row of `objects`.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectRow {
    pub id: ObjectId,
    pub clip: ClipId,
    /// Set for a link's own media.
    pub link: Option<LinkId>,
    pub suite: u8,
    pub log2_segment: u8,
    /// Padded plaintext bytes.
    pub padded_size: u64,
    /// The whole object.
    pub size_bytes: u64,
    pub commitment: [u8; 32],
    pub sealed_about: Vec<u8>,
    pub created_at: UnixMs,
}

impl Catalog {
    /// The objects of a clip itself (`link` none), or of one of its links, oldest first.
    pub async fn objects_of(&self, clip: ClipId, link: Option<LinkId>) -> Result<Vec<ObjectRow>, CatalogError> {
        let query = match link {
            Some(link) => sqlx::query(select!("WHERE clip_id = $1 AND link_id = $2 ORDER BY created_at, id"))
                .bind(clip.as_bytes().to_vec())
                .bind(link.as_bytes().to_vec()),
            None => sqlx::query(select!(
                "WHERE clip_id = $1 AND link_id IS NULL ORDER BY created_at, id"
            ))
            .bind(clip.as_bytes().to_vec()),
        };
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(read).collect()
    }

    /// The objects of several clips (at most [`MAX_CLIP_IDS`]), those of links left out; in no order.
    pub async fn objects_of_clips(&self, clips: &[ClipId]) -> Result<Vec<ObjectRow>, CatalogError> {
        if clips.is_empty() {
            return Ok(Vec::new());
        }
        let clips = &clips[..clips.len().min(MAX_CLIP_IDS)];
        let text = format!(
            select!("WHERE link_id IS NULL AND clip_id IN ({})"),
            places(clips.len())
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for clip in clips {
            query = query.bind(clip.as_bytes().to_vec());
        }
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(read).collect()
    }

    /// The links of a clip that have media.
    pub async fn links_with_objects(&self, clip: ClipId) -> Result<Vec<LinkId>, CatalogError> {
        let rows = sqlx::query("SELECT DISTINCT link_id FROM objects WHERE clip_id = $1 AND link_id IS NOT NULL")
            .bind(clip.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| Row::new("objects", row).id("link_id")).collect()
    }

    /// Those of `ids` (at most [`MAX_CLIP_IDS`]) that are published or being written, or are the watch's canaries.
    pub async fn known_objects(&self, ids: &[ObjectId]) -> Result<Vec<ObjectId>, CatalogError> {
        self.known_in("objects", ids).await
    }

    /// Those of `ids` (at most [`MAX_CLIP_IDS`]) that are rows of a table, or being written or removed, or are canaries.
    pub(super) async fn known_in(&self, table: &'static str, ids: &[ObjectId]) -> Result<Vec<ObjectId>, CatalogError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let ids = &ids[..ids.len().min(MAX_CLIP_IDS)];
        let places = places(ids.len());
        // The intent first: an object moves from there to its row, never back.
        let text = format!(
            "SELECT object_id AS id FROM intents WHERE object_id IN ({places}) \
             UNION SELECT id FROM {table} WHERE id IN ({places}) \
             UNION SELECT object_id AS id FROM canaries WHERE object_id IN ({places})"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for id in ids {
            query = query.bind(id.as_bytes().to_vec());
        }
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter().map(|row| Row::new(table, row).id("id")).collect()
    }

    /// Every object of a clip, its links' included: what an erasure removes.
    pub async fn all_objects_of(&self, clip: ClipId) -> Result<Vec<ObjectId>, CatalogError> {
        let rows = sqlx::query("SELECT id FROM objects WHERE clip_id = $1 ORDER BY id")
            .bind(clip.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| Row::new("objects", row).id("id")).collect()
    }
}

impl Tx {
    /// Adds an object's row.
    pub async fn insert_object(&mut self, tenant: TenantId, object: &ObjectRow) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO objects (id, tenant_id, clip_id, link_id, suite, log2_segment, padded_size, size_bytes, \
             commitment, sealed_about, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(object.id.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .bind(object.clip.as_bytes().to_vec())
        .bind(object.link.map(|id| id.as_bytes().to_vec()))
        .bind(i64::from(object.suite))
        .bind(i64::from(object.log2_segment))
        .bind(object.padded_size.cast_signed())
        .bind(object.size_bytes.cast_signed())
        .bind(object.commitment.to_vec())
        .bind(object.sealed_about.clone())
        .bind(object.created_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Removes objects' rows; how many there were.
    pub async fn delete_objects(&mut self, ids: &[ObjectId]) -> Result<u64, CatalogError> {
        let mut gone = 0;
        for id in ids {
            let done = sqlx::query("DELETE FROM objects WHERE id = $1")
                .bind(id.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
            gone += done.rows_affected();
        }
        Ok(gone)
    }
}

fn read(row: &AnyRow) -> Result<ObjectRow, CatalogError> {
    let row = Row::new("objects", row);
    Ok(ObjectRow {
        id: row.id("id")?,
        clip: row.id("clip_id")?,
        link: row.maybe_id("link_id")?,
        suite: row.byte("suite")?,
        log2_segment: row.byte("log2_segment")?,
        padded_size: row.size("padded_size")?,
        size_bytes: row.size("size_bytes")?,
        commitment: row.array("commitment")?,
        sealed_about: row.bytes("sealed_about")?,
        created_at: row.int("created_at")?,
    })
}
