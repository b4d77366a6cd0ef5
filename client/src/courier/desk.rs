//! What is known and decided between two pieces of sending: which clips there are, which goes next, what waits for what.

mod receipts;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Clips, CourierOptions, News, Tell};
use crate::ask::Setback;
use crate::budget::{Budget, Class, LEAST_GRANT_BYTES};
use crate::claim::Claim;
use crate::connection::now_ms;
use crate::files::Files;
use crate::folder::{Folder, Found};
use crate::journal::{About, Entry, Journal, State};
use crate::link::Link;
use crate::pause::Pauses;
use crate::policy::KeptPolicy;
use crate::source::Stamp;
use crate::wishes::Wishes;
use crate::{Client, ClientError, file};

/// A clip that the vault refused is tried again after so long: its operator may have raised a limit.
const REFUSED_MS: i64 = 24 * 60 * 60 * 1000;
/// A vault that loses an upload as often as this without a byte gained in between will not keep it.
const MAX_LOSSES: u32 = 5;
/// A vehicle that was revoked is not welcome the next minute either.
const UNWELCOME: Duration = Duration::from_secs(600);

pub(crate) struct Desk {
    pub options: CourierOptions,
    pub journal: Journal,
    pub policy: KeptPolicy,
    pub clips: Whence,
    /// What was delivered, and may be another file by now.
    pub doubts: HashSet<PathBuf>,
    /// What failed, and when it may be tried again.
    rests: HashMap<PathBuf, Rest>,
    /// The same for the vault as a whole: what does not come before the clip that met it waits too.
    vault_rest: Option<(Instant, Rank)>,
    vault_pauses: Pauses,
    pub wishes: Wishes,
    /// When a receipt is asked for again.
    polls: HashMap<PathBuf, (Instant, Duration)>,
    held: usize,
    /// Clips of another vehicle's that were told.
    foreign: usize,
    is_folder_away: bool,
    /// When something was last gained.
    gained_at: Instant,
}

/// Where clips are found.
pub(crate) enum Whence {
    Folder(Folder, Claim),
    Files(Files),
}

#[derive(Default)]
struct Rest {
    until: Option<Instant>,
    pauses: Pauses,
    /// Bytes that the vault told it has.
    held: u64,
    /// Uploads that the vault lost since more was last gained.
    losses: u32,
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
    pub fn new(options: CourierOptions, journal: Journal, clips: Whence, policy: KeptPolicy) -> Self {
        Self {
            options,
            journal,
            policy,
            clips,
            doubts: HashSet::new(),
            rests: HashMap::new(),
            vault_rest: None,
            vault_pauses: Pauses::default(),
            wishes: Wishes::default(),
            polls: HashMap::new(),
            held: 0,
            foreign: 0,
            is_folder_away: false,
            gained_at: Instant::now(),
        }
    }

    /// Looks at folder, policy and receipts.
    pub async fn turn(&mut self, client: &Client, budget: &Budget, tell: &Tell<'_>) -> Result<(), ClientError> {
        self.look(client, tell)?;
        let link = self.options.link.now();
        if link == Link::Cellular {
            budget.look(client.vault_ms())?;
        }
        if link != Link::None {
            self.policy.refresh(client).await?;
            if self.awaits_receipts() {
                self.collect_receipts(client, tell).await?;
            }
            self.answer_wishes(client).await;
        }
        Ok(())
    }

