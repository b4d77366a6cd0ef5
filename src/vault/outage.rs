//! What is known of the root key's provider: whether it answers, since when it does not, and whether it is time to ask again.
//!
//! While it does not answer, one caller in [`ASK_AGAIN_MS`] asks it and all others go on with what they have: thousands of
//! players must not wait for a service that is down, nor keep it down.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::UnixMs;

/// Between two questions to a provider that did not answer the last one.
const ASK_AGAIN_MS: i64 = 2_000;

/// The provider's state as this process sees it.
#[derive(Default)]
pub(super) struct Outage {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When the first question since the last answer failed.
    since: Option<UnixMs>,
    asked_at: UnixMs,
}

impl Outage {
    /// Since when the provider has not answered; none while it does.
    pub fn since(&self) -> Option<UnixMs> {
        self.locked().since
    }

    /// Whether the caller may ask the provider now. Whoever may and does tells the answer by [`Self::over`] or [`Self::lasts`].
    pub fn may_ask(&self, now: UnixMs) -> bool {
        let mut state = self.locked();
        // A clock that was set back must not keep everybody from asking.
        if state.since.is_some() && (0..ASK_AGAIN_MS).contains(&(now - state.asked_at)) {
            return false;
        }
        state.asked_at = now;
        true
    }

    /// The provider answered, with whatever answer.
    pub fn over(&self) {
        if let Some(since) = self.locked().since.take() {
            tracing::warn!(since_ms = since, "the root key's provider answers again");
        }
    }

    /// The provider did not answer; since when it has not.
    pub fn lasts(&self, now: UnixMs, error: &(dyn std::error::Error + 'static)) -> UnixMs {
        let mut state = self.locked();
        state.asked_at = now;
        if let Some(since) = state.since {
            return since;
        }
        tracing::error!(
            error,
            "the root key's provider does not answer: owners whose keys are in memory are served for the grace that is \
             configured, uploads are taken, all else waits"
        );
        state.since = Some(now);
        now
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        // Nothing between lock and unlock can leave the state half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_it_lasts_one_in_two_seconds_asks() {
        let (outage, error) = (Outage::default(), std::io::Error::other("down"));
        assert!(
            outage.may_ask(0) && outage.may_ask(0),
            "a provider that answers is asked by all"
        );
        assert_eq!(outage.lasts(10, &error), 10);
        assert!(!outage.may_ask(10 + ASK_AGAIN_MS - 1));
        assert!(outage.may_ask(10 + ASK_AGAIN_MS));
        assert!(!outage.may_ask(10 + ASK_AGAIN_MS), "another asks already");
        assert_eq!(outage.lasts(5_000, &error), 10, "it began with the first failure");
        outage.over();
        assert_eq!(outage.since(), None);
        assert!(outage.may_ask(5_000));
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_from_asking() {
        let outage = Outage::default();
        outage.lasts(1_000_000, &std::io::Error::other("down"));
        assert!(outage.may_ask(0));
    }
}
