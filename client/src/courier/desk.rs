//! What is known and decided between two pieces of sending: which clips there are, which goes next, what waits for what.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{CourierOptions, News, Tell};
use crate::ask::Setback;
use crate::budget::{Budget, Class, LEAST_GRANT_BYTES};
use crate::connection::now_ms;
use crate::folder::Folder;
use crate::journal::{About, Entry, Journal, State};
use crate::link::Link;
use crate::memory::Memory;
use crate::pause::Pauses;
use crate::policy::KeptPolicy;
use crate::receipt::Delivered;
use crate::source::Stamp;
use crate::{Client, ClientError, Uploaded, file};

/// A clip that the vault refused is tried again after so long: its operator may have raised a limit.
const REFUSED_MS: i64 = 24 * 60 * 60 * 1000;
/// A vehicle that was revoked is not welcome the next minute either.
const UNWELCOME: Duration = Duration::from_secs(600);
/// Between two questions for a receipt: sealing takes a moment, a busy vault longer.
const RECEIPT_FIRST: Duration = Duration::from_millis(250);
const RECEIPT_LONGEST: Duration = Duration::from_secs(60);
/// A clip that could not be removed from its folder is tried again, but not at each look.
const REMOVAL: Duration = Duration::from_secs(60);

pub(crate) struct Desk {
    pub options: CourierOptions,
    pub journal: Journal,
    pub policy: KeptPolicy,
    pub folder: Folder,
    /// What was delivered, and may be another file by now.
    pub doubts: HashSet<PathBuf>,
    /// What failed, and when it may be tried again.
    rests: HashMap<PathBuf, Rest>,
    /// The same for the vault as a whole: what does not come before the clip that met it waits too.
    vault_rest: Option<(Instant, Rank)>,
    vault_pauses: Pauses,
    /// When a receipt is asked for again.
    polls: HashMap<PathBuf, (Instant, Duration)>,
    held: usize,
    is_folder_away: bool,
}

#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    pauses: Pauses,
    /// Bytes that the vault told it has.
    held: u64,
}

/// What goes before what; the smaller first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    not_asked_for: bool,
    routine: bool,
    full: bool,
}

/// The clip that goes next.
pub(crate) struct Choice {
    pub path: PathBuf,
    pub about: About,
    pub class: Class,
    pub link: Link,
    /// It is read again, and not sent.
    pub is_in_doubt: bool,
    stamp: Stamp,
    rank: Rank,
}

/// Why a clip that was on its way waits now.
pub(crate) enum Interruption {
    Better(PathBuf),
    Link,
    Gone,
}

impl Desk {
    pub fn new(options: CourierOptions, journal: Journal, folder: Folder, policy: KeptPolicy) -> Self {
        Self {
            options,
            journal,
            policy,
            folder,
            doubts: HashSet::new(),
            rests: HashMap::new(),
            vault_rest: None,
            vault_pauses: Pauses::default(),
            polls: HashMap::new(),
            held: 0,
            is_folder_away: false,
        }
    }

    /// Looks at folder, policy and receipts.
    pub async fn turn(&mut self, client: &Client, tell: &Tell<'_>) -> Result<(), ClientError> {
        self.look(client, tell)?;
        if self.options.link.now() != Link::None {
            self.policy.refresh(client).await?;
            self.collect_receipts(client, tell).await?;
        }
        Ok(())
    }

    /// Takes turns beside a clip that is on its way, until it has to wait.
    pub async fn meanwhile(
        &mut self,
        under_way: &Choice,
        client: &Client,
        budget: &Budget,
        tell: &Tell<'_>,
    ) -> Result<Interruption, ClientError> {
        loop {
            sleep(self.options.look_every).await;
            self.turn(client, tell).await?;
            match self.journal.get(&under_way.path) {
                Some(entry) if entry.stamp == under_way.stamp && self.is_in_doubt(entry) == under_way.is_in_doubt => {
                    let link = self.options.link.now();
                    if !under_way.is_in_doubt && (link != under_way.link || !self.may_go(entry, link)) {
                        return Ok(Interruption::Link);
                    }
                }
                _ => return Ok(Interruption::Gone),
            }
            if let Some(best) = self.best(client, budget)
                && best.rank < under_way.rank
            {
                return Ok(Interruption::Better(best.path));
            }
        }
    }