    /// Tells the vault what became of what its owner asked for. Files that somebody names are not all that the vehicle holds.
    async fn answer_wishes(&mut self, client: &Client) {
        let Whence::Folder(folder, _) = &self.clips else {
            return;
        };
        let wishes = &self.policy.policy().wishes;
        self.wishes.find(wishes, self.journal.entries());
        let is_all_here = !self.is_folder_away && !folder.is_written_to() && !folder.is_overfull();
        let entries = self.journal.entries();
        let replies = self.wishes.replies(wishes, entries, is_all_here, Instant::now());
        for reply in replies {
            if !self.wishes.answer(&reply, client).await {
                return;
            }
            self.policy.ask_soon();
        }
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
            self.turn(client, budget, tell).await?;
            let rank = match self.journal.get(&under_way.path) {
                Some(entry) if entry.stamp == under_way.stamp && self.is_in_doubt(entry) == under_way.is_in_doubt => {
                    let link = self.options.link.now();
                    if !under_way.is_in_doubt && (link != under_way.link || !self.may_go(entry, link)) {
                        return Ok(Interruption::Link);
                    }
                    // It may have been asked for meanwhile.
                    self.rank(entry)
                }
                _ => return Ok(Interruption::Gone),
            };
            if let Some(best) = self.best(client, budget)
                && best.rank < rank
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
            State::Sent { .. } => link != Link::None && self.awaits_receipts(),
            State::Delivered { .. } => self.is_in_doubt(entry) && !self.is_resting(&entry.path),
            _ => self.may_go(entry, link) && self.is_affordable(entry, link, client, budget),
        };
        let ends = match &self.clips {
            Whence::Folder(folder, _) => self.options.once && !folder.is_written_to(),
            Whence::Files(_) => true,
        };
        ends && !self.journal.entries().any(is_to_do)
    }

    fn awaits_receipts(&self) -> bool {
        matches!(self.clips, Whence::Folder(..)) || self.options.wait
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
        self.gained_at = Instant::now();
    }

    /// The vault told that it holds so many bytes of a clip: more than before is a gain, after which pauses are short again.
    pub fn gained(&mut self, path: &Path, held: u64) {
        let rest = self.rests.entry(path.to_owned()).or_default();
        if held > rest.held {
            rest.held = held;
            rest.losses = 0;
            rest.pauses.reset();
            self.vault_pauses.reset();
            self.gained_at = Instant::now();
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
                if self.options.once || matches!(self.clips, Whence::Files(_)) {
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
            Setback::Final(error) if error.is_of_one_file() && matches!(self.clips, Whence::Files(_)) => {
                return self.refuse(&choice.path, &error, client, tell);
            }
            Setback::Final(error) if error.is_of_one_file() => {
                // Gone or changed: it is found again if it is there.
                self.journal.forget(&choice.path)?;
                (Duration::ZERO, error)
            }
            // Whoever named the file is told at once.
            Setback::Final(error) if matches!(self.clips, Whence::Files(_)) => return Err(error),
            Setback::Lost(error) => {
                let rest = self.rests.entry(choice.path.clone()).or_default();
                rest.losses += 1;
                if rest.losses >= MAX_LOSSES {
                    self.rests.remove(&choice.path);
                    return self.refuse(&choice.path, &error, client, tell);
                }
                (Duration::ZERO, error)
            }
            Setback::Later(after, error) => (after, error),
            Setback::Final(error) => (Duration::ZERO, error),
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
        if self.gives_up(longest) {
            return Err(error);
        }
        tell(News::Setback {
            file: Some(choice.path.clone()),
            reason: reason(&error),
            pause: longest,
        });
        Ok(())
    }

    /// Whether nothing was gained for as long as somebody was ready to wait.
    fn gives_up(&self, pause: Duration) -> bool {
        let most = self.options.give_up_after;
        most.is_some_and(|most| self.gained_at.elapsed() + pause > most)
    }

    /// The clips that are there; none when the folder is away.
    fn find(&mut self, client: &Client, tell: &Tell<'_>) -> Result<Option<Vec<Found>>, ClientError> {
        let journal = &self.journal;
        let mut foreign = 0;
        let looked = match &mut self.clips {
            Whence::Folder(folder, claim) => {
                let is_known = |path: &Path, stamp| journal.get(path).is_some_and(|entry| entry.stamp == stamp);
                match folder.look(Instant::now(), is_known) {
                    Ok(mut found) if !found.is_empty() => {
                        claim.settle(|| folder.every(), is_known)?;
                        let all = found.len();
                        found.retain(|found| claim.is_ours(&found.path, found.stamp));
                        foreign = all - found.len();
                        Ok(found)
                    }
                    other => other,
                }
            }
            Whence::Files(files) => {
                let is_done = |path: &Path| {
                    let state = journal.get(path).map(|entry| &entry.state);
                    state.is_some_and(|state| !matches!(state, State::Waiting))
                };
                let (found, wrong) = files.look(is_done);
                for (path, error) in wrong {
                    self.refuse(&path, &error, client, tell)?;
                }
                Ok(found)
            }
        };
        match looked {
            Ok(found) => {
                self.is_folder_away = false;
                if let (true, Clips::Folder(folder)) = (foreign != self.foreign, &self.options.clips) {
                    self.foreign = foreign;
                    tell(News::Foreign {
                        folder: folder.clone(),
                        clips: foreign,
                    });
                }
                Ok(Some(found))
            }
            Err(source) => {
                // A card that was pulled comes back.
                if let (false, Clips::Folder(folder)) = (self.is_folder_away, &self.options.clips) {
                    let error = file::unreadable(folder, source);
                    tell(News::Setback {
                        file: None,
                        reason: reason(&error),
                        pause: self.options.look_every,
                    });
                }
                self.is_folder_away = true;
                Ok(None)
            }
        }
    }

    fn look(&mut self, client: &Client, tell: &Tell<'_>) -> Result<(), ClientError> {
        // What was wished for in an earlier life of the queue, too.
        self.wishes.find(&self.policy.policy().wishes, self.journal.entries());
        let Some(found) = self.find(client, tell)? else {
            return Ok(());
        };
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
        // One that was asked for goes before all that wait, also into a full queue.
        self.wishes
            .find(&self.policy.policy().wishes, self.journal.entries().chain(&fresh));
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
        match is_event || self.is_asked_for(entry) {
            true => Class::Event,
            false => Class::Routine,
        }
    }

    fn is_asked_for(&self, entry: &Entry) -> bool {
        entry.about.first || self.wishes.is_of(&entry.path)
    }

    fn rank(&self, entry: &Entry) -> Rank {
        Rank {
            not_asked_for: !self.is_asked_for(entry),
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
