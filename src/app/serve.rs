//! The service: everything wired, started, watched and ended in order.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::config::{ServeConfig, WorkConfig, unknown_variables};
use super::output::{Output, sentence};
use super::rooms::{self, NewVault, Rooms, Unanswered, WithoutRoot};
use super::{CommandError, exposure, folder_lock, ingest_note, process, readings, telemetry};
use crate::app::cli::LogFormat;
use crate::catalog::Catalog;
use crate::exposure::attest::Attestor;
use crate::exposure::rolling::{self, Rolling};
use crate::exposure::{Known, Standing};
use crate::http::{self, PartState, Readiness, Server};
use crate::ingest::Ingest;
use crate::media::Media;
use crate::model::Verdict;
use crate::pipeline::Pipeline;
use crate::post::Post;
use crate::vault::{Custody, Vault};

/// Uploads that nobody goes on with are looked for this often; they live for a week.
const UPLOAD_SWEEP: Duration = Duration::from_secs(120);
/// A look at every part costs a few requests to store and database: one in this time serves everybody who asks.
const LOOK: Duration = Duration::from_secs(1);
/// A part that does not answer by then is not ready.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// What is told of a part.
const SILENT: &str = "does not answer";
/// What is told of a root key that is waited for.
const WAITING: &str = "has not answered since the start: uploads are taken, and everything else waits for it";
/// The same of a service that never had it.
const WAITING_FOR_ALL: &str = "has not answered since the start: everything waits for it";
/// What is told of the buckets; which one, and by which way, stands in the log.
const OPEN: &str = "EXPOSED: strangers get at what is stored, which is sealed";
const OPEN_AND_WITHHELD: &str =
    "EXPOSED: strangers get at what is stored, which is sealed; new clips are refused until it is shut";
const UNPROVEN: &str = "unknown: it was not proven private within a day; new clips are refused until it is";
const UNKNOWN: &str = "unknown: it cannot be told now whether strangers get at what is stored";
/// How long jobs and writers may take to give back what they hold when the service ends.
pub(super) const DRAIN: Duration = Duration::from_secs(15);
/// Statements that are given away in one answer, each of some KiB.
const ATTESTATIONS: u32 = 500;
/// The note in the data folder that tells commands beside the service where it is reached.
const URL_NOTE: &str = "public-url";

