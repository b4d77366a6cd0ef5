//! Leased jobs: finish an upload, make a link's media, erase; the sweep.
//!
//! Work comes as rows of the queue, never as calls. A job is idempotent step by step: each step ends in one transaction that
//! also proves the lease, and a job that starts again sees from the rows which steps are done. So recovery at start-up and
//! the normal path are the same functions.

mod erase;
mod erase_owner;
mod error;
mod finish;
mod lease;
mod link_media;
mod original;
mod renditions;
mod sink;
mod source;
mod sweep;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::catalog::{Catalog, CatalogError};
use crate::media::Transcoder;
use crate::model::{Clock, Trouble};
use crate::vault::{ObjectAbout, SealedObject, Vault, VaultError};

/// How the pipeline works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Clips that are transcoded at the same time; each takes about a core and a half.
    pub transcodes: usize,
    /// How long a job is another's after its node falls silent.
    pub lease: Duration,
    /// How often an idle worker looks into the queue.
    pub poll: Duration,
    /// How often the sweep walks.
    pub sweep: Duration,
    /// How long running jobs may go on after a shutdown was asked for.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            transcodes: if cores > 2 { 2 } else { 1 },
            lease: Duration::from_secs(15),
            poll: Duration::from_millis(250),
            sweep: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}

/// The workers of the queue. Cheap to clone.
#[derive(Clone)]
pub struct Pipeline {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    transcoder: Arc<dyn Transcoder>,
    vault: Vault,
    catalog: Catalog,
    audit: Audit,
    clock: Arc<dyn Clock>,
    /// Attempts in a row that ended because something did not answer.
    passing: AtomicU32,
}

/// What was made of a clip or for a link: sealed, read back, not yet published.
struct Made {
    objects: Vec<(SealedObject, ObjectAbout)>,
    incomplete: bool,
    has_audio: bool,
    duration_ms: u64,
    /// Of the largest picture, in pixels.
    width: Option<u32>,
    /// Of the largest picture, in pixels.
    height: Option<u32>,
}

/// The queue or the store could not be asked; the next look may succeed.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The catalogue failed.
    #[error("the queue cannot be read or written")]
    Catalog(#[from] CatalogError),
    /// The vault failed.
    #[error("what nobody holds could not be removed")]
    Vault(#[from] VaultError),
}

impl PipelineError {
    /// What it means to the walk that met it.
    fn trouble(&self) -> Trouble {
        match self {
            Self::Catalog(error) => error.trouble(),
            Self::Vault(error) => error.trouble(),
        }
    }
}

impl Pipeline {
    /// Wires the room; nothing runs before [`Pipeline::run`].
    pub fn new(
        config: Config,
        transcoder: Arc<dyn Transcoder>,
        vault: Vault,
        catalog: Catalog,
        audit: Audit,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                transcoder,
                vault,
                catalog,
                audit,
                clock,
                passing: AtomicU32::new(0),
            }),
        }
    }

    /// Works until `shutdown`, then returns once running jobs have ended or given their leases back.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut tasks = JoinSet::new();
        for _ in 0..self.inner.config.transcodes.max(1) {
            tasks.spawn(worker::run(self.inner.clone(), worker::HEAVY, shutdown.clone()));
        }
        // Erasures never wait for a transcode.
        tasks.spawn(worker::run(self.inner.clone(), worker::LIGHT, shutdown.clone()));
        tasks.spawn(sweep_until(self.inner.clone(), shutdown));
        while tasks.join_next().await.is_some() {}
    }

    /// Leases and runs one job that is due; false when there is none. What [`Pipeline::run`] does over and over.
    pub async fn work_once(&self) -> Result<bool, PipelineError> {
        for kinds in [worker::HEAVY, worker::LIGHT] {
            if worker::next(&self.inner, kinds, &CancellationToken::new()).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Walks once over what nobody holds any more. What [`Pipeline::run`] does every minute.
    pub async fn sweep(&self) -> Result<(), PipelineError> {
        self.inner.sweep().await
    }
}

async fn sweep_until(inner: Arc<Inner>, shutdown: CancellationToken) {
    loop {
        if let Err(error) = inner.sweep().await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the sweep did not get through"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(inner.config.sweep) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
