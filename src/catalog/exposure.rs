//! What strangers get of our own buckets: verdicts, their changes, the ways in that were open, and what the watch left there.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{Bucket, ObjectId, UnixMs, Verdict};

/// Another watcher that saw a way in open counts for so long after its last look; then it is gone, not silent for a moment.
const OTHERS_MS: i64 = 15 * 60 * 1000;
/// Rows that one question gets at most: a year of a verdict that changes every hour.
pub const MOST_ROWS: i64 = 10_000;

/// What a round found out about one bucket.
#[derive(Debug, Clone)]
pub struct NewVerdict {
    pub bucket: Bucket,
    pub verdict: Verdict,
    /// For people; never an owner's data.
    pub reason: String,
    /// Every way in that was open.
    pub openings: Vec<Opening>,
    /// Every question was answered, so what was not seen open is shut.
    pub is_whole: bool,
    /// Who looked: a word for the place from which it did.
    pub watcher: String,
}

/// A way into a bucket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// The form of address, such as `path-style`.
    pub form: String,
    /// What a stranger did, such as `list-v2`.
    pub probe: String,
    /// Path of the object that was got, if it was one.
    pub object: Option<String>,
}

/// What [`Tx::set_verdict`] made of a round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictSet {
    /// The verdict that counts now: a bucket that was open stays exposed until it is proven private, and as long as another
    /// watcher sees it open.
    pub verdict: Verdict,
    /// The one before; none before the first round.
    pub previous: Option<Verdict>,
    /// Since when it is so.
    pub since: UnixMs,
    /// The row as it was; none before the first round.
    pub before: Option<VerdictRow>,
    /// Ways in that were not open before.
    pub new_openings: Vec<Opening>,
}

impl VerdictSet {
    /// Whether the verdict is another than before; the first one is.
    pub fn is_change(&self) -> bool {
        self.previous != Some(self.verdict)
    }
}

/// A row of `bucket_verdicts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictRow {
    pub bucket: Bucket,
    pub verdict: Verdict,
    /// When it became so.
    pub since: UnixMs,
    /// The last round.
    pub checked_at: UnixMs,
    /// When it was last proven private.
    pub private_at: Option<UnixMs>,
    pub reason: String,
}

/// A row of `verdict_changes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictChangeRow {
    pub bucket: Bucket,
    pub verdict: Verdict,
    pub previous: Option<Verdict>,
    pub at: UnixMs,
    pub reason: String,
}

/// A row of `exposures`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExposureRow {
    pub bucket: Bucket,
    pub opening: Opening,
    pub watcher: String,
    pub began_at: UnixMs,
    pub seen_at: UnixMs,
    /// None while it is open.
    pub ended_at: Option<UnixMs>,
}

/// A row of `canaries`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CanaryRow {
    pub bucket: Bucket,
    pub object: ObjectId,
    pub size_bytes: u64,
    /// When it was put there, for the first time or again.
    pub created_at: UnixMs,
}

/// A row of `probe_writes` that may still lie in its bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeWriteRow {
    pub name: ObjectId,
    pub bucket: Bucket,
    pub at: UnixMs,
}

