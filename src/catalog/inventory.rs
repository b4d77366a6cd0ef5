//! What the catalogue knows of the objects that an inventory finds.

use super::row::{Row, places};
use super::{Catalog, CatalogError, MAX_CLIP_IDS};
use crate::model::{Bucket, ObjectId};

/// What was kept of a sealed object when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShapeRow {
    pub id: ObjectId,
    /// The whole object; not kept of pieces.
    pub size_bytes: Option<u64>,
    pub commitment: [u8; 32],
}

impl Catalog {
    /// What was kept of those of `ids` (at most [`MAX_CLIP_IDS`]) that have a row and are not being erased. Of the key plane
    /// nothing is kept that could be compared.
    pub async fn shapes_of(&self, bucket: Bucket, ids: &[ObjectId]) -> Result<Vec<ShapeRow>, CatalogError> {
        if ids.is_empty() || bucket == Bucket::KeyPlane {
            return Ok(Vec::new());
        }
        let ids = &ids[..ids.len().min(MAX_CLIP_IDS)];
        let places = places(ids.len());
        let text = match bucket {
            Bucket::Data => format!(
                "SELECT objects.id AS id, size_bytes, commitment FROM objects \
                 JOIN clips ON clips.id = objects.clip_id AND clips.state <> 'erasing' WHERE objects.id IN ({places})"
            ),
            Bucket::Staging | Bucket::KeyPlane => format!("SELECT id, commitment FROM pieces WHERE id IN ({places})"),
        };
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for id in ids {
            query = query.bind(id.as_bytes().to_vec());
        }
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter()
            .map(|row| {
                let row = Row::new("objects", row);
                Ok(ShapeRow {
                    id: row.id("id")?,
                    size_bytes: match bucket {
                        Bucket::Data => Some(row.size("size_bytes")?),
                        Bucket::Staging | Bucket::KeyPlane => None,
                    },
                    commitment: row.array("commitment")?,
                })
            })
            .collect()
    }

    /// Those of `ids` (at most [`MAX_CLIP_IDS`]) that are pieces of an upload, or being written or removed.
    pub async fn known_pieces(&self, ids: &[ObjectId]) -> Result<Vec<ObjectId>, CatalogError> {
        self.known_in("pieces", ids).await
    }
}
