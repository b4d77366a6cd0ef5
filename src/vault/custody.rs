//! How the keys in memory are kept: for how long, what an outage of the root key's provider changes, and how much that was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashvault_keys::kek::KekError;
use dashvault_keys::provider::ProviderError;
use tokio_util::sync::CancellationToken;

use super::brake::{Brake, CLIPS_AN_HOUR};
use super::cache::{Failed, KeyCache};
use super::{Vault, VaultError};
use crate::model::UnixMs;

/// How long an opened key stays: the length of a film's pause, and the longest that a key taken back from the key service
/// still serves.
pub const LONGEST_LIFE: Duration = Duration::from_secs(5 * 60);
/// Keys whose time has passed are looked for so often, and no less often than they live: they outlast it by that much at most.
const TEND: Duration = Duration::from_secs(15);
/// A provider that has not answered by then does not answer.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(4);

/// How keys in memory may be used.
#[derive(Debug, Clone)]
pub struct Custody {
    /// How long a key stays in memory once it is opened; at most [`LONGEST_LIFE`].
    pub life: Duration,
    /// How long keys that are in memory are used while the root key's provider does not answer; zero is not at all.
    pub grace: Duration,
    /// How many clips one session or token may open within an hour.
    pub clips_an_hour: u32,
}

impl Default for Custody {
    fn default() -> Self {
        Self {
            life: LONGEST_LIFE,
            grace: Duration::from_secs(3_600),
            clips_an_hour: CLIPS_AN_HOUR,
        }
    }
}

impl Custody {
    pub(super) fn cache(&self) -> KeyCache {
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        KeyCache::new(ms(self.life.min(LONGEST_LIFE)), ms(self.grace))
    }

    pub(super) fn brake(&self) -> Brake {
        Brake::new(self.clips_an_hour)
    }
}

/// What has happened to keys since the process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustodyNumbers {
    /// Owners' keys in memory now.
    pub in_memory: u64,
    /// Owners' keys that the provider unwrapped.
    pub unwrapped: u64,
    /// Owners' keys that it did not unwrap, for whatever reason.
    pub not_unwrapped: u64,
    /// Requests served with a key in memory whose time had passed, because the provider did not answer.
    pub on_grace: u64,
    /// Requests refused because one reader opened too many clips.
    pub braked: u64,
    /// Since when the provider has not answered.
    pub outage_since: Option<UnixMs>,
}

#[derive(Default)]
pub(super) struct Counts {
    unwrapped: AtomicU64,
    not_unwrapped: AtomicU64,
    on_grace: AtomicU64,
    braked: AtomicU64,
}

impl Counts {
    pub fn asked<T, E>(&self, answer: &Result<T, E>) {
        let count = match answer {
            Ok(_) => &self.unwrapped,
            Err(_) => &self.not_unwrapped,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn on_grace(&self) {
        self.on_grace.fetch_add(1, Ordering::Relaxed);
    }

    pub fn braked(&self) {
        self.braked.fetch_add(1, Ordering::Relaxed);
    }
}

impl Vault {
    /// What has happened to keys since the process started.
    pub fn custody_numbers(&self) -> CustodyNumbers {
        let inner = &self.inner;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CustodyNumbers {
            in_memory: inner.cache.len() as u64,
            unwrapped: count(&inner.counts.unwrapped),
            not_unwrapped: count(&inner.counts.not_unwrapped),
            on_grace: count(&inner.counts.on_grace),
            braked: count(&inner.counts.braked),
            outage_since: inner.outage.since(),
        }
    }

    /// Whether the root key's provider answers and opens what it wrapped. [`VaultError::Unavailable`] when it does not
    /// answer: owners whose keys are in memory are still served, and uploads taken.
    pub async fn root_ready(&self) -> Result<(), VaultError> {
        let inner = &self.inner;
        if !inner.outage.may_ask(self.now()) {
            return Err(VaultError::Unavailable(
                "the root key's provider did not answer a moment ago".into(),
            ));
        }
        match self.check_root().await {
            Ok(()) => {
                inner.outage.over();
                Ok(())
            }
            Err(Failed::Passing(error)) => {
                inner.outage.lasts(self.now(), &error);
                Err(error)
            }
            // The system record is under the newest root key: without it every key in memory is a key too many.
            Err(Failed::Withdrawn(error) | Failed::Refused(error)) => {
                inner.outage.over();
                inner.cache.clear();
                Err(error)
            }
        }
    }

    /// Lets go of keys in time, whether or not anybody asks for anything, until `ending`.
    pub async fn tend(&self, ending: CancellationToken) {
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(TEND.min(self.inner.cache.life())) => {}
            }
            self.tend_once().await;
            if let Err(error) = self.sweep_allowances().await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "what readers used of their allowance could not be swept now"
                );
            }
        }
    }

    /// Lets go of the keys whose time has passed. The provider is asked first: an outage that nobody has met yet must not
    /// find the memory empty, and a root key that was withdrawn must not be served from it.
    pub async fn tend_once(&self) {
        let inner = &self.inner;
        if inner.cache.len() == 0 {
            return;
        }
        if let Err(error) = self.root_ready().await
            && !error.is_passing()
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the root key is not to be had: every key is out of memory"
            );
        }
        inner.cache.purge(self.now(), inner.outage.since());
    }
}

/// What the failure of an unwrap means for keys in memory.
pub(super) fn judged(error: KekError) -> Failed {
    match &error {
        KekError::Provider(provider) => judged_provider(provider.clone(), error.into()),
        _ => Failed::Refused(from_kek(error)),
    }
}

pub(super) fn judged_provider(provider: ProviderError, cause: super::Cause) -> Failed {
    match provider {
        ProviderError::Unavailable(_) | ProviderError::Throttled(_) => Failed::Passing(VaultError::Unavailable(cause)),
        ProviderError::Disabled { .. } | ProviderError::Denied(_) => Failed::Withdrawn(switched_off(&provider)),
        ProviderError::NoSuchKey { .. } => Failed::Refused(lacking(&provider)),
        ProviderError::Refused | ProviderError::NotChanged(_) => Failed::Refused(DAMAGED),
    }
}

const DAMAGED: VaultError = VaultError::DamagedRow {
    table: "keks",
    column: "record",
};

fn switched_off(error: &ProviderError) -> VaultError {
    VaultError::Keyring {
        reason: format!("{error}; nothing is lost: switch it on again, or allow its use, at the provider"),
    }
}

fn lacking(error: &ProviderError) -> VaultError {
    VaultError::Keyring {
        reason: format!(
            "the root key of an owner is not to be had: {error}; nothing was changed: restore the root key's newest backup"
        ),
    }
}

pub(super) fn from_kek(error: KekError) -> VaultError {
    match error {
        KekError::Provider(ref provider) if provider.is_passing() => VaultError::Unavailable(error.into()),
        KekError::Provider(provider @ (ProviderError::Disabled { .. } | ProviderError::Denied(_))) => {
            switched_off(&provider)
        }
        KekError::Provider(provider @ ProviderError::NoSuchKey { .. }) => lacking(&provider),
        KekError::Provider(provider @ ProviderError::NotChanged(_)) => VaultError::Keyring {
            reason: provider.to_string(),
        },
        KekError::TooLong => VaultError::OverLimit {
            limit_bytes: u64::from(u16::MAX),
        },
        _ => DAMAGED,
    }
}
