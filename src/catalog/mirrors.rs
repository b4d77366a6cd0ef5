//! The key plane's mirror: which object holds which record.
//!
//! An object of the key plane holds one record or a pack of them. Every record of every object that stands has a row here;
//! one row a subject is its newest, and its revision is the least that a reader accepts.

use std::fmt;
use std::slice;
use std::str::FromStr;

use sqlx::Any;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;

use super::row::{Row, lines_of_places, places};
use super::{Catalog, CatalogError, IntentLocation, Tx};
use crate::model::{ObjectId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT object_id, kind, subject_id, revision, state, packed FROM mirrors ",
            $rest
        )
    };
}

/// Ids that one look-up takes, below every database's limit of places in a statement.
pub const MAX_MIRROR_IDS: usize = 500;

/// Rows that one statement takes. SQLite looks each value's place up by going through all of them, so that a longer one is
/// slower.
const MIRRORS_A_STATEMENT: usize = 40;

/// What a mirrored record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MirrorSubject {
    /// A clip's envelope.
    Envelope,
    /// A KEK record.
    Kek,
    /// The tenant's system record.
    System,
    /// A tombstone.
    Tombstone,
}

/// What a row of `mirrors` is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorState {
    /// The newest revision that was written.
    Newest,
    /// Superseded.
    Old,
    /// Found in the key plane, newer than what the catalogue holds.
    Ahead,
}

/// A row of `mirrors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MirrorRow {
    /// The object in the key plane.
    pub object: ObjectId,
    pub kind: MirrorSubject,
    /// The clip's, the KEK's, the tenant's id, or that of what was erased.
    pub subject: [u8; 16],
    pub revision: u32,
    pub state: MirrorState,
    /// Records in the object when it was written.
    pub packed: u32,
}

/// How much of the key plane is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MirrorTotals {
    /// Records that have a row in the catalogue.
    pub records: u64,
    /// Those whose newest revision is mirrored.
    pub mirrored: u64,
    /// Revisions in the key plane that are newer than the catalogue's row.
    pub ahead: u64,
    /// Objects that hold a newest revision.
    pub objects: u64,
}

macro_rules! words {
    ($name:ident: $($variant:ident = $word:literal),*) => {
        impl $name {
            /// The word in the row.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(()),
                }
            }
        }
    };
}

words!(MirrorSubject: Envelope = "envelope", Kek = "kek", System = "system", Tombstone = "tombstone");
words!(MirrorState: Newest = "newest", Old = "old", Ahead = "ahead");

