//! How full the disk may be for what: what is left of it goes to events.
//!
//! Nothing here makes room or keeps the disk from filling up: a write that finds no room at all is refused by itself. These marks
//! see to it that it is an event, not one more hour of an empty road, that still finds some.

use tokio::sync::Mutex;

use super::create::EVENT;
use super::{Ingest, IngestError};
use crate::catalog::UploadRow;
use crate::model::UnixMs;
use crate::vault::Vault;

/// The word of clips that are the first to wait.
const ROUTINE: &str = "routine";
/// What a look at the disk costs is a system call; how full it is does not change faster.
const FRESH_MS: i64 = 1000;
/// Room comes back when clips are erased or somebody adds a disk.
const RETRY_SECS: u32 = 300;

/// What was last seen of the disk.
#[derive(Default)]
pub(super) struct Marks {
    seen: Mutex<Option<(UnixMs, Option<u32>)>>,
}

/// What a clip is, as far as room goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Event,
    Routine,
    /// What is said to be neither: an owner's own upload, an app that knows no kinds.
    Other,
}

impl Kind {
    fn of(told: Option<&str>) -> Self {
        match told {
            Some(EVENT) => Self::Event,
            Some(ROUTINE) => Self::Routine,
            _ => Self::Other,
        }
    }
}

impl Ingest {
    /// Refuses a new upload of a kind for which the disk is too full.
    pub(super) async fn room_for_kind(&self, told: Option<&str>) -> Result<(), IngestError> {
        let config = &self.inner.config;
        let most = match Kind::of(told) {
            Kind::Event => return Ok(()),
            Kind::Routine => config.routine_below_percent,
            Kind::Other => config.events_only_percent,
        };
        self.refuse_from(most).await
    }

    /// Refuses further bytes once only events are taken. Uploads that began end before: new ones are refused first.
    pub(super) async fn room_for_more(&self, row: &UploadRow) -> Result<(), IngestError> {
        match row.is_event {
            true => Ok(()),
            false => self.refuse_from(self.inner.config.events_only_percent).await,
        }
    }

    async fn refuse_from(&self, percent: u32) -> Result<(), IngestError> {
        let inner = &self.inner;
        let used = inner.marks.used_permille(&inner.vault, inner.clock.now_ms()).await?;
        match used {
            Some(used) if used >= percent * 10 => {
                tracing::warn!(
                    used_permille = used,
                    "the disk is nearly full: a clip that is no event waits"
                );
                Err(IngestError::Filling {
                    retry_after_secs: RETRY_SECS,
                })
            }
            _ => Ok(()),
        }
    }
}

impl Marks {
    /// Of a thousand; none where the store is no disk of ours.
    async fn used_permille(&self, vault: &Vault, now: UnixMs) -> Result<Option<u32>, IngestError> {
        let mut seen = self.seen.lock().await;
        // A clock that was set back must not keep an old look.
        if let Some((at, used)) = *seen
            && (0..FRESH_MS).contains(&(now - at))
        {
            return Ok(used);
        }
        let used = vault.store_used_permille().await?;
        *seen = Some((now, used));
        Ok(used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_what_the_vehicle_says_it_is() {
        assert_eq!(Kind::of(Some("event")), Kind::Event);
        assert_eq!(Kind::of(Some("routine")), Kind::Routine);
        for told in [None, Some(""), Some("events"), Some("parking")] {
            assert_eq!(Kind::of(told), Kind::Other, "{told:?}");
        }
    }
}
