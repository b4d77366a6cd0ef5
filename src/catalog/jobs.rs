//! The queue of work and its leases.
//!
//! A lease is a random id. It stands in the WHERE clause of every write of its holder, so that whoever lost it changes
//! nothing; [`Tx::hold_job`] puts the same fence before writes to other tables.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, JobId, JobKind, JobState, LinkId, OwnerId, TenantId, UnixMs};

/// A clip has a finish, some links and an erasure; more rows than this are not looked at in one call.
const MAX_JOBS_OF_CLIP: i64 = 1_000;

/// A piece of work to queue.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Random; also the holder of the objects that the job writes.
    pub id: JobId,
    /// The brand or fleet.
    pub tenant: TenantId,
    /// What is to be done.
    pub kind: JobKind,
    /// Whose clip it is.
    pub owner: OwnerId,
    /// The clip, for every kind but `erase_owner`.
    pub clip: Option<ClipId>,
    /// The link, for `link_media`.
    pub link: Option<LinkId>,
    /// Not before this time; "now" for work that may start at once. Also written as the time of queueing.
    pub run_after: UnixMs,
}

/// A row of the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRow {
    /// The job.
    pub id: JobId,
    /// The brand or fleet.
    pub tenant: TenantId,
    /// What is to be done.
    pub kind: JobKind,
    /// Whose clip it is.
    pub owner: OwnerId,
    /// The clip it is about.
    pub clip: Option<ClipId>,
    /// The link it is about.
    pub link: Option<LinkId>,
    /// Where it is.
    pub state: JobState,
    /// Leases taken since the last step that was kept.
    pub attempts: u32,
    /// Of these, attempts that came back with a failure of the job's own.
    pub failures: u32,
    /// Who holds it, while it runs.
    pub lease: Option<JobId>,
    /// When the lease ends, while it runs.
    pub lease_until: Option<UnixMs>,
    /// Not before this time.
    pub run_after: UnixMs,
    /// Per mille of the current attempt.
    pub progress: u32,
    /// Why it was given up.
    pub error_code: Option<String>,
}

/// A job and the lease that its holder writes under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobLease {
    /// The job.
    pub job: JobId,
    /// Random, new with every lease.
    pub lease: JobId,
}

impl Catalog {
    /// One job.
    pub async fn job(&self, id: JobId) -> Result<Option<JobRow>, CatalogError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE id = $1")
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(job_row).transpose()
    }

    /// The jobs of a clip, oldest first.
    pub async fn jobs_of_clip(&self, clip: ClipId) -> Result<Vec<JobRow>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM jobs WHERE clip_id = $1 ORDER BY created_at, id LIMIT $2")
            .bind(clip.as_bytes().to_vec())
            .bind(MAX_JOBS_OF_CLIP)
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(job_row).collect()
    }

    /// Whether a job of one of two kinds could be leased now; cheaper than to try.
    pub async fn has_due_job(&self, kinds: [JobKind; 2], now: UnixMs) -> Result<bool, CatalogError> {
        let row = sqlx::query(
            "SELECT 1 AS due FROM jobs WHERE kind IN ($1, $2) \
             AND ((state = 'queued' AND run_after <= $3) OR (state = 'running' AND lease_until <= $3)) LIMIT 1",
        )
        .bind(kinds[0].as_str())
        .bind(kinds[1].as_str())
        .bind(now)
        .fetch_optional(self.readers())
        .await?;
        Ok(row.is_some())
    }

    /// How far a link's media are, in per mille; none when no job is at work on them.
    pub async fn link_progress(&self, link: LinkId) -> Result<Option<u32>, CatalogError> {
        let row =
            sqlx::query("SELECT progress FROM jobs WHERE link_id = $1 AND state IN ('queued', 'running') LIMIT 1")
                .bind(link.as_bytes().to_vec())
                .fetch_optional(self.readers())
                .await?;
        row.map(|row| Row::new("jobs", &row).count("progress")).transpose()
    }

    /// How many jobs are in a state.
    pub async fn count_jobs(&self, state: JobState) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT COUNT(*) AS jobs FROM jobs WHERE state = $1")
            .bind(state.as_str())
            .fetch_one(self.readers())
            .await?;
        Row::new("jobs", &row).size("jobs")
    }
}