impl Catalog {
    /// The newest revision of a subject that was mirrored.
    pub async fn newest_mirror(
        &self,
        kind: MirrorSubject,
        subject: &[u8; 16],
    ) -> Result<Option<MirrorRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE subject_id = $1 AND kind = $2 AND state = 'newest'"))
            .bind(subject.to_vec())
            .bind(kind.as_str())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every row of a subject: what an erasure has to take out of the key plane.
    pub async fn mirrors_of(&self, kind: MirrorSubject, subject: &[u8; 16]) -> Result<Vec<MirrorRow>, CatalogError> {
        let rows = sqlx::query(select!("WHERE subject_id = $1 AND kind = $2"))
            .bind(subject.to_vec())
            .bind(kind.as_str())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Every row of an object.
    pub async fn mirrors_in(&self, object: ObjectId) -> Result<Vec<MirrorRow>, CatalogError> {
        let rows = sqlx::query(select!("WHERE object_id = $1"))
            .bind(object.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(read).collect()
    }

    /// Newest revisions in packs that were written with fewer than `below` records, those of the smallest packs first.
    pub async fn mirrors_in_small_packs(
        &self,
        kind: MirrorSubject,
        below: u32,
        limit: u32,
    ) -> Result<Vec<MirrorRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE kind = $1 AND state = 'newest' AND packed < $2 ORDER BY packed LIMIT $3"
        ))
        .bind(kind.as_str())
        .bind(i64::from(below))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Old records in objects that hold nothing else, so that nobody needs the objects any more.
    pub async fn idle_mirrors(&self, limit: u32) -> Result<Vec<MirrorRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE state = 'old' AND NOT EXISTS (SELECT 1 FROM mirrors n WHERE n.object_id = mirrors.object_id \
             AND n.state <> 'old') LIMIT $1"
        ))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Old KEK records, in packs, of keys that are destroyed: their packs have to be written anew without them.
    pub async fn mirrors_of_destroyed_keks(&self, limit: u32) -> Result<Vec<MirrorRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE state = 'old' AND kind = 'kek' AND NOT EXISTS (SELECT 1 FROM keks WHERE keks.id = mirrors.subject_id) \
             LIMIT $1"
        ))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Those of `objects` (at most [`MAX_MIRROR_IDS`]) that this catalogue knows: mirrored, or being written.
    pub async fn known_mirrors(&self, objects: &[ObjectId]) -> Result<Vec<ObjectId>, CatalogError> {
        if objects.is_empty() {
            return Ok(Vec::new());
        }
        let objects = &objects[..objects.len().min(MAX_MIRROR_IDS)];
        let places = places(objects.len());
        let text = format!(
            "SELECT object_id FROM mirrors WHERE object_id IN ({places}) \
             UNION SELECT object_id FROM intents WHERE object_id IN ({places})"
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for object in objects {
            query = query.bind(object.as_bytes().to_vec());
        }
        let rows = query.fetch_all(self.readers()).await?;
        rows.iter()
            .map(|row| Row::new("mirrors", row).id("object_id"))
            .collect()
    }

    /// Objects that hold a newest record, and what they hold, in the order of their ids, after `after`.
    pub async fn mirror_objects(
        &self,
        after: Option<ObjectId>,
        limit: u32,
    ) -> Result<Vec<(ObjectId, MirrorSubject)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT DISTINCT object_id, kind FROM mirrors WHERE object_id > $1 AND state = 'newest' \
             ORDER BY object_id LIMIT $2",
        )
        .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let rows = rows.iter().map(|row| Row::new("mirrors", row));
        rows.map(|row| Ok((row.id("object_id")?, row.state("kind")?))).collect()
    }

    /// What is erased and has no tombstone in the key plane; in the order of the subjects, after `after`.
    pub async fn unmirrored_tombstones(
        &self,
        after: Option<[u8; 16]>,
        limit: u32,
    ) -> Result<Vec<[u8; 16]>, CatalogError> {
        self.unmirrored(
            "SELECT subject_id AS id FROM erasures WHERE subject_id > $1 AND NOT EXISTS (SELECT 1 FROM mirrors m \
             WHERE m.subject_id = erasures.subject_id AND m.kind = 'tombstone' AND m.state = 'newest') \
             ORDER BY subject_id LIMIT $2",
            after,
            limit,
        )
        .await
    }

    /// Clips whose envelope has no mirror: those of a database older than the mirror.
    /// At most `limit`, in the order of their ids, after `after`.
    pub async fn unmirrored_clips(&self, after: Option<[u8; 16]>, limit: u32) -> Result<Vec<[u8; 16]>, CatalogError> {
        self.unmirrored(
            "SELECT id FROM clips WHERE id > $1 AND envelope IS NOT NULL AND NOT EXISTS (SELECT 1 FROM mirrors m \
             WHERE m.subject_id = clips.id AND m.kind = 'envelope' AND m.state = 'newest') ORDER BY id LIMIT $2",
            after,
            limit,
        )
        .await
    }

    /// KEK records that have no mirror, likewise.
    pub async fn unmirrored_keks(&self, after: Option<[u8; 16]>, limit: u32) -> Result<Vec<[u8; 16]>, CatalogError> {
        self.unmirrored(
            "SELECT id FROM keks WHERE id > $1 AND NOT EXISTS (SELECT 1 FROM mirrors m \
             WHERE m.subject_id = keks.id AND m.kind = 'kek' AND m.state = 'newest') ORDER BY id LIMIT $2",
            after,
            limit,
        )
        .await
    }

    /// How much of one kind is mirrored.
    pub async fn mirror_totals(&self, kind: MirrorSubject) -> Result<MirrorTotals, CatalogError> {
        let records = match kind {
            MirrorSubject::Envelope => "SELECT count(*) AS n FROM clips WHERE envelope IS NOT NULL",
            MirrorSubject::Kek => "SELECT count(*) AS n FROM keks",
            MirrorSubject::System => "SELECT count(DISTINCT tenant_id) AS n FROM system_records",
            MirrorSubject::Tombstone => "SELECT count(*) AS n FROM erasures",
        };
        let records = sqlx::query(records).fetch_one(self.readers()).await?;
        let mirrored = sqlx::query(
            "SELECT count(*) AS n, count(DISTINCT object_id) AS objects FROM mirrors \
             WHERE kind = $1 AND state = 'newest'",
        )
        .bind(kind.as_str())
        .fetch_one(self.readers())
        .await?;
        let ahead = sqlx::query("SELECT count(*) AS n FROM mirrors WHERE kind = $1 AND state = 'ahead'")
            .bind(kind.as_str())
            .fetch_one(self.readers())
            .await?;
        let mirrored = Row::new("mirrors", &mirrored);
        Ok(MirrorTotals {
            records: Row::new("mirrors", &records).size("n")?,
            mirrored: mirrored.size("n")?,
            objects: mirrored.size("objects")?,
            ahead: Row::new("mirrors", &ahead).size("n")?,
        })
    }

    async fn unmirrored(
        &self,
        query: &'static str,
        after: Option<[u8; 16]>,
        limit: u32,
    ) -> Result<Vec<[u8; 16]>, CatalogError> {
        let rows = sqlx::query(query)
            .bind(after.map_or_else(Vec::new, |id| id.to_vec()))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| Row::new("mirrors", row).array("id")).collect()
    }
}