    /// The clip that goes next, of those that may go now.
    pub fn best(&self, client: &Client, budget: &Budget) -> Option<Choice> {
        let (link, now) = (self.options.link.now(), Instant::now());
        let vault_rest = self.vault_rest.filter(|(until, _)| *until > now);
        let may_go_now = |entry: &&Entry| {
            !self.is_resting(&entry.path)
                && (self.is_in_doubt(entry)
                    || vault_rest.is_none_or(|(_, rank)| self.rank(entry) < rank)
                        && self.may_go(entry, link)
                        && self.is_affordable(entry, link, client, budget))
        };
        let best = self.journal.entries().filter(may_go_now);
        // Of clips that are worth the same, those that are to be sent come first.
        let best = best.min_by_key(|entry| {
            let is_in_doubt = self.is_in_doubt(entry);
            (self.rank(entry), is_in_doubt, entry.stamp.modified_ns, &entry.path)
        })?;
        Some(Choice {
            path: best.path.clone(),
            about: best.about.clone(),
            class: self.class(best),
            link,
            is_in_doubt: self.is_in_doubt(best),
            stamp: best.stamp,
            rank: self.rank(best),
        })
    }

    /// Whether nothing can be done any more, not even after a while.
    pub fn is_through(&self, client: &Client, budget: &Budget) -> bool {
        let link = self.options.link.now();
        let is_to_do = |entry: &Entry| match entry.state {
            State::Sent { .. } => link != Link::None,
            State::Delivered { .. } => self.is_in_doubt(entry) && !self.is_resting(&entry.path),
            _ => self.may_go(entry, link) && self.is_affordable(entry, link, client, budget),
        };
        self.options.once && !self.folder.is_written_to() && !self.journal.entries().any(is_to_do)
    }

    /// Says how many clips wait for another link or for the next day, when that has changed.
    pub fn tell_held(&mut self, client: &Client, budget: &Budget, tell: &Tell<'_>) {
        let link = self.options.link.now();
        let is_held = |entry: &&Entry| {
            entry.state == State::Waiting
                && !(self.may_go(entry, link) && self.is_affordable(entry, link, client, budget))
        };
        let clips = self.journal.entries().filter(is_held).count();
        if clips != self.held {
            self.held = clips;
            tell(News::Held { clips });
        }
    }

    /// A clip has arrived: nothing that failed before counts any more.
    pub fn rested(&mut self, path: &Path) {
        self.rests.remove(path);
        self.vault_rest = None;
        self.vault_pauses.reset();
    }

    /// The vault told that it holds so many bytes of a clip: more than before is a gain, after which pauses are short again.
    pub fn gained(&mut self, path: &Path, held: u64) {
        let rest = self.rests.entry(path.to_owned()).or_default();
        if held > rest.held {
            rest.held = held;
            rest.pauses.reset();
            self.vault_pauses.reset();
        }
    }

    /// A clip's bytes are still on their way: asked now, the vault would not take them any more.
    pub fn rest_for(&mut self, path: &Path, pause: Duration) {
        self.rests.entry(path.to_owned()).or_default().until = Some(Instant::now() + pause);
    }

