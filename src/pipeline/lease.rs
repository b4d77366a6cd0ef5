//! A job's lease while it runs: kept alive, proved before every commit, gone as soon as it cannot be proved.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Inner;
use super::error::JobError;
use crate::catalog::{CatalogError, JobLease, JobRow, Tx};
use crate::model::{JobKind, UnixMs};
use crate::vault::Holder;

/// Progress is written at most this often: each write is a synced commit, and pages poll no faster.
const BEAT: Duration = Duration::from_millis(500);

/// A leased job.
pub(super) struct Held {
    /// As it was when it was leased.
    pub(super) row: JobRow,
    /// Stands in the WHERE of every write.
    pub(super) lease: JobLease,
    /// Per mille; the heartbeat writes it down.
    progress: AtomicU32,
    shutdown: CancellationToken,
}

impl Held {
    pub(super) fn new(row: JobRow, lease: JobLease, shutdown: CancellationToken) -> Self {
        Self {
            row,
            lease,
            progress: AtomicU32::new(0),
            shutdown,
        }
    }

    /// Whether the service is about to end.
    pub(super) fn is_ending(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// How far the job is, in per mille; it never goes back.
    pub(super) fn set_progress(&self, per_mille: u32) {
        self.progress.fetch_max(per_mille.min(1_000), Ordering::Relaxed);
    }
}

impl Inner {
    /// The end of a lease that begins or is extended now.
    pub(super) fn lease_until(&self) -> UnixMs {
        let lease_ms = i64::try_from(self.config.lease.as_millis()).unwrap_or(i64::MAX / 2);
        self.clock.now_ms() + lease_ms
    }

    /// Who writes the objects of a job: the job, whichever node has it, so that the next attempt finds what this one left.
    pub(super) fn holder(&self, held: &Held) -> Holder {
        Holder {
            id: *held.row.id.as_bytes(),
            lease: self.config.lease,
        }
    }

    /// A transaction that only the lease's holder gets; the job's row is locked until its end.
    pub(super) async fn begin_held(&self, held: &Held) -> Result<Tx, JobError> {
        let mut tx = self.catalog.begin().await?;
        if tx.hold_job(held.lease, self.clock.now_ms()).await? {
            Ok(tx)
        } else {
            Err(JobError::LeaseLost)
        }
    }

    /// As [`Inner::begin_held`], for a step that no later attempt has to do again.
    pub(super) async fn begin_step(&self, held: &Held) -> Result<Tx, JobError> {
        let mut tx = self.catalog.begin().await?;
        if tx.step_job(held.lease, self.clock.now_ms()).await? {
            Ok(tx)
        } else {
            Err(JobError::LeaseLost)
        }
    }

    /// Ends the job in a transaction that [`Inner::begin_held`] began, and commits it.
    pub(super) async fn commit_end(&self, mut tx: Tx, held: &Held, code: Option<&str>) -> Result<(), JobError> {
        if !tx.finish_job(held.lease, code, self.clock.now_ms()).await? {
            return Err(JobError::LeaseLost);
        }
        Ok(tx.commit().await?)
    }

    /// Keeps the lease until it is lost; then returns.
    pub(super) async fn keep(&self, held: &Held) {
        let third = self.config.lease / 3;
        let beat = BEAT.min(third);
        let (mut until, mut told) = (held.row.lease_until.unwrap_or_default(), 0);
        let mut next = tokio::time::Instant::now() + third;
        loop {
            tokio::time::sleep(beat).await;
            let progress = held.progress.load(Ordering::Relaxed);
            if progress == told && tokio::time::Instant::now() < next {
                continue;
            }
            let new_until = self.lease_until();
            // A catalogue that hangs must not hold the heartbeat beyond the lease.
            let left = Duration::from_millis((until - self.clock.now_ms()).max(0).unsigned_abs());
            match timeout(left, self.extend(held, progress, new_until)).await {
                Ok(Ok(true)) => {
                    (until, told) = (new_until, progress);
                    next = tokio::time::Instant::now() + third;
                }
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    tracing::warn!(job = %held.row.id, error = &error as &dyn std::error::Error, "a lease could not be extended");
                }
                Err(_) => {}
            }
            if self.clock.now_ms() >= until {
                return;
            }
        }
    }

    async fn extend(&self, held: &Held, progress: u32, until: UnixMs) -> Result<bool, CatalogError> {
        let now = self.clock.now_ms();
        let mut tx = self.catalog.begin().await?;
        if !tx.extend_job(held.lease, until).await? || !tx.set_job_progress(held.lease, progress, now).await? {
            return Ok(false);
        }
        tx.extend_intents(held.row.id.as_bytes(), until).await?;
        if let (JobKind::Finish, Some(clip)) = (held.row.kind, held.row.clip) {
            let per_mille = u16::try_from(progress).unwrap_or(1_000);
            tx.set_clip_progress(clip, per_mille, now).await?;
        }
        tx.commit().await?;
        Ok(true)
    }
}
