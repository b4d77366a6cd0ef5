//! Notices that the watch is silent: every node looks when each watcher last made a round, and whoever is outside is told
//! after each round, so that a vault that is gone altogether is noticed there.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use tokio_util::sync::CancellationToken;

use super::address::{self, Address};
use super::sink::SettingError;
use crate::catalog::{Catalog, CatalogError, NewNotice, WatcherRow};
use crate::model::{Clock, Severity, UnixMs, moment};

/// The watchers are looked at so often.
const LOOK: Duration = Duration::from_secs(2);
/// A silence is told of again after so long.
const REMINDER_MS: i64 = 6 * 3_600_000;
/// A watcher that has been silent for so long was taken away.
const FORGOTTEN_MS: i64 = 7 * 24 * 3_600_000;

/// Looks after the watch.
pub(super) struct Guard {
    pub catalog: Catalog,
    pub clock: Arc<dyn Clock>,
}

impl Guard {
    pub async fn run(self, ending: CancellationToken) {
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Err(error) = self.look().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "it cannot be told now whether the watch still looks"
                );
            }
        }
    }

    async fn look(&self) -> Result<(), CatalogError> {
        let now = self.clock.now_ms();
        for row in self.catalog.watchers().await? {
            if now < row.silent_from() {
                continue;
            }
            let mut tx = self.catalog.begin().await?;
            let is_gone = now - row.round_at >= FORGOTTEN_MS;
            if is_gone && tx.forget_watcher(&row.watcher, now - FORGOTTEN_MS + 1).await? {
                tx.raise_notice(&forgotten(&row), now).await?;
            } else if !is_gone {
                tx.raise_notice(&silent(&row, now), now).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Whom to ask after each round.
#[derive(Clone)]
pub(super) struct Heartbeat {
    client: Client,
    address: Address,
}

impl Heartbeat {
    pub fn new(address: &Address) -> Result<Self, SettingError> {
        Ok(Self {
            client: address::client()?,
            address: address.clone(),
        })
    }

    /// Asks once for each round of `watcher` that could tell something; a round whose heartbeat fails has another try at the
    /// next look.
    pub async fn run(&self, catalog: &Catalog, watcher: &str, ending: CancellationToken) {
        let mut told = None;
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            // The guard logs a catalogue that does not answer.
            let Ok(rows) = catalog.watchers().await else { continue };
            let seeing_at = rows
                .iter()
                .find(|row| row.watcher == watcher)
                .and_then(|row| row.seeing_at);
            if seeing_at.is_none() || seeing_at == told {
                continue;
            }
            match address::outcome(self.client.get(self.address.url()).send().await) {
                Ok(()) => told = seeing_at,
                Err(failure) => tracing::warn!(
                    failure = failure.as_str(),
                    "the heartbeat of the watch was not taken; whoever waits for it will notice"
                ),
            }
        }
    }
}

fn silent(row: &WatcherRow, now: UnixMs) -> NewNotice {
    let (watcher, since) = (&row.watcher, row.round_at);
    NewNotice {
        kind: "watch-silent",
        severity: Severity::Page,
        subject: format!("The watch {watcher} is silent: nobody looks from there whether the buckets are private"),
        facts: format!(
            "Last round: {}\nExpected every {} s\n\nLook whether it runs, and at its log. New clips are withheld when no \
             watch has proven the buckets private for a day. If this watch was taken away for good, nothing is to be done: \
             it is forgotten after a week.",
            moment(since),
            row.interval_ms / 1_000
        ),
        once_for: Some(format!("silent:{watcher}:{since}:{}", (now - since) / REMINDER_MS)),
    }
}

fn forgotten(row: &WatcherRow) -> NewNotice {
    NewNotice {
        kind: "watch-forgotten",
        severity: Severity::Info,
        subject: format!("The watch {} is expected no more", row.watcher),
        facts: format!("Its last round was at {}, a week ago.", moment(row.round_at)),
        once_for: None,
    }
}