    /// Decides what becomes of a clip after a try that failed.
    pub fn failed(
        &mut self,
        choice: &Choice,
        setback: Setback,
        client: &Client,
        tell: &Tell<'_>,
    ) -> Result<(), ClientError> {
        let (after, error) = match setback {
            Setback::Unaffordable => return Ok(()),
            Setback::Final(error @ ClientError::Unwelcome { .. }) => {
                if self.options.once {
                    return Err(error);
                }
                (UNWELCOME, error)
            }
            // What is not remembered would be sent twice.
            Setback::Final(
                error @ ClientError::File {
                    doing: crate::Doing::Write,
                    ..
                },
            ) => return Err(error),
            Setback::Final(error @ ClientError::Refused { .. }) if error.is_of_one_file() => {
                return self.refuse(&choice.path, &error, client, tell);
            }
            // What was delivered stays so until other bytes were read in its place.
            Setback::Final(error) if choice.is_in_doubt => (Duration::ZERO, error),
            Setback::Final(error) if error.is_of_one_file() => {
                // Gone or changed: it is found again if it is there.
                self.journal.forget(&choice.path)?;
                (Duration::ZERO, error)
            }
            Setback::Later(after, error) => (after, error),
            Setback::Lost(error) | Setback::Final(error) => (Duration::ZERO, error),
        };
        let now = Instant::now();
        let is_links = matches!(error, ClientError::Unreachable(_));
        let is_vaults = matches!(
            error,
            ClientError::Refused {
                status: 429 | 460 | 503,
                ..
            } | ClientError::Unwelcome { .. }
        );
        let mut longest = Duration::ZERO;
        if is_links || is_vaults {
            let pause = self.vault_pauses.next(after);
            self.vault_rest = Some((now + pause, choice.rank));
            longest = pause;
        }
        if !is_links {
            let rest = self.rests.entry(choice.path.clone()).or_default();
            let pause = rest.pauses.next(after);
            rest.until = Some(now + pause);
            longest = longest.max(pause);
        }
        tell(News::Setback {
            file: Some(choice.path.clone()),
            reason: reason(&error),
            pause: longest,
        });
        Ok(())
    }

    fn look(&mut self, client: &Client, tell: &Tell<'_>) -> Result<(), ClientError> {
        let journal = &self.journal;
        let is_known = |path: &Path, stamp| journal.get(path).is_some_and(|entry| entry.stamp == stamp);
        let found = match self.folder.look(Instant::now(), is_known) {
            Ok(found) => found,
            Err(source) => {
                // A card that was pulled comes back.
                if !self.is_folder_away {
                    let error = file::unreadable(&self.options.folder, source);
                    tell(News::Setback {
                        file: None,
                        reason: reason(&error),
                        pause: self.options.look_every,
                    });
                }
                self.is_folder_away = true;
                return Ok(());
            }
        };
        self.is_folder_away = false;
        let now_ms = client.vault_ms().unwrap_or_else(now_ms);
        self.doubts.clear();
        let mut fresh = Vec::new();
        for found in found {
            match self.journal.get(&found.path) {
                Some(entry) if entry.stamp == found.stamp => {
                    let mut entry = entry.clone();
                    match entry.state {
                        State::Waiting if entry.about != found.about => {
                            entry.about = found.about;
                            self.journal.note(entry);
                        }
                        State::Refused { at_ms, .. } if now_ms.saturating_sub(at_ms) > REFUSED_MS => {
                            entry.state = State::Waiting;
                            fresh.push(entry);
                        }
                        State::Delivered { .. } if !self.is_as_read(&entry, found.mark) => {
                            self.doubts.insert(entry.path);
                        }
                        // What a crash kept from being removed.
                        State::Delivered { .. } if self.options.delete && !self.is_resting(&entry.path) => {
                            self.delete(&entry, tell)?;
                        }
                        _ => {}
                    }
                }
                // It was written over while it waited, and has its place already.
                Some(entry) if entry.state == State::Waiting => {
                    self.queue(Entry::new(found.path, found.stamp, found.about), tell);
                }
                _ => fresh.push(Entry::new(found.path, found.stamp, found.about)),
            }
        }
        self.take_in(fresh, tell)?;
        let lost = self
            .journal
            .forget_gone(|path| path.symlink_metadata().is_ok(), now_ms)?;
        for file in lost {
            self.rests.remove(&file);
            tell(News::Gone { file });
        }
        let journal = &self.journal;
        self.rests
            .retain(|path, rest| journal.get(path).is_some() || rest.until.is_some_and(|until| until > Instant::now()));
        self.polls.retain(|path, _| journal.get(path).is_some());
        Ok(())
    }

