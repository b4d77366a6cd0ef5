//! The queue, which survives power cuts: a small file a clip in the state folder, written whole or not at all.
//!
//! The clips themselves stay where they are. What is lost of the journal costs a second reading of a clip and a question to
//! the vault, never a clip: the folder is looked through again, and where an upload lives is remembered apart.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use crate::folder::MAX_FILES;
use crate::mark::Mark;
use crate::source::Stamp;
use crate::{ClientError, Doing, file};

/// Clips that wait: two days of a camera that writes one in ten seconds. Of more the worthiest are taken, the others wait in
/// their folder until some of these are gone.
pub(crate) const MAX_CLIPS: usize = 16_384;
/// All entries: what was delivered or refused and lies in the folder still is known for as long as the folder is looked
/// through, so that nothing is read again and again.
const MAX_ENTRIES: usize = MAX_FILES + MAX_CLIPS;
/// An entry has a path of at most 4 KiB, a receipt and some words.
const MAX_ENTRY_BYTES: u64 = 16 << 10;
/// What was delivered is remembered for so long after its file has gone, in case a card is put in again.
const DELIVERED_MS: i64 = 31 * 24 * 60 * 60 * 1000;
const VERSION: u32 = 1;

/// What is known of a clip besides its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct About {
    /// Such as `event` or `routine`.
    pub kind: Option<String>,
    /// A small rendition of a clip that there is in full as well.
    pub small: bool,
    /// The owner asked for it.
    pub first: bool,
    /// The camera's name.
    pub camera: Option<String>,
}

/// A clip in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    version: u32,
    pub path: PathBuf,
    pub stamp: Stamp,
    pub about: About,
    /// Lower-case hexadecimal, once it was read.
    pub sha256: Option<String>,
    /// The file that was read; none from before marks were kept, and on a file system that keeps none.
    #[serde(default)]
    pub mark: Option<Mark>,
    #[serde(flatten)]
    pub state: State,
}

/// How far a clip is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum State {
    /// Not all of it is in the vault.
    Waiting,
    /// Every byte is durable in the vault, which has not signed for it yet.
    Sent { url: String },
    /// The vault has signed that it holds it.
    Delivered {
        clip_id: String,
        receipt: String,
        at_ms: i64,
    },
    /// The vault does not take it; it is kept, and tried again some day.
    Refused { reason: String, at_ms: i64 },
}

/// A file under its temporary name that is as old as this was left by a power cut: writing one takes moments.
const LEFT: Duration = Duration::from_secs(60);

/// All entries, and their folder, which is this process's alone.
pub(crate) struct Journal {
    /// None while nothing is remembered beyond this process.
    kept: Option<Kept>,
    entries: BTreeMap<PathBuf, Entry>,
}

struct Kept {
    folder: PathBuf,
    _lock: File,
}

impl Entry {
    pub fn new(path: PathBuf, stamp: Stamp, about: About) -> Self {
        Self {
            version: VERSION,
            path,
            stamp,
            about,
            sha256: None,
            mark: None,
            state: State::Waiting,
        }
    }

    pub fn digest(&self) -> Option<[u8; 32]> {
        let sha256 = self.sha256.as_deref()?;
        HEXLOWER.decode(sha256.as_bytes()).ok()?.try_into().ok()
    }
}

impl Journal {
    /// Reads what there is. An entry that is damaged is dropped: its clip is found again in its folder.
    ///
    /// # Errors
    /// [`ClientError::StateInUse`] while another process works with this folder, [`ClientError::File`].
    pub fn open(folder: &Path) -> Result<Self, ClientError> {
        file::make_private_folder(folder)?;
        let lock = lock(folder)?;
        let mut entries = BTreeMap::new();
        let failed = |source| file::unreadable(folder, source);
        for found in std::fs::read_dir(folder).map_err(failed)? {
            let path = found.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with('.') && name != LOCK {
                // Half a file that a power cut left, or one that another process writes now: the budget and the policy are for all.
                if name.starts_with(UNFINISHED) || !is_fresh(&path) {
                    remove(&path)?;
                }
                continue;
            }
            if !name.starts_with(PREFIX) {
                continue;
            }
            match read(&path) {
                Some(entry) if entries.len() < MAX_ENTRIES && path == place(folder, &entry.path) => {
                    entries.insert(entry.path.clone(), entry);
                }
                _ => remove(&path)?,
            }
        }
        let folder = folder.to_owned();
        Ok(Self {
            kept: Some(Kept { folder, _lock: lock }),
            entries,
        })
    }

    /// One that ends with its process: of files that somebody names again when they are still to be sent.
    pub fn in_memory() -> Self {
        Self {
            kept: None,
            entries: BTreeMap::new(),
        }
    }

    pub fn get(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(path)
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.entries.values()
    }

