//! Files that somebody named: sent as a folder's clips are, each once, as it was when it was first looked at.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::folder::{Found, what_is_told};
use crate::mark::Mark;
use crate::source::Stamp;
use crate::{ClientError, file};

/// The files of one call.
pub(crate) struct Files {
    paths: Vec<PathBuf>,
    /// Their kind, where whoever named them said it.
    kind: Option<String>,
    seen: HashMap<PathBuf, Stamp>,
    /// Those whose bytes were read.
    read: HashSet<PathBuf>,
    /// Those that are of no use any more; each is told once.
    dropped: HashSet<PathBuf>,
}

impl Files {
    pub fn new(mut paths: Vec<PathBuf>, kind: Option<String>) -> Self {
        let mut named = HashSet::new();
        paths.retain(|path| named.insert(path.clone()));
        Self {
            paths,
            kind,
            seen: HashMap::new(),
            read: HashSet::new(),
            dropped: HashSet::new(),
        }
    }

    /// Looks at each; those that are there, and what is wrong with others. One that `is_done` says needs not be there any more.
    pub fn look(&mut self, is_done: impl Fn(&Path) -> bool) -> (Vec<Found>, Vec<(PathBuf, ClientError)>) {
        let (mut found, mut wrong) = (Vec::new(), Vec::new());
        for path in &self.paths {
            if self.dropped.contains(path) || is_done(path) {
                continue;
            }
            match look_at(path) {
                Ok((stamp, mark)) if *self.seen.entry(path.clone()).or_insert(stamp) == stamp => {
                    let mut about = what_is_told(Path::new(""), path);
                    about.kind = self.kind.clone().or(about.kind);
                    found.push(Found {
                        path: path.clone(),
                        stamp,
                        mark,
                        about,
                    });
                }
                Ok(_) => wrong.push((path.clone(), ClientError::Changed { path: path.clone() })),
                Err(error) => wrong.push((path.clone(), error)),
            }
        }
        self.dropped.extend(wrong.iter().map(|(path, _)| path.clone()));
        (found, wrong)
    }

    /// A file's bytes were read.
    pub fn has_read(&mut self, path: &Path) {
        self.read.insert(path.to_owned());
    }

    /// Whether a file's bytes were read in this process.
    pub fn is_as_read(&self, path: &Path, stamp: Stamp) -> bool {
        self.seen.get(path) == Some(&stamp) && self.read.contains(path)
    }

    /// The file is of no use any more, and that was told.
    pub fn leave(&mut self, path: &Path) {
        self.dropped.insert(path.to_owned());
    }
}

fn look_at(path: &Path) -> Result<(Stamp, Option<Mark>), ClientError> {
    let about = path.metadata().map_err(|source| file::unreadable(path, source))?;
    if about.is_dir() {
        return Err(file::unreadable(path, std::io::ErrorKind::IsADirectory.into()));
    }
    match about.len() {
        0 => Err(ClientError::Empty { path: path.to_owned() }),
        _ => Ok((Stamp::of(&about), Mark::of(path, &about))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_missing_empty_or_changed_is_told_once_and_holds_up_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let [good, empty, missing, changed] = ["a.mp4", "b.mp4", "c.mp4", "d.mp4"].map(|name| dir.path().join(name));
        for (path, text) in [(&good, "one"), (&empty, ""), (&changed, "one")] {
            std::fs::write(path, text).unwrap();
        }
        let all = [&good, &empty, &missing, &changed, &good].map(Clone::clone).to_vec();
        let mut files = Files::new(all, None);
        let (found, wrong) = files.look(|_| false);
        assert_eq!(
            found.iter().map(|found| &found.path).collect::<Vec<_>>(),
            [&good, &changed]
        );
        assert_eq!(
            wrong.iter().map(|(path, _)| path).collect::<Vec<_>>(),
            [&empty, &missing]
        );
        std::fs::write(&changed, "one and more").unwrap();
        let (found, wrong) = files.look(|_| false);
        assert_eq!(found.len(), 1);
        assert!(matches!(&wrong[..], [(path, ClientError::Changed { .. })] if *path == changed));
        std::fs::remove_file(&good).unwrap();
        let (found, wrong) = files.look(|path| path == good);
        assert!(found.is_empty() && wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn what_a_file_is_stands_in_its_path_or_beside_it_unless_it_was_said() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("small")).unwrap();
        let path = dir.path().join("small/a.mp4");
        std::fs::write(&path, "one").unwrap();
        std::fs::write(dir.path().join("small/a.mp4.json"), r#"{"kind":"parking"}"#).unwrap();
        let about = |kind: Option<&str>| {
            let mut files = Files::new(vec![path.clone()], kind.map(str::to_owned));
            files.look(|_| false).0.remove(0).about
        };
        assert_eq!(
            (about(None).kind.as_deref(), about(None).small),
            (Some("parking"), true)
        );
        assert_eq!(about(Some("event")).kind.as_deref(), Some("event"));
    }
}