impl Catalog {
    /// What is known of every bucket that was ever looked at.
    pub async fn verdicts(&self) -> Result<Vec<VerdictRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT bucket, verdict, since_at, checked_at, private_at, reason FROM bucket_verdicts ORDER BY bucket",
        )
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read_verdict).collect()
    }

    /// Changes from `from` on and before `to`, oldest first; at most ten thousand.
    pub async fn verdict_changes(&self, from: UnixMs, to: UnixMs) -> Result<Vec<VerdictChangeRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT bucket, verdict, previous, at, reason FROM verdict_changes WHERE at >= $1 AND at < $2 \
             ORDER BY at, id LIMIT $3",
        )
        .bind(from)
        .bind(to)
        .bind(MOST_ROWS)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read_change).collect()
    }

    /// The change that made a bucket's verdict what it was just before a time.
    pub async fn verdict_before(&self, bucket: Bucket, at: UnixMs) -> Result<Option<VerdictChangeRow>, CatalogError> {
        let row = sqlx::query(
            "SELECT bucket, verdict, previous, at, reason FROM verdict_changes WHERE bucket = $1 AND at < $2 \
             ORDER BY at DESC, id DESC LIMIT 1",
        )
        .bind(bucket.as_str())
        .bind(at)
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(read_change).transpose()
    }

    /// Ways in that were open at any time from `from` on and before `to`, oldest first; at most ten thousand.
    pub async fn exposures(&self, from: UnixMs, to: UnixMs) -> Result<Vec<ExposureRow>, CatalogError> {
        let rows = sqlx::query(
            "SELECT bucket, form, probe, object, watcher, began_at, seen_at, ended_at FROM exposures \
             WHERE began_at < $1 AND (ended_at IS NULL OR ended_at > $2) ORDER BY began_at, id LIMIT $3",
        )
        .bind(to)
        .bind(from)
        .bind(MOST_ROWS)
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read_exposure).collect()
    }

    /// The canaries that were put into buckets.
    pub async fn canaries(&self) -> Result<Vec<CanaryRow>, CatalogError> {
        let rows = sqlx::query("SELECT bucket, object_id, size_bytes, created_at FROM canaries")
            .fetch_all(self.readers())
            .await?;
        let rows = rows.iter().map(|row| Row::new("canaries", row));
        rows.map(|row| {
            Ok(CanaryRow {
                bucket: row.state("bucket")?,
                object: row.id("object_id")?,
                size_bytes: row.size("size_bytes")?,
                created_at: row.int("created_at")?,
            })
        })
        .collect()
    }

    /// Probe writes that may still lie in their bucket, oldest first.
    pub async fn probe_writes_left(&self, limit: u32) -> Result<Vec<ProbeWriteRow>, CatalogError> {
        let rows =
            sqlx::query("SELECT name, bucket, at FROM probe_writes WHERE removed_at IS NULL ORDER BY at LIMIT $1")
                .bind(i64::from(limit))
                .fetch_all(self.readers())
                .await?;
        let rows = rows.iter().map(|row| Row::new("probe_writes", row));
        rows.map(|row| {
            Ok(ProbeWriteRow {
                name: row.id("name")?,
                bucket: row.state("bucket")?,
                at: row.int("at")?,
            })
        })
        .collect()
    }

    /// At most `limit` objects that lie in a bucket, those that come first after `from`: a random one gives a random few.
    pub async fn some_objects(
        &self,
        bucket: Bucket,
        from: ObjectId,
        limit: u32,
    ) -> Result<Vec<ObjectId>, CatalogError> {
        let text = match bucket {
            Bucket::Data => "SELECT id FROM objects WHERE id >= $1 ORDER BY id LIMIT $2",
            Bucket::Staging => "SELECT id FROM pieces WHERE id >= $1 ORDER BY id LIMIT $2",
            Bucket::KeyPlane => {
                "SELECT DISTINCT object_id AS id FROM mirrors WHERE object_id >= $1 AND state = 'newest' \
                 AND kind <> 'tombstone' ORDER BY object_id LIMIT $2"
            }
        };
        let rows = sqlx::query(text)
            .bind(from.as_bytes().to_vec())
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| Row::new("objects", row).id("id")).collect()
    }
}

