//! How many clips one reader may open in an hour: a stolen credential cannot take an archive away in one night, and not
//! unseen.
//!
//! A reader is a session or token. Opening the same few clips again and again costs nothing, as a player does it; another
//! clip costs one of the hour's. Stills are counted apart and more of them are allowed, for a list shows one a clip.
//! What was used stands in the catalogue, for all nodes and over restarts; here is only what spares the catalogue a question
//! at each range of a film: the clips that were counted a moment ago, stills taken in advance, and who has to wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Vault, VaultError};
use crate::catalog::Allowance;
use crate::model::{ClipId, CredentialId, UnixMs};

/// Someone who looks for a scene opens a clip in 6 s at most times; no one does so for an hour without a pause.
pub const CLIPS_AN_HOUR: u32 = 600;
/// Three passes through the stills of 10,000 clips.
const STILLS_AN_HOUR: u32 = 30_000;
/// Stills taken at once: a page of a list. What a node took and did not show is lost to the reader, some seconds' worth.
const STILLS_AT_ONCE: u32 = 32;
const HOUR_MS: i64 = 3_600_000;
/// Clips that one reader goes to and fro between: a page of a comparison.
const RECENT_CLIPS: usize = 32;
/// Readers remembered, some 700 bytes each. Whoever is forgotten is counted on in the catalogue.
const MOST_READERS: usize = 8192;

/// What a reader opens of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// The clip itself: video, the original, its track.
    Media,
    /// A still picture.
    Still,
}

impl Reach {
    fn as_str(self) -> &'static str {
        match self {
            Self::Media => "media",
            Self::Still => "still",
        }
    }
}

/// What this node knows of a reader.
#[derive(Default)]
struct Reader {
    /// Clips that were counted; the newest last.
    recent: VecDeque<ClipId>,
    /// Stills that were counted and not shown yet.
    stills: u32,
    /// Until when the catalogue need not be asked, for it would refuse: media, stills.
    media_wait: UnixMs,
    still_wait: UnixMs,
}

struct Held {
    used_at: UnixMs,
    reader: Arc<tokio::sync::Mutex<Reader>>,
}

pub(super) struct Brake {
    clips_an_hour: u32,
    readers: Mutex<HashMap<CredentialId, Held>>,
}

impl Brake {
    pub fn new(clips_an_hour: u32) -> Self {
        Self {
            clips_an_hour: clips_an_hour.max(1),
            readers: Mutex::default(),
        }
    }

    /// What is asked of the catalogue at once: how many, of how many an hour.
    fn share(&self, reach: Reach) -> (u32, u32) {
        match reach {
            Reach::Media => (1, self.clips_an_hour),
            Reach::Still => (STILLS_AT_ONCE, STILLS_AN_HOUR.max(self.clips_an_hour)),
        }
    }

    fn reader(&self, id: CredentialId, now: UnixMs) -> Arc<tokio::sync::Mutex<Reader>> {
        // Nothing between lock and unlock can leave the map half-changed.
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() >= MOST_READERS
            && !readers.contains_key(&id)
            && let Some(oldest) = readers.iter().min_by_key(|(_, held)| held.used_at).map(|(id, _)| *id)
        {
            readers.remove(&oldest);
        }
        let held = readers.entry(id).or_insert_with(|| Held {
            used_at: now,
            reader: Arc::default(),
        });
        held.used_at = now;
        held.reader.clone()
    }
}

impl Reader {
    fn has(&self, clip: ClipId, reach: Reach) -> bool {
        match reach {
            Reach::Media => self.recent.contains(&clip),
            Reach::Still => self.stills > 0,
        }
    }

    fn wait(&mut self, reach: Reach) -> &mut UnixMs {
        match reach {
            Reach::Media => &mut self.media_wait,
            Reach::Still => &mut self.still_wait,
        }
    }

    /// Uses what it has.
    fn open(&mut self, clip: ClipId, reach: Reach) {
        match reach {
            Reach::Still => self.stills -= 1,
            Reach::Media if self.recent.contains(&clip) => {}
            Reach::Media => {
                self.recent.push_back(clip);
                if self.recent.len() > RECENT_CLIPS {
                    self.recent.pop_front();
                }
            }
        }
    }
}

impl Vault {
    /// Asks the brake before a reader opens a clip's keys. Too many clips within an hour is [`VaultError::Braked`].
    pub async fn admit(&self, reader: CredentialId, clip: ClipId, reach: Reach) -> Result<(), VaultError> {
        let (brake, now) = (&self.inner.brake, self.now());
        let known = brake.reader(reader, now);
        // Held over the question: a player that begins a clip with six ranges at once is counted once, and of a clip that is
        // refused none of them gets through.
        let mut known = known.lock().await;
        if known.has(clip, reach) {
            known.open(clip, reach);
            return Ok(());
        }
        // A clock that was set back must not keep a reader waiting.
        let wait_ms = *known.wait(reach) - now;
        if (1..=HOUR_MS).contains(&wait_ms) {
            return Err(self.braked(wait_ms));
        }
        let (count, an_hour) = brake.share(reach);
        let cost_ms = HOUR_MS / i64::from(an_hour) * i64::from(count);
        let asked = Allowance {
            reader,
            reach: reach.as_str(),
            cost_ms,
            whole_ms: HOUR_MS,
        };
        let mut tx = self.inner.catalog.begin().await?;
        let used = tx.take_allowance(&asked, now).await?;
        tx.commit().await?;
        if !used.granted {
            let wait_ms = (used.whole_at + cost_ms - now - HOUR_MS).max(1);
            *known.wait(reach) = now + wait_ms;
            return Err(self.braked(wait_ms));
        }
        if reach == Reach::Still {
            known.stills += count;
        }
        known.open(clip, reach);
        Ok(())
    }

    fn braked(&self, wait_ms: i64) -> VaultError {
        self.inner.counts.braked();
        let secs = wait_ms.unsigned_abs().div_ceil(1_000).max(1);
        VaultError::Braked {
            retry_after_secs: u32::try_from(secs).unwrap_or(u32::MAX),
        }
    }

    /// Forgets in the catalogue whoever has the whole allowance again. How many they were.
    pub async fn sweep_allowances(&self) -> Result<u64, VaultError> {
        let mut tx = self.inner.catalog.begin().await?;
        let swept = tx.sweep_allowances(self.now()).await?;
        tx.commit().await?;
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_bounded_and_forgets_who_was_away_longest() {
        let brake = Brake::new(CLIPS_AN_HOUR);
        let (first, second) = (CredentialId::random(), CredentialId::random());
        brake.reader(first, 0);
        brake.reader(second, 1);
        brake.reader(first, 2);
        for n in 0..MOST_READERS as i64 - 1 {
            brake.reader(CredentialId::random(), 3 + n);
        }
        let readers = brake.readers.lock().expect("nobody panicked");
        assert_eq!(readers.len(), MOST_READERS);
        assert!(readers.contains_key(&first) && !readers.contains_key(&second));
    }
}