/// `dashvault serve`.
pub(super) async fn serve(mut config: ServeConfig, output: Output) -> Result<(), CommandError> {
    begin_log(&config.work, output);
    // Before anything is made or opened: what is wrong with addresses or TLS.
    let server = Server::bind(config.http)?.with_vehicle_policy(config.vehicle_policy);
    config.post.origin = server.public_url().as_str().to_owned();
    let watcher = config.watch.watcher.clone();
    // Before anything in the folder is touched; let go at the very end.
    let _lock = folder_lock::take(&config.work.data)?;
    let (data, gate) = (&config.work.data, config.work.gate);
    let mut rooms = rooms::open_under(data, NewVault::Make, &config.custody, gate, Unanswered::Wait).await?;
    let server = server.with_readings(readings::readings(
        rooms.vault.clone(),
        rooms.access.clone(),
        rooms.catalog.clone(),
        rooms.clock.clone(),
    ));
    let server = server.with_attestations(attestations(rooms.catalog.clone()));
    let media = Arc::new(Media::new(config.work.media));
    let worker = worker_state(&media).await?;
    let ingest = Ingest::new(
        config.ingest,
        rooms.vault.clone(),
        rooms.catalog.clone(),
        rooms.audit.clone(),
        rooms.clock.clone(),
    );
    match ingest.recover().await {
        Ok(0) => {}
        Ok(count) => info!(count, "completed uploads whose bytes had all arrived before a crash"),
        Err(error) => warn!(
            causes = sentence(&error),
            "uploads could not be recovered now; their clients will ask again"
        ),
    }
    note_url(&config.work.data.data, server.public_url().as_str());

    let ending = CancellationToken::new();
    let data = config.work.data.data;
    if rooms.without_root.is_none() {
        ingest_note::keep(&data, &rooms.vault.ingest_key()?);
    }
    let without_root = rooms.without_root.take();
    let opening = tokio::spawn(get_open(without_root, rooms.vault.clone(), Some(data), ending.clone()));
    let post = Post::new(&config.post, rooms.catalog.clone(), rooms.clock.clone())?;
    let telling = tokio::spawn(post.run(Some(watcher), ending.clone()));
    let (catalog, vault, clock) = (rooms.catalog.clone(), rooms.vault.clone(), rooms.clock.clone());
    exposure::beside(config.watch, catalog, vault, clock, &ending).await?;
    let walking = prove(config.inventory, &rooms, &ending);
    let jobs_end = CancellationToken::new();
    let jobs = start_pipeline(config.work.pipeline, media, &rooms, jobs_end.clone());
    let sweeping = tokio::spawn(sweep_uploads(ingest.clone(), ending.clone()));
    tend(&rooms.vault, &ending);
    tokio::spawn(end_on_signal(ending.clone()));
    // Writers end as soon as bodies do, so that their requests can be answered.
    let draining = tokio::spawn({
        let (ingest, ending) = (ingest.clone(), ending.clone());
        async move {
            ending.cancelled().await;
            ingest.shut_down().await;
        }
    });
    let known = Known::new(rooms.catalog.clone(), rooms.vault.clone(), rooms.clock.clone());
    let face = http::Rooms {
        access: rooms.access.clone(),
        audit: rooms.audit.clone(),
        ingest,
        library: rooms.library.clone(),
        exposure: known.clone(),
        clock: rooms.clock.clone(),
    };
    let readiness = readiness(rooms.catalog.clone(), rooms.vault.clone(), known, worker);
    let served = server.run(face, readiness, ending.clone()).await;
    ending.cancel();
    jobs_end.cancel();
    for (what, task) in [
        ("writers", draining),
        ("jobs", jobs),
        ("sweep", sweeping),
        ("notices", telling),
        ("inventory and attestations", walking),
    ] {
        if tokio::time::timeout(DRAIN, task).await.is_err() {
            warn!(
                what,
                "did not end in time; what they held is taken up again at the next start"
            );
        }
    }
    rooms.catalog.close().await;
    info!("the vault has ended");
    if let Ok(opened) = opening.await {
        opened?;
    }
    Ok(served?)
}

/// `dashvault work`.
pub(super) async fn work(config: WorkConfig, output: Output) -> Result<(), CommandError> {
    config.data.require_secrets()?;
    begin_log(&config, output);
    let custody = Custody::default();
    let mut rooms = rooms::open_under(&config.data, NewVault::Refuse, &custody, config.gate, Unanswered::Wait).await?;
    let media = Arc::new(Media::new(config.media));
    worker_state(&media).await?;
    let ending = CancellationToken::new();
    tokio::spawn(end_on_signal(ending.clone()));
    let without_root = rooms.without_root.take();
    let opening = tokio::spawn(get_open(without_root, rooms.vault.clone(), None, ending.clone()));
    tend(&rooms.vault, &ending);
    info!("workers are waiting for clips");
    let jobs = start_pipeline(config.pipeline, media, &rooms, ending.clone());
    ending.cancelled().await;
    if tokio::time::timeout(DRAIN, jobs).await.is_err() {
        warn!("jobs did not end in time; another node takes them up");
    }
    rooms.catalog.close().await;
    info!("the workers have ended");
    match opening.await {
        Ok(opened) => opened,
        Err(_) => Ok(()),
    }
}

/// Where a service that uses this data folder said it is reached.
pub(super) fn noted_url(data: &Path) -> Option<String> {
    let text = std::fs::read_to_string(data.join(URL_NOTE)).ok()?;
    let url = text.trim();
    (!url.is_empty()).then(|| url.to_owned())
}

fn begin_log(config: &WorkConfig, output: Output) {
    let format = if output.json {
        LogFormat::Json
    } else {
        config.log_format
    };
    telemetry::start(format, config.log);
    if !process::lock_memory()
        && let Some(told) = process::about_swap()
    {
        warn!("{told}");
    }
    for name in unknown_variables() {
        warn!(
            name,
            "this variable is no setting of this version and does nothing: look at its spelling"
        );
    }
}

