//! Whose clips a folder's are. The vehicle that finds the first clip in a folder says so in a small file in it; what is there when
//! another vehicle comes belongs to the one before it, and is left alone.
//!
//! A vehicle that was sold has a new device file and another id; cards, folders and the queue go with it. What its old owner drove
//! must not come to the new one, also not by somebody who only paired it anew.

use std::collections::HashSet;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::journal::Journal;
use crate::source::Stamp;
use crate::{ClientError, file};

/// In the folder of clips; hidden, so that it is no clip.
const MARK: &str = ".dashvault-vehicle.json";
/// In the state folder.
const STATE_MARK: &str = "vehicle.json";
/// A line for each of as many files as a look goes through.
const MAX_MARK_BYTES: u64 = 32 << 20;
const VERSION: u32 = 1;

/// What the mark says.
#[derive(Serialize, Deserialize)]
struct Mark {
    version: u32,
    device_id: String,
    /// What was there before this vehicle came.
    #[serde(default, skip_serializing_if = "HashSet::is_empty")]
    others: HashSet<Other>,
    /// They were too many to be written down: nothing in the folder is this vehicle's.
    #[serde(default)]
    nothing: bool,
}

/// A file of another vehicle's; the path is within the folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Other {
    path: PathBuf,
    bytes: u64,
    modified_ns: i64,
}

/// What a folder's mark says of its clips.
pub(crate) struct Claim {
    root: PathBuf,
    device_id: String,
    /// The queue was another vehicle's: so are the clips of a folder without a mark.
    came_after: bool,
    /// Somebody says that the clips of the vehicle before are this one's owner's.
    takes_over: bool,
    others: HashSet<Other>,
    /// So is everything.
    nothing: bool,
    /// The mark as it was read.
    seen: Option<(u64, i64, i64)>,
    is_unmarkable: bool,
}

impl Claim {
    pub fn new(root: PathBuf, device_id: &str, came_after: bool, takes_over: bool) -> Self {
        Self {
            root,
            device_id: device_id.to_owned(),
            came_after,
            takes_over,
            others: HashSet::new(),
            nothing: false,
            seen: None,
            is_unmarkable: false,
        }
    }

    /// Reads the mark when it is another than before, and writes it when it is not this vehicle's. `all` tells the files that
    /// are there; those that this vehicle's own queue knows are its own, whoever came in between.
    ///
    /// # Errors
    /// [`ClientError::File`] when what belongs to another vehicle cannot be written down: at the next start nobody would know.
    pub fn settle(
        &mut self,
        all: impl FnOnce() -> io::Result<Option<Vec<(PathBuf, Stamp)>>>,
        is_known: impl Fn(&Path, Stamp) -> bool,
    ) -> Result<(), ClientError> {
        let path = self.root.join(MARK);
        let about = path.symlink_metadata().ok();
        let seen = about.as_ref().map(of_file);
        if seen.is_none() && self.is_unmarkable || seen.is_some() && seen == self.seen {
            return Ok(());
        }
        let is_of_before = match about.map(|about| read(&path, &about)) {
            Some(Some(mark)) if mark.device_id == self.device_id && !self.takes_over => {
                self.others = mark.others;
                self.nothing = mark.nothing;
                self.seen = seen;
                return Ok(());
            }
            // Also one that cannot be read: then nobody knows whose they are.
            Some(_) => true,
            None => self.came_after,
        };
        self.others.clear();
        self.nothing = false;
        if is_of_before && !self.takes_over {
            match all().map_err(|source| file::unreadable(&self.root, source))? {
                Some(all) => {
                    let of_others = all.iter().filter(|(path, stamp)| !is_known(path, *stamp));
                    self.others = of_others.filter_map(|(path, stamp)| self.other(path, *stamp)).collect();
                }
                None => self.nothing = true,
            }
        }
        let mark = Mark {
            version: VERSION,
            device_id: self.device_id.clone(),
            others: std::mem::take(&mut self.others),
            nothing: self.nothing,
        };
        let text = serde_json::to_vec(&mark).expect("a mark is plain JSON");
        self.others = mark.others;
        match file::write(&path, &text, false) {
            Ok(()) => self.seen = path.symlink_metadata().ok().as_ref().map(of_file),
            // A card that is locked. Nothing on it is another's.
            Err(_) if self.others.is_empty() && !self.nothing => self.is_unmarkable = true,
            Err(error) => return Err(error),
        }
        self.takes_over = false;
        Ok(())
    }

    /// Whether a file is this vehicle's.
    pub fn is_ours(&self, path: &Path, stamp: Stamp) -> bool {
        !self.nothing
            && self
                .other(path, stamp)
                .is_none_or(|other| !self.others.contains(&other))
    }

    fn other(&self, path: &Path, stamp: Stamp) -> Option<Other> {
        Some(Other {
            path: path.strip_prefix(&self.root).ok()?.to_owned(),
            bytes: stamp.bytes,
            modified_ns: stamp.modified_ns,
        })
    }
}

