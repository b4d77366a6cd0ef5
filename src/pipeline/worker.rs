//! Takes jobs from the queue, runs each in a task of its own, and settles what became of it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::error::{INTERNAL, JobError};
use super::lease::Held;
use super::{Inner, PipelineError};
use crate::audit::NewEvent;
use crate::catalog::JobLease;
use crate::model::{EventKind, JobId, JobKind, LinkMediaState, UnixMs};

/// Kinds that decode and encode: as many at once as there are cores for.
pub(super) const HEAVY: [JobKind; 2] = [JobKind::Finish, JobKind::LinkMedia];
/// Kinds that only remove. The longest due goes first, and an owner's erasure that waits for its clips' comes back with a
/// later time than theirs: neither keeps the other from its turn.
pub(super) const LIGHT: [JobKind; 2] = [JobKind::EraseClip, JobKind::EraseOwner];

/// Attempts that came back with a failure before a job is given up: 1 + 4 + 16 + 64 s between them outlast a hiccup.
const MAX_FAILURES: u32 = 5;
/// Attempts that began. Power cuts and kills are not the clip's fault, but one that takes the process down each time must
/// not do so for ever.
const MAX_LEASES: u32 = 20;
/// Between attempts that came back with a failure; never longer than this.
const MAX_BACKOFF_MS: i64 = 300_000;
/// Until something that did not answer, or other jobs that had not ended, are asked again; twice as long after each time
/// that nothing answered, until something did.
const PASSING_MS: i64 = 5_000;
/// An outage that ended is noticed within a minute.
const MAX_PASSING_MS: i64 = 60_000;

