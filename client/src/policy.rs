//! The vault's policy: what may go over a link that is paid for by the byte, and which clips are events. Kept in the state
//! folder, so that a vehicle which starts in a tunnel keeps to what it was last told.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::ask::{Setback, setback};
use crate::budget::Class;
use crate::pause::Pauses;
use crate::{Client, ClientError, file};

/// The form that is understood here.
const VERSION: u32 = 1;
/// The vault says how often it is asked, within these.
const REFRESH: std::ops::RangeInclusive<u64> = 60..=86_400;
/// More than a vault lets an owner have open with one vehicle.
const MAX_WISHES: usize = 256;
/// More kinds than a camera knows.
const MAX_EVENT_KINDS: usize = 64;

/// What the vault wants of its vehicles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Policy {
    version: u32,
    event_kinds: Vec<String>,
    pub cellular: Cellular,
    /// None of a vault that knows no wishes.
    #[serde(default)]
    pub wishes: Vec<Wish>,
    refresh_secs: u64,
}

/// The owner wants the rest of a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// The clip that was sent.
    pub clip_id: String,
}

/// What may go over a cellular link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cellular {
    pub event: Share,
    pub routine: Share,
    pub day_bytes: u64,
    pub month_bytes: u64,
    pub event_reserve_percent: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Share {
    None,
    Small,
    Full,
}

/// The policy and its place.
pub(crate) struct KeptPolicy {
    path: PathBuf,
    kept: Kept,
    due: Instant,
    pauses: Pauses,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    etag: Option<String>,
    policy: Policy,
}

impl Default for Policy {
    /// What a vault says whose operator said nothing; also for vaults that know no policy.
    fn default() -> Self {
        Self {
            version: VERSION,
            event_kinds: vec!["event".to_owned()],
            cellular: Cellular {
                event: Share::Full,
                routine: Share::Small,
                day_bytes: 512 << 20,
                month_bytes: 8 << 30,
                event_reserve_percent: 50,
            },
            wishes: Vec::new(),
            refresh_secs: 900,
        }
    }
}

impl Policy {
    fn is_understood(&self) -> bool {
        self.version == VERSION
            && self.event_kinds.len() <= MAX_EVENT_KINDS
            && self.wishes.len() <= MAX_WISHES
            && self.cellular.event_reserve_percent <= 100
    }

    /// Whether clips of this kind are events.
    pub fn is_event(&self, kind: Option<&str>) -> bool {
        kind.is_some_and(|kind| self.event_kinds.iter().any(|event| event == kind))
    }
}

impl Cellular {
    /// Whether a clip may go over a cellular link at all.
    pub fn lets(&self, class: Class, is_small: bool) -> bool {
        let share = match class {
            Class::Event => self.event,
            Class::Routine => self.routine,
        };
        match share {
            Share::None => false,
            Share::Small => is_small,
            Share::Full => true,
        }
    }
}

impl KeptPolicy {
    /// What was told last. A file that cannot be read is asked for anew.
    pub fn open(path: PathBuf) -> Self {
        let kept = std::fs::read(&path)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok());
        Self {
            path,
            kept: kept
                .filter(|kept: &Kept| kept.policy.is_understood())
                .unwrap_or_default(),
            due: Instant::now(),
            pauses: Pauses::default(),
        }
    }

    pub fn policy(&self) -> &Policy {
        &self.kept.policy
    }

    /// Asks at the next turn: a wish was answered.
    pub fn ask_soon(&mut self) {
        self.due = Instant::now();
    }

    /// Asks the vault when it is time to. A vault that does not answer, or answers what is not understood here, changes nothing.
    pub async fn refresh(&mut self, client: &Client) -> Result<(), ClientError> {
        if Instant::now() < self.due {
            return Ok(());
        }
        match self.ask(client).await {
            Ok(()) => {
                self.pauses.reset();
                let secs = self.kept.policy.refresh_secs;
                self.due = Instant::now() + Duration::from_secs(secs.clamp(*REFRESH.start(), *REFRESH.end()));
                Ok(())
            }
            Err(Setback::Final(error @ ClientError::File { .. })) => Err(error),
            Err(Setback::Later(after, _)) => {
                self.due = Instant::now() + self.pauses.next(after);
                Ok(())
            }
            // An older vault, or one that does not know this vehicle: uploads will tell.
            Err(_) => {
                self.due = Instant::now() + Duration::from_secs(Policy::default().refresh_secs);
                Ok(())
            }
        }
    }

    async fn ask(&mut self, client: &Client) -> Result<(), Setback> {
        let known = self.kept.etag.as_deref().map(|etag| ("If-None-Match", etag));
        let headers: Vec<_> = known.into_iter().collect();
        let answer = client.ask(Method::GET, "/v1/vehicle/policy", &headers).await?;
        match answer.status() {
            304 => Ok(()),
            200 => {
                let etag = answer.etag().map(str::to_owned);
                let policy: Policy = answer.json().await?;
                if policy.is_understood() {
                    self.kept = Kept { etag, policy };
                    let text = serde_json::to_vec(&self.kept).expect("a policy is plain JSON");
                    file::write(&self.path, &text, false)?;
                }
                Ok(())
            }
            _ => Err(setback(answer).await),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_go_over_cellular_is_what_the_policy_shares() {
        let mut cellular = Policy::default().cellular;
        for (share, small, full) in [
            (Share::None, false, false),
            (Share::Small, true, false),
            (Share::Full, true, true),
        ] {
            cellular.routine = share;
            assert_eq!(cellular.lets(Class::Routine, true), small, "{share:?}");
            assert_eq!(cellular.lets(Class::Routine, false), full, "{share:?}");
            assert!(cellular.lets(Class::Event, false), "events have a share of their own");
        }
    }

    #[test]
    fn a_policy_that_is_not_understood_or_damaged_is_as_if_none_was_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.json");
        let mut stricter = Kept::default();
        stricter.policy.cellular.day_bytes = 1;
        std::fs::write(&path, serde_json::to_vec(&stricter).unwrap()).unwrap();
        assert_eq!(KeptPolicy::open(path.clone()).policy().cellular.day_bytes, 1);
        stricter.policy.version = 2;
        std::fs::write(&path, serde_json::to_vec(&stricter).unwrap()).unwrap();
        assert_eq!(KeptPolicy::open(path.clone()).policy(), &Policy::default());
        std::fs::write(&path, b"{\"etag\":").unwrap();
        assert_eq!(KeptPolicy::open(path).policy(), &Policy::default());
    }
}