/// Opens the queue of this vehicle. One of another vehicle is put beside it, as it is; whether there was one.
pub(crate) fn open_queue(state: &Path, device_id: &str) -> Result<(Journal, bool), ClientError> {
    let mut journal = Journal::open(state)?;
    let path = state.join(STATE_MARK);
    let about = path.symlink_metadata().ok();
    let before = about.and_then(|about| read(&path, &about));
    let before = before.filter(|before| before.device_id != device_id);
    if let Some(before) = &before {
        drop(journal);
        let mut aside = state.as_os_str().to_owned();
        // An id is letters and digits, whatever stood in the file.
        aside.push(format!(
            ".{}",
            before.device_id.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
        ));
        let aside = PathBuf::from(aside);
        std::fs::rename(state, &aside)
            .and_then(|()| file::sync_folder_of(state))
            .map_err(|source| file::unwritable(state, source))?;
        journal = Journal::open(state)?;
        // What was sent over cellular is the link's; one without a count begins a new one.
        let _ = std::fs::copy(aside.join("sent.json"), state.join("sent.json"));
    }
    let mark = Mark {
        version: VERSION,
        device_id: device_id.to_owned(),
        others: HashSet::new(),
        nothing: false,
    };
    if before.is_some() || !path.exists() {
        file::write(&path, &serde_json::to_vec(&mark).expect("a mark is plain JSON"), false)?;
    }
    Ok((journal, before.is_some()))
}

fn read(path: &Path, about: &Metadata) -> Option<Mark> {
    if !about.is_file() || about.len() > MAX_MARK_BYTES {
        return None;
    }
    let mark: Mark = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    (mark.version == VERSION).then_some(mark)
}

fn of_file(about: &Metadata) -> (u64, i64, i64) {
    (about.ino(), about.mtime(), about.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIP: Stamp = Stamp {
        bytes: 7,
        modified_ns: 8,
    };

    struct Card(tempfile::TempDir);

    impl Card {
        fn claim(&self, device: &str, came_after: bool, takes_over: bool, files: &[&str], known: &[&str]) -> Claim {
            let root = self.0.path();
            let mut claim = Claim::new(root.to_owned(), device, came_after, takes_over);
            let files: Vec<_> = files.iter().map(|name| root.join(name)).collect();
            let all = files.iter().map(|path| (path.clone(), CLIP)).collect();
            claim
                .settle(
                    || Ok(Some(all)),
                    |path, _| known.iter().any(|name| path.ends_with(name)),
                )
                .unwrap();
            claim
        }

        fn is_ours(&self, claim: &Claim, name: &str) -> bool {
            claim.is_ours(&self.0.path().join(name), CLIP)
        }
    }

    #[test]
    fn what_is_there_when_another_vehicle_comes_is_not_its_own_and_what_comes_later_is() {
        let card = Card(tempfile::tempdir().unwrap());
        let first = card.claim("one", false, false, &["a.mp4"], &[]);
        assert!(card.is_ours(&first, "a.mp4"));
        let second = card.claim("two", false, false, &["a.mp4", "b.mp4"], &[]);
        assert!(!card.is_ours(&second, "a.mp4") && !card.is_ours(&second, "b.mp4"));
        assert!(card.is_ours(&second, "c.mp4"));
        // Also after a start, with more files.
        let second = card.claim("two", false, false, &["a.mp4", "b.mp4", "c.mp4"], &[]);
        assert!(!card.is_ours(&second, "a.mp4") && card.is_ours(&second, "c.mp4"));
        // The first one's own are still its own.
        let first = card.claim("one", false, false, &["a.mp4", "c.mp4"], &["a.mp4"]);
        assert!(card.is_ours(&first, "a.mp4") && !card.is_ours(&first, "c.mp4"));
    }

    #[test]
    fn a_folder_without_a_mark_is_the_next_vehicles_unless_the_queue_was_anothers() {
        for (came_after, is_ours) in [(false, true), (true, false)] {
            let card = Card(tempfile::tempdir().unwrap());
            let claim = card.claim("two", came_after, false, &["a.mp4"], &[]);
            assert_eq!(card.is_ours(&claim, "a.mp4"), is_ours);
        }
    }

    #[test]
    fn who_says_so_takes_over_and_a_mark_that_cannot_be_read_gives_nothing() {
        let card = Card(tempfile::tempdir().unwrap());
        std::fs::write(card.0.path().join(MARK), b"{").unwrap();
        let claim = card.claim("two", false, false, &["a.mp4"], &[]);
        assert!(!card.is_ours(&claim, "a.mp4"));
        let claim = card.claim("two", false, true, &["a.mp4"], &[]);
        assert!(card.is_ours(&claim, "a.mp4"));
        assert!(card.is_ours(&card.claim("two", false, false, &["a.mp4"], &[]), "a.mp4"));
    }

    #[test]
    fn where_there_were_too_many_to_be_told_apart_nothing_is_the_next_ones() {
        let card = Card(tempfile::tempdir().unwrap());
        card.claim("one", false, false, &["a.mp4"], &[]);
        let mut claim = Claim::new(card.0.path().to_owned(), "two", false, false);
        claim.settle(|| Ok(None), |_, _| false).unwrap();
        assert!(!card.is_ours(&claim, "a.mp4") && !card.is_ours(&claim, "later.mp4"));
        assert!(!card.is_ours(&card.claim("two", false, false, &["a.mp4"], &[]), "later.mp4"));
    }

    #[test]
    fn a_queue_of_another_vehicle_is_put_beside_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("queue");
        let (journal, came_after) = open_queue(&state, "one").unwrap();
        assert!(!came_after);
        drop(journal);
        std::fs::write(state.join("sent.json"), b"{}").unwrap();
        assert!(!open_queue(&state, "one").unwrap().1);
        assert!(open_queue(&state, "two").unwrap().1);
        assert!(dir.path().join("queue.one").join(STATE_MARK).exists());
        assert!(state.join("sent.json").exists());
        assert!(!open_queue(&state, "two").unwrap().1);
    }
}
