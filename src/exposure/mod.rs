//! The watch over our own buckets: asks each, as a stranger would, through every address that it has, and writes down what
//! strangers get.
//!
//! It needs no key and no credentials; with the vault at hand it takes back what a stranger could write.

pub mod address;
mod ask;
mod control;
pub mod judge;
mod permissions;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use ask::Address;

use crate::catalog::{Catalog, CatalogError, NewVerdict, VerdictSet};
use crate::model::{Bucket, Clock, ObjectId, UnixMs, Verdict};
use crate::vault::{Vault, VaultError, object_path};

use ask::{Questions, Stranger};
use control::Control;
use judge::{Answer, Asked, Judged, Probe, judge, verdict};

/// A write is tried so often: each costs two rows, and a bucket that anybody can write to is rarer than one to read.
const WRITES_EVERY: Duration = Duration::from_secs(15 * 60);
/// Objects of ours that are asked for in a round, beside the canary.
const OBJECTS: u32 = 3;
/// Probe writes that one round takes back.
const TAKEN_BACK: u32 = 32;
/// A write that was noted so long ago is no other watcher's that is still asking.
const WRITE_LASTS_MS: i64 = 60_000;
/// A verdict that could not be told for so long is a fault of its own.
const UNKNOWN_FOR_MS: i64 = 10 * 60 * 1000;

/// What is watched, and how.
#[derive(Debug, Clone)]
pub struct Config {
    pub watched: Vec<Watched>,
    /// From one round to the next, give or take a tenth.
    pub interval: Duration,
    /// How long an answer may take; a later one is none.
    pub patience: Duration,
    /// Whether writes are tried.
    pub tries_writes: bool,
    /// A word for the place from which it looks.
    pub watcher: String,
}

/// One bucket, and every way to it.
#[derive(Debug, Clone)]
pub struct Watched {
    pub bucket: Bucket,
    pub addresses: Vec<Address>,
    /// Where it is a folder of this machine.
    pub folder: Option<PathBuf>,
    /// Files that nobody else may read either.
    pub files: Vec<PathBuf>,
}