impl Tx {
    /// Takes down what a round found: the verdict, its change if it is one, and each way in from its first to its last
    /// seeing.
    pub async fn set_verdict(&mut self, told: &NewVerdict, now: UnixMs) -> Result<VerdictSet, CatalogError> {
        let before = self.hold_verdict(told.bucket).await?;
        self.end_silent_exposures(told, now).await?;
        let open = self.open_exposures(told.bucket).await?;
        let (own, others): (Vec<_>, Vec<_>) = open.into_iter().partition(|(_, row)| row.watcher == told.watcher);
        let mut new_openings = Vec::new();
        for opening in &told.openings {
            if own.iter().any(|(_, row)| row.opening == *opening) {
                continue;
            }
            self.insert_exposure(told, opening, now).await?;
            new_openings.push(opening.clone());
        }
        let mut is_open = !told.openings.is_empty();
        for (id, row) in &own {
            if told.openings.contains(&row.opening) {
                self.stamp_exposure("UPDATE exposures SET seen_at = $1 WHERE id = $2", *id, now)
                    .await?;
            } else if told.is_whole {
                self.stamp_exposure("UPDATE exposures SET ended_at = $1 WHERE id = $2", *id, now)
                    .await?;
            } else {
                is_open = true;
            }
        }
        let verdict = if is_open || !others.is_empty() {
            Verdict::Exposed
        } else {
            told.verdict
        };
        let reason = match verdict == told.verdict {
            true => told.reason.clone(),
            false if others.is_empty() => format!("it was open, and nothing shows that it is shut: {}", told.reason),
            false => format!("another watcher ({}) sees it open", others[0].1.watcher),
        };
        let previous = before.as_ref().map(|row| row.verdict);
        self.write_verdict(told.bucket, verdict, previous, &reason, now).await?;
        let same = before.as_ref().filter(|row| row.verdict == verdict);
        Ok(VerdictSet {
            verdict,
            previous,
            since: same.map_or(now, |row| row.since),
            before,
            new_openings,
        })
    }

