//! How many uploads begin at the same time, and when the others are to come again.
//!
//! Whatever is written of an upload stands in one line for the catalogue. A crowd that begins would fill it, and the bytes of those
//! that have begun, and the question where they stand, would wait behind it until all of them give up.

use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use super::IngestError;
use crate::model::UnixMs;

/// What waits before somebody's bytes at most: a third of a second of a slow disk.
const AT_ONCE: usize = 32;
/// Those who are turned away are called back one after the other, as fast as two cores and one disk begin uploads.
const CALLED_BACK_A_SECOND: i64 = 50;
/// The longest that one is asked to wait.
const LONGEST_WAIT_MS: i64 = 120_000;

/// The places of one process, and the end of the queue of those who had none.
pub(super) struct Beginnings {
    places: Semaphore,
    called_until: Mutex<UnixMs>,
}

impl Default for Beginnings {
    fn default() -> Self {
        Self {
            places: Semaphore::new(AT_ONCE),
            called_until: Mutex::new(0),
        }
    }
}

impl Beginnings {
    /// A place, held while the upload's rows are written.
    ///
    /// # Errors
    /// [`IngestError::Busy`], with a time of its own for each.
    pub fn take(&self, now: UnixMs) -> Result<SemaphorePermit<'_>, IngestError> {
        self.places.try_acquire().map_err(|_| IngestError::Busy {
            retry_after_secs: self.call_back_secs(now),
        })
    }

    fn call_back_secs(&self, now: UnixMs) -> u32 {
        // A number is whole after every statement.
        let mut until = self.called_until.lock().unwrap_or_else(PoisonError::into_inner);
        *until = (*until + 1000 / CALLED_BACK_A_SECOND).clamp(now, now + LONGEST_WAIT_MS);
        u32::try_from((*until - now) / 1000).unwrap_or_default() + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_called_back_one_after_the_other_and_places_come_back() {
        let beginnings = Beginnings::default();
        let held: Vec<_> = (0..AT_ONCE).map(|_| beginnings.take(0).expect("a place")).collect();
        let mut told = vec![0_u32; 122];
        for _ in 0..10_000 {
            let Err(IngestError::Busy { retry_after_secs }) = beginnings.take(1_000) else {
                panic!("there is no place");
            };
            told[retry_after_secs as usize] += 1;
        }
        assert_eq!(told[0], 0);
        assert!(told[1..120].iter().all(|each| (49..=51).contains(each)), "{told:?}");
        assert_eq!(told[1..].iter().sum::<u32>(), 10_000);
        drop(held);
        assert!(beginnings.take(1_000).is_ok());
    }

    #[test]
    fn a_clock_that_was_set_back_makes_nobody_wait_longer_than_the_longest() {
        let beginnings = Beginnings::default();
        assert_eq!(beginnings.call_back_secs(1_000_000_000), 1);
        assert_eq!(beginnings.call_back_secs(0), 121);
    }
}
