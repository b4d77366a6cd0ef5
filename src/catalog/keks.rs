//! Owners' key-encryption keys, as whole DCVK records.

use sqlx::any::AnyRow;

use super::row::{Row, cursor, lines_of_places, places};
use super::{Catalog, CatalogError, MirrorSubject, Tx};
use crate::model::{ClipId, KekId, OwnerId, TenantId, UnixMs};

/// Rows that one statement replaces. SQLite looks each value's place up by going through all of them, so that a longer one is
/// slower.
const KEKS_A_STATEMENT: usize = 40;
/// How far a walk over the keys is: when the last one was made, and its id.
pub type KekAge = (UnixMs, KekId);

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner_id, version, epoch, revision, record, created_at, coalesce((SELECT m.revision FROM mirrors m \
             WHERE m.subject_id = keks.id AND m.kind = 'kek' AND m.state = 'newest'), 0) AS least_revision FROM keks ",
            $rest
        )
    };
}

/// A row of `keks`.
#[derive(Clone)]
pub struct KekRow {
    pub id: KekId,
    pub owner: OwnerId,
    pub version: u32,
    /// The root epoch of the record's wrap.
    pub epoch: u32,
    pub revision: u32,
    /// The highest revision that the record ever had; an older one was put back. 0 while it has no mirror; not written.
    pub least_revision: u32,
    /// Whole DCVK bytes.
    pub record: Vec<u8>,
}

/// What was wrapped under a root epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochWraps {
    pub epoch: u32,
    /// Records of `keks`.
    pub owner_keys: u64,
    pub system_records: u64,
}

impl Catalog {
    /// An owner's newest key.
    pub async fn active_kek(&self, owner: OwnerId) -> Result<Option<KekRow>, CatalogError> {
        let row = sqlx::query(select!(
            "WHERE owner_id = $1 AND state = 'active' ORDER BY version DESC LIMIT 1"
        ))
        .bind(owner.as_bytes().to_vec())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// One key.
    pub async fn kek(&self, id: KekId) -> Result<Option<KekRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE id = $1"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// Every key of an owner, the oldest version first.
    pub async fn keks_of(&self, owner: OwnerId) -> Result<Vec<KekRow>, CatalogError> {
        let rows = sqlx::query(select!("WHERE owner_id = $1 ORDER BY version"))
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(read).collect()
    }
}

impl Catalog {
    /// At most `limit` keys of whatever owner, the oldest first, after `after`; and how far that is. So they lie in the database,
    /// and few pages hold a batch.
    pub async fn keks_after(
        &self,
        tenant: TenantId,
        after: Option<KekAge>,
        limit: u32,
    ) -> Result<(Vec<KekRow>, Option<KekAge>), CatalogError> {
        let (time, id) = cursor(after.map(|(time, id)| (time, *id.as_bytes())));
        let rows = sqlx::query(select!(
            "WHERE tenant_id = $1 AND (created_at, id) > ($2, $3) ORDER BY created_at, id LIMIT $4"
        ))
        .bind(tenant.as_bytes().to_vec())
        .bind(time)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let last = rows.last().map(|row| {
            let row = Row::new("keks", row);
            Ok::<_, CatalogError>((row.int("created_at")?, row.id("id")?))
        });
        let keks = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok((keks, last.transpose()?))
    }

    /// How many keys there are.
    pub async fn count_keks(&self, tenant: TenantId) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT count(*) AS keks FROM keks WHERE tenant_id = $1")
            .bind(tenant.as_bytes().to_vec())
            .fetch_one(self.readers())
            .await?;
        Row::new("keks", &row).size("keks")
    }

