//! What was sent over links that are paid for by the byte, counted so that a power cut forgets none of it.
//!
//! Bytes are taken from the budget, durably, before they are sent, and what was not sent is given back: a count that is
//! wrong after a power cut is too high, by one grant at most. Processes that upload at the same time share one count.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::policy::Cellular;
use crate::{ClientError, file};

/// What one request may send: few requests and writes, and little that a power cut can cost of the budget.
const GRANT_BYTES: u64 = 8 << 20;
/// For less no request is made, unless it is all that is missing.
pub(crate) const LEAST_GRANT_BYTES: u64 = 64 << 10;
/// Who counts at the same time holds the count for one small write.
const LOCK_TRIES: u32 = 40;
const LOCK_PAUSE: Duration = Duration::from_millis(25);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What a clip may draw on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The reserve too: an event, or what the owner asked for.
    Event,
    /// All but the reserve.
    Routine,
}

/// Bytes sent within a day and a month, both in UTC.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    /// Days since 1970.
    day: i64,
    day_bytes: u64,
    /// Months since the year 0.
    month: i64,
    month_bytes: u64,
}

/// The count and its place.
pub(crate) struct Budget {
    path: PathBuf,
    count: Mutex<Count>,
}

/// What one clip may take of it.
pub(crate) struct Allowance<'a> {
    pub budget: &'a Budget,
    pub cellular: Cellular,
    pub class: Class,
    /// The vault's time, milliseconds since 1970, if it is known.
    pub now_ms: &'a (dyn Fn() -> Option<i64> + Sync),
}

/// Bytes taken for one request. What was not sent of them is given back at its end.
pub(crate) struct Grant<'a> {
    budget: &'a Budget,
    bytes: u64,
    sent: Arc<AtomicU64>,
}

impl Budget {
    /// # Errors
    /// [`ClientError::State`] when the count is damaged: what was sent this month is not to be guessed.
    pub fn open(path: PathBuf) -> Result<Self, ClientError> {
        let count = Mutex::new(read(&path)?);
        Ok(Self { path, count })
    }

    /// Looks what other processes have taken meanwhile, and what day it is.
    pub fn look(&self, now_ms: Option<i64>) -> Result<(), ClientError> {
        let now = read(&self.path)?;
        let mut turned = now.clone();
        turned.turn_to(now_ms);
        if turned == now {
            *self.count() = now;
            return Ok(());
        }
        let (_lock, mut count) = self.lock()?;
        self.turn(&mut count, now_ms)
    }

    /// Turns the count to this time. Kept, so that a day that was wrong once holds no later one in any process.
    fn turn(&self, count: &mut Count, now_ms: Option<i64>) -> Result<(), ClientError> {
        let before = count.clone();
        count.turn_to(now_ms);
        match *count == before {
            true => Ok(()),
            false => self.keep(count),
        }
    }

    /// What a clip of this class may still send now.
    pub fn left(&self, cellular: &Cellular, class: Class, now_ms: Option<i64>) -> u64 {
        let mut count = self.count();
        count.turn_to(now_ms);
        count.left(cellular, class)
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The count as it is for all processes, while nobody else changes it.
    fn lock(&self) -> Result<(File, MutexGuard<'_, Count>), ClientError> {
        let path = self.path.with_extension("lock");
        let failed = |source| file::unreadable(&path, source);
        let lock = file::open_private(&path).map_err(failed)?;
        let mut tries = 0;
        while let Err(error) = lock.try_lock() {
            match error {
                TryLockError::WouldBlock if tries < LOCK_TRIES => sleep(LOCK_PAUSE),
                TryLockError::WouldBlock => {
                    let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
                    return Err(ClientError::StateInUse { folder });
                }
                TryLockError::Error(source) => return Err(failed(source)),
            }
            tries += 1;
        }
        let mut count = self.count();
        *count = read(&self.path)?;
        Ok((lock, count))
    }

    fn keep(&self, count: &Count) -> Result<(), ClientError> {
        let text = serde_json::to_vec(count).expect("a count is plain JSON");
        file::write(&self.path, &text, false)
    }
}

impl Count {
    /// Begins anew with a new day and a new month. Only the vault's clock turns them: a vehicle's that begins in 1970 at each
    /// start would. A time that goes back gives nothing back, nor does midnight when it comes twice, by two clocks.
    fn turn_to(&mut self, now_ms: Option<i64>) {
        let Some(day) = now_ms.map(|now_ms| now_ms.div_euclid(DAY_MS)) else {
            return;
        };
        let month = month_of(day);
        if day > self.day {
            self.day_bytes = 0;
        }
        if month > self.month {
            self.month_bytes = 0;
        }
        // A date far ahead that was wrong must not hold the count for years.
        if day > self.day || day + 1 < self.day {
            self.day = day;
        }
        if month > self.month || month + 1 < self.month {
            self.month = month;
        }
    }