impl Tx {
    /// Makes a record in an object that is whole in the key plane its subject's newest; what it supersedes becomes old.
    /// False, and nothing is written, when a revision that is as new was recorded already.
    pub async fn record_mirror(
        &mut self,
        tenant: TenantId,
        mirror: &MirrorRow,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        self.record_mirrors(tenant, slice::from_ref(mirror), now).await
    }

    /// The same for many subjects of one kind; false when one of them has a revision that is as new: then some may be written, and
    /// the transaction must not be committed.
    pub async fn record_mirrors(
        &mut self,
        tenant: TenantId,
        mirrors: &[MirrorRow],
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        for some in mirrors.chunks(MIRRORS_A_STATEMENT) {
            let Some(kind) = some.first().map(|mirror| mirror.kind) else {
                continue;
            };
            let news = format!(
                "WITH news (subject, news_revision) AS (VALUES {})",
                lines_of_places(some.len(), 2)
            );
            let first = 2 * some.len() + 1;
            let newer = format!(
                "{news} SELECT 1 AS n FROM news CROSS JOIN mirrors WHERE subject_id = subject AND kind = ${first} \
                 AND state <> 'old' AND revision >= news_revision LIMIT 1"
            );
            let newer = with_news(&newer, some).bind(kind.as_str());
            if newer.fetch_optional(self.connection()).await?.is_some() {
                return Ok(false);
            }
            let retired = format!(
                "{news} UPDATE mirrors SET state = 'old' FROM news \
                 WHERE subject_id = subject AND kind = ${first} AND state <> 'old'"
            );
            with_news(&retired, some)
                .bind(kind.as_str())
                .execute(self.connection())
                .await?;
            match self.insert_mirrors(tenant, some, now).await {
                // Another node has recorded one since the look above.
                Err(CatalogError::Exists(_)) => return Ok(false),
                other => other?,
            }
        }
        Ok(true)
    }

