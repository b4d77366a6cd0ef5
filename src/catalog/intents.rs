//! Objects that are being written: a row stands before the first byte and leaves in the transaction that publishes.

use std::str::FromStr;

use sqlx::any::AnyRow;

use super::row::{LINES_A_STATEMENT, Row, lines_of_places, places};
use super::{Catalog, CatalogError, Tx};
use crate::model::{ObjectId, TenantId, UnixMs};

/// `lease_until` of an intent that a sweep has taken: nobody publishes or extends it any more.
const SWEPT: UnixMs = 0;

/// Where an object is being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntentLocation {
    /// The data bucket.
    Data,
    /// The staging location.
    Staging,
    /// The key plane's mirror.
    KeyPlane,
    /// The key plane's tombstones.
    Tombstones,
}

/// A row of `intents`.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentRow {
    pub object: ObjectId,
    pub location: IntentLocation,
    /// The job's or the upload's id.
    pub holder: [u8; 16],
    /// The store's name for an upload in parts.
    pub multipart_id: Option<String>,
    pub lease_until: UnixMs,
}

impl IntentLocation {
    /// The word in the row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Staging => "staging",
            Self::KeyPlane => "keyplane",
            Self::Tombstones => "tombstones",
        }
    }
}

impl IntentRow {
    /// Whether a sweep has taken it, so that its object is gone or about to go.
    pub fn is_swept(&self) -> bool {
        self.lease_until == SWEPT
    }
}

impl FromStr for IntentLocation {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "data" => Ok(Self::Data),
            "staging" => Ok(Self::Staging),
            "keyplane" => Ok(Self::KeyPlane),
            "tombstones" => Ok(Self::Tombstones),
            _ => Err(()),
        }
    }
}

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT object_id, location, holder_id, multipart_id, lease_until FROM intents ",
            $rest
        )
    };
}

impl Catalog {
    /// At most `limit` intents whose lease has ended at `now` and that no sweep has taken, oldest first.
    pub async fn ended_intents(&self, now: UnixMs, limit: u32) -> Result<Vec<IntentRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE lease_until > $1 AND lease_until <= $2 ORDER BY lease_until, object_id LIMIT $3"
        ))
        .bind(SWEPT)
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// At most `limit` intents that a sweep has taken and not ended, by their ids, from the first after `after`.
    pub async fn swept_intents(&self, after: Option<ObjectId>, limit: u32) -> Result<Vec<IntentRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE lease_until = $1 AND object_id > $2 ORDER BY object_id LIMIT $3"
        ))
        .bind(SWEPT)
        .bind(after.map_or_else(Vec::new, |object| object.as_bytes().to_vec()))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// At most `limit` intents of one holder whose lease has ended at `now`, those that a sweep has taken first.
    pub async fn ended_intents_of(
        &self,
        holder: &[u8; 16],
        now: UnixMs,
        limit: u32,
    ) -> Result<Vec<IntentRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE holder_id = $1 AND lease_until <= $2 ORDER BY lease_until, object_id LIMIT $3"
        ))
        .bind(holder.to_vec())
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// One intent.
    pub async fn intent(&self, object: ObjectId) -> Result<Option<IntentRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE object_id = $1"))
            .bind(object.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }
}

impl Tx {
    /// Adds an intent.
    pub async fn insert_intent(
        &mut self,
        tenant: TenantId,
        intent: &IntentRow,
        now: UnixMs,
    ) -> Result<(), CatalogError> {
        self.insert_intents(tenant, &[intent], now).await
    }

