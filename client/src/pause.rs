//! Pauses between tries: exponential with full jitter, so that a thousand vehicles which lost their vault at once do not
//! come back at once (M. Brooker, "Exponential Backoff And Jitter", 2015).

use std::time::Duration;

use dashvault_keys::digest;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(120);
/// Half a second doubled eight times is more than the longest pause.
const MAX_DOUBLINGS: u32 = 8;

/// Counts tries that brought nothing.
#[derive(Default)]
pub(crate) struct Pauses {
    tries: u32,
}

impl Pauses {
    /// Something was gained: the next pause is a short one again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// The next pause; never shorter than what the vault asked for.
    pub fn next(&mut self, retry_after: Duration) -> Duration {
        let most = (FIRST * 2_u32.pow(self.tries.min(MAX_DOUBLINGS))).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let random = u32::from_le_bytes(digest::random());
        let jitter = most.mul_f64(f64::from(random) / f64::from(u32::MAX));
        // The vault asks all at once, so what it asks for is spread too.
        if retry_after.is_zero() {
            jitter
        } else {
            retry_after + jitter
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_spread_and_have_a_limit() {
        let mut pauses = Pauses::default();
        let mut most = FIRST;
        for _ in 0..20 {
            assert!(pauses.next(Duration::ZERO) <= most);
            most = (most * 2).min(LONGEST);
        }
        let late: Vec<_> = (0..50).map(|_| pauses.next(Duration::ZERO)).collect();
        assert!(late.iter().any(|pause| *pause > LONGEST / 2));
        assert!(late.iter().any(|pause| *pause < LONGEST / 2));
        pauses.reset();
        assert!(pauses.next(Duration::ZERO) <= FIRST);
    }

    #[test]
    fn the_vault_is_never_asked_before_it_wants_to_be() {
        let mut pauses = Pauses::default();
        let asked = Duration::from_secs(7);
        for _ in 0..20 {
            assert!(pauses.next(asked) >= asked);
        }
    }
}