    fn left(&self, cellular: &Cellular, class: Class) -> u64 {
        let of = |budget: u64| match class {
            Class::Event => budget,
            Class::Routine => {
                let share = u128::from(100 - cellular.event_reserve_percent.min(100));
                u64::try_from(u128::from(budget) * share / 100).unwrap_or(u64::MAX)
            }
        };
        let day = of(cellular.day_bytes).saturating_sub(self.day_bytes);
        day.min(of(cellular.month_bytes).saturating_sub(self.month_bytes))
    }
}

impl<'a> Allowance<'a> {
    /// Takes what may be sent of `wanted` bytes in one request; none when that is too little to ask for.
    pub fn take(&self, wanted: u64, sent: Arc<AtomicU64>) -> Result<Option<Grant<'a>>, ClientError> {
        let (_lock, mut count) = self.budget.lock()?;
        self.budget.turn(&mut count, (self.now_ms)())?;
        let bytes = wanted.min(GRANT_BYTES).min(count.left(&self.cellular, self.class));
        if bytes < wanted.min(LEAST_GRANT_BYTES) {
            return Ok(None);
        }
        let mut taken = count.clone();
        taken.day_bytes += bytes;
        taken.month_bytes += bytes;
        self.budget.keep(&taken)?;
        *count = taken;
        Ok(Some(Grant {
            budget: self.budget,
            bytes,
            sent,
        }))
    }
}

impl Grant<'_> {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        let unsent = self.bytes.saturating_sub(self.sent.load(Ordering::Relaxed));
        if unsent > 0 {
            // What is kept instead is the higher count, which is the safe one.
            let Ok((_lock, mut count)) = self.budget.lock() else {
                return;
            };
            count.day_bytes = count.day_bytes.saturating_sub(unsent);
            count.month_bytes = count.month_bytes.saturating_sub(unsent);
            let _ = self.budget.keep(&count);
        }
    }
}