    /// Notes the bucket's canary.
    pub async fn set_canary(&mut self, canary: &CanaryRow) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO canaries (bucket, object_id, size_bytes, created_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (bucket) DO UPDATE SET object_id = excluded.object_id, size_bytes = excluded.size_bytes, \
             created_at = excluded.created_at",
        )
        .bind(canary.bucket.as_str())
        .bind(canary.object.as_bytes().to_vec())
        .bind(i64::try_from(canary.size_bytes).unwrap_or(i64::MAX))
        .bind(canary.created_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Notes an object before a stranger's write of it is tried.
    pub async fn note_probe_write(&mut self, name: ObjectId, bucket: Bucket, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query("INSERT INTO probe_writes (name, bucket, at) VALUES ($1, $2, $3)")
            .bind(name.as_bytes().to_vec())
            .bind(bucket.as_str())
            .bind(now)
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Forgets a write that was refused.
    pub async fn forget_probe_write(&mut self, name: ObjectId) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM probe_writes WHERE name = $1")
            .bind(name.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Notes that a probe write lies there no more.
    pub async fn probe_write_removed(&mut self, name: ObjectId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query("UPDATE probe_writes SET removed_at = $1 WHERE name = $2 AND removed_at IS NULL")
            .bind(now)
            .bind(name.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// The bucket's verdict, which nobody else changes until this transaction ends; the row is made if there is none.
    async fn hold_verdict(&mut self, bucket: Bucket) -> Result<Option<VerdictRow>, CatalogError> {
        // An empty word is no verdict: it stands for the first round until this transaction writes it.
        sqlx::query(
            "INSERT INTO bucket_verdicts (bucket, verdict, since_at, checked_at, reason) VALUES ($1, '', 0, 0, '') \
             ON CONFLICT (bucket) DO UPDATE SET checked_at = bucket_verdicts.checked_at",
        )
        .bind(bucket.as_str())
        .execute(self.connection())
        .await?;
        let row = sqlx::query(
            "SELECT bucket, verdict, since_at, checked_at, private_at, reason FROM bucket_verdicts WHERE bucket = $1",
        )
        .bind(bucket.as_str())
        .fetch_one(self.connection())
        .await?;
        match Row::new("bucket_verdicts", &row).maybe_text("verdict")?.as_deref() {
            None | Some("") => Ok(None),
            Some(_) => read_verdict(&row).map(Some),
        }
    }

    async fn write_verdict(
        &mut self,
        bucket: Bucket,
        verdict: Verdict,
        previous: Option<Verdict>,
        reason: &str,
        now: UnixMs,
    ) -> Result<(), CatalogError> {
        let is_private = verdict == Verdict::Private;
        sqlx::query(
            "UPDATE bucket_verdicts SET verdict = $1, checked_at = $2, reason = $3, rounds = rounds + 1, \
             private_at = CASE WHEN $4 = 1 THEN $5 ELSE private_at END WHERE bucket = $6",
        )
        .bind(verdict.as_str())
        .bind(now)
        .bind(reason.to_owned())
        .bind(i64::from(is_private))
        .bind(now)
        .bind(bucket.as_str())
        .execute(self.connection())
        .await?;
        if previous == Some(verdict) {
            return Ok(());
        }
        sqlx::query("UPDATE bucket_verdicts SET since_at = $1, changes = changes + 1 WHERE bucket = $2")
            .bind(now)
            .bind(bucket.as_str())
            .execute(self.connection())
            .await?;
        sqlx::query(
            "INSERT INTO verdict_changes (id, bucket, verdict, previous, at, reason) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(ObjectId::random().as_bytes().to_vec())
        .bind(bucket.as_str())
        .bind(verdict.as_str())
        .bind(previous.map(|word| word.as_str().to_owned()))
        .bind(now)
        .bind(reason.to_owned())
        .execute(self.connection())
        .await?;
        match verdict {
            Verdict::Exposed => self.open_span(bucket, now).await,
            Verdict::Private => self.close_span(bucket, now).await,
            // Nobody has proven that it is shut.
            Verdict::Unknown => Ok(()),
        }
    }

    /// Ways in of watchers that have not looked for long are over: nobody can say more of them.
    async fn end_silent_exposures(&mut self, told: &NewVerdict, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE exposures SET ended_at = $1 WHERE bucket = $2 AND watcher <> $3 AND ended_at IS NULL AND seen_at < $4",
        )
        .bind(now)
        .bind(told.bucket.as_str())
        .bind(told.watcher.clone())
        .bind(now.saturating_sub(OTHERS_MS))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn open_exposures(&mut self, bucket: Bucket) -> Result<Vec<(ObjectId, ExposureRow)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT id, bucket, form, probe, object, watcher, began_at, seen_at, ended_at FROM exposures \
             WHERE bucket = $1 AND ended_at IS NULL ORDER BY began_at, id LIMIT $2",
        )
        .bind(bucket.as_str())
        .bind(MOST_ROWS)
        .fetch_all(self.connection())
        .await?;
        let rows = rows.iter();
        rows.map(|row| Ok((Row::new("exposures", row).id("id")?, read_exposure(row)?)))
            .collect()
    }

    async fn insert_exposure(&mut self, told: &NewVerdict, opening: &Opening, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO exposures (id, bucket, form, probe, object, watcher, began_at, seen_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(ObjectId::random().as_bytes().to_vec())
        .bind(told.bucket.as_str())
        .bind(opening.form.clone())
        .bind(opening.probe.clone())
        .bind(opening.object.clone())
        .bind(told.watcher.clone())
        .bind(now)
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    async fn stamp_exposure(&mut self, text: &'static str, id: ObjectId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(text)
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

pub(super) fn read_verdict(row: &AnyRow) -> Result<VerdictRow, CatalogError> {
    let row = Row::new("bucket_verdicts", row);
    Ok(VerdictRow {
        bucket: row.state("bucket")?,
        verdict: row.state("verdict")?,
        since: row.int("since_at")?,
        checked_at: row.int("checked_at")?,
        private_at: row.maybe_int("private_at")?,
        reason: row.maybe_text("reason")?.unwrap_or_default(),
    })
}

fn read_change(row: &AnyRow) -> Result<VerdictChangeRow, CatalogError> {
    let row = Row::new("verdict_changes", row);
    let previous = row.maybe_text("previous")?.map(|_| row.state("previous")).transpose()?;
    Ok(VerdictChangeRow {
        bucket: row.state("bucket")?,
        verdict: row.state("verdict")?,
        previous,
        at: row.int("at")?,
        reason: row.maybe_text("reason")?.unwrap_or_default(),
    })
}

fn read_exposure(row: &AnyRow) -> Result<ExposureRow, CatalogError> {
    let row = Row::new("exposures", row);
    let text = |column| {
        row.maybe_text(column)?.ok_or(CatalogError::BadRow {
            table: "exposures",
            column,
        })
    };
    Ok(ExposureRow {
        bucket: row.state("bucket")?,
        opening: Opening {
            form: text("form")?,
            probe: text("probe")?,
            object: row.maybe_text("object")?,
        },
        watcher: text("watcher")?,
        began_at: row.int("began_at")?,
        seen_at: row.int("seen_at")?,
        ended_at: row.maybe_int("ended_at")?,
    })
}
