//! Small files that are there whole or not at all, also after a power cut.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::ClientError;
use crate::error::Doing;

/// As many as a device file has at most, so that a full disk is told by the trial.
const TRIAL_BYTES: usize = 1 << 10;

/// Whether a file can be made in the folder of `path`: tried with a private one beside it, which is removed.
pub(crate) fn can_write(path: &Path) -> Result<(), ClientError> {
    let failed = |source| failure(path, source);
    let temporary = beside(path).map_err(failed)?;
    let written = write_synced(&temporary, &[0; TRIAL_BYTES]);
    // Not there when it could not be made.
    let _ = std::fs::remove_file(&temporary);
    written.map_err(failed)
}

/// Writes a file that only its owner may read; with `keep` one that is there already is an error (`AlreadyExists`).
pub(crate) fn write(path: &Path, bytes: &[u8], keep: bool) -> Result<(), ClientError> {
    let failed = |source| failure(path, source);
    let temporary = beside(path).map_err(failed)?;
    let written = write_synced(&temporary, bytes).and_then(|()| put_in_place(&temporary, path, keep));
    // Gone already when it was renamed.
    let _ = std::fs::remove_file(&temporary);
    written.and_then(|()| sync_folder_of(path)).map_err(failed)
}

/// Makes durable that a file was made, renamed or removed.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// A folder that only its owner may look into, and those above it.
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), ClientError> {
    use std::os::unix::fs::DirBuilderExt as _;
    if folder.is_dir() {
        return Ok(());
    }
    let mut builder = std::fs::DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.and_then(|()| sync_folder_of(folder))
        .map_err(|source| failure(folder, source))
}

/// A file or folder that cannot be read.
pub(crate) fn unreadable(path: &Path, source: io::Error) -> ClientError {
    ClientError::File {
        path: path.to_owned(),
        doing: Doing::Read,
        source,
    }
}

/// A file or folder that cannot be written.
pub(crate) fn unwritable(path: &Path, source: io::Error) -> ClientError {
    failure(path, source)
}

/// Opens a file that only its owner may read, to lock it; made if it is not there.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn failure(path: &Path, source: io::Error) -> ClientError {
    ClientError::File {
        path: path.to_owned(),
        doing: Doing::Write,
        source,
    }
}

/// A new name in the same folder.
fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let random = data_encoding::HEXLOWER.encode(&dashvault_keys::digest::random::<8>());
    Ok(folder_of(path).join(format!(".{}.{random}", name.to_string_lossy())))
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn put_in_place(temporary: &Path, path: &Path, keep: bool) -> io::Result<()> {
    if !keep {
        return std::fs::rename(temporary, path);
    }
    match std::fs::hard_link(temporary, path) {
        // Memory cards have file systems without links; there a look has to do.
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            if path.try_exists()? {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(temporary, path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_written_file_is_private_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.json");
        write(&path, b"one", true).unwrap();
        write(&path, b"two", false).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }

    #[test]
    fn a_trial_leaves_nothing_and_tells_a_folder_that_takes_no_files() {
        let dir = tempfile::tempdir().unwrap();
        can_write(&dir.path().join("device.json")).unwrap();
        assert_eq!(dir.path().read_dir().unwrap().count(), 0);
        let missing = can_write(&dir.path().join("missing/device.json")).unwrap_err();
        assert!(missing.to_string().ends_with("cannot be written"), "{missing}");
    }

    #[test]
    fn what_is_to_be_kept_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("device.json");
        write(&path, b"one", true).unwrap();
        let refused = write(&path, b"two", true).unwrap_err();
        assert!(
            matches!(&refused, ClientError::File { source, .. } if source.kind() == io::ErrorKind::AlreadyExists),
            "{refused:?}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(dir.path().read_dir().unwrap().count(), 1);
    }
}
