//! The folder as a bucket: what other users of the machine may read of it, and of the files that hold keys.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Watched;
use super::judge::{FOLDER, Judged};
use crate::catalog::Opening;

/// Everybody on this machine.
const WORLD: u32 = 0o007;
/// Those whom somebody has put into the group, as one does for a backup.
const GROUP: u32 = 0o070;
/// Without it on a folder nobody gets at what is beneath.
const ENTER: u32 = 0o011;

/// Looks at a bucket's folder and files, where it has some; a file that is not there gives nothing away.
pub(super) fn look(one: &Watched) -> Option<Judged> {
    let folder = one.folder.iter().map(|path| (path, "folder", WORLD));
    let files = one.files.iter().map(|path| (path, "file", WORLD));
    // Its provider opens none that a group may read either.
    let keyring = one.keyring.iter().map(|path| (path, "file", WORLD | GROUP));
    let mut judged: Option<Judged> = None;
    for (path, what, strangers) in folder.chain(files).chain(keyring) {
        let judged = judged.get_or_insert_default();
        let seen = is_reachable(path, strangers).and_then(|open| Ok((open, is_reachable(path, GROUP)?)));
        match seen {
            Ok((true, _)) => judged.openings.push(Opening {
                form: FOLDER.to_owned(),
                probe: format!("{what} {}", name(path)),
                object: None,
            }),
            Ok((false, true)) => judged.warnings.push(format!(
                "the group of the {what} {} may get at it: chmod g= unless that is meant",
                name(path)
            )),
            Ok((false, false)) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound && what == "file" => {}
            Err(error) => judged.unclear.push(format!("{what} {}: {}", name(path), error.kind())),
        }
    }
    judged
}

/// Whether `whom` may do anything with it: its own permissions let them, and no folder above keeps them out.
fn is_reachable(path: &Path, whom: u32) -> io::Result<bool> {
    let path = path.canonicalize()?;
    if mode(&path)? & whom == 0 {
        return Ok(false);
    }
    // Whoever is in the one group need not be in another, and goes through as everybody does.
    let enter = (whom | WORLD) & ENTER;
    for folder in path.ancestors().skip(1) {
        if mode(folder)? & enter == 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

fn mode(path: &Path) -> io::Result<u32> {
    Ok(std::fs::metadata(path)?.permissions().mode())
}

/// The last part only: a row is no place for the machine's paths.
fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Bucket;
    use std::fs::Permissions;
    use std::path::PathBuf;

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn watched(folder: Option<PathBuf>, file: Option<PathBuf>, keyring: Option<PathBuf>) -> Watched {
        Watched {
            bucket: Bucket::Data,
            addresses: Vec::new(),
            folder,
            files: file.into_iter().collect(),
            keyring,
        }
    }

    #[test]
    fn everybody_is_a_stranger_and_a_group_is_only_told_of() {
        let root = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let folder = root.path().join("objects");
        std::fs::create_dir(&folder).unwrap();
        let one = watched(Some(folder.clone()), None, None);
        for (above, itself, open, told) in [
            (0o755, 0o700, 0, 0),
            (0o700, 0o755, 0, 0),
            (0o711, 0o755, 1, 0),
            (0o711, 0o711, 1, 0),
            (0o711, 0o701, 1, 0),
            (0o711, 0o702, 1, 0),
            (0o755, 0o750, 0, 1),
            (0o710, 0o770, 0, 1),
            (0o710, 0o755, 0, 1),
            (0o700, 0o770, 0, 0),
        ] {
            set(root.path(), above);
            set(&folder, itself);
            let judged = look(&one).unwrap();
            let seen = (judged.openings.len(), judged.warnings.len());
            assert_eq!(seen, (open, told), "{above:o} {itself:o}");
            assert!(judged.unclear.is_empty());
        }
    }

    #[test]
    fn a_keyring_is_shut_to_a_group_too_and_one_that_is_not_there_gives_nothing() {
        let root = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        set(root.path(), 0o755);
        let file = root.path().join("file");
        let as_key = watched(None, None, Some(file.clone()));
        let as_database = watched(None, Some(file.clone()), None);
        assert_eq!(look(&as_key), Some(Judged::default()));
        std::fs::write(&file, "bytes").unwrap();
        for (mode, key_is_open, database_is_open) in [(0o600, 0, 0), (0o640, 1, 0), (0o644, 1, 1)] {
            set(&file, mode);
            let open = |one| look(one).unwrap().openings.len();
            assert_eq!(
                (open(&as_key), open(&as_database)),
                (key_is_open, database_is_open),
                "{mode:o}"
            );
        }
        assert_eq!(look(&as_key).unwrap().openings[0].probe, "file file");
        let gone = look(&watched(Some(root.path().join("gone")), None, None)).unwrap();
        assert_eq!(gone.unclear.len(), 1, "a folder that is not there is no private one");
        assert_eq!(look(&watched(None, None, None)), None);
    }
}
