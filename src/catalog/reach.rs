//! What strangers could reach while a bucket was open: the times, and the objects that lay there.

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{Bucket, ClipId, ObjectId, OwnerId, UnixMs};

/// Times that one question gets at most.
const MOST_SPANS: i64 = 10_000;

/// A row of `exposure_spans`: a time in which a bucket was not proven private after it had been seen open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanRow {
    pub bucket: Bucket,
    /// When it was last proven private before; none: never.
    pub private_before: Option<UnixMs>,
    /// First seen open.
    pub opened_at: UnixMs,
    /// First proven private again; none: not yet.
    pub closed_at: Option<UnixMs>,
}

/// An object that has a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reachable {
    pub id: ObjectId,
    /// What it is: `object`, `piece`, or what a mirror holds.
    pub kind: String,
    pub clip: Option<ClipId>,
    pub owner: Option<OwnerId>,
    /// Not kept of pieces and mirrors.
    pub size_bytes: Option<u64>,
    pub suite: Option<u8>,
    /// Root epoch of the wrap that leads to its key today.
    pub epoch: Option<u32>,
    /// When it became an object of the vault's.
    pub created_at: UnixMs,
}

impl Catalog {
    /// Times that overlap what is from `from` on and before `to`, oldest first. Nobody knows whether a bucket was open
    /// between its last proof and the first sight of it open, so that counts too.
    pub async fn exposure_spans(&self, from: UnixMs, to: UnixMs) -> Result<Vec<SpanRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT bucket, private_before_at, opened_at, closed_at FROM exposure_spans \
             WHERE (private_before_at IS NULL OR private_before_at < $1) AND (closed_at IS NULL OR closed_at > $2) \
             ORDER BY opened_at, id LIMIT $3",
        )
        .bind(to)
        .bind(from)
        .bind(MOST_SPANS)
        .fetch_all(self.readers())
        .await?;
        let rows = rows.iter().map(|row| Row::new("exposure_spans", row));
        rows.map(|row| {
            Ok(SpanRow {
                bucket: row.state("bucket")?,
                private_before: row.maybe_int("private_before_at")?,
                opened_at: row.int("opened_at")?,
                closed_at: row.maybe_int("closed_at")?,
            })
        })
        .collect()
    }

    /// When a bucket was last seen to open or to shut.
    pub async fn last_opened_or_shut(&self, bucket: Bucket) -> Result<Option<UnixMs>, CatalogError> {
        let row = sqlx::query("SELECT MAX(COALESCE(closed_at, opened_at)) AS at FROM exposure_spans WHERE bucket = $1")
            .bind(bucket.as_str())
            .fetch_one(self.readers())
            .await?;
        Row::new("exposure_spans", &row).maybe_int("at")
    }

    /// At most `limit` objects that rows name in a bucket and that were written before `before`, in the order of their ids,
    /// after `after`.
    pub async fn reachable(
        &self,
        bucket: Bucket,
        before: UnixMs,
        after: Option<ObjectId>,
        limit: u32,
    ) -> Result<Vec<Reachable>, CatalogError> {
        let text = match bucket {
            Bucket::Data => {
                "SELECT o.id AS id, 'object' AS kind, o.clip_id AS clip_id, c.owner_id AS owner_id, \
                 o.size_bytes AS size_bytes, o.suite AS suite, o.created_at AS created_at, \
                 (SELECT MAX(k.epoch) FROM keks k WHERE k.owner_id = c.owner_id AND k.version = c.kek_version) AS epoch \
                 FROM objects o JOIN clips c ON c.id = o.clip_id \
                 WHERE o.created_at < $1 AND o.id > $2 ORDER BY o.id LIMIT $3"
            }
            Bucket::Staging => {
                "SELECT p.id AS id, 'piece' AS kind, u.id AS clip_id, u.owner_id AS owner_id, NULL AS size_bytes, \
                 NULL AS suite, p.created_at AS created_at, NULL AS epoch \
                 FROM pieces p JOIN uploads u ON u.id = p.upload_id \
                 WHERE p.created_at < $1 AND p.id > $2 ORDER BY p.id LIMIT $3"
            }
            Bucket::KeyPlane => {
                "SELECT object_id AS id, MIN(kind) AS kind, NULL AS clip_id, NULL AS owner_id, NULL AS size_bytes, \
                 NULL AS suite, MIN(created_at) AS created_at, NULL AS epoch FROM mirrors \
                 WHERE created_at < $1 AND object_id > $2 GROUP BY object_id ORDER BY object_id LIMIT $3"
            }
        };
        let rows = sqlx::query(text)
            .bind(before)
            .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row::new("objects", row);
                // What a bucket's rows have not is not asked for: a bare NULL has no type.
                let (is_data, is_of_clip) = (bucket == Bucket::Data, bucket != Bucket::KeyPlane);
                Ok(Reachable {
                    id: row.id("id")?,
                    kind: row.text("kind")?,
                    clip: is_of_clip.then(|| row.id("clip_id")).transpose()?,
                    owner: is_of_clip.then(|| row.id("owner_id")).transpose()?,
                    size_bytes: is_data.then(|| row.size("size_bytes")).transpose()?,
                    suite: is_data.then(|| row.byte("suite")).transpose()?,
                    epoch: match is_data {
                        true => row.maybe_int("epoch")?.and_then(|epoch| u32::try_from(epoch).ok()),
                        false => None,
                    },
                    created_at: row.int("created_at")?,
                })
            })
            .collect()
    }

    /// How many clips and owners were erased, or are being erased, after a time: what they had may have lain there before.
    pub async fn erased_since(&self, at: UnixMs) -> Result<u64, CatalogError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS n FROM erasures WHERE kind IN ('clip', 'owner') AND (done_at IS NULL OR done_at > $1)",
        )
        .bind(at)
        .fetch_one(self.readers())
        .await?;
        Row::new("erasures", &row).size("n")
    }

    /// How many uploads had something in the staging bucket at any time from `from` on and before `to`; what they had there
    /// goes when they end.
    pub async fn uploads_between(&self, from: UnixMs, to: UnixMs) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT COUNT(*) AS n FROM uploads WHERE created_at < $1 AND updated_at > $2")
            .bind(to)
            .bind(from)
            .fetch_one(self.readers())
            .await?;
        Row::new("uploads", &row).size("n")
    }
}

impl Tx {
    /// Begins a time in which a bucket is not private, unless one goes on.
    pub(super) async fn open_span(&mut self, bucket: Bucket, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO exposure_spans (id, bucket, private_before_at, opened_at) \
             SELECT $1, bucket, private_at, $2 FROM bucket_verdicts WHERE bucket = $3 AND NOT EXISTS \
             (SELECT 1 FROM exposure_spans s WHERE s.bucket = bucket_verdicts.bucket AND s.closed_at IS NULL)",
        )
        .bind(ObjectId::random().as_bytes().to_vec())
        .bind(now)
        .bind(bucket.as_str())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Ends it: the bucket is proven private.
    pub(super) async fn close_span(&mut self, bucket: Bucket, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query("UPDATE exposure_spans SET closed_at = $1 WHERE bucket = $2 AND closed_at IS NULL")
            .bind(now)
            .bind(bucket.as_str())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
