//! What every route has at hand: the rooms, the public URL, limits, numbers; and the way from a worker thread to them.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::web::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::client_address::Cidr;
use super::limits::Limits;
use super::metrics::Metrics;
use super::problem::Problem;
use super::public_url::PublicUrl;
use super::routes::VehiclePolicy;
use crate::access::Access;
use crate::audit::Audit;
use crate::exposure::Known;
use crate::ingest::Ingest;
use crate::library::Library;
use crate::model::Clock;

/// Chunks of media that may lie between the vault and a slow client; a chunk is one sealed segment at most.
const CHUNKS_AHEAD: usize = 2;

/// The rooms that the routes ask.
#[derive(Clone)]
pub struct Rooms {
    /// Who asks, and what they may.
    pub access: Access,
    /// What happened.
    pub audit: Audit,
    /// Uploads.
    pub ingest: Ingest,
    /// Clips.
    pub library: Library,
    /// What strangers get.
    pub exposure: Known,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Looks at every part of the service that must answer before requests make sense.
pub type Readiness = Arc<dyn Fn() -> BoxFuture<'static, Vec<PartState>> + Send + Sync>;

/// What a look at one part found.
#[derive(Debug, Clone)]
pub struct PartState {
    /// Which part: a constant word.
    pub name: &'static str,
    /// What is wrong, in words without anybody's data; none when it is ready.
    pub fault: Option<String>,
    /// Whether the service does its work without this part, if not all of it: then a fault is told and the service is ready.
    pub is_spared: bool,
}

/// A number of the service's for `/metrics`, read when it is asked for.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The metric's name behind `dashvault_`: a constant.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// Whether it only grows, until the process ends.
    pub is_counter: bool,
    /// What tells it from others of its name, which stand beside it: no owner, no clip, no reader.
    pub labels: Vec<(&'static str, String)>,
    /// Its value now.
    pub value: u64,
}

/// Reads numbers of rooms that the HTTP face does not know.
pub type Readings = Arc<dyn Fn() -> BoxFuture<'static, Vec<Reading>> + Send + Sync>;

/// Signed statements after one's number, some at once; none when they cannot be read now.
pub type Attestations = Arc<dyn Fn(u64) -> BoxFuture<'static, Option<Vec<String>>> + Send + Sync>;

/// The state that routes share.
pub(super) struct Face {
    pub(super) rooms: Rooms,
    pub(super) public_url: PublicUrl,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) proxies: Vec<Cidr>,
    pub(super) readiness: Readiness,
    pub(super) vehicle_policy: VehiclePolicy,
    pub(super) attestations: Option<Attestations>,
    pub(super) readings: Option<Readings>,
    /// Cancelled when the service ends: bodies stop being read.
    pub(super) ending: CancellationToken,
    /// The rooms' work runs here, not on the thread of a connection: a client that goes away cuts no transaction in half,
    /// and a panic ends one task.
    pub(super) runtime: Handle,
}

impl Face {
    /// Asks a room, to the end, even if the client is gone by then.
    pub(super) async fn ask<T, E, F>(&self, asked: F) -> Result<T, Problem>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Send + 'static,
        E: Send + 'static,
        Problem: From<E>,
    {
        ask_on(&self.runtime, asked).await
    }

    /// Reads a stream of a room's on the rooms' own threads, a little ahead of the client.
    pub(super) fn read_ahead<E, S>(&self, bytes: S) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Send + 'static,
    {
        let (into, mut out) = mpsc::channel(CHUNKS_AHEAD);
        let reading = async move {
            let mut bytes = std::pin::pin!(bytes);
            while let Some(chunk) = bytes.next().await {
                let last = chunk.is_err();
                if into.send(chunk).await.is_err() || last {
                    break;
                }
            }
        };
        self.runtime.spawn(reading.in_current_span());
        stream::poll_fn(move |context| out.poll_recv(context))
    }

    /// Whether a peer may speak to the service at all. Without TLS of its own only the named proxies and this machine do.
    pub(super) fn admits(&self, peer: IpAddr) -> bool {
        self.proxies.is_empty() || peer.to_canonical().is_loopback() || self.proxies.iter().any(|p| p.contains(peer))
    }
}

async fn ask_on<T, E, F>(runtime: &Handle, asked: F) -> Result<T, Problem>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: Send + 'static,
    Problem: From<E>,
{
    match runtime.spawn(asked.in_current_span()).await {
        Ok(answer) => answer.map_err(Problem::from),
        Err(stopped) if stopped.is_cancelled() => Err(Problem::shutting_down()),
        // The panic hook told where; the client learns that it was not its own fault.
        Err(_) => Err(Problem::internal()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[tokio::test]
    async fn a_panic_beneath_is_a_problem_of_ours() {
        let asked = async {
            if true {
                panic!("on purpose")
            } else {
                Ok::<(), Problem>(())
            }
        };
        let problem = ask_on(&Handle::current(), asked).await.err().unwrap();
        assert_eq!((problem.status_code().as_u16(), problem.slug()), (500, "internal"));
    }

    #[tokio::test]
    async fn what_was_asked_goes_to_its_end_though_nobody_waits() {
        let done = Arc::new(AtomicBool::new(false));
        let (told, mut wait) = mpsc::channel::<()>(1);
        let asked = {
            let done = done.clone();
            async move {
                tokio::task::yield_now().await;
                done.store(true, Ordering::SeqCst);
                drop(told);
                Ok::<(), Problem>(())
            }
        };
        let runtime = Handle::current();
        let mut asking = Box::pin(ask_on(&runtime, asked));
        let _ = futures_util::poll!(asking.as_mut());
        drop(asking);
        assert!(wait.recv().await.is_none());
        assert!(done.load(Ordering::SeqCst));
    }
}
