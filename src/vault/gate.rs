//! The write gate: nothing of a clip is written into a bucket that strangers may see into.
//!
//! The watch's verdicts are rows of the catalogue; sealing asks for them. Reads, removals and erasures never do, and nothing
//! is deleted because of a verdict.

use tokio::sync::Mutex;

use super::{Vault, VaultError};
use crate::catalog::VerdictRow;
use crate::model::{Bucket, UnixMs, Verdict};

/// A verdict is asked for at most so often.
const FRESH_MS: i64 = 10_000;
/// Without a proof for longer nobody knows whether a bucket is private.
const PROOF_LASTS_MS: i64 = 24 * 60 * 60 * 1000;
/// The next round of the watch may say otherwise.
const RETRY_SECS: u32 = 60;

/// What a verdict does to writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateRule {
    /// Nobody watches: for commands, which write no clips.
    Unwatched,
    /// It is logged, and writes go on.
    AlertOnly,
    /// Writes wait.
    Enforce,
}

pub(super) struct Gate {
    pub rule: GateRule,
    /// The verdicts, and when they were read.
    known: Mutex<Option<(UnixMs, Vec<VerdictRow>)>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::of(GateRule::Unwatched)
    }
}

impl Gate {
    pub fn of(rule: GateRule) -> Self {
        Self {
            rule,
            known: Mutex::new(None),
        }
    }
}

impl Vault {
    /// The same vault with a write gate. Only before it is shared: a clone keeps it as it is.
    #[must_use]
    pub fn gated(mut self, rule: GateRule) -> Self {
        if let Some(inner) = std::sync::Arc::get_mut(&mut self.inner) {
            inner.gate = Gate::of(rule);
        }
        self
    }

    /// Whether clips may be taken in: every bucket that a clip comes into is private.
    pub async fn may_take_clips(&self) -> Result<(), VaultError> {
        self.may_write(Bucket::ALL).await
    }

    /// Whether clips are refused now: for those who only tell of it.
    pub async fn withholds_clips(&self) -> Result<bool, VaultError> {
        Ok(self.inner.gate.rule == GateRule::Enforce && self.shut_bucket(Bucket::ALL).await?.is_some())
    }

    /// Refuses with [`VaultError::Withheld`] what would go into a bucket that is open, or was not proven private for a day.
    pub(super) async fn may_write(&self, buckets: &[Bucket]) -> Result<(), VaultError> {
        let shut = self.shut_bucket(buckets).await?;
        let Some((bucket, why)) = shut else { return Ok(()) };
        if self.inner.gate.rule == GateRule::AlertOnly {
            tracing::error!(
                bucket = bucket.as_str(),
                why,
                "a clip is written although the watch warns"
            );
            return Ok(());
        }
        Err(VaultError::Withheld {
            bucket,
            why,
            retry_after_secs: RETRY_SECS,
        })
    }

    /// The first of `buckets` into which nothing is to be written, and why.
    async fn shut_bucket(&self, buckets: &[Bucket]) -> Result<Option<(Bucket, &'static str)>, VaultError> {
        let gate = &self.inner.gate;
        if gate.rule == GateRule::Unwatched {
            return Ok(None);
        }
        let now = self.now();
        let mut known = gate.known.lock().await;
        // A clock that was set back must not keep an old verdict.
        let is_fresh = |at: UnixMs| (0..FRESH_MS).contains(&(now - at));
        if !known.as_ref().is_some_and(|(at, _)| is_fresh(*at)) {
            *known = Some((now, self.inner.catalog.verdicts().await?));
        }
        let rows = known.as_ref().map_or(&[][..], |(_, rows)| rows);
        Ok(buckets.iter().find_map(|bucket| {
            let row = rows.iter().find(|row| row.bucket == *bucket);
            why_withheld(row, now).map(|why| (*bucket, why))
        }))
    }
}

/// Why nothing may be written, by what the watch knows of the bucket.
pub fn why_withheld(row: Option<&VerdictRow>, now: UnixMs) -> Option<&'static str> {
    let Some(row) = row else {
        return Some("the watch has not looked at it yet");
    };
    if row.verdict == Verdict::Exposed {
        return Some("strangers get at it");
    }
    match row.private_at {
        Some(at) if now - at < PROOF_LASTS_MS => None,
        _ => Some("it was not proven private within a day"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = 1_800_000_000_000;

    fn row(verdict: Verdict, private_at: Option<UnixMs>) -> VerdictRow {
        VerdictRow {
            bucket: Bucket::Data,
            verdict,
            since: 0,
            checked_at: NOW,
            private_at,
            reason: String::new(),
        }
    }

    #[test]
    fn only_a_proof_of_the_last_day_opens_the_gate_and_nothing_opens_it_to_an_open_bucket() {
        let day = PROOF_LASTS_MS;
        for (verdict, private_at, opens) in [
            (Verdict::Private, Some(NOW), true),
            (Verdict::Unknown, Some(NOW - day + 1), true),
            (Verdict::Unknown, Some(NOW - day), false),
            (Verdict::Unknown, None, false),
            (Verdict::Private, Some(NOW - day), false),
            (Verdict::Exposed, Some(NOW - 1), false),
            (Verdict::Exposed, None, false),
        ] {
            let row = row(verdict, private_at);
            assert_eq!(why_withheld(Some(&row), NOW).is_none(), opens, "{row:?}");
        }
        assert!(why_withheld(None, NOW).is_some(), "a bucket that nobody looked at");
    }
}
