//! The folder as a bucket: what other users of the machine may read of it, and of the files that hold keys.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::judge::{FOLDER, Judged};
use crate::catalog::Opening;

/// What others than the owner may do; a group counts, for who is in it is decided elsewhere.
const OTHERS: u32 = 0o077;
/// Without it on a folder nobody gets at what is beneath.
const ENTER: u32 = 0o011;

/// Looks at a folder, and at files; those that are not there give nothing away.
pub(super) fn look(folder: Option<&Path>, files: &[std::path::PathBuf]) -> Judged {
    let mut judged = Judged::default();
    let all = folder.into_iter().map(|path| (path, "folder"));
    for (path, probe) in all.chain(files.iter().map(|path| (path.as_path(), "file"))) {
        match is_reachable(path) {
            Ok(false) => {}
            Ok(true) => judged.openings.push(Opening {
                form: FOLDER.to_owned(),
                probe: format!("{probe} {}", name(path)),
                object: None,
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound && probe == "file" => {}
            Err(error) => judged.unclear.push(format!("{probe} {}: {}", name(path), error.kind())),
        }
    }
    judged
}

/// Whether others may do anything with it: its own permissions let them, and no folder above keeps them out.
fn is_reachable(path: &Path) -> io::Result<bool> {
    let path = path.canonicalize()?;
    if mode(&path)? & OTHERS == 0 {
        return Ok(false);
    }
    for folder in path.ancestors().skip(1) {
        if mode(folder)? & ENTER == 0 {
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
    use std::fs::Permissions;

    fn set(path: &Path, mode: u32) {
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn others_get_at_a_folder_if_every_step_lets_them() {
        let root = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let folder = root.path().join("objects");
        std::fs::create_dir(&folder).unwrap();
        for (above, itself, open) in [
            (0o755, 0o700, false),
            (0o700, 0o755, false),
            (0o711, 0o755, true),
            (0o755, 0o750, true),
            (0o711, 0o711, true),
        ] {
            set(root.path(), above);
            set(&folder, itself);
            let judged = look(Some(&folder), &[]);
            assert_eq!(!judged.openings.is_empty(), open, "{above:o} {itself:o}");
            assert!(judged.unclear.is_empty());
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_an_opening_and_one_that_is_not_there_is_none() {
        let root = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        set(root.path(), 0o755);
        let key = root.path().join("keyring");
        assert_eq!(look(None, std::slice::from_ref(&key)), Judged::default());
        std::fs::write(&key, "key").unwrap();
        set(&key, 0o600);
        assert!(look(None, std::slice::from_ref(&key)).openings.is_empty());
        set(&key, 0o640);
        assert_eq!(look(None, &[key]).openings[0].probe, "file keyring");
        let gone = look(Some(&root.path().join("gone")), &[]);
        assert_eq!(gone.unclear.len(), 1, "a folder that is not there is no private one");
    }
}
