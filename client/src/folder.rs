//! The watched folder: which clips in it are finished, and what their places and sidecars say of them.
//!
//! It is looked through again and again: that works on every file system, finds what was there before the start, and misses
//! nothing. A file is finished when length and time stood still for a while as seen from here, or when it was renamed from a
//! name of an unfinished file.

use std::collections::{HashMap, HashSet};
use std::fs::Metadata;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::journal::About;
use crate::mark::{Mark, is_kept_at};
use crate::source::{Stamp, media_type};

/// Folders in folders: date, kind, camera, rendition.
const MAX_DEPTH: usize = 8;
/// Clips that one look takes in; of those beyond, so many again that are told to be something else than routine. The others
/// are found when some of these are gone.
pub(crate) const MAX_FILES: usize = 65_536;
/// Sidecars beyond that are remembered to say nothing of note, by a number each. One more is not read.
const MAX_DULL: usize = 1 << 20;
/// The kind of clips that nothing happened in.
const ROUTINE: &str = "routine";
/// Some words.
const MAX_SIDECAR_BYTES: u64 = 4 << 10;
/// What cameras and copying programs call a file that they still write.
const UNFINISHED: [&str; 5] = ["part", "partial", "tmp", "temp", "download"];

/// A folder of clips.
pub(crate) struct Folder {
    root: PathBuf,
    settle: Duration,
    seen: HashMap<PathBuf, Seen>,
    /// Inodes of files under an unfinished name.
    unfinished: HashSet<u64>,
    /// Of each file system that a look has come across.
    keeps_marks: HashMap<u64, bool>,
    /// What was beyond the limit and of no note.
    dull: HashSet<u64>,
    limit: usize,
}

struct Seen {
    stamp: Stamp,
    mark: Option<Mark>,
    /// Its bytes were read, and it was there ever since.
    is_read: bool,
    since: Instant,
    is_finished: bool,
    sidecar: Option<Stamp>,
    about: About,
    /// In which look it was seen last.
    look: bool,
}

/// What a look goes through.
#[derive(Default)]
struct Walk {
    files: Vec<(PathBuf, Metadata)>,
    beyond: Vec<(PathBuf, Metadata)>,
    dull: HashSet<u64>,
}

/// A clip that is finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub path: PathBuf,
    pub stamp: Stamp,
    pub mark: Option<Mark>,
    pub about: About,
}

/// `CLIP.json` beside a clip.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sidecar {
    kind: Option<String>,
    rendition: Option<String>,
    camera: Option<String>,
    first: bool,
}

impl Folder {
    pub fn new(root: PathBuf, settle: Duration) -> Self {
        Self {
            root,
            settle,
            seen: HashMap::new(),
            unfinished: HashSet::new(),
            keeps_marks: HashMap::new(),
            dull: HashSet::new(),
            limit: MAX_FILES,
        }
    }

    /// Looks through the folder; every finished clip, known or not. `is_known` tells files that were finished before.
    pub fn look(&mut self, now: Instant, is_known: impl Fn(&Path, Stamp) -> bool) -> io::Result<Vec<Found>> {
        let mut walk = Walk::default();
        // Another card may have been put in.
        self.keeps_marks.clear();
        self.walk(&self.root, 0, &mut walk)?;
        let mut unfinished = HashSet::new();
        for seen in self.seen.values_mut() {
            seen.look = false;
        }
        for (path, about) in walk.files.into_iter().chain(walk.beyond) {
            if is_unfinished(&path) {
                unfinished.insert(about.ino());
            } else {
                self.see(path, &about, now, &is_known);
            }
        }
        self.dull = walk.dull;
        self.seen.retain(|_, seen| seen.look);
        self.unfinished = unfinished;
        let finished = self.seen.iter().filter(|(_, seen)| seen.is_finished);
        Ok(finished
            .map(|(path, seen)| Found {
                path: path.clone(),
                stamp: seen.stamp,
                mark: seen.mark,
                about: seen.about.clone(),
            })
            .collect())
    }

