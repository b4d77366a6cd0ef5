//! How many clips one reader may open in an hour: a stolen credential cannot take an archive away in one night, and not
//! unseen.
//!
//! A reader is a session or token. Opening the same few clips again and again costs nothing, as a player does it; another
//! clip costs one of the hour's. Stills are counted apart and more of them are allowed, for a list shows one a clip.
//! Each process counts for itself: on three nodes a thief gets three times as much, and three events.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use super::{Vault, VaultError};
use crate::model::{ClipId, CredentialId, UnixMs};

/// Someone who looks for a scene opens a clip in 6 s at most times; no one does so for an hour without a pause.
pub const CLIPS_AN_HOUR: u32 = 600;
/// Three passes through the stills of 10,000 clips.
const STILLS_AN_HOUR: u32 = 30_000;
const HOUR_MS: i64 = 3_600_000;
/// Clips that one reader goes to and fro between: a page of a comparison.
const RECENT_CLIPS: usize = 32;
/// Readers remembered, some 600 bytes each.
const MOST_READERS: usize = 8192;

/// What a reader opens of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The clip itself: video, the original, its track.
    Media,
    /// A still picture.
    Still,
}

/// How the brake judged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judged {
    Free,
    /// Too many within the hour.
    Braked {
        retry_after_secs: u32,
    },
}

#[derive(Default)]
struct Reader {
    /// The newest last.
    recent: VecDeque<ClipId>,
    media: Spent,
    stills: Spent,
}

/// What was used of an hour's allowance, as the time at which it is whole again (the generic cell rate algorithm of ITU-T
/// I.371).
#[derive(Default, Clone, Copy)]
struct Spent {
    whole_at: UnixMs,
}

impl Spent {
    /// Takes one of `an_hour`, or tells after how many milliseconds there is one.
    fn take(&mut self, an_hour: u32, now: UnixMs) -> Result<(), i64> {
        let step = HOUR_MS / i64::from(an_hour);
        // A clock that was set back must not keep a reader waiting for longer than an hour.
        let whole_at = self.whole_at.clamp(now, now + HOUR_MS) + step;
        if whole_at - now > HOUR_MS {
            return Err(whole_at - now - HOUR_MS);
        }
        self.whole_at = whole_at;
        Ok(())
    }
}

pub(super) struct Brake {
    clips_an_hour: u32,
    readers: Mutex<HashMap<CredentialId, Reader>>,
}

impl Brake {
    pub fn new(clips_an_hour: u32) -> Self {
        Self {
            clips_an_hour: clips_an_hour.max(1),
            readers: Mutex::default(),
        }
    }

    pub fn judge(&self, reader: CredentialId, clip: ClipId, reach: Reach, now: UnixMs) -> Judged {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= MOST_READERS && !readers.contains_key(&reader) {
            make_room(&mut readers, now);
        }
        let entry = readers.entry(reader).or_default();
        let taken = match reach {
            Reach::Media if entry.recent.contains(&clip) => Ok(()),
            Reach::Media => entry.media.take(self.clips_an_hour, now),
            Reach::Still => entry.stills.take(STILLS_AN_HOUR.max(self.clips_an_hour), now),
        };
        match taken {
            Ok(()) if reach == Reach::Media && !entry.recent.contains(&clip) => {
                entry.recent.push_back(clip);
                if entry.recent.len() > RECENT_CLIPS {
                    entry.recent.pop_front();
                }
                Judged::Free
            }
            Ok(()) => Judged::Free,
            Err(wait_ms) => {
                let secs = wait_ms.unsigned_abs().div_ceil(1_000).max(1);
                Judged::Braked {
                    retry_after_secs: u32::try_from(secs).unwrap_or(u32::MAX),
                }
            }
        }
    }
}

/// Forgets those who have their whole allowance again, else the one who used least of it: nobody gains by being forgotten.
fn make_room(readers: &mut HashMap<CredentialId, Reader>, now: UnixMs) {
    let left = |reader: &Reader| reader.media.whole_at.max(reader.stills.whole_at);
    readers.retain(|_, reader| left(reader) > now);
    if readers.len() >= MOST_READERS
        && let Some(least) = readers.iter().min_by_key(|(_, reader)| left(reader)).map(|(id, _)| *id)
    {
        readers.remove(&least);
    }
}

impl Vault {
    /// Asks the brake before a reader opens a clip's keys. Too many clips within an hour is [`VaultError::Braked`].
    pub fn admit(&self, reader: CredentialId, clip: ClipId, reach: Reach) -> Result<(), VaultError> {
        match self.inner.brake.judge(reader, clip, reach, self.now()) {
            Judged::Free => Ok(()),
            Judged::Braked { retry_after_secs } => {
                self.inner.counts.braked();
                Err(VaultError::Braked { retry_after_secs })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(brake: &Brake, reader: CredentialId, clip: ClipId, now: UnixMs) -> bool {
        brake.judge(reader, clip, Reach::Media, now) == Judged::Free
    }

    #[test]
    fn an_archive_is_not_taken_away_in_one_run() {
        let (brake, thief) = (Brake::new(CLIPS_AN_HOUR), CredentialId::random());
        let taken = (0..10_000)
            .take_while(|_| free(&brake, thief, ClipId::random(), 0))
            .count();
        assert_eq!(taken, CLIPS_AN_HOUR as usize);
        let again = brake.judge(thief, ClipId::random(), Reach::Media, 0);
        assert_eq!(again, Judged::Braked { retry_after_secs: 6 });
        let later = (1..=3_600)
            .filter(|second| free(&brake, thief, ClipId::random(), second * 1_000))
            .count();
        assert_eq!(later, CLIPS_AN_HOUR as usize, "one in six seconds from then on");
        let other = CredentialId::random();
        assert!(free(&brake, other, ClipId::random(), 0), "others go on");
    }

    #[test]
    fn a_player_and_an_owner_who_goes_through_ten_thousand_stills_never_meet_it() {
        let (brake, owner) = (Brake::new(CLIPS_AN_HOUR), CredentialId::random());
        let clips: Vec<_> = (0..10_000).map(|_| ClipId::random()).collect();
        for clip in &clips {
            assert_eq!(brake.judge(owner, *clip, Reach::Still, 0), Judged::Free);
        }
        for range in 0..100_000 {
            assert!(free(&brake, owner, clips[range % 4], 0), "range {range}");
        }
        // Someone who looks for a scene: another clip in ten seconds, for a day.
        for (n, clip) in clips.iter().take(8_640).enumerate() {
            assert!(free(&brake, owner, *clip, n as i64 * 10_000), "clip {n}");
        }
    }

    #[test]
    fn a_clock_that_was_set_back_keeps_nobody_waiting_for_more_than_an_hour() {
        let (brake, reader) = (Brake::new(CLIPS_AN_HOUR), CredentialId::random());
        assert!(free(&brake, reader, ClipId::random(), 100 * HOUR_MS));
        match brake.judge(reader, ClipId::random(), Reach::Media, 0) {
            Judged::Free => {}
            Judged::Braked { retry_after_secs } => assert!(retry_after_secs <= 3_600),
        }
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_those_who_used_least() {
        let (brake, thief) = (Brake::new(2), CredentialId::random());
        assert!(free(&brake, thief, ClipId::random(), 0) && free(&brake, thief, ClipId::random(), 0));
        for _ in 0..2 * MOST_READERS {
            assert!(free(&brake, CredentialId::random(), ClipId::random(), 0));
        }
        assert!(brake.readers.lock().unwrap().len() <= MOST_READERS);
        assert!(!free(&brake, thief, ClipId::random(), 0), "the thief is not forgotten");
    }
}
