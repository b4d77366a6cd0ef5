//! The time a worker may take: in all, and between two signs of life. Time in which it waits for us does not count, up to a
//! bound of its own.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::MediaError;

/// How often the clock is looked at.
const TICK: Duration = Duration::from_millis(250);
/// A worker that neither reads, writes nor reports for so long is stuck.
const MAX_SILENCE: Duration = Duration::from_secs(60);

/// What the vault's own part, reading the source and writing outputs, may add to twice the worker's time: an outage of the
/// store for an hour is waited for, a call that never comes back is not.
const MAX_PAUSES: Duration = Duration::from_secs(3_600);

/// A worker's signs of life.
#[derive(Default)]
pub(super) struct Pulse {
    beats: AtomicU64,
    /// Calls to the source or the sink that are under way.
    pauses: AtomicU32,
}

impl Pulse {
    /// A sign of life.
    pub(super) fn beat(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
    }

    /// Stops the clock while the vault itself is at work.
    pub(super) async fn paused<T>(&self, work: impl Future<Output = T>) -> T {
        struct Pause<'a>(&'a AtomicU32);
        impl Drop for Pause<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.pauses.fetch_add(1, Ordering::Relaxed);
        let _pause = Pause(&self.pauses);
        work.await
    }

    /// Comes back when the time is up.
    pub(super) async fn watch(&self, wall: Duration) -> MediaError {
        let (mut elapsed, mut silence, mut seen) = (Duration::ZERO, Duration::ZERO, 0);
        let whole = tokio::time::sleep(wall * 2 + MAX_PAUSES);
        tokio::pin!(whole);
        loop {
            tokio::select! {
                () = &mut whole => return MediaError::Stalled,
                () = tokio::time::sleep(TICK) => {}
            }
            let beats = self.beats.load(Ordering::Relaxed);
            if self.pauses.load(Ordering::Relaxed) > 0 || beats != std::mem::replace(&mut seen, beats) {
                silence = Duration::ZERO;
            } else {
                silence += TICK;
            }
            if self.pauses.load(Ordering::Relaxed) == 0 {
                elapsed += TICK;
            }
            if silence >= MAX_SILENCE {
                return MediaError::TimedOut("it made no progress for a minute");
            }
            if elapsed >= wall {
                return MediaError::TimedOut("its wall-clock time was used up");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it_after_a_minute_and_the_whole_after_its_time() {
        let began = tokio::time::Instant::now();
        let silent = Pulse::default().watch(HOUR).await;
        assert!(silent.to_string().contains("no progress"), "{silent}");
        assert_eq!(began.elapsed(), MAX_SILENCE);
        let pulse = Pulse::default();
        let beat = async {
            loop {
                tokio::time::sleep(Duration::from_secs(10)).await;
                pulse.beat();
            }
        };
        tokio::select! {
            error = pulse.watch(HOUR) => assert!(error.to_string().contains("wall-clock"), "{error}"),
            () = beat => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_answers_ends_it_and_so_does_a_worker_that_only_asks() {
        let (pulse, began) = (Pulse::default(), tokio::time::Instant::now());
        tokio::select! {
            error = pulse.watch(HOUR) => assert!(matches!(error, MediaError::Stalled), "{error}"),
            () = pulse.paused(std::future::pending()) => {}
        }
        assert_eq!(began.elapsed(), HOUR * 2 + MAX_PAUSES);
        let asking = async {
            loop {
                pulse.paused(tokio::time::sleep(Duration::from_secs(1))).await;
                pulse.beat();
            }
        };
        let began = tokio::time::Instant::now();
        tokio::select! {
            error = pulse.watch(HOUR) => assert!(matches!(error, MediaError::Stalled), "{error}"),
            () = asking => {}
        }
        assert_eq!(began.elapsed(), HOUR * 2 + MAX_PAUSES);
    }

    #[tokio::test(start_paused = true)]
    async fn time_spent_in_the_store_does_not_count() {
        let pulse = Pulse::default();
        tokio::select! {
            error = pulse.watch(Duration::from_secs(90)) => panic!("{error}"),
            () = pulse.paused(tokio::time::sleep(HOUR)) => {}
        }
    }
}