impl Tx {
    /// Queues a job. Whoever polls the queue finds it after the commit.
    pub async fn queue_job(&mut self, job: &NewJob) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO jobs (id, tenant_id, kind, owner_id, clip_id, link_id, state, attempts, run_after, progress, \
             created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 'queued', 0, $7, 0, $7, $7)",
        )
        .bind(job.id.as_bytes().to_vec())
        .bind(job.tenant.as_bytes().to_vec())
        .bind(job.kind.as_str())
        .bind(job.owner.as_bytes().to_vec())
        .bind(job.clip.map(|id| id.as_bytes().to_vec()))
        .bind(job.link.map(|id| id.as_bytes().to_vec()))
        .bind(job.run_after)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Queues the erasure of a clip unless one waits or runs already.
    pub async fn queue_erasure(&mut self, job: &NewJob) -> Result<bool, CatalogError> {
        let waits = sqlx::query(
            "SELECT 1 AS waits FROM jobs WHERE clip_id = $1 AND kind = 'erase_clip' AND state IN ('queued', 'running')",
        )
        .bind(job.clip.map(|id| id.as_bytes().to_vec()))
        .fetch_optional(self.connection())
        .await?;
        if waits.is_some() {
            return Ok(false);
        }
        self.queue_job(job).await?;
        Ok(true)
    }

    /// Takes every job of a clip but `except` out of the queue and out of the hands of its holder; how many there were.
    pub async fn cancel_jobs_of_clip(&mut self, clip: ClipId, except: JobId, now: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query(
            "UPDATE jobs SET state = 'failed', error_code = 'cancelled', lease_id = NULL, lease_until = NULL, \
             updated_at = $1 WHERE clip_id = $2 AND id <> $3 AND state IN ('queued', 'running')",
        )
        .bind(now)
        .bind(clip.as_bytes().to_vec())
        .bind(except.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }

    /// Takes the jobs of a link out of the queue and out of the hands of their holders; how many there were.
    pub async fn cancel_jobs_of_link(&mut self, link: LinkId, now: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query(
            "UPDATE jobs SET state = 'failed', error_code = 'cancelled', lease_id = NULL, lease_until = NULL, \
             updated_at = $1 WHERE link_id = $2 AND state IN ('queued', 'running')",
        )
        .bind(now)
        .bind(link.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }

    /// Leases the job that is due longest, of one of two kinds: a queued one whose time has come, or a running one whose
    /// lease has ended. Counts an attempt.
    ///
    /// `None` also when another node took the same job at the same moment: ask again later.
    pub async fn lease_job(
        &mut self,
        kinds: [JobKind; 2],
        lease: JobId,
        now: UnixMs,
        until: UnixMs,
    ) -> Result<Option<JobRow>, CatalogError> {
        // The outer condition repeats the inner one: PostgreSQL checks it again on the row that another node has just
        // changed, and the job is not taken twice.
        let row = sqlx::query(
            "UPDATE jobs SET state = 'running', attempts = attempts + 1, lease_id = $1, lease_until = $2, progress = 0, \
             updated_at = $3 \
             WHERE id = (SELECT id FROM jobs WHERE kind IN ($4, $5) \
                         AND ((state = 'queued' AND run_after <= $3) OR (state = 'running' AND lease_until <= $3)) \
                         ORDER BY run_after, id LIMIT 1) \
             AND ((state = 'queued' AND run_after <= $3) OR (state = 'running' AND lease_until <= $3)) \
             RETURNING *",
        )
        .bind(lease.as_bytes().to_vec())
        .bind(until)
        .bind(now)
        .bind(kinds[0].as_str())
        .bind(kinds[1].as_str())
        .fetch_optional(self.connection())
        .await?;
        row.as_ref().map(job_row).transpose()
    }

    /// Moves the end of a lease; false when it is lost.
    pub async fn extend_job(&mut self, held: JobLease, until: UnixMs) -> Result<bool, CatalogError> {
        let done =
            sqlx::query("UPDATE jobs SET lease_until = $1 WHERE id = $2 AND lease_id = $3 AND state = 'running'")
                .bind(until)
                .bind(held.job.as_bytes().to_vec())
                .bind(held.lease.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The fence before writes to other tables: false when the lease is lost, else the row stays locked until the commit.
    pub async fn hold_job(&mut self, held: JobLease, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query("UPDATE jobs SET updated_at = $1 WHERE id = $2 AND lease_id = $3 AND state = 'running'")
            .bind(now)
            .bind(held.job.as_bytes().to_vec())
            .bind(held.lease.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// As [`Tx::hold_job`], for a step that the job will not have to do again: attempts and failures are counted
    /// from here.
    pub async fn step_job(&mut self, held: JobLease, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE jobs SET attempts = 1, failures = 0, updated_at = $1 \
             WHERE id = $2 AND lease_id = $3 AND state = 'running'",
        )
        .bind(now)
        .bind(held.job.as_bytes().to_vec())
        .bind(held.lease.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Writes how far the job is, in per mille; false when the lease is lost.
    pub async fn set_job_progress(&mut self, held: JobLease, progress: u32, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE jobs SET progress = $1, updated_at = $2 WHERE id = $3 AND lease_id = $4 AND state = 'running'",
        )
        .bind(i64::from(progress))
        .bind(now)
        .bind(held.job.as_bytes().to_vec())
        .bind(held.lease.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Ends a job, with a code when it is given up; false when the lease is lost.
    pub async fn finish_job(
        &mut self,
        held: JobLease,
        error_code: Option<&str>,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let state = if error_code.is_some() {
            JobState::Failed
        } else {
            JobState::Done
        };
        let done = sqlx::query(
            "UPDATE jobs SET state = $1, error_code = $2, lease_id = NULL, lease_until = NULL, updated_at = $3 \
             WHERE id = $4 AND lease_id = $5 AND state = 'running'",
        )
        .bind(state.as_str())
        .bind(error_code)
        .bind(now)
        .bind(held.job.as_bytes().to_vec())
        .bind(held.lease.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts a job back into the queue; `counted` is false when the attempt failed for a reason that is not the job's own
    /// (a store that is down, a node that shuts down). False when the lease is lost.
    pub async fn requeue_job(
        &mut self,
        held: JobLease,
        counted: bool,
        run_after: UnixMs,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE jobs SET state = 'queued', attempts = attempts - $1, failures = failures + $2, run_after = $3, \
             lease_id = NULL, lease_until = NULL, updated_at = $4 \
             WHERE id = $5 AND lease_id = $6 AND state = 'running'",
        )
        .bind(i64::from(!counted))
        .bind(i64::from(counted))
        .bind(run_after)
        .bind(now)
        .bind(held.job.as_bytes().to_vec())
        .bind(held.lease.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes up to `limit` jobs that ended before a time; how many they were.
    pub async fn remove_ended_jobs(&mut self, before: UnixMs, limit: u32) -> Result<u64, CatalogError> {
        let done = sqlx::query(
            "DELETE FROM jobs WHERE id IN \
             (SELECT id FROM jobs WHERE state IN ('done', 'failed') AND updated_at < $1 LIMIT $2)",
        )
        .bind(before)
        .bind(i64::from(limit))
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected())
    }
}

fn job_row(row: &AnyRow) -> Result<JobRow, CatalogError> {
    let row = Row::new("jobs", row);
    Ok(JobRow {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        kind: row.state("kind")?,
        owner: row.id("owner_id")?,
        clip: row.maybe_id("clip_id")?,
        link: row.maybe_id("link_id")?,
        state: row.state("state")?,
        attempts: row.count("attempts")?,
        failures: row.count("failures")?,
        lease: row.maybe_id("lease_id")?,
        lease_until: row.maybe_int("lease_until")?,
        run_after: row.int("run_after")?,
        progress: row.count("progress")?,
        error_code: row.maybe_text("error_code")?,
    })
}