/// The worker tries its own sandbox once; without one the service does not start unless it was told to.
async fn worker_state(media: &Media) -> Result<Option<String>, CommandError> {
    match media.self_test().await {
        Ok(()) => Ok(None),
        Err(error) => Err(CommandError::Refused(format!(
            "the media worker cannot be used: {}",
            sentence(&error)
        ))),
    }
}

fn start_pipeline(
    config: crate::pipeline::Config,
    media: Arc<Media>,
    rooms: &Rooms,
    ending: CancellationToken,
) -> JoinHandle<()> {
    let pipeline = Pipeline::new(
        config,
        media,
        rooms.vault.clone(),
        rooms.catalog.clone(),
        rooms.audit.clone(),
        rooms.clock.clone(),
    );
    let vault = rooms.vault.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = ending.cancelled() => return,
            // No job could be finished before, and each would only be put off further.
            () = vault.until_open() => {}
        }
        pipeline.run(ending).await;
    })
}

/// Gets a service that was started without its root key open. What is wrong with the root key ends the service, as it would
/// have kept it from starting.
async fn get_open(
    without_root: Option<WithoutRoot>,
    vault: Vault,
    note_beneath: Option<PathBuf>,
    ending: CancellationToken,
) -> Result<(), CommandError> {
    let Some(without_root) = without_root else {
        return Ok(());
    };
    let opened = tokio::select! {
        () = ending.cancelled() => return Ok(()),
        opened = without_root.wait(&vault) => opened,
    };
    if let Err(error) = opened {
        ending.cancel();
        return Err(error.into());
    }
    info!("the root key's provider answers: the vault is open, and what waited goes on");
    if let Some(data) = note_beneath {
        ingest_note::keep(&data, &vault.ingest_key()?);
    }
    Ok(())
}

/// Walks through the buckets, and attests what is known of them.
fn prove(config: rolling::Config, rooms: &Rooms, ending: &CancellationToken) -> JoinHandle<()> {
    let attestor = Attestor::new(rooms.catalog.clone(), rooms.vault.clone());
    let rolling = Rolling::new(config, rooms.catalog.clone(), rooms.vault.clone());
    let ending = ending.clone();
    tokio::spawn(async move {
        tokio::join!(rolling.run(ending.clone()), attestor.run(ending));
    })
}

/// Keys leave memory in time, and those that another process rotated come.
fn tend(vault: &Vault, ending: &CancellationToken) {
    let (tended, until) = (vault.clone(), ending.clone());
    tokio::spawn(async move { tended.tend(until).await });
    let (vault, ending) = (vault.clone(), ending.clone());
    tokio::spawn(async move { vault.follow_system(ending).await });
}

/// Signed statements for the operator's address.
fn attestations(catalog: Catalog) -> http::Attestations {
    Arc::new(move |after| {
        let catalog = catalog.clone();
        Box::pin(async move {
            match catalog.attestations_after(after, ATTESTATIONS).await {
                Ok(rows) => Some(rows.into_iter().map(|row| row.line).collect()),
                Err(error) => {
                    warn!(causes = sentence(&error), "attestations cannot be read now");
                    None
                }
            }
        })
    })
}

async fn sweep_uploads(ingest: Ingest, ending: CancellationToken) {
    loop {
        tokio::select! {
            () = ending.cancelled() => return,
            () = tokio::time::sleep(UPLOAD_SWEEP) => {}
        }
        match ingest.sweep().await {
            Ok(swept) if swept.expired > 0 => info!(expired = swept.expired, "ended uploads that nobody went on with"),
            Ok(_) => {}
            Err(error) => warn!(causes = sentence(&error), "uploads could not be swept now"),
        }
    }
}