    /// Every clip that is there, finished or not, also beyond what a look takes in; none when they are more than that.
    pub fn every(&self) -> io::Result<Option<Vec<(PathBuf, Stamp)>>> {
        let whole = Self {
            limit: self.limit + 1,
            ..Self::new(self.root.clone(), self.settle)
        };
        let mut walk = Walk::default();
        whole.walk(&whole.root, 0, &mut walk)?;
        if walk.files.len() > self.limit {
            return Ok(None);
        }
        let clips = walk.files.into_iter().filter(|(path, _)| !is_unfinished(path));
        Ok(Some(clips.map(|(path, about)| (path, Stamp::of(&about))).collect()))
    }

    /// Whether there may be clips that a look does not see.
    pub fn is_overfull(&self) -> bool {
        self.seen.len() >= self.limit
    }

    /// Whether some file is still being written, or may be.
    pub fn is_written_to(&self) -> bool {
        self.seen.values().any(|seen| !seen.is_finished)
    }

    /// A file's bytes were read.
    pub fn has_read(&mut self, path: &Path, stamp: Stamp) {
        if let Some(seen) = self.seen.get_mut(path).filter(|seen| seen.stamp == stamp) {
            seen.is_read = true;
        }
    }

    /// Whether a file's bytes were read, and it was there at each look since.
    pub fn is_as_read(&self, path: &Path, stamp: Stamp) -> bool {
        self.seen
            .get(path)
            .is_some_and(|seen| seen.stamp == stamp && seen.is_read)
    }

    fn see(&mut self, path: PathBuf, about: &Metadata, now: Instant, is_known: impl Fn(&Path, Stamp) -> bool) {
        let stamp = Stamp::of(about);
        let keeps = *self.keeps_marks.entry(about.dev()).or_insert_with(|| is_kept_at(&path));
        let mark = keeps.then(|| Mark::kept(about));
        let sidecar = sidecar_of(&path).metadata().ok().map(|about| Stamp::of(&about));
        let renamed = self.unfinished.contains(&about.ino());
        let before = self.seen.get(&path).filter(|seen| seen.stamp == stamp);
        let is_finished = match before {
            Some(seen) => seen.is_finished || now.duration_since(seen.since) >= self.settle,
            None => renamed || self.settle.is_zero() || is_known(&path, stamp),
        };
        let since = before.map_or(now, |seen| seen.since);
        let told = match before {
            Some(seen) if seen.sidecar == sidecar => seen.about.clone(),
            _ => what_is_told(&self.root, &path),
        };
        let seen = Seen {
            stamp,
            mark,
            is_read: before.is_some_and(|seen| seen.is_read),
            since,
            is_finished,
            sidecar,
            about: told,
            look: true,
        };
        self.seen.insert(path, seen);
    }
    fn walk(&self, folder: &Path, depth: usize, walk: &mut Walk) -> io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            // A name that is no UTF-8 could not be told to anybody; a hidden file is somebody's own.
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let path = folder.join(name);
            // Of the entry itself: a symbolic link could lead to anything on the vehicle. It may be gone by now.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < MAX_DEPTH {
                // A folder that vanished meanwhile takes no others with it.
                let _ = self.walk(&path, depth + 1, walk);
            }
            if !kind.is_file() || !(is_unfinished(&path) || is_clip(&path)) {
                continue;
            }
            let Ok(about) = entry.metadata() else { continue };
            if about.len() == 0 && !is_unfinished(&path) {
                continue;
            }
            if walk.files.len() < self.limit {
                walk.files.push((path, about));
            } else if walk.beyond.len() < self.limit && self.is_of_note(&path, &mut walk.dull) {
                walk.beyond.push((path, about));
            }
        }
        Ok(())
    }

    /// Whether a file is told to be something else than routine.
    fn is_of_note(&self, path: &Path, dull: &mut HashSet<u64>) -> bool {
        let is_of_note = |about: &About| about.first || about.kind.as_deref().is_some_and(|kind| kind != ROUTINE);
        let sidecar = sidecar_of(path).metadata().ok().map(|about| Stamp::of(&about));
        if sidecar.is_none() {
            return is_of_note(&what_folders_tell(&self.root, path));
        }
        let mut number = DefaultHasher::new();
        (path, sidecar).hash(&mut number);
        let number = number.finish();
        let is_dull =
            self.dull.contains(&number) || dull.len() >= MAX_DULL || !is_of_note(&what_is_told(&self.root, path));
        if is_dull && dull.len() < MAX_DULL {
            dull.insert(number);
        }
        !is_dull
    }
}