    /// As [`Self::insert_intent`], many at once.
    pub async fn insert_intents(
        &mut self,
        tenant: TenantId,
        intents: &[&IntentRow],
        now: UnixMs,
    ) -> Result<(), CatalogError> {
        for some in intents.chunks(LINES_A_STATEMENT) {
            let text = format!(
                "INSERT INTO intents (object_id, tenant_id, location, holder_id, multipart_id, lease_until, created_at) \
                 VALUES {}",
                lines_of_places(some.len(), 7)
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
            for intent in some {
                query = query
                    .bind(intent.object.as_bytes().to_vec())
                    .bind(tenant.as_bytes().to_vec())
                    .bind(intent.location.as_str())
                    .bind(intent.holder.to_vec())
                    .bind(intent.multipart_id.clone())
                    .bind(intent.lease_until)
                    .bind(now);
            }
            query.execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Notes the store's name for an upload in parts; whether the intent still stands.
    pub async fn set_intent_multipart(&mut self, object: ObjectId, multipart_id: &str) -> Result<bool, CatalogError> {
        let done = sqlx::query("UPDATE intents SET multipart_id = $1 WHERE object_id = $2 AND lease_until <> $3")
            .bind(multipart_id)
            .bind(object.as_bytes().to_vec())
            .bind(SWEPT)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Moves the end of the leases of everything a holder writes; how many intents there are.
    pub async fn extend_intents(&mut self, holder: &[u8; 16], lease_until: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query("UPDATE intents SET lease_until = $1 WHERE holder_id = $2 AND lease_until <> $3")
            .bind(lease_until)
            .bind(holder.to_vec())
            .bind(SWEPT)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Removes an intent in the transaction that publishes its object; false when a sweep has it or had it, and then the
    /// object must not be published: its bytes may be gone.
    pub async fn remove_intent(&mut self, object: ObjectId) -> Result<bool, CatalogError> {
        Ok(self.remove_intents(&[object]).await? == 1)
    }

    /// As [`Self::remove_intent`], many at once; how many were removed.
    pub async fn remove_intents(&mut self, objects: &[ObjectId]) -> Result<usize, CatalogError> {
        let mut removed = 0;
        for some in objects.chunks(LINES_A_STATEMENT) {
            let text = format!(
                "DELETE FROM intents WHERE object_id IN ({}) AND lease_until <> ${}",
                places(some.len()),
                some.len() + 1
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
            for object in some {
                query = query.bind(object.as_bytes().to_vec());
            }
            let done = query.bind(SWEPT).execute(self.connection()).await?;
            removed += usize::try_from(done.rows_affected()).unwrap_or(usize::MAX);
        }
        Ok(removed)
    }

    /// Takes an intent for a sweep if its lease has ended at `now`, so that nobody publishes or extends it any more; none when
    /// its holder was faster. One that an earlier sweep took and did not end can be taken again.
    pub async fn take_ended_intent(
        &mut self,
        object: ObjectId,
        now: UnixMs,
    ) -> Result<Option<IntentRow>, CatalogError> {
        let row = sqlx::query(
            "UPDATE intents SET lease_until = $1 WHERE object_id = $2 AND lease_until <= $3 \
             RETURNING object_id, location, holder_id, multipart_id, lease_until",
        )
        .bind(SWEPT)
        .bind(object.as_bytes().to_vec())
        .bind(now)
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// Removes an intent whose object is gone from the store.
    pub async fn drop_swept_intent(&mut self, object: ObjectId) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM intents WHERE object_id = $1 AND lease_until = $2")
            .bind(object.as_bytes().to_vec())
            .bind(SWEPT)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Ends at `now` the leases of what a holder writes, so that the next sweep removes it; how many intents there are.
    pub async fn end_intents(&mut self, holder: &[u8; 16], now: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query("UPDATE intents SET lease_until = $1 WHERE holder_id = $2 AND lease_until <> $3")
            .bind(now)
            .bind(holder.to_vec())
            .bind(SWEPT)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<IntentRow, CatalogError> {
    let row = Row::new("intents", row);
    Ok(IntentRow {
        object: row.id("object_id")?,
        location: row.state("location")?,
        holder: row.array("holder_id")?,
        multipart_id: row.maybe_text("multipart_id")?,
        lease_until: row.int("lease_until")?,
    })
}