/// SIGTERM and Ctrl-C end the service in order; a second one ends it at once.
pub(super) async fn end_on_signal(ending: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        error!("signals cannot be received: only SIGKILL ends this process");
        return;
    };
    for turn in 0.. {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if turn > 0 {
            std::process::exit(130);
        }
        info!("ending: no new connections are taken");
        ending.cancel();
    }
}

/// When somebody last looked, and what was found.
type Looked = (Instant, Vec<PartState>);

/// Every part that must answer, looked at afresh at most once a second.
fn readiness(catalog: Catalog, vault: Vault, known: Known, worker: Option<String>) -> Readiness {
    let last: Arc<Mutex<Option<Looked>>> = Arc::default();
    Arc::new(move || {
        let (catalog, vault, worker, last) = (catalog.clone(), vault.clone(), worker.clone(), last.clone());
        let known = known.clone();
        Box::pin(async move {
            let mut last = last.lock().await;
            if let Some((at, parts)) = &*last
                && at.elapsed() < LOOK
            {
                return parts.clone();
            }
            let asked_catalog = tokio::time::timeout(LOOK_TIME, catalog.ping());
            let asked_store = tokio::time::timeout(LOOK_TIME, vault.storage_ready());
            let asked_root = tokio::time::timeout(LOOK_TIME, vault.root_ready());
            let asked_known = tokio::time::timeout(LOOK_TIME, known.standing());
            let (catalog, store, root, known) = tokio::join!(asked_catalog, asked_store, asked_root, asked_known);
            // What exactly is wrong stands in the log; outside it is nobody's business.
            let told = |name, is_spared, fault: Option<String>, word: &str| {
                if let Some(causes) = &fault {
                    warn!(part = name, causes, "a part is not ready");
                }
                PartState {
                    name,
                    fault: fault.map(|_| word.to_owned()),
                    is_spared,
                }
            };
            // Without the provider uploads are taken, and owners whose keys are in memory are served. A root key that
            // answers that it is not to be had is another thing.
            let spared = match &root {
                Ok(Err(error)) => error.is_passing(),
                other => other.is_err(),
            };
            let (is_taking, root_word) = match (vault.is_waiting(), vault.knows_ingest_key()) {
                (false, _) => (true, SILENT),
                (true, true) => (true, WAITING),
                (true, false) => (false, WAITING_FOR_ALL),
            };
            let parts = vec![
                told("catalogue", false, fault(catalog), SILENT),
                told("vault", false, fault(store), SILENT),
                told("root_key", spared && is_taking, fault(root), root_word),
                told("worker", false, worker, SILENT),
                exposure_part(&known),
            ];
            *last = Some((Instant::now(), parts.clone()));
            parts
        })
    })
}

/// Whether strangers get at what is stored. It takes no node out of service: an open bucket is as open for its neighbours, new
/// clips are refused by the gate, and reading goes on. Outside nobody learns which bucket it is, or how it is reached.
fn exposure_part<E>(known: &Result<Result<Standing, E>, tokio::time::error::Elapsed>) -> PartState {
    let fault = match known {
        Ok(Ok(standing)) => match (standing.verdict, standing.is_withholding) {
            (Verdict::Private, false) => None,
            (Verdict::Exposed, true) => Some(OPEN_AND_WITHHELD),
            (Verdict::Exposed, false) => Some(OPEN),
            (_, true) => Some(UNPROVEN),
            (Verdict::Unknown, false) => Some(UNKNOWN),
        },
        Ok(Err(_)) | Err(_) => Some(UNKNOWN),
    };
    PartState {
        name: "exposure",
        fault: fault.map(str::to_owned),
        is_spared: true,
    }
}

fn fault<E: std::error::Error + 'static>(answer: Result<Result<(), E>, tokio::time::error::Elapsed>) -> Option<String> {
    match answer {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(sentence(&error)),
        Err(_) => Some("no answer in time".to_owned()),
    }
}

fn note_url(data: &Path, url: &str) {
    let path: PathBuf = data.join(URL_NOTE);
    // Only a convenience of the commands beside the service.
    if let Err(error) = std::fs::write(&path, format!("{url}\n")) {
        warn!(%error, "the public URL could not be noted; `owner add` needs --public-url");
    }
}