fn read(path: &Path) -> Result<Count, ClientError> {
    match std::fs::read(path) {
        Ok(text) => serde_json::from_slice(&text).map_err(|_| ClientError::State { path: path.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Count::default()),
        Err(source) => Err(file::unreadable(path, source)),
    }
}

/// Months since the year 0 (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms": `civil_from_days`).
fn month_of(day: i64) -> i64 {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    // Years of this algorithm begin in March.
    let month_from_march = (5 * day_of_year + 2) / 153;
    (year_of_era + era * 400) * 12 + month_from_march + 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;

    const DAY: i64 = DAY_MS;

    fn cellular(day_bytes: u64, month_bytes: u64, event_reserve_percent: u8) -> Cellular {
        Cellular {
            day_bytes,
            month_bytes,
            event_reserve_percent,
            ..Policy::default().cellular
        }
    }

    fn take(budget: &Budget, cellular: Cellular, class: Class, now_ms: i64, bytes: u64) -> u64 {
        let allowance = Allowance {
            budget,
            cellular,
            class,
            now_ms: &|| Some(now_ms),
        };
        let sent = Arc::new(AtomicU64::new(u64::MAX));
        allowance.take(bytes, sent).unwrap().map_or(0, |grant| grant.bytes())
    }

    #[test]
    fn routine_stops_at_the_reserve_which_events_use_up() {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::open(dir.path().join("sent.json")).unwrap();
        let rules = cellular(10 << 20, 100 << 20, 25);
        assert_eq!(
            take(&budget, rules, Class::Routine, 0, 100 << 20),
            15 << 19,
            "7.5 MiB of 10"
        );
        assert_eq!(take(&budget, rules, Class::Routine, 0, 100 << 20), 0);
        assert_eq!(take(&budget, rules, Class::Event, 0, 100 << 20), 5 << 19);
        assert_eq!(take(&budget, rules, Class::Event, 0, 100 << 20), 0);
        assert_eq!(
            take(&budget, rules, Class::Routine, DAY, 1 << 20),
            1 << 20,
            "the next day"
        );
    }

    #[test]
    fn a_month_is_used_up_over_its_days_and_begins_anew_with_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::open(dir.path().join("sent.json")).unwrap();
        let rules = cellular(1 << 20, 3 << 20, 0);
        let january = |day: i64| (19_723 + day) * DAY;
        for day in 0..3 {
            assert_eq!(take(&budget, rules, Class::Routine, january(day), 9 << 20), 1 << 20);
        }
        assert_eq!(take(&budget, rules, Class::Routine, january(4), 9 << 20), 0);
        assert_eq!(
            take(&budget, rules, Class::Routine, january(30), 9 << 20),
            0,
            "2024-01-31"
        );
        assert_eq!(
            take(&budget, rules, Class::Routine, january(31), 9 << 20),
            1 << 20,
            "2024-02-01"
        );
    }

    #[test]
    fn what_was_taken_is_still_taken_after_a_power_cut_and_what_was_not_sent_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sent.json");
        let rules = cellular(8 << 20, 8 << 20, 0);
        let budget = Budget::open(path.clone()).unwrap();
        let sent = Arc::new(AtomicU64::new(0));
        let allowance = Allowance {
            budget: &budget,
            cellular: rules,
            class: Class::Routine,
            now_ms: &|| Some(0),
        };
        let grant = allowance.take(2 << 20, Arc::clone(&sent)).unwrap().unwrap();
        let after_a_cut = Budget::open(path.clone()).unwrap();
        assert_eq!(
            after_a_cut.left(&rules, Class::Routine, Some(0)),
            6 << 20,
            "before a byte is sent"
        );
        sent.store(1 << 20, Ordering::Relaxed);
        drop(grant);
        assert_eq!(
            Budget::open(path).unwrap().left(&rules, Class::Routine, Some(0)),
            7 << 20
        );
    }

    #[test]
    fn two_who_send_at_once_share_one_budget() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sent.json");
        let rules = cellular(4 << 20, 4 << 20, 0);
        let (watcher, by_hand) = (Budget::open(path.clone()).unwrap(), Budget::open(path).unwrap());
        assert_eq!(take(&watcher, rules, Class::Routine, 0, 3 << 20), 3 << 20);
        assert_eq!(take(&by_hand, rules, Class::Routine, 0, 3 << 20), 1 << 20);
        watcher.look(Some(0)).unwrap();
        assert_eq!(watcher.left(&rules, Class::Routine, Some(0)), 0);
    }

    #[test]
    fn a_time_that_goes_back_or_is_not_known_gives_nothing_back() {
        let dir = tempfile::tempdir().unwrap();
        let budget = Budget::open(dir.path().join("sent.json")).unwrap();
        let rules = cellular(1 << 20, 8 << 20, 0);
        assert_eq!(take(&budget, rules, Class::Event, 20_000 * DAY, 1 << 20), 1 << 20);
        assert_eq!(budget.left(&rules, Class::Event, None), 0);
        assert_eq!(take(&budget, rules, Class::Event, 20_000 * DAY - 1, 1 << 20), 0);
        assert_eq!(
            take(&budget, rules, Class::Event, 20_000 * DAY, 1 << 20),
            0,
            "midnight a second time"
        );
        assert_eq!(take(&budget, rules, Class::Event, 10 * DAY, 1 << 20), 0);
        assert_eq!(
            take(&budget, rules, Class::Event, 11 * DAY, 1 << 20),
            1 << 20,
            "a wrong date holds no later day"
        );
    }

    #[test]
    fn a_damaged_count_is_told_and_not_taken_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sent.json");
        std::fs::write(&path, b"{\"day\":1,").unwrap();
        assert!(matches!(Budget::open(path), Err(ClientError::State { .. })));
    }

    #[test]
    fn months_end_where_the_calendar_ends_them() {
        for (day, month) in [
            (-1, 1969 * 12 + 11),
            (0, 1970 * 12),
            (30, 1970 * 12),
            (31, 1970 * 12 + 1),
            (19_781, 2024 * 12 + 1),
            (19_782, 2024 * 12 + 1),
            (19_783, 2024 * 12 + 2),
        ] {
            assert_eq!(month_of(day), month, "{day}");
        }
    }
}
