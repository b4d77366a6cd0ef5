//! Takes what is due for one sink out of the queue, by lease, and delivers it: again after a pause when it failed, for a day.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::sink::{Failure, Sink};
use crate::catalog::{Catalog, CatalogError, Claimed};
use crate::model::{Clock, JobId, UnixMs};

/// The queue is looked at so often: an alarm waits no longer, and a look is one small query.
const LOOK: Duration = Duration::from_secs(1);
/// One delivery takes no longer.
const DELIVERY: Duration = Duration::from_secs(20);
/// A node that died lets a delivery go after so long: more than one takes, with room for a slow database.
const LEASE_MS: i64 = 60_000;
/// The first pause after a failure, doubled by every further one …
const FIRST_PAUSE_MS: i64 = 5_000;
/// … up to this. Whoever repairs a receiver hears of it within ten minutes.
const LONGEST_PAUSE_MS: i64 = 600_000;
/// Older notices are news to nobody: neither tried again, nor told to a sink that was configured later.
const TOLD_FOR_MS: i64 = 24 * 3_600_000;
/// Notices are kept for so long, for whoever looks into what happened.
const KEPT_MS: i64 = 90 * 24 * 3_600_000;
/// Looks between two cleanings, and notices that one removes at most.
const LOOKS_A_CLEANING: u32 = 3_600;
const REMOVED_AT_ONCE: u32 = 1_000;

/// Delivers to one sink.
pub(super) struct Courier {
    pub catalog: Catalog,
    pub clock: Arc<dyn Clock>,
    pub sink: Sink,
    /// All of this node's: a notice is settled when none of them waits for it.
    pub sinks: Arc<[&'static str]>,
}

impl Courier {
    pub async fn run(self, ending: CancellationToken) {
        for look in 0_u32.. {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            if let Err(error) = self.deliver_all(&ending).await {
                tracing::error!(
                    sink = self.sink.name(),
                    error = &error as &dyn std::error::Error,
                    "notices cannot be taken out of the queue now; they stay in it"
                );
            }
            // The log is there on every node, and one that cleans is enough.
            if matches!(self.sink, Sink::Log) && look.is_multiple_of(LOOKS_A_CLEANING) {
                self.clean().await;
            }
        }
    }

    /// Delivers what is due now, one after the other.
    async fn deliver_all(&self, ending: &CancellationToken) -> Result<(), CatalogError> {
        while !ending.is_cancelled() {
            let now = self.clock.now_ms();
            let since = now - TOLD_FOR_MS;
            if !self.catalog.has_due_delivery(self.sink.name(), since, now).await? {
                return Ok(());
            }
            let mut tx = self.catalog.begin().await?;
            tx.spread_notices(&self.sinks, since, now).await?;
            let claimed = tx
                .claim_delivery(self.sink.name(), JobId::random(), now, now + LEASE_MS)
                .await?;
            tx.commit().await?;
            let Some(claimed) = claimed else { return Ok(()) };
            let delivered = tokio::time::timeout(DELIVERY, self.sink.deliver(&claimed.notice, now)).await;
            self.record(&claimed, delivered.unwrap_or(Err(Failure::TIMEOUT)))
                .await?;
        }
        Ok(())
    }

    async fn record(&self, claimed: &Claimed, delivered: Result<(), Failure>) -> Result<(), CatalogError> {
        let (now, sink, notice) = (self.clock.now_ms(), self.sink.name(), claimed.notice.id);
        let mut tx = self.catalog.begin().await?;
        let held = match &delivered {
            Ok(()) => tx.delivery_made(claimed, now).await?,
            Err(failure) => {
                let run_after = now + pause(claimed.attempts, random());
                let failure = failure.as_str();
                let kind = claimed.notice.kind.as_str();
                if run_after - claimed.notice.raised_at < TOLD_FOR_MS {
                    tracing::warn!(%notice, kind, sink, failure, attempts = claimed.attempts, "a notice was not delivered; it is tried again");
                    tx.retry_delivery(claimed, failure, run_after).await?
                } else {
                    tracing::error!(%notice, kind, sink, failure, attempts = claimed.attempts, "a notice is given up: nobody was told of it by this way within a day");
                    tx.give_up_delivery(claimed, failure, now).await?
                }
            }
        };
        tx.commit().await?;
        if !held {
            tracing::warn!(%notice, sink, "a delivery took longer than its lease; another node may have made it too");
        }
        Ok(())
    }

    async fn clean(&self) {
        let now = self.clock.now_ms();
        let cleaned = async {
            let mut tx = self.catalog.begin().await?;
            tx.remove_old_notices(now - KEPT_MS, now, REMOVED_AT_ONCE).await?;
            tx.commit().await
        };
        if let Err(error) = cleaned.await {
            tracing::warn!(%error, "old notices could not be removed now");
        }
    }
}

/// Full jitter: anything from nothing to the longest pause of this attempt, so that nodes and notices that failed together
/// do not come back together.
fn pause(attempts: u32, random: u32) -> UnixMs {
    let doubled = FIRST_PAUSE_MS << attempts.saturating_sub(1).min(16);
    let longest = doubled.min(LONGEST_PAUSE_MS);
    longest * i64::from(random) / i64::from(u32::MAX)
}

fn random() -> u32 {
    let mut bytes = [0xFF; 4];
    // Without randomness there is no jitter, and the longest pause.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_minutes_and_are_anything_below() {
        let longest: Vec<_> = (1..=9).map(|attempts| pause(attempts, u32::MAX) / 1_000).collect();
        assert_eq!(longest, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!(pause(1_000_000, u32::MAX), LONGEST_PAUSE_MS);
        assert_eq!(pause(9, 0), 0);
        assert_eq!(pause(9, u32::MAX / 2) / 1_000, 299);
    }
}