    /// Takes clips into the queue. When it is full, the best of them take the places of the worst that wait, which are
    /// found again once there is room.
    fn take_in(&mut self, mut fresh: Vec<Entry>, tell: &Tell<'_>) -> Result<(), ClientError> {
        let room = self.journal.room();
        if fresh.len() > room {
            fresh.sort_by_cached_key(|entry| (self.rank(entry), entry.stamp.modified_ns, entry.path.clone()));
            let (worst, best) = (self.worst_that_wait(fresh.get(room)), fresh.split_off(room));
            for (entry, worse) in best.into_iter().zip(worst) {
                if self
                    .journal
                    .get(&worse)
                    .is_none_or(|worse| self.rank(worse) <= self.rank(&entry))
                {
                    break;
                }
                // Where its upload lives stays known.
                self.journal.forget(&worse)?;
                fresh.push(entry);
            }
        }
        for entry in fresh {
            self.queue(entry, tell);
        }
        Ok(())
    }

    /// Clips that wait and come after this one, the last first.
    fn worst_that_wait(&self, best: Option<&Entry>) -> Vec<PathBuf> {
        let best = best.map(|best| self.rank(best));
        let waiting = self.journal.entries().filter(|entry| entry.state == State::Waiting);
        let worse = waiting.filter(|entry| best.is_some_and(|best| best < self.rank(entry)));
        let mut worse: Vec<_> = worse.collect();
        worse.sort_by_key(|entry| Reverse((self.rank(entry), entry.stamp.modified_ns, &entry.path)));
        worse.into_iter().map(|entry| entry.path.clone()).collect()
    }

    fn queue(&mut self, entry: Entry, tell: &Tell<'_>) {
        tell(News::Queued {
            file: entry.path.clone(),
            bytes: entry.stamp.bytes,
        });
        self.journal.note(entry);
    }

    /// Asks for the receipts of what was sent.
    async fn collect_receipts(&mut self, client: &Client, tell: &Tell<'_>) -> Result<(), ClientError> {
        let now = Instant::now();
        let is_due = |entry: &&Entry| {
            matches!(entry.state, State::Sent { .. }) && self.polls.get(&entry.path).is_none_or(|(due, _)| *due <= now)
        };
        let due: Vec<Entry> = self.journal.entries().filter(is_due).cloned().collect();
        for mut entry in due {
            let (State::Sent { url }, Some(digest)) = (&entry.state, entry.digest()) else {
                continue;
            };
            let Some(url) = client.connection().resolve(url) else {
                // Another vault than the one it was sent to.
                entry.state = State::Waiting;
                self.journal.put(entry)?;
                continue;
            };
            let delivered = Delivered {
                url: &url,
                bytes: entry.stamp.bytes,
                digest: &digest,
            };
            match delivered.receipt(client).await {
                Ok(Some(receipt)) => {
                    let clip_id = delivered.clip_id().to_owned();
                    self.deliver(entry, clip_id, receipt, client, tell)?;
                }
                Ok(None) => self.poll_later(&entry.path, Duration::ZERO),
                Err(Setback::Later(after, error)) => {
                    self.poll_later(&entry.path, after);
                    if matches!(error, ClientError::Unreachable(_)) {
                        break;
                    }
                }
                Err(Setback::Final(ClientError::Unwelcome { .. })) => self.poll_later(&entry.path, UNWELCOME),
                Err(Setback::Unaffordable) => {}
                // The vault has no such clip, arrived at other bytes, or signs for something else: nobody erases it here.
                Err(Setback::Lost(error) | Setback::Final(error)) => {
                    if !matches!(error, ClientError::Receipt { .. } | ClientError::Protocol { .. }) {
                        Memory::of(
                            client.device(),
                            entry.sha256.as_deref().unwrap_or_default(),
                            entry.stamp.bytes,
                        )
                        .forget();
                    }
                    self.refuse(&entry.path, &error, client, tell)?;
                }
            }
        }
        Ok(())
    }