/// Why a round could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExposureError {
    /// The verdicts cannot be written down.
    #[error("the watch cannot write down what it sees")]
    Catalog(#[from] CatalogError),
    /// The canary cannot be made, or a probe write not removed.
    #[error("the watch cannot put its canary, or take back what it wrote")]
    Vault(#[from] VaultError),
    /// No questions can be asked at all.
    #[error("the watch cannot ask")]
    Client(#[from] reqwest::Error),
    /// The positive control cannot be opened.
    #[error("the watch cannot open its own listener")]
    Control(#[from] std::io::Error),
}

/// What a round made of one bucket.
#[derive(Debug, Clone)]
pub struct Told {
    pub bucket: Bucket,
    pub set: VerdictSet,
    /// For people.
    pub reason: String,
}

/// The watch. Cheap to clone.
#[derive(Clone)]
pub struct Watch {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    catalog: Catalog,
    /// None where it runs alone.
    vault: Option<Vault>,
    clock: Arc<dyn Clock>,
    stranger: Stranger,
    wrote: Mutex<Option<Instant>>,
}

impl Watch {
    /// Wires the watch; nothing is asked before [`Watch::round`].
    pub fn new(
        config: Config,
        catalog: Catalog,
        vault: Option<Vault>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ExposureError> {
        Ok(Self {
            inner: Arc::new(Inner {
                stranger: Stranger::new(config.patience)?,
                config,
                catalog,
                vault,
                clock,
                wrote: Mutex::new(None),
            }),
        })
    }

    /// Looks once at every bucket and writes down what it saw.
    pub async fn round(&self) -> Result<Vec<Told>, ExposureError> {
        let inner = &self.inner;
        if let Some(vault) = &inner.vault {
            let asked = inner.config.watched.iter().filter(|one| !one.addresses.is_empty());
            let asked: Vec<_> = asked.map(|one| one.bucket).collect();
            vault.plant_canaries(&asked).await?;
            self.take_back().await?;
        }
        let is_asked = inner.config.watched.iter().any(|one| !one.addresses.is_empty());
        let control_was_seen = match is_asked {
            true => Control::open().await?.is_seen_by(&inner.stranger).await,
            // Permissions are looked at without asking anybody.
            false => true,
        };
        let writes = inner.config.tries_writes && self.is_time_to_write();
        let looked = inner
            .config
            .watched
            .iter()
            .map(|one| self.look(one, control_was_seen, writes));
        futures_util::future::try_join_all(looked).await
    }

    /// Looks again and again, until `ending`.
    pub async fn run(&self, ending: CancellationToken) {
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(jittered(self.inner.config.interval)) => {}
            }
            let done = tokio::select! {
                () = ending.cancelled() => return,
                done = self.round() => done,
            };
            if let Err(error) = done {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a round of the watch could not be made; what strangers get is not known since"
                );
            }
        }
    }

    async fn look(&self, one: &Watched, control_was_seen: bool, writes: bool) -> Result<Told, ExposureError> {
        let inner = &self.inner;
        let mut judged = Vec::new();
        if one.folder.is_some() || !one.files.is_empty() {
            judged.push(permissions::look(one.folder.as_deref(), &one.files));
        }
        if !one.addresses.is_empty() {
            judged.extend(self.ask_all(one, writes).await?);
        }
        let (verdict, reason) = verdict(&judged, control_was_seen);
        let told = NewVerdict {
            bucket: one.bucket,
            verdict,
            reason: reason.clone(),
            openings: judged.iter().flat_map(|judged| judged.openings.clone()).collect(),
            is_whole: control_was_seen && judged.iter().all(|judged| judged.unclear.is_empty()),
            watcher: inner.config.watcher.clone(),
        };
        let now = inner.clock.now_ms();
        let mut tx = inner.catalog.begin().await?;
        let set = tx.set_verdict(&told, now).await?;
        tx.commit().await?;
        self.alarm(one.bucket, &set, &reason, now).await?;
        Ok(Told {
            bucket: one.bucket,
            set,
            reason,
        })
    }

    /// Every question through every address of a bucket.
    async fn ask_all(&self, one: &Watched, writes: bool) -> Result<Vec<Judged>, ExposureError> {
        let inner = &self.inner;
        let from = ObjectId::random();
        let mut known = inner.catalog.some_objects(one.bucket, from, OBJECTS).await?;
        if known.is_empty() {
            let first = ObjectId::from_bytes([0; 16]);
            known = inner.catalog.some_objects(one.bucket, first, OBJECTS).await?;
        }
        let canaries = inner.catalog.canaries().await?;
        let canary = canaries.iter().find(|canary| canary.bucket == one.bucket);
        let canary = canary.map(|canary| canary.object).or_else(|| known.first().copied());
        let write = writes.then(ObjectId::random);
        let path = |id| object_path(one.bucket, id);
        let mut questions = Questions {
            canary: canary.map(path),
            objects: known
                .iter()
                .copied()
                .filter(|id| Some(*id) != canary)
                .map(path)
                .collect(),
            missing: path(ObjectId::random()),
            write: write.map(path),
        };
        if let Some(name) = write {
            let mut tx = inner.catalog.begin().await?;
            tx.note_probe_write(name, one.bucket, inner.clock.now_ms()).await?;
            tx.commit().await?;
        }
        let (mut judged, mut may_lie_there) = (Vec::new(), false);
        for address in &one.addresses {
            let asked = inner.stranger.ask(address, &questions).await;
            may_lie_there |= asked.iter().any(may_have_written);
            judged.push(judge(address.form, &asked));
            if may_lie_there {
                // One is enough.
                questions.write = None;
            }
        }
        if canary.is_none() {
            judged.push(Judged {
                unclear: vec!["there is no object to ask for yet: run `dashvault serve` once".to_owned()],
                ..Judged::default()
            });
        }
        if let Some(name) = write {
            self.after_write(one.bucket, name, may_lie_there).await?;
        }
        Ok(judged)
    }

    async fn after_write(&self, bucket: Bucket, name: ObjectId, may_lie_there: bool) -> Result<(), ExposureError> {
        let inner = &self.inner;
        if may_lie_there {
            return self.remove_write(bucket, name).await;
        }
        let mut tx = inner.catalog.begin().await?;
        tx.forget_probe_write(name).await?;
        Ok(tx.commit().await?)
    }

    /// Removes what a stranger could write; where there is no vault, the next watch that has one does.
    async fn remove_write(&self, bucket: Bucket, name: ObjectId) -> Result<(), ExposureError> {
        let inner = &self.inner;
        let Some(vault) = &inner.vault else { return Ok(()) };
        vault.remove_probe_write(bucket, name).await?;
        let mut tx = inner.catalog.begin().await?;
        tx.probe_write_removed(name, inner.clock.now_ms()).await?;
        Ok(tx.commit().await?)
    }

    async fn take_back(&self) -> Result<(), ExposureError> {
        let before = self.inner.clock.now_ms() - WRITE_LASTS_MS;
        for left in self.inner.catalog.probe_writes_left(TAKEN_BACK).await? {
            if left.at < before {
                self.remove_write(left.bucket, left.name).await?;
            }
        }
        Ok(())
    }

    fn is_time_to_write(&self) -> bool {
        let mut wrote = self.inner.wrote.lock().unwrap_or_else(PoisonError::into_inner);
        let due = wrote.is_none_or(|at| at.elapsed() >= WRITES_EVERY);
        if due {
            *wrote = Some(Instant::now());
        }
        due
    }

    /// Tells whoever reads the log.
    async fn alarm(&self, bucket: Bucket, set: &VerdictSet, reason: &str, now: UnixMs) -> Result<(), ExposureError> {
        let bucket_name = bucket.as_str();
        match (set.verdict, set.is_change()) {
            (Verdict::Exposed, _) if set.is_change() || !set.new_openings.is_empty() => tracing::error!(
                bucket = bucket_name,
                reason,
                ways = set.new_openings.len(),
                "A BUCKET IS OPEN TO STRANGERS: shut it; what lies there is sealed, and nothing was deleted"
            ),
            (Verdict::Private, true) if set.previous == Some(Verdict::Exposed) => {
                tracing::error!(
                    bucket = bucket_name,
                    "a bucket that was open to strangers is private again"
                );
            }
            (Verdict::Private, true) => tracing::info!(bucket = bucket_name, reason, "a bucket is private"),
            (Verdict::Unknown, true) => {
                tracing::warn!(
                    bucket = bucket_name,
                    reason,
                    "it cannot be told what strangers get of a bucket"
                );
            }
            (Verdict::Unknown, false) => {
                let rows = self.inner.catalog.verdicts().await?;
                let since = rows
                    .iter()
                    .find(|row| row.bucket == bucket)
                    .map_or(now, |row| row.since);
                if now - since >= UNKNOWN_FOR_MS {
                    tracing::error!(
                        bucket = bucket_name,
                        reason,
                        since_ms = since,
                        "it could not be told for long what strangers get of a bucket: look at its addresses"
                    );
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a write has landed, or may have.
fn may_have_written(asked: &Asked) -> bool {
    asked.probe == Probe::Write
        && match asked.answer {
            Answer::Http { status, .. } => !(400..500).contains(&status),
            Answer::None(_) => true,
        }
}

/// Give or take a tenth, so that nobody can lay their time between two rounds.
fn jittered(interval: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness there is no jitter, and still a round.
    let _ = getrandom::fill(&mut byte);
    interval.mul_f64(0.9 + 0.2 * f64::from(byte[0]) / 255.0)
}
