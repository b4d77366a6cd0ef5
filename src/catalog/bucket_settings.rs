//! How our own buckets are configured, as the watch last read it, and every change of that.

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{Bucket, Grade, ObjectId, UnixMs};

/// Changes that one question gets at most.
const MOST_ROWS: i64 = 10_000;

/// A setting of a bucket, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketSetting {
    pub bucket: Bucket,
    /// A stable word, such as `public-access-block`.
    pub setting: String,
    pub grade: Grade,
    /// The same words as long as it is the same.
    pub state: String,
}

/// A row of `bucket_setting_changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingChangeRow {
    pub setting: BucketSetting,
    /// None: the first time that it was read.
    pub previous: Option<String>,
    pub at: UnixMs,
}

impl Catalog {
    /// How every bucket was configured when it was last read.
    pub async fn bucket_settings(&self) -> Result<Vec<BucketSetting>, CatalogError> {
        let rows = sqlx::query("SELECT bucket, setting, grade, state FROM bucket_settings ORDER BY bucket, setting")
            .fetch_all(self.readers())
            .await?;
        let rows = rows.iter().map(|row| Row::new("bucket_settings", row));
        rows.map(|row| read(&row)).collect()
    }

    /// Changes from `from` on and before `to`, oldest first; at most ten thousand.
    pub async fn bucket_setting_changes(
        &self,
        from: UnixMs,
        to: UnixMs,
    ) -> Result<Vec<SettingChangeRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT bucket, setting, grade, state, previous, at FROM bucket_setting_changes \
             WHERE at >= $1 AND at < $2 ORDER BY at, id LIMIT $3",
        )
        .bind(from)
        .bind(to)
        .bind(MOST_ROWS)
        .fetch_all(self.readers())
        .await?;
        let rows = rows.iter().map(|row| Row::new("bucket_setting_changes", row));
        rows.map(|row| {
            Ok(SettingChangeRow {
                setting: read(&row)?,
                previous: row.maybe_text("previous")?,
                at: row.int("at")?,
            })
        })
        .collect()
    }
}

impl Tx {
    /// Takes down how a bucket is configured, and the change if it is one. What it was before, if it is another now; the first
    /// reading is no drift.
    pub async fn set_bucket_setting(
        &mut self,
        read: &BucketSetting,
        now: UnixMs,
    ) -> Result<Option<String>, CatalogError> {
        // Held by this transaction from here on: two nodes that read the same drift tell of it once.
        sqlx::query(
            "INSERT INTO bucket_settings (bucket, setting, grade, state, since_at, read_at) VALUES ($1, $2, '', '', 0, 0) \
             ON CONFLICT (bucket, setting) DO UPDATE SET read_at = bucket_settings.read_at",
        )
        .bind(read.bucket.as_str())
        .bind(read.setting.clone())
        .execute(self.connection())
        .await?;
        let row = sqlx::query("SELECT state, since_at FROM bucket_settings WHERE bucket = $1 AND setting = $2")
            .bind(read.bucket.as_str())
            .bind(read.setting.clone())
            .fetch_one(self.connection())
            .await?;
        let row = Row::new("bucket_settings", &row);
        let since = row.int("since_at")?;
        let previous = row.maybe_text("state")?.filter(|_| since > 0);
        let is_same = previous.as_deref() == Some(read.state.as_str());
        sqlx::query(
            "UPDATE bucket_settings SET grade = $1, state = $2, since_at = $3, read_at = $4 \
             WHERE bucket = $5 AND setting = $6",
        )
        .bind(read.grade.as_str())
        .bind(read.state.clone())
        .bind(if is_same { since } else { now })
        .bind(now)
        .bind(read.bucket.as_str())
        .bind(read.setting.clone())
        .execute(self.connection())
        .await?;
        if is_same {
            return Ok(None);
        }
        sqlx::query(
            "INSERT INTO bucket_setting_changes (id, bucket, setting, grade, state, previous, at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(ObjectId::random().as_bytes().to_vec())
        .bind(read.bucket.as_str())
        .bind(read.setting.clone())
        .bind(read.grade.as_str())
        .bind(read.state.clone())
        .bind(previous.clone())
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(previous)
    }
}

fn read(row: &Row<'_>) -> Result<BucketSetting, CatalogError> {
    Ok(BucketSetting {
        bucket: row.state("bucket")?,
        setting: row.text("setting")?,
        grade: row.state("grade")?,
        state: row.text("state")?,
    })
}
