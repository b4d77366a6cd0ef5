//! Brings the clips of a folder to the vault: the best first, over whatever link there is, for as long as it takes.
//!
//! One clip is sent at a time. While it is, the folder is looked at, and a clip that comes before it takes its place: the
//! vault keeps what it has of the other, which goes on from there. Every step is durable before the next one, so that a
//! power cut at any time costs at most what was on the wire.

mod desk;
mod doubt;

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::sleep;

use crate::ask::Setback;
use crate::budget::{Allowance, Budget};
use crate::claim::{Claim, open_queue};
use crate::files::Files;
use crate::folder::Folder;
use crate::journal::{Journal, State};
use crate::link::{Link, LinkSource};
use crate::mark::Mark;
use crate::policy::KeptPolicy;
use crate::receipt::clip_id_of;
use crate::run::{Run, Told};
use crate::source::Source;
use crate::{Client, ClientError, Progress, Stage, Uploaded, file};

use desk::{Choice, Desk, Interruption, Whence};

/// A recorder writes at least so often to a clip that it has not finished.
const SETTLE: Duration = Duration::from_secs(10);
/// Soon enough for a clip that has come and for a link that has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A clip that changed while it was read is left alone for so long.
const CHANGED: Duration = Duration::from_secs(1);

/// What is to be brought.
#[derive(Debug, Clone)]
pub enum Clips {
    /// All clips of a folder, and those that come into it. Sub-folders named `event`, `routine`, `small`, `full` and `first`, and a
    /// file `CLIP.json` beside a clip, say what it is.
    Folder(PathBuf),
    /// These files; folders in their paths, and files beside them, say what they are as in a folder. The courier ends with
    /// them. Nothing of them is remembered but where their uploads live: whoever names them again goes on from there.
    Files(Vec<PathBuf>),
}

/// What a courier is to do.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// What is brought.
    pub clips: Clips,
    /// Where the queue is kept, and what was sent over cellular.
    pub state: PathBuf,
    /// Which link the vehicle is on.
    pub link: LinkSource,
    /// Remove a clip from the folder once its receipt is verified and kept.
    pub delete: bool,
    /// End when nothing can be done any more, instead of waiting for more, as with files.
    pub once: bool,
    /// A file that stood still for so long is finished. Zero when every file is renamed into its place.
    pub settle: Duration,
    /// How often the folder and the link are looked at.
    pub look_every: Duration,
    /// Tell a file's modification time as the recording time.
    pub recorded_at_from_mtime: bool,
    /// The camera's name, for clips that do not say.
    pub camera: Option<String>,
    /// The kind of the files, whatever they say.
    pub kind: Option<String>,
    /// Whether the receipts of files are waited for; a folder's always are.
    pub wait: bool,
    /// Give up when nothing was gained for so long. `None` tries for ever.
    pub give_up_after: Option<Duration>,
    /// The clips that another vehicle left in the folder are this one's owner's too.
    pub take_over: bool,
}

