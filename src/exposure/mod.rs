//! The watch over our own buckets: asks each, as a stranger would, through every address that it has, and writes down what
//! strangers get.
//!
//! It needs no key and no credentials; with the vault at hand it takes back what a stranger could write.

pub mod address;
mod alarms;
mod ask;
pub mod attest;
mod bucket;
mod configuration;
mod control;
pub mod judge;
mod known;
mod permissions;
pub mod report;
pub mod rolling;
mod settings;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use ask::Address;
pub use known::{Known, Standing};

use crate::catalog::{BucketSetting, Catalog, CatalogError, NewVerdict, VerdictSet, WatchGapRow, silent_after_ms};
use crate::model::{Bucket, Clock, Trouble, UnixMs, Verdict};
use crate::store::Signer;
use crate::vault::{Vault, VaultError};

use ask::Stranger;
use control::Control;
use judge::{Judged, verdict};

/// So often a write is tried, which costs two rows; another account asks; and the configuration is read.
pub const SELDOM: Duration = Duration::from_secs(15 * 60);
/// Longer than all questions of a round take where a store answers at once; later ones count as without an answer, so that
/// no address is slow enough to keep a bucket from its verdict.
const MOST_ASKING: Duration = Duration::from_secs(10);
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
    /// The way out of this network, where there is no other; not for what is on this machine.
    pub proxy: Option<String>,
    /// A key pair of an account that has nothing to do with us: "any authenticated user" is public too.
    pub account: Option<Signer>,
    /// The vault's own, where the configuration of the buckets is to be read.
    pub own: Option<Signer>,
    /// From one write, look as another account and look at the configuration to the next: [`SELDOM`] but in tests.
    pub seldom: Duration,
    /// Whether writes are tried.
    pub tries_writes: bool,
    /// A word for the place from which it looks.
    pub watcher: String,
}

impl Config {
    fn interval_ms(&self) -> i64 {
        i64::try_from(self.interval.as_millis()).unwrap_or(i64::MAX)
    }
}

/// One bucket, and every way to it.
#[derive(Debug, Clone)]
pub struct Watched {
    pub bucket: Bucket,
    pub addresses: Vec<Address>,
    /// Where it is a folder of this machine.
    pub folder: Option<PathBuf>,
    /// Files of the same kind as what lies in it: sealed, and nobody else's business.
    pub files: Vec<PathBuf>,
    /// A file that opens what lies in it.
    pub keyring: Option<PathBuf>,
}

/// Why a round could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ExposureError {
    /// The inventory cannot look into a bucket, or what is known not be signed.
    #[error("the vault cannot look into a bucket, or sign what it knows of it")]
    Vault(#[from] VaultError),
    /// The verdicts cannot be written down.
    #[error("the watch cannot write down what it sees")]
    Catalog(#[from] CatalogError),
    /// No questions can be asked at all.
    #[error("the watch cannot ask")]
    Client(#[from] reqwest::Error),
}

impl ExposureError {
    /// What it means to whoever asked.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Vault(error) => error.trouble(),
            Self::Catalog(error) => error.trouble(),
            Self::Client(_) => Trouble::Defect,
        }
    }
}