/// How an attempt ended.
enum Ended {
    /// It came to its end, with the code of the clip or link that failed for good if one did; or it could not go on.
    Job(Result<Option<&'static str>, JobError>),
    Panicked,
    ShutDown,
    /// It was not begun: too many before it ended without a word.
    Silent,
}

/// Takes jobs of two kinds until `shutdown`.
pub(super) async fn run(inner: Arc<Inner>, kinds: [JobKind; 2], shutdown: CancellationToken) {
    while !shutdown.is_cancelled() {
        match next(&inner, kinds, &shutdown).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::warn!(error = &error as &dyn Error, "the queue could not be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(inner.config.poll) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// Leases and runs one job; false when none is due.
pub(super) async fn next(
    inner: &Arc<Inner>,
    kinds: [JobKind; 2],
    shutdown: &CancellationToken,
) -> Result<bool, PipelineError> {
    let now = inner.clock.now_ms();
    if !inner.catalog.has_due_job(kinds, now).await? {
        return Ok(false);
    }
    let lease = JobId::random();
    let mut tx = inner.catalog.begin().await?;
    let Some(row) = tx.lease_job(kinds, lease, now, inner.lease_until()).await? else {
        return Ok(false);
    };
    tx.commit().await?;
    let lease = JobLease { job: row.id, lease };
    let held = Arc::new(Held::new(row, lease, shutdown.clone()));
    let ended = attempt(inner, &held, shutdown).await;
    if let Err(error) = inner.settle(&held, ended).await {
        // The lease ends by itself, and whoever takes the job then goes on from its last step.
        tracing::warn!(job = %held.row.id, error = &error as &dyn Error, "a job could not be put back");
    }
    Ok(true)
}

/// Runs a job in a task of its own: a panic ends the task and nothing else, and a dropped future ends it too.
async fn attempt(inner: &Arc<Inner>, held: &Arc<Held>, shutdown: &CancellationToken) -> Ended {
    // An erasure was promised: it is tried for ever.
    if held.row.attempts > MAX_LEASES && !held.row.kind.is_erasure() {
        return Ended::Silent;
    }
    let mut task = AbortOnDropHandle::new(tokio::spawn({
        let (inner, held) = (inner.clone(), held.clone());
        async move {
            tokio::select! {
                ended = inner.work(&held) => ended,
                () = inner.keep(&held) => Err(JobError::LeaseLost),
            }
        }
    }));
    let drained = async {
        shutdown.cancelled().await;
        tokio::time::sleep(inner.config.drain).await;
    };
    tokio::select! {
        ended = &mut task => match ended {
            Ok(ended) => Ended::Job(ended),
            Err(_) => Ended::Panicked,
        },
        () = drained => {
            task.abort();
            // Until it has let go, it could still write.
            let _ = task.await;
            Ended::ShutDown
        }
    }
}

impl Inner {
    async fn work(&self, held: &Held) -> Result<Option<&'static str>, JobError> {
        match held.row.kind {
            JobKind::Finish => self.finish(held).await,
            JobKind::LinkMedia => self.link_media(held).await,
            JobKind::EraseClip => self.erase_clip(held).await.map(|()| None),
            JobKind::EraseOwner => self.erase_owner(held).await.map(|()| None),
        }
    }

    async fn settle(&self, held: &Held, ended: Ended) -> Result<(), JobError> {
        let (job, kind) = (held.row.id, held.row.kind.as_str());
        let now = self.clock.now_ms();
        match ended {
            Ended::Job(Ok(None)) => {
                tracing::info!(%job, kind, "a job is done");
                self.passing.store(0, Ordering::Relaxed);
                Ok(())
            }
            // Why exactly is the owner's business, and sealed in the clip's details.
            Ended::Job(Ok(Some(code))) => {
                tracing::warn!(%job, kind, code, "a job ended with a failure that trying again would not help");
                Ok(())
            }
            Ended::Job(Err(JobError::LeaseLost)) => {
                tracing::warn!(%job, kind, "a job's lease was lost; another node has it, or it was cancelled");
                Ok(())
            }
            Ended::Job(Err(JobError::Gone)) => {
                tracing::info!(%job, kind, "a job found what it works on erased");
                self.end(held, "gone").await
            }
            Ended::Job(Err(JobError::Passing(cause))) => {
                tracing::warn!(%job, kind, error = &*cause as &dyn Error, "a job waits for what does not answer");
                let times = self.passing.fetch_add(1, Ordering::Relaxed).min(10);
                self.requeue(held, false, now + (PASSING_MS << times).min(MAX_PASSING_MS))
                    .await
            }
            Ended::Job(Err(JobError::Waits)) => {
                tracing::debug!(%job, kind, "a job waits for others to end");
                self.requeue(held, false, now + PASSING_MS).await
            }
            // What fails while all around it ends is tried again by whoever starts next.
            Ended::Job(Err(JobError::Failed { code, source })) if held.is_ending() => {
                tracing::warn!(%job, kind, code, error = &*source as &dyn Error, "a job failed while the service was ending");
                self.requeue(held, false, now).await
            }
            Ended::Job(Err(JobError::Failed { code, source })) => {
                tracing::error!(%job, kind, code, error = &*source as &dyn Error, "a job failed");
                self.retry_or_give_up(held, code).await
            }
            Ended::Panicked => {
                tracing::error!(%job, kind, "a job panicked");
                self.retry_or_give_up(held, INTERNAL).await
            }
            Ended::ShutDown => self.requeue(held, false, now).await,
            Ended::Silent => {
                tracing::error!(%job, kind, "every attempt of a job ended without a word");
                self.give_up(held, INTERNAL).await
            }
        }
    }

    async fn requeue(&self, held: &Held, counted: bool, run_after: UnixMs) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        let mut tx = self.begin_held(held).await?;
        tx.end_intents(held.row.id.as_bytes(), now - 1).await?;
        tx.requeue_job(held.lease, counted, run_after, now).await?;
        Ok(tx.commit().await?)
    }

    async fn end(&self, held: &Held, code: &'static str) -> Result<(), JobError> {
        let mut tx = self.begin_held(held).await?;
        tx.end_intents(held.row.id.as_bytes(), self.clock.now_ms() - 1).await?;
        self.commit_end(tx, held, Some(code)).await
    }

    async fn retry_or_give_up(&self, held: &Held, code: &'static str) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        // A step that was kept since the lease began has set the count back.
        let failures = 1 + self.catalog.job(held.row.id).await?.map_or(0, |row| row.failures);
        // What was asked to be erased is tried for ever.
        if held.row.kind.is_erasure() || failures < MAX_FAILURES {
            let wait = 1_000_i64 << (2 * failures.clamp(1, 10) - 2);
            return self.requeue(held, true, now + wait.min(MAX_BACKOFF_MS)).await;
        }
        self.give_up(held, code).await
    }

    async fn give_up(&self, held: &Held, code: &'static str) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        let mut tx = self.begin_held(held).await?;
        tx.end_intents(held.row.id.as_bytes(), now - 1).await?;
        match (held.row.kind, held.row.clip, held.row.link) {
            // The pieces stay where the original was not made: nothing that was acknowledged is thrown away.
            (JobKind::Finish, Some(clip), _) => {
                let failed = tx.fail_clip(clip, code, now).await?;
                if failed {
                    let event = NewEvent::of_clip(held.row.owner, EventKind::ClipFailed, clip);
                    self.audit.record(&mut tx, event).await?;
                }
            }
            (JobKind::LinkMedia, _, Some(link)) => {
                tx.set_link_media(link, LinkMediaState::Preparing, LinkMediaState::Failed, Some(code))
                    .await?;
            }
            _ => {}
        }
        self.commit_end(tx, held, Some(code)).await?;
        tracing::warn!(job = %held.row.id, kind = held.row.kind.as_str(), code, "a job is given up");
        Ok(())
    }
}