    fn poll_later(&mut self, path: &Path, after: Duration) {
        let (due, pause) = self
            .polls
            .entry(path.to_owned())
            .or_insert((Instant::now(), RECEIPT_FIRST));
        *due = Instant::now() + (*pause).max(after);
        *pause = (*pause * 3 / 2).min(RECEIPT_LONGEST);
    }

    /// The receipt is on stable storage before anything else of the clip is given up.
    fn deliver(
        &mut self,
        mut entry: Entry,
        clip_id: String,
        receipt: String,
        client: &Client,
        tell: &Tell<'_>,
    ) -> Result<(), ClientError> {
        let sha256 = entry.sha256.clone().unwrap_or_default();
        entry.state = State::Delivered {
            clip_id: clip_id.clone(),
            receipt: receipt.clone(),
            at_ms: client.vault_ms().unwrap_or_else(now_ms),
        };
        self.journal.put(entry.clone())?;
        Memory::of(client.device(), &sha256, entry.stamp.bytes).forget();
        self.polls.remove(&entry.path);
        tell(News::Delivered(Uploaded {
            file: entry.path.clone(),
            clip_id,
            bytes: entry.stamp.bytes,
            sha256,
            receipt: Some(receipt),
        }));
        if self.options.delete {
            self.delete(&entry, tell)?;
        }
        Ok(())
    }

    /// A card that is locked.
    pub fn rest_after_removal(&mut self, path: &Path) -> Duration {
        let rest = self.rests.entry(path.to_owned()).or_default();
        let pause = rest.pauses.next(REMOVAL);
        rest.until = Some(Instant::now() + pause);
        pause
    }

    fn refuse(
        &mut self,
        path: &Path,
        error: &ClientError,
        client: &Client,
        tell: &Tell<'_>,
    ) -> Result<(), ClientError> {
        let reason = reason(error);
        if let Some(mut entry) = self.journal.get(path).cloned() {
            entry.state = State::Refused {
                reason: reason.clone(),
                at_ms: client.vault_ms().unwrap_or_else(now_ms),
            };
            // What was read from the card may have been wrong: it is read again.
            entry.sha256 = None;
            self.journal.put(entry)?;
        }
        tell(News::Refused {
            file: path.to_owned(),
            reason,
        });
        Ok(())
    }

    fn may_go(&self, entry: &Entry, link: Link) -> bool {
        entry.state == State::Waiting
            && match link {
                Link::None => false,
                Link::Wifi => true,
                Link::Cellular => {
                    let cellular = &self.policy.policy().cellular;
                    cellular.lets(self.class(entry), entry.about.small)
                }
            }
    }

    fn is_resting(&self, path: &Path) -> bool {
        let until = self.rests.get(path).and_then(|rest| rest.until);
        until.is_some_and(|until| until > Instant::now())
    }

    fn is_affordable(&self, entry: &Entry, link: Link, client: &Client, budget: &Budget) -> bool {
        if link != Link::Cellular {
            return true;
        }
        let cellular = &self.policy.policy().cellular;
        let left = budget.left(cellular, self.class(entry), client.vault_ms());
        left >= entry.stamp.bytes.min(LEAST_GRANT_BYTES)
    }

    fn class(&self, entry: &Entry) -> Class {
        let is_event = self.policy.policy().is_event(entry.about.kind.as_deref());
        match is_event || entry.about.first {
            true => Class::Event,
            false => Class::Routine,
        }
    }

    fn rank(&self, entry: &Entry) -> Rank {
        Rank {
            not_asked_for: !entry.about.first,
            routine: !self.policy.policy().is_event(entry.about.kind.as_deref()),
            full: !entry.about.small,
        }
    }
}

/// An error and its causes, in one line.
fn reason(error: &ClientError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