    /// How many clips more may wait.
    pub fn room(&self) -> usize {
        let waiting = self.entries().filter(|entry| entry.state == State::Waiting).count();
        MAX_CLIPS.saturating_sub(waiting)
    }

    /// Takes an entry in without writing it: nothing is known of it that its folder does not tell again.
    pub fn note(&mut self, entry: Entry) {
        self.entries.insert(entry.path.clone(), entry);
    }

    /// Writes an entry; it is on stable storage then.
    pub fn put(&mut self, entry: Entry) -> Result<(), ClientError> {
        if let Some(kept) = &self.kept {
            let text = serde_json::to_vec(&entry).expect("an entry is plain JSON");
            file::write(&place(&kept.folder, &entry.path), &text, false)?;
        }
        self.entries.insert(entry.path.clone(), entry);
        Ok(())
    }

    /// Drops an entry. One that comes back by a power cut names a file that is gone, or is found again.
    pub fn forget(&mut self, path: &Path) -> Result<(), ClientError> {
        if let (Some(_), Some(kept)) = (self.entries.remove(path), &self.kept) {
            remove(&place(&kept.folder, path))?;
        }
        Ok(())
    }

    /// Drops what needs not be known any more of files that are not there: all but fresh receipts. Of more than there is room
    /// for, what was settled first goes too. The paths that were still to be sent.
    pub fn forget_gone(&mut self, is_there: impl Fn(&Path) -> bool, now_ms: i64) -> Result<Vec<PathBuf>, ClientError> {
        let gone = self.entries.values().filter(|entry| !is_there(&entry.path));
        let gone: Vec<_> = gone
            .filter(|entry| match entry.state {
                State::Delivered { at_ms, .. } => now_ms.saturating_sub(at_ms) > DELIVERED_MS,
                _ => true,
            })
            .map(|entry| (entry.path.clone(), entry.state == State::Waiting))
            .collect();
        let mut lost = Vec::new();
        for (path, was_waiting) in gone {
            self.forget(&path)?;
            if was_waiting {
                lost.push(path);
            }
        }
        for path in self.surplus(is_there) {
            self.forget(&path)?;
        }
        Ok(lost)
    }

    /// What has to go for want of room: what is settled, first of files that are gone.
    fn surplus(&self, is_there: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
        let surplus = self.entries.len().saturating_sub(MAX_ENTRIES);
        if surplus == 0 {
            return Vec::new();
        }
        let mut settled: Vec<_> = self
            .entries()
            .filter_map(|entry| match entry.state {
                State::Delivered { at_ms, .. } | State::Refused { at_ms, .. } => {
                    Some((is_there(&entry.path), at_ms, &entry.path))
                }
                State::Waiting | State::Sent { .. } => None,
            })
            .collect();
        settled.sort_unstable();
        settled
            .into_iter()
            .take(surplus)
            .map(|(_, _, path)| path.clone())
            .collect()
    }
}

const LOCK: &str = ".lock";
const PREFIX: &str = "clip-";
/// What an entry is called while it is written.
const UNFINISHED: &str = ".clip-";

/// A file's name says nothing that could lead elsewhere.
fn place(folder: &Path, clip: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    let sum = dashvault_keys::digest::sha256(clip.as_os_str().as_bytes());
    folder.join(format!("{PREFIX}{}.json", HEXLOWER.encode(&sum[..16])))
}

fn read(path: &Path) -> Option<Entry> {
    if path.metadata().ok()?.len() > MAX_ENTRY_BYTES {
        return None;
    }
    let entry: Entry = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (entry.version == VERSION).then_some(entry)
}

/// Whether a file was written in this minute. A clock that jumps makes it older, not younger.
fn is_fresh(path: &Path) -> bool {
    let modified = path.metadata().and_then(|about| about.modified()).ok();
    let age = modified.and_then(|at| SystemTime::now().duration_since(at).ok());
    age.is_some_and(|age| age < LEFT)
}

fn remove(path: &Path) -> Result<(), ClientError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(ClientError::File {
            path: path.to_owned(),
            doing: Doing::Write,
            source,
        }),
        _ => Ok(()),
    }
}