impl CourierOptions {
    /// What most are content with: over any link, nothing deleted, receipts waited for, for as long as it takes.
    pub fn new(clips: Clips, state: PathBuf) -> Self {
        Self {
            clips,
            state,
            link: LinkSource::Always(Link::Wifi),
            delete: false,
            once: false,
            settle: SETTLE,
            look_every: LOOK_EVERY,
            recorded_at_from_mtime: false,
            camera: None,
            kind: None,
            wait: true,
            give_up_after: None,
            take_over: false,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A finished clip was found.
    Queued {
        /// The clip.
        file: PathBuf,
        /// Its length.
        bytes: u64,
    },
    /// A clip is on its way.
    Progress {
        /// The clip.
        file: PathBuf,
        /// How far it is.
        progress: Progress,
    },
    /// A clip that goes first has come, and takes the place of the one that was on its way.
    Preempted {
        /// The one that waits now.
        file: PathBuf,
        /// The one that goes.
        by: PathBuf,
    },
    /// The link has changed, or what may go over it: the clip waits.
    Halted {
        /// The clip.
        file: PathBuf,
    },
    /// Every byte of a clip is durable in the vault; its receipt is still to come.
    Sent(Uploaded),
    /// The vault has signed that it holds a clip.
    Delivered(Uploaded),
    /// A clip was removed from the folder, after its receipt was verified and kept.
    Deleted {
        /// The clip.
        file: PathBuf,
    },
    /// A clip is gone or another than it was, before it was all in the vault.
    Gone {
        /// The clip.
        file: PathBuf,
    },
    /// The vault does not take a clip. It is kept, and tried again after a day.
    Refused {
        /// The clip.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something failed, and is tried again.
    Setback {
        /// The clip it happened to, if it was a clip's.
        file: Option<PathBuf>,
        /// What failed.
        reason: String,
        /// No sooner than this.
        pause: Duration,
    },
    /// Clips that were in the folder before this vehicle had it: another's, whose owner may be another too. They are neither sent
    /// nor deleted.
    Foreign {
        /// Where they are.
        folder: PathBuf,
        /// How many.
        clips: usize,
    },
    /// Clips wait for another link, or for the next day's budget.
    Held {
        /// How many.
        clips: usize,
    },
}

/// Who is told what happened.
pub type Tell<'a> = dyn Fn(News) + Sync + 'a;

/// Brings clips to the vault.
pub struct Courier {
    client: Client,
    budget: Budget,
    desk: Desk,
}

impl Courier {
    /// Takes up the queue where it was left.
    ///
    /// # Errors
    /// [`ClientError::StateInUse`] while another courier works with the same state folder, [`ClientError::State`],
    /// [`ClientError::File`].
    pub fn open(client: Client, options: CourierOptions) -> Result<Self, ClientError> {
        let (journal, clips) = match &options.clips {
            Clips::Folder(folder) => {
                let (journal, came_after) = open_queue(&options.state, client.device().id())?;
                let claim = Claim::new(folder.clone(), client.device().id(), came_after, options.take_over);
                let folder = Folder::new(folder.clone(), options.settle);
                (journal, Whence::Folder(folder, claim))
            }
            // Beside a courier that watches a folder with the same state.
            Clips::Files(files) => {
                file::make_private_folder(&options.state)?;
                let files = Files::new(files.clone(), options.kind.clone());
                (Journal::in_memory(), Whence::Files(files))
            }
        };
        let budget = Budget::open(options.state.join("sent.json"))?;
        let policy = KeptPolicy::open(options.state.join("policy.json"));
        Ok(Self {
            client,
            budget,
            desk: Desk::new(options, journal, clips, policy),
        })
    }

    /// Brings clips until the end of days, or with [`CourierOptions::once`] until nothing more can be done. The future may be
    /// dropped at any time.
    ///
    /// # Errors
    /// [`ClientError::File`] when the state folder cannot be written: what is not remembered would be sent twice. With
    /// `once` also [`ClientError::Unwelcome`].
    pub async fn run(&mut self, tell: &Tell<'_>) -> Result<(), ClientError> {
        loop {
            let Self { client, budget, desk } = self;
            desk.turn(client, budget, tell).await?;
            if let Some(choice) = desk.best(client, budget) {
                self.carry(&choice, tell).await?;
                continue;
            }
            if desk.is_through(client, budget) {
                desk.tell_held(client, budget, tell);
                return Ok(());
            }
            desk.tell_held(client, budget, tell);
            sleep(desk.options.look_every).await;
        }
    }

    /// One try with one clip.
    async fn carry(&mut self, choice: &Choice, tell: &Tell<'_>) -> Result<(), ClientError> {
        let Some(source) = self.read(choice, tell).await? else {
            return Ok(());
        };
        let Self { client, budget, desk } = self;
        let now_ms = || client.vault_ms();
        let allowance = (choice.link == Link::Cellular).then(|| Allowance {
            budget,
            cellular: desk.policy.policy().cellular,
            class: choice.class,
            now_ms: &now_ms,
        });
        let about = Told {
            recorded_at_from_mtime: desk.options.recorded_at_from_mtime,
            camera: choice.about.camera.clone().or(desk.options.camera.clone()),
            kind: choice.about.kind.clone(),
        };
        let mut progress = |progress| {
            tell(News::Progress {
                file: choice.path.clone(),
                progress,
            });
        };
        client.give_another_key_when_due().await;
        let mut run = Run::new(client, &source, &about, &mut progress).within(allowance);
        let outcome = tokio::select! {
            outcome = run.attempt() => Ok(outcome),
            interruption = desk.meanwhile(choice, client, budget, tell) => Err(interruption?),
        };
        let (held, drains_within) = (run.held(), run.drains_within());
        desk.gained(&choice.path, held);
        match outcome {
            Ok(Ok(url)) => {
                let Some(mut entry) = desk.journal.get(&choice.path).cloned() else {
                    return Ok(());
                };
                let sent = Uploaded {
                    file: choice.path.clone(),
                    clip_id: clip_id_of(&url).to_owned(),
                    bytes: source.bytes(),
                    sha256: source.sha256().to_owned(),
                    receipt: None,
                };
                entry.state = State::Sent { url };
                desk.journal.put(entry)?;
                desk.rested(&choice.path);
                tell(News::Sent(sent));
                Ok(())
            }
            // The budget is used up: the next choice knows.
            Ok(Err(Setback::Unaffordable)) => Ok(()),
            Ok(Err(setback)) => desk.failed(choice, setback, client, tell),
            Err(interruption) => {
                desk.rest_for(&choice.path, drains_within);
                interrupted(choice, interruption, tell);
                Ok(())
            }
        }
    }

    /// The clip, read once for its SHA-256 in its life in the queue, and again when it may be another by now; none when it
    /// cannot be, or another goes first, or nothing of it is to be sent.
    async fn read(&mut self, choice: &Choice, tell: &Tell<'_>) -> Result<Option<Source>, ClientError> {
        let Self { client, budget, desk } = self;
        let Some(mut entry) = desk.journal.get(&choice.path).cloned() else {
            return Ok(None);
        };
        let mark = choice
            .path
            .metadata()
            .ok()
            .and_then(|about| Mark::of(&choice.path, &about));
        let known = entry.digest().filter(|_| desk.is_as_read(&entry, mark));
        let read = match known {
            Some(digest) => Source::known(&entry.path, entry.stamp, digest).await,
            None => {
                let hashing = Source::hash(&choice.path, |bytes, total| {
                    tell(News::Progress {
                        file: choice.path.clone(),
                        progress: Progress {
                            stage: Stage::Hashing,
                            bytes,
                            total,
                        },
                    });
                });
                tokio::select! {
                    read = hashing => read,
                    interruption = desk.meanwhile(choice, client, budget, tell) => {
                        let interruption = interruption?;
                        if matches!(interruption, Interruption::Gone) {
                            desk.rest_for(&choice.path, CHANGED);
                        }
                        if !choice.is_in_doubt {
                            interrupted(choice, interruption, tell);
                        }
                        return Ok(None);
                    }
                }
            }
        };
        match read {
            Ok(source) if source.stamp() == entry.stamp => {
                desk.has_read(&source);
                if matches!(entry.state, State::Delivered { .. }) {
                    desk.recognise(entry, &source, tell)?;
                    return Ok(None);
                }
                if known.is_none() {
                    entry.sha256 = Some(source.sha256().to_owned());
                    entry.mark = source.mark();
                    desk.journal.put(entry)?;
                }
                Ok(Some(source))
            }
            Ok(_) => {
                let path = choice.path.clone();
                desk.failed(choice, Setback::Final(ClientError::Changed { path }), client, tell)?;
                Ok(None)
            }
            Err(error) => {
                desk.failed(choice, Setback::Final(error), client, tell)?;
                Ok(None)
            }
        }
    }
}

fn interrupted(choice: &Choice, interruption: Interruption, tell: &Tell<'_>) {
    let file = choice.path.clone();
    match interruption {
        Interruption::Better(by) => tell(News::Preempted { file, by }),
        Interruption::Link => tell(News::Halted { file }),
        Interruption::Gone => tell(News::Gone { file }),
    }
}