    /// Makes every record of a subject old: it is superseded or erased, and the sweep takes it out of the key plane.
    pub async fn retire_mirrors_of(&mut self, kind: MirrorSubject, subject: &[u8; 16]) -> Result<u64, CatalogError> {
        let done =
            sqlx::query("UPDATE mirrors SET state = 'old' WHERE subject_id = $1 AND kind = $2 AND state <> 'old'")
                .bind(subject.to_vec())
                .bind(kind.as_str())
                .execute(self.connection())
                .await?;
        Ok(done.rows_affected())
    }

    /// Adds a row as it is.
    pub async fn insert_mirror(
        &mut self,
        tenant: TenantId,
        mirror: &MirrorRow,
        now: UnixMs,
    ) -> Result<(), CatalogError> {
        self.insert_mirrors(tenant, slice::from_ref(mirror), now).await
    }

    /// Adds rows as they are, at most [`MIRRORS_A_STATEMENT`].
    async fn insert_mirrors(
        &mut self,
        tenant: TenantId,
        mirrors: &[MirrorRow],
        now: UnixMs,
    ) -> Result<(), CatalogError> {
        let text = format!(
            "INSERT INTO mirrors (object_id, tenant_id, kind, subject_id, revision, state, packed, created_at) VALUES {}",
            lines_of_places(mirrors.len(), 8)
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for mirror in mirrors {
            query = query
                .bind(mirror.object.as_bytes().to_vec())
                .bind(tenant.as_bytes().to_vec())
                .bind(mirror.kind.as_str())
                .bind(mirror.subject.to_vec())
                .bind(i64::from(mirror.revision))
                .bind(mirror.state.as_str())
                .bind(i64::from(mirror.packed))
                .bind(now);
        }
        query.execute(self.connection()).await?;
        Ok(())
    }

    /// Makes one record old, because another object holds the same revision of it now; false when it was superseded or moved
    /// meanwhile.
    pub async fn retire_mirror(&mut self, mirror: &MirrorRow) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE mirrors SET state = 'old' \
             WHERE object_id = $1 AND subject_id = $2 AND revision = $3 AND state = 'newest'",
        )
        .bind(mirror.object.as_bytes().to_vec())
        .bind(mirror.subject.to_vec())
        .bind(i64::from(mirror.revision))
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Forgets an object that is lost, with every record in it.
    pub async fn forget_mirror_object(&mut self, object: ObjectId) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM mirrors WHERE object_id = $1")
            .bind(object.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Forgets the old records of an object whose bytes are gone from the key plane.
    pub async fn forget_mirrors_in(&mut self, object: ObjectId) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM mirrors WHERE object_id = $1 AND state = 'old'")
            .bind(object.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

impl MirrorSubject {
    /// Where its objects lie.
    pub const fn location(self) -> IntentLocation {
        match self {
            Self::Tombstone => IntentLocation::Tombstones,
            Self::Envelope | Self::Kek | Self::System => IntentLocation::KeyPlane,
        }
    }
}

fn read(row: &AnyRow) -> Result<MirrorRow, CatalogError> {
    let row = Row::new("mirrors", row);
    Ok(MirrorRow {
        object: row.id("object_id")?,
        kind: row.state("kind")?,
        subject: row.array("subject_id")?,
        revision: row.count("revision")?,
        state: row.state("state")?,
        packed: row.count("packed")?,
    })
}

/// A statement over `news`, the subjects and their revisions, with those bound.
fn with_news(text: &str, mirrors: &[MirrorRow]) -> Query<'static, Any, AnyArguments> {
    mirrors
        .iter()
        .fold(sqlx::query(sqlx::AssertSqlSafe(text.to_owned())), |query, mirror| {
            query.bind(mirror.subject.to_vec()).bind(i64::from(mirror.revision))
        })
}