    /// How many keys have other bytes than `count` and `named` in two places of their records, counted from 0: whatever their
    /// wraps say that is not what the caller looks for.
    pub async fn count_keks_without(
        &self,
        tenant: TenantId,
        count: (usize, u8),
        named: (usize, &[u8]),
    ) -> Result<u64, CatalogError> {
        let (count_at, named_at, length) = (count.0 + 1, named.0 + 1, named.1.len());
        let text = format!(
            "SELECT count(*) AS keks FROM keks WHERE tenant_id = $1 AND (substr(record, {count_at}, 1) <> $2 \
             OR substr(record, {named_at}, {length}) <> $3)"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(tenant.as_bytes().to_vec())
            .bind(vec![count.1])
            .bind(named.1.to_vec())
            .fetch_one(self.readers())
            .await?;
        Row::new("keks", &row).size("keks")
    }

    /// How much each root epoch wraps, the oldest first.
    pub async fn wraps_by_epoch(&self, tenant: TenantId) -> Result<Vec<EpochWraps>, CatalogError> {
        let rows = sqlx::query(
            "SELECT w.epoch AS epoch, count(w.kek) AS owner_keys, count(w.record) AS system_records FROM \
             (SELECT epoch, 1 AS kek, NULL AS record FROM keks WHERE tenant_id = $1 UNION ALL \
             SELECT epoch, NULL AS kek, 1 AS record FROM system_records WHERE tenant_id = $1) w \
             GROUP BY w.epoch ORDER BY w.epoch",
        )
        .bind(tenant.as_bytes().to_vec())
        .fetch_all(self.readers())
        .await?;
        let read = |row| {
            let row = Row::new("keks", row);
            Ok(EpochWraps {
                epoch: row.count("epoch")?,
                owner_keys: row.size("owner_keys")?,
                system_records: row.size("system_records")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Owners with keys that open older clips only.
    pub async fn owners_with_retired_keks(&self, tenant: TenantId) -> Result<Vec<OwnerId>, CatalogError> {
        let rows = sqlx::query(
            "SELECT DISTINCT owner_id FROM keks WHERE tenant_id = $1 AND state = 'retired' ORDER BY owner_id",
        )
        .bind(tenant.as_bytes().to_vec())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Row::new("keks", row).id("owner_id")).collect()
    }

    /// Owners of whom a clip was erased since their newest key was made, or is being erased: an older copy of the clip's
    /// envelope opens with it.
    pub async fn owners_with_erased_clips(&self, tenant: TenantId) -> Result<Vec<OwnerId>, CatalogError> {
        let rows = sqlx::query(
            "SELECT k.owner_id AS owner_id FROM keks k WHERE k.tenant_id = $1 AND k.state = 'active' AND (EXISTS \
             (SELECT 1 FROM erasures e WHERE e.owner_id = k.owner_id AND e.kind = 'clip' AND (e.done_at IS NULL OR e.done_at >= k.created_at)) \
             OR EXISTS (SELECT 1 FROM events v WHERE v.owner_id = k.owner_id AND v.kind = 'clip_erased' \
             AND v.at >= k.created_at)) ORDER BY k.owner_id",
        )
        .bind(tenant.as_bytes().to_vec())
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(|row| Row::new("keks", row).id("owner_id")).collect()
    }

    /// Clips of living owners whose envelope is sealed under a key that the owner does not have.
    pub async fn clips_without_kek(&self, tenant: TenantId) -> Result<u64, CatalogError> {
        let row = sqlx::query(
            "SELECT count(*) AS clips FROM clips c JOIN owners o ON o.id = c.owner_id WHERE c.tenant_id = $1 \
             AND o.state = 'active' AND c.envelope IS NOT NULL AND NOT EXISTS (SELECT 1 FROM keks k WHERE k.owner_id = c.owner_id AND k.version = c.kek_version)",
        )
        .bind(tenant.as_bytes().to_vec())
        .fetch_one(self.readers())
        .await?;
        Row::new("clips", &row).size("clips")
    }
}

impl Tx {
    /// Keeps the key under which a clip's envelope is being published until this transaction ends;
    /// [`CatalogError::Superseded`] when the owner has other keys and that one was destroyed meanwhile.
    pub(super) async fn hold_kek_of(&mut self, clip: ClipId, version: u64) -> Result<(), CatalogError> {
        let held = sqlx::query(
            "UPDATE keks SET state = state WHERE owner_id = (SELECT owner_id FROM clips WHERE id = $1) AND version = $2",
        )
        .bind(clip.as_bytes().to_vec())
        .bind(i64::try_from(version).unwrap_or(i64::MAX))
        .execute(self.connection())
        .await?;
        if held.rows_affected() > 0 {
            return Ok(());
        }
        let others = sqlx::query(
            "SELECT count(*) AS keks FROM keks WHERE owner_id = (SELECT owner_id FROM clips WHERE id = $1)",
        )
        .bind(clip.as_bytes().to_vec())
        .fetch_one(self.connection())
        .await?;
        // An owner without any was erased, which the clip's own row tells.
        match Row::new("keks", &others).size("keks")? {
            0 => Ok(()),
            _ => Err(CatalogError::Superseded),
        }
    }

    /// Makes a key one that opens older clips only, if it has the revision `before` still and is the active one.
    pub async fn retire_kek(&mut self, kek: &KekRow, before: u32) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE keks SET state = 'retired', record = $1, revision = $2 \
             WHERE id = $3 AND revision = $4 AND owner_id = $5 AND state = 'active'",
        )
        .bind(kek.record.clone())
        .bind(i64::from(kek.revision))
        .bind(kek.id.as_bytes().to_vec())
        .bind(i64::from(before))
        .bind(kek.owner.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Destroys the retired keys of an owner that no clip's envelope is sealed under: overwritten with zeros of their length,
    /// then the rows go, and their mirrored records are old from then on. Which ones.
    pub async fn destroy_unused_keks(&mut self, owner: OwnerId) -> Result<Vec<KekId>, CatalogError> {
        // Whoever publishes a clip under one of them holds its row, and is waited for.
        sqlx::query("UPDATE keks SET state = state WHERE owner_id = $1 AND state = 'retired'")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        let rows = sqlx::query(
            "SELECT id, record FROM keks WHERE owner_id = $1 AND state = 'retired' AND NOT EXISTS (SELECT 1 FROM clips c \
             WHERE c.owner_id = keks.owner_id AND c.kek_version = keks.version AND c.envelope IS NOT NULL)",
        )
        .bind(owner.as_bytes().to_vec())
        .fetch_all(self.connection())
        .await?;
        let mut destroyed = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row::new("keks", row);
            let (id, record): (KekId, _) = (row.id("id")?, row.bytes("record")?);
            sqlx::query("UPDATE keks SET record = $1 WHERE id = $2")
                .bind(vec![0_u8; record.len()])
                .bind(id.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
            sqlx::query("DELETE FROM keks WHERE id = $1")
                .bind(id.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
            // In one transaction: a record that is the newest of no key would keep its whole pack for ever.
            self.retire_mirrors_of(MirrorSubject::Kek, id.as_bytes()).await?;
            destroyed.push(id);
        }
        Ok(destroyed)
    }

    /// Replaces a key's record if it has the revision `before` still; [`CatalogError::Superseded`] when its root epoch has passed.
    pub async fn replace_kek(&mut self, kek: &KekRow, before: u32) -> Result<bool, CatalogError> {
        let tenant = sqlx::query("SELECT tenant_id FROM keks WHERE id = $1")
            .bind(kek.id.as_bytes().to_vec())
            .fetch_optional(self.connection())
            .await?;
        let Some(tenant) = tenant else { return Ok(false) };
        let tenant = Row::new("keks", &tenant).id("tenant_id")?;
        self.hold_epoch(tenant, kek.epoch).await?;
        Ok(!self.rewrap_keks(&[(kek, before)]).await?.is_empty())
    }

    /// As [`Self::replace_kek`], in a transaction that holds the epoch already ([`Tx::hold_epoch`]): many at once, each with the
    /// revision it had before. Those that had it still, and were replaced.
    pub async fn rewrap_keks(&mut self, keks: &[(&KekRow, u32)]) -> Result<Vec<KekId>, CatalogError> {
        let mut replaced = Vec::with_capacity(keks.len());
        for some in keks.chunks(KEKS_A_STATEMENT) {
            let text = format!(
                "WITH news (kek_id, kek_owner, kek_before, new_epoch, new_revision, new_record) AS (VALUES {}) \
                 UPDATE keks SET epoch = new_epoch, record = new_record, revision = new_revision FROM news \
                 WHERE id = kek_id AND revision = kek_before AND owner_id = kek_owner",
                lines_of_places(some.len(), 6)
            );
            let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
            for (kek, before) in some {
                query = query
                    .bind(kek.id.as_bytes().to_vec())
                    .bind(kek.owner.as_bytes().to_vec())
                    .bind(i64::from(*before))
                    .bind(i64::from(kek.epoch))
                    .bind(i64::from(kek.revision))
                    .bind(kek.record.clone());
            }
            // A row that is given back costs more than its change, so only the number is asked for.
            let done = query.execute(self.connection()).await?.rows_affected();
            if done == some.len() as u64 {
                replaced.extend(some.iter().map(|(kek, _)| kek.id));
            } else if done > 0 {
                replaced.extend(self.those_that_hold(some).await?);
            }
        }
        Ok(replaced)
    }

    /// Those of the keys whose rows hold just these records: no two are alike, since each is sealed with a salt of its own.
    async fn those_that_hold(&mut self, keks: &[(&KekRow, u32)]) -> Result<Vec<KekId>, CatalogError> {
        let text = format!("SELECT id, record FROM keks WHERE id IN ({})", places(keks.len()));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(text));
        for (kek, _) in keks {
            query = query.bind(kek.id.as_bytes().to_vec());
        }
        let mut found = Vec::with_capacity(keks.len());
        for row in query.fetch_all(self.connection()).await? {
            let row = Row::new("keks", &row);
            let (id, record): (KekId, _) = (row.id("id")?, row.bytes("record")?);
            found.extend(
                keks.iter()
                    .find(|(kek, _)| kek.id == id && kek.record == record)
                    .map(|_| id),
            );
        }
        Ok(found)
    }

    /// Adds an active key; [`CatalogError::Superseded`] when its root epoch has passed.
    pub async fn insert_kek(&mut self, tenant: TenantId, kek: &KekRow, now: UnixMs) -> Result<(), CatalogError> {
        self.hold_epoch(tenant, kek.epoch).await?;
        sqlx::query(
            "INSERT INTO keks (id, tenant_id, owner_id, version, state, epoch, record, revision, created_at) \
             VALUES ($1, $2, $3, $4, 'active', $5, $6, $7, $8)",
        )
        .bind(kek.id.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .bind(kek.owner.as_bytes().to_vec())
        .bind(i64::from(kek.version))
        .bind(i64::from(kek.epoch))
        .bind(kek.record.clone())
        .bind(i64::from(kek.revision))
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Destroys every key of an owner: each record is overwritten with zeros of its length, then the rows go. Their ids.
    pub async fn destroy_keks(&mut self, owner: OwnerId) -> Result<Vec<KekId>, CatalogError> {
        let rows = sqlx::query(select!("WHERE owner_id = $1"))
            .bind(owner.as_bytes().to_vec())
            .fetch_all(self.connection())
            .await?;
        let mut destroyed = Vec::with_capacity(rows.len());
        for row in &rows {
            let kek = read(row)?;
            destroyed.push(kek.id);
            sqlx::query("UPDATE keks SET record = $1 WHERE id = $2")
                .bind(vec![0_u8; kek.record.len()])
                .bind(kek.id.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
        }
        sqlx::query("DELETE FROM keks WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(destroyed)
    }
}

fn read(row: &AnyRow) -> Result<KekRow, CatalogError> {
    let row = Row::new("keks", row);
    Ok(KekRow {
        id: row.id("id")?,
        owner: row.id("owner_id")?,
        version: row.count("version")?,
        epoch: row.count("epoch")?,
        revision: row.count("revision")?,
        least_revision: row.count("least_revision")?,
        record: row.bytes("record")?,
    })
}
