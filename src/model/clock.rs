//! Time as an argument: rooms ask a clock, tests set one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;

/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMs = i64;

/// A time as people and programs read it (RFC 3339, with milliseconds).
pub fn moment(at: UnixMs) -> String {
    // A time past year 9999 is a sender's nonsense; the nearest that can be written keeps the rest whole.
    let limit = if at < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let time = Timestamp::from_millisecond(at).unwrap_or(limit);
    format!("{time:.3}")
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time now, in milliseconds since 1970 (UTC).
    fn now_ms(&self) -> UnixMs;
}

/// The machine's clock.
#[derive(Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> UnixMs {
        // A clock before 1970 is a broken machine; zero keeps comparisons well-defined.
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that was set by another and runs on by itself, whatever is done to the machine's own.
pub struct SetClock(Mutex<(UnixMs, Instant)>);

impl SetClock {
    /// A clock that shows `now_ms` now.
    pub fn at(now_ms: UnixMs) -> Self {
        Self(Mutex::new((now_ms, Instant::now())))
    }

    /// Sets it to `now_ms`.
    pub fn set(&self, now_ms: UnixMs) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (now_ms, Instant::now());
    }
}

impl Clock for SetClock {
    fn now_ms(&self) -> UnixMs {
        let (set_to, at) = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        set_to.saturating_add(i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that a test sets.
#[derive(Default)]
pub struct FixedClock(AtomicI64);

impl FixedClock {
    /// A clock that stands at `now_ms` until it is moved.
    pub fn at(now_ms: UnixMs) -> Self {
        Self(AtomicI64::new(now_ms))
    }

    /// Moves the clock by `ms`.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now_ms(&self) -> UnixMs {
        self.0.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_runs_on_from_there() {
        let clock = SetClock::at(1_000);
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!((1_020..2_000).contains(&clock.now_ms()), "{}", clock.now_ms());
        clock.set(50);
        assert!((50..1_000).contains(&clock.now_ms()), "{}", clock.now_ms());
    }
}