/// What a round made of one bucket.
#[derive(Debug, Clone)]
pub struct Told {
    pub bucket: Bucket,
    pub set: VerdictSet,
    /// For people.
    pub reason: String,
    /// How it is configured, in the rounds that look at that.
    pub settings: Vec<BucketSetting>,
    /// Whether it was asked as another account too.
    pub asked_as_account: bool,
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
    /// When it was last done what is done seldom.
    seldom_at: Mutex<Option<Instant>>,
    /// What the last look as another account gave, by bucket.
    of_accounts: Mutex<Vec<(Bucket, Vec<Judged>)>>,
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
                stranger: Stranger::new(config.patience, config.proxy.as_deref())?,
                config,
                catalog,
                vault,
                clock,
                seldom_at: Mutex::new(None),
                of_accounts: Mutex::default(),
            }),
        })
    }

    /// Looks once at every bucket and writes down what it saw. Neither a bucket nor an address that fails keeps the others
    /// from their verdict, and the whole ends in time however slow they are.
    pub async fn round(&self) -> Result<Vec<Told>, ExposureError> {
        let inner = &self.inner;
        self.take_back().await;
        let is_asked = inner.config.watched.iter().any(|one| !one.addresses.is_empty());
        // Permissions are looked at without asking anybody.
        let control_was_seen = !is_asked || Control::is_seen(&inner.stranger, self.deadline()).await;
        let seldom = self.is_time_for_all();
        let looked = inner
            .config
            .watched
            .iter()
            .map(|one| self.look(one, control_was_seen, seldom));
        futures_util::future::join_all(looked).await.into_iter().collect()
    }

    /// From now on somebody notices when no rounds are made.
    pub async fn expect(&self) -> Result<(), CatalogError> {
        let inner = &self.inner;
        let mut tx = inner.catalog.begin().await?;
        tx.expect_watcher(&inner.config.watcher, inner.config.interval_ms(), inner.clock.now_ms())
            .await?;
        tx.commit().await
    }

    /// A round that is noted, so that its absence is noticed.
    pub async fn noted_round(&self) -> Result<Vec<Told>, ExposureError> {
        let told = self.round().await?;
        let (inner, now) = (&self.inner, self.inner.clock.now_ms());
        let is_seeing = told.iter().any(|one| one.set.verdict != Verdict::Unknown);
        let mut tx = inner.catalog.begin().await?;
        alarms::note_round(&mut tx, &inner.config, is_seeing, now).await?;
        tx.commit().await?;
        Ok(told)
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
                done = self.noted_round() => done,
            };
            if let Err(error) = done {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a round of the watch could not be made; what strangers get is not known since"
                );
            }
        }
    }

    async fn look(&self, one: &Watched, control_was_seen: bool, seldom: bool) -> Result<Told, ExposureError> {
        let inner = &self.inner;
        let mut judged = Vec::new();
        judged.extend(permissions::look(one));
        if !one.addresses.is_empty() {
            judged.extend(self.ask_all(one, seldom).await?);
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
        if let Some(before) = &set.before
            && now - before.checked_at > silent_after_ms(inner.config.interval_ms())
        {
            let (bucket, from) = (one.bucket, before.checked_at);
            tx.note_watch_gap(&WatchGapRow { bucket, from, to: now }).await?;
        }
        alarms::raise(&mut tx, &told, &set, now).await?;
        tx.commit().await?;
        self.alarm(one.bucket, &set, &reason, now).await?;
        let settings = match seldom {
            true => self.read_settings(one).await?,
            false => Vec::new(),
        };
        Ok(Told {
            bucket: one.bucket,
            set,
            reason,
            settings,
            asked_as_account: inner.config.account.is_some() && !one.addresses.is_empty(),
        })
    }

    /// When the questions of a round end that begins now.
    fn deadline(&self) -> tokio::time::Instant {
        tokio::time::Instant::now() + (self.inner.config.patience * 4).min(MOST_ASKING)
    }

    fn is_time_for_all(&self) -> bool {
        let mut last = self.inner.seldom_at.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= self.inner.config.seldom);
        if due {
            *last = Some(Instant::now());
        }
        due
    }

    /// What another account was refused when it last asked, if it was a clear no.
    fn known_of_accounts(&self, bucket: Bucket) -> Option<Vec<Judged>> {
        let known = self.inner.of_accounts.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, judged) = known.iter().find(|(of, _)| *of == bucket)?;
        let is_clear = judged
            .iter()
            .all(|one| one.openings.is_empty() && one.unclear.is_empty());
        is_clear.then(|| judged.clone())
    }

    fn keep_of_accounts(&self, bucket: Bucket, judged: &[Judged]) {
        let mut known = self.inner.of_accounts.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _)| *of != bucket);
        known.push((bucket, judged.to_vec()));
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

/// Give or take a tenth, so that nobody can lay their time between two rounds.
fn jittered(interval: Duration) -> Duration {
    let mut byte = [0];
    // Without randomness there is no jitter, and still a round.
    let _ = getrandom::fill(&mut byte);
    interval.mul_f64(0.9 + 0.2 * f64::from(byte[0]) / 255.0)
}