/// A clip's sidecar.
pub(crate) fn sidecar_of(clip: &Path) -> PathBuf {
    let mut name = clip.as_os_str().to_owned();
    name.push(".json");
    PathBuf::from(name)
}

fn is_unfinished(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    UNFINISHED
        .iter()
        .any(|unfinished| ending.eq_ignore_ascii_case(unfinished))
}

fn is_clip(path: &Path) -> bool {
    media_type(path).starts_with("video/")
}

fn what_folders_tell(root: &Path, clip: &Path) -> About {
    let mut about = About::default();
    let within = clip.strip_prefix(root).ok().and_then(Path::parent);
    for folder in within.into_iter().flat_map(Path::components) {
        match folder.as_os_str().to_ascii_lowercase().to_str() {
            Some("event" | "events") => about.kind = Some("event".to_owned()),
            Some(ROUTINE) => about.kind = Some(ROUTINE.to_owned()),
            Some("small") => about.small = true,
            Some("full") => about.small = false,
            Some("first") => about.first = true,
            _ => {}
        }
    }
    about
}

/// What sub-folders and sidecar say; the sidecar, which is about this one clip, has the last word.
pub(crate) fn what_is_told(root: &Path, clip: &Path) -> About {
    let mut about = what_folders_tell(root, clip);
    let path = sidecar_of(clip);
    let is_short = path.metadata().is_ok_and(|about| about.len() <= MAX_SIDECAR_BYTES);
    let text = is_short.then(|| std::fs::read(path).ok()).flatten();
    // One that cannot be read says nothing: the clip goes all the same.
    let told: Sidecar = text
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    about.kind = told.kind.or(about.kind);
    about.camera = told.camera;
    about.first |= told.first;
    match told.rendition.as_deref() {
        Some("small") => about.small = true,
        Some("full") => about.small = false,
        _ => {}
    }
    about
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    struct Card {
        dir: tempfile::TempDir,
        folder: Folder,
        now: Instant,
    }

    impl Card {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let folder = Folder::new(dir.path().to_owned(), SETTLE);
            let now = Instant::now();
            Self { dir, folder, now }
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }

        /// The names of finished clips after so many seconds more.
        fn after(&mut self, secs: u64) -> Vec<String> {
            self.now += Duration::from_secs(secs);
            let found = self.folder.look(self.now, |_, _| false).unwrap();
            let name = |found: &Found| found.path.strip_prefix(self.dir.path()).unwrap().display().to_string();
            let mut names: Vec<_> = found.iter().map(name).collect();
            names.sort();
            names
        }

        fn about(&mut self, name: &str) -> About {
            self.after(0);
            self.after(10);
            let found = self.folder.look(self.now, |_, _| false).unwrap();
            let path = self.dir.path().join(name);
            found.into_iter().find(|found| found.path == path).unwrap().about
        }
    }

    #[test]
    fn a_clip_is_taken_once_it_stood_still() {
        let mut card = Card::new();
        card.write("a.mp4", "one");
        assert!(card.after(0).is_empty());
        assert!(card.after(9).is_empty());
        card.write("a.mp4", "one and more");
        assert!(card.after(5).is_empty(), "it grew");
        assert!(card.folder.is_written_to());
        assert_eq!(card.after(10), ["a.mp4"]);
        assert!(!card.folder.is_written_to());
        card.write("a.mp4", "written over by the camera");
        assert!(card.after(1).is_empty());
    }

    #[test]
    fn a_clip_that_was_renamed_into_place_is_taken_at_once() {
        let mut card = Card::new();
        card.write("a.mp4.part", "one");
        assert!(card.after(60).is_empty());
        std::fs::rename(card.dir.path().join("a.mp4.part"), card.dir.path().join("a.mp4")).unwrap();
        assert_eq!(card.after(1), ["a.mp4"]);
    }

    #[test]
    fn what_is_known_from_before_a_start_is_taken_at_once_and_what_is_no_clip_never() {
        let mut card = Card::new();
        for name in [
            "a.mp4",
            ".hidden.mp4",
            "notes.txt",
            "a.mp4.json",
            "empty.mp4",
            ".trash/b.mp4",
        ] {
            card.write(name, if name == "empty.mp4" { "" } else { "one" });
        }
        std::os::unix::fs::symlink("/etc/hostname", card.dir.path().join("link.mp4")).unwrap();
        let found = card.folder.look(card.now, |path, _| path.ends_with("a.mp4")).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(card.after(3600), ["a.mp4"]);
    }

    #[test]
    fn folders_and_sidecars_say_what_a_clip_is() {
        let mut card = Card::new();
        card.write("2026-03-01/Event/small/a.mp4", "one");
        let event = card.about("2026-03-01/Event/small/a.mp4");
        assert_eq!(
            (event.kind.as_deref(), event.small, event.first),
            (Some("event"), true, false)
        );
        card.write("first/b.mp4", "one");
        assert!(card.about("first/b.mp4").first);
        card.write("event/c.mp4", "one");
        card.write(
            "event/c.mp4.json",
            r#"{"kind":"parking","rendition":"small","camera":"rear"}"#,
        );
        let told = card.about("event/c.mp4");
        assert_eq!(
            (told.kind.as_deref(), told.small, told.camera.as_deref()),
            (Some("parking"), true, Some("rear"))
        );
        assert_eq!(card.about("event/c.mp4"), told);
        card.write("event/c.mp4.json", r#"{"kind":"parking","first":true}"#);
        assert!(card.about("event/c.mp4").first, "the owner asked for it meanwhile");
        card.write("event/c.mp4.json", "{not JSON");
        assert_eq!(card.about("event/c.mp4").kind.as_deref(), Some("event"));
    }
    #[test]
    fn of_more_files_than_are_looked_at_those_of_note_are_found_all_the_same() {
        let mut card = Card::new();
        card.folder.limit = 4;
        for at in 0..20 {
            card.write(&format!("routine/{at}.mp4"), "one");
            card.write(&format!("routine/{at}.mp4.json"), r#"{"camera":"front"}"#);
        }
        for name in ["event/a.mp4", "first/b.mp4", "routine/told.mp4", "z/asked.mp4"] {
            card.write(name, "one");
        }
        card.write("routine/told.mp4.json", r#"{"kind":"event"}"#);
        card.write("z/asked.mp4.json", r#"{"first":true}"#);
        for _ in 0..3 {
            card.after(0);
            let found = card.after(10);
            for name in ["event/a.mp4", "first/b.mp4", "routine/told.mp4", "z/asked.mp4"] {
                assert!(found.iter().any(|found| found == name), "{name}: {found:?}");
            }
            assert!(found.len() <= 8, "{found:?}");
        }
        let (dull, is_of_note) = (card.folder.dull.len(), |path: &str| path.starts_with("routine/1"));
        assert!(dull > 0, "what says nothing of note is not read at each look");
        // The owner asks for one that was of no note.
        let beyond = (0..20).map(|at| format!("routine/{at}.mp4")).find(|name| {
            let found = card.after(0);
            is_of_note(name) && !found.contains(name)
        });
        let beyond = beyond.expect("some are beyond the limit");
        card.write(&format!("{beyond}.json"), r#"{"camera":"front","first":true}"#);
        card.after(0);
        assert!(card.after(10).contains(&beyond));
    }
}
