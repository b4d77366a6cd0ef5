//! Whether a body comes fast enough to be worth its turn: one that drips a byte at a time is never silent, and never done.

use std::time::Duration;

/// The pace of one body. Only the time spent waiting for it counts, not what the vault itself needs.
pub(super) struct Pace {
    window: Duration,
    least_bytes: u64,
    waited: Duration,
    brought_bytes: u64,
}

impl Pace {
    /// At least so many bytes in each window.
    pub fn new(window: Duration, least_bytes: u64) -> Self {
        Self {
            window,
            least_bytes,
            waited: Duration::ZERO,
            brought_bytes: 0,
        }
    }

    /// Notes bytes and how long they were waited for; false once a whole window brought too few.
    pub fn keeps_up(&mut self, waited: Duration, bytes: usize) -> bool {
        self.waited += waited;
        self.brought_bytes += bytes as u64;
        if self.waited < self.window {
            return true;
        }
        let is_fast = self.brought_bytes >= self.least_bytes;
        (self.waited, self.brought_bytes) = (Duration::ZERO, 0);
        is_fast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_slow_body_is_let_go_after_one_window_and_not_before() {
        let mut pace = Pace::new(10 * SECOND, 1000);
        assert!((0..9).all(|_| pace.keeps_up(SECOND, 99)));
        assert!(!pace.keeps_up(SECOND, 99));
    }

    #[test]
    fn bytes_that_come_at_once_pay_for_one_window_only() {
        let mut pace = Pace::new(10 * SECOND, 1000);
        assert!(pace.keeps_up(Duration::ZERO, 1_000_000));
        assert!((0..10).all(|_| pace.keeps_up(SECOND, 1)));
        assert!((0..9).all(|_| pace.keeps_up(SECOND, 1)));
        assert!(!pace.keeps_up(SECOND, 1));
    }

    #[test]
    fn a_body_as_fast_as_it_has_to_be_goes_on_for_ever() {
        let mut pace = Pace::new(10 * SECOND, 1000);
        assert!((0..1000).all(|_| pace.keeps_up(SECOND, 100)));
    }
}