/// The kernel's lock ends with the process, however it ends.
fn lock(folder: &Path) -> Result<File, ClientError> {
    let path = folder.join(LOCK);
    let failed = |source| ClientError::File {
        path: path.clone(),
        doing: Doing::Write,
        source,
    };
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ClientError::StateInUse {
            folder: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str) -> Entry {
        let stamp = Stamp {
            bytes: 7,
            modified_ns: 8,
        };
        let about = About {
            kind: Some("event".to_owned()),
            ..About::default()
        };
        Entry::new(PathBuf::from(name), stamp, about)
    }

    fn names(folder: &Path) -> Vec<PathBuf> {
        let mut names: Vec<_> = folder.read_dir().unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names
    }

    #[test]
    fn entries_are_there_after_a_start_in_the_state_they_were_put_in() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let mut sent = entry("/card/b.mp4");
        sent.state = State::Sent { url: "u".to_owned() };
        sent.sha256 = Some("00".repeat(32));
        let mut delivered = entry("/card/c.mp4");
        delivered.state = State::Delivered {
            clip_id: "c".to_owned(),
            receipt: "r".to_owned(),
            at_ms: 1,
        };
        for entry in [entry("/card/a.mp4"), sent.clone(), delivered.clone()] {
            journal.put(entry).unwrap();
        }
        journal.forget(Path::new("/card/a.mp4")).unwrap();
        drop(journal);
        let journal = Journal::open(dir.path()).unwrap();
        assert_eq!(journal.entries().collect::<Vec<_>>(), [&sent, &delivered]);
    }

    /// Whatever of an entry's file a power cut left, opening finds the whole entry or none, and the others.
    #[test]
    fn half_an_entry_is_none_and_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.put(entry("/card/a.mp4")).unwrap();
        journal.put(entry("/card/b.mp4")).unwrap();
        drop(journal);
        let file = place(dir.path(), Path::new("/card/a.mp4"));
        let whole = std::fs::read(&file).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&file, &whole[..length]).unwrap();
            std::fs::write(dir.path().join(".clip-x.json.1234"), &whole[..length]).unwrap();
            let journal = Journal::open(dir.path()).unwrap();
            assert_eq!(
                journal.entries().collect::<Vec<_>>(),
                [&entry("/card/b.mp4")],
                "{length} bytes"
            );
            assert_eq!(names(dir.path()).len(), 2, "the other's file and the lock");
        }
    }

    #[test]
    fn an_entry_under_anothers_name_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.put(entry("/card/a.mp4")).unwrap();
        drop(journal);
        let from = place(dir.path(), Path::new("/card/a.mp4"));
        std::fs::rename(from, place(dir.path(), Path::new("/card/b.mp4"))).unwrap();
        assert_eq!(Journal::open(dir.path()).unwrap().entries().count(), 0);
    }

    #[test]
    fn one_process_at_a_time_works_with_a_state_folder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Journal::open(dir.path()).unwrap();
        assert!(matches!(Journal::open(dir.path()), Err(ClientError::StateInUse { .. })));
        drop(first);
        assert!(Journal::open(dir.path()).is_ok());
    }

    #[test]
    fn a_receipt_outlives_its_file_for_a_month_and_what_was_not_sent_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        let mut delivered = entry("/card/c.mp4");
        delivered.state = State::Delivered {
            clip_id: "c".to_owned(),
            receipt: "r".to_owned(),
            at_ms: 0,
        };
        journal.put(delivered).unwrap();
        journal.put(entry("/card/a.mp4")).unwrap();
        assert_eq!(journal.forget_gone(|_| false, 0).unwrap(), [Path::new("/card/a.mp4")]);
        assert_eq!(journal.entries().count(), 1);
        assert!(journal.forget_gone(|_| false, DELIVERED_MS + 1).unwrap().is_empty());
        assert_eq!(journal.entries().count(), 0);
    }
    fn delivered(name: &str, at_ms: i64) -> Entry {
        let mut entry = entry(name);
        entry.state = State::Delivered {
            clip_id: "c".to_owned(),
            receipt: "r".to_owned(),
            at_ms,
        };
        entry
    }

    #[test]
    fn what_is_settled_takes_no_place_of_a_clip_that_waits_and_is_bounded_on_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        for at in 0..MAX_ENTRIES {
            let here = at % 2 == 0;
            let folder = if here { "here" } else { "gone" };
            journal.note(delivered(&format!("/{folder}/{at}.mp4"), i64::try_from(at).unwrap()));
        }
        assert_eq!(journal.room(), MAX_CLIPS);
        let is_there = |path: &Path| path.starts_with("/here");
        assert!(journal.forget_gone(is_there, 0).unwrap().is_empty());
        assert_eq!(journal.entries().count(), MAX_ENTRIES, "there is room for all of them");
        for name in ["/here/a.mp4", "/here/b.mp4"] {
            journal.note(entry(name));
        }
        assert_eq!(journal.room(), MAX_CLIPS - 2);
        assert!(journal.forget_gone(is_there, 0).unwrap().is_empty());
        assert_eq!(journal.entries().count(), MAX_ENTRIES);
        for name in ["/gone/1.mp4", "/gone/3.mp4"] {
            assert!(journal.get(Path::new(name)).is_none(), "the oldest whose file has gone");
        }
        for name in ["/here/0.mp4", "/gone/5.mp4", "/here/a.mp4", "/here/b.mp4"] {
            assert!(journal.get(Path::new(name)).is_some(), "{name}");
        }
    }
}
