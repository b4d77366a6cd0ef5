//! A secret file on disk: readable by its owner alone, whole or not there, never overwritten by accident.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::KeyringError;
use crate::digest::random;

/// Why a secret file is not read.
pub(super) enum FileError {
    Missing,
    /// Others may read it, or it is no plain file.
    Mode(u32),
    /// Longer than anything of its kind, or cut while it was read.
    Length,
    Io(io::Error),
}

impl FileError {
    /// For the keyring at `path`.
    pub fn of_keyring(self, path: &Path) -> KeyringError {
        let path = path.to_owned();
        match self {
            Self::Missing => KeyringError::Missing(path),
            Self::Mode(mode) => KeyringError::Permissions { path, mode },
            Self::Length => KeyringError::Damaged(path),
            Self::Io(error) => KeyringError::Io(error),
        }
    }
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            _ => Self::Io(error),
        }
    }
}

/// What tells a changed file from the one that was read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    device: u64,
    inode: u64,
    size_bytes: u64,
    modified_ns: (i64, i64),
    changed_ns: (i64, i64),
}

impl Seen {
    fn of(about: &fs::Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size_bytes: about.len(),
            modified_ns: (about.mtime(), about.mtime_nsec()),
            changed_ns: (about.ctime(), about.ctime_nsec()),
        }
    }
}

/// Looks at a file without reading it.
pub(super) fn look(path: &Path) -> Result<Seen, FileError> {
    Ok(Seen::of(&fs::metadata(path)?))
}

/// Reads a file of at most `limit` bytes whose permissions are `fit`.
///
/// A link is followed, as secrets that a cluster mounts are links; what counts is the file that was opened.
pub(super) fn read(path: &Path, limit: usize, fit: fn(u32) -> bool) -> Result<(Zeroizing<Vec<u8>>, Seen), FileError> {
    let mut file = File::open(path)?;
    let about = file.metadata()?;
    let mode = about.mode() & 0o7777;
    if !about.is_file() || !fit(mode) {
        return Err(FileError::Mode(mode));
    }
    if about.len() > limit as u64 {
        return Err(FileError::Length);
    }
    // In full at once: a growing vector would leave copies behind.
    let mut bytes = Zeroizing::new(vec![0; about.len() as usize]);
    file.read_exact(&mut bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => FileError::Length,
        _ => FileError::Io(error),
    })?;
    Ok((bytes, Seen::of(&about)))
}

/// Readable by its owner and by nobody else.
pub(super) fn is_private(mode: u32) -> bool {
    matches!(mode, 0o600 | 0o400)
}

/// Makes a new file: written whole under another name, then given its name, which must be free.
///
/// A hard link gives the name, not a rename: a rename would replace what another process made in between.
pub(super) fn create(path: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    let half = beside(path, &format!("new-{}", HEXLOWER.encode(&random::<8>())));
    let made = write_half(&half, bytes).and_then(|()| fs::hard_link(&half, path));
    // The half file goes in any case; the first error is the one to tell.
    let gone = fs::remove_file(&half);
    match made {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(KeyringError::Exists(path.to_owned())),
        Err(error) => return Err(error.into()),
        Ok(()) => gone?,
    }
    Ok(sync_folder(path)?)
}

/// How long a change waits for another one; each writes a few kilobytes.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A change of a file, alone while it lasts: the half file is its lock. The operating system lets go of the lock when a process
/// dies, and the next change takes the half file that was left over.
pub(super) struct Replacement<'a> {
    path: &'a Path,
    half: PathBuf,
    file: File,
    renamed: bool,
}

impl<'a> Replacement<'a> {
    /// Takes the lock; waits for a change under way, for a moment.
    pub fn begin(path: &'a Path) -> Result<Self, KeyringError> {
        let half = beside(path, "change");
        let began = Instant::now();
        loop {
            if let Some(file) = lock_half(&half)? {
                return Ok(Self {
                    path,
                    half,
                    file,
                    renamed: false,
                });
            }
            if began.elapsed() >= PATIENCE {
                return Err(KeyringError::Busy(half));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Puts the new bytes in place of the old ones; after an error the old ones may still be there.
    pub fn commit(mut self, bytes: &[u8]) -> Result<(), KeyringError> {
        self.file.set_len(0)?;
        // Whoever made the file that was left over, and however: the keys in it are their owner's alone.
        self.file.set_permissions(fs::Permissions::from_mode(0o600))?;
        self.file.write_all(bytes)?;
        self.file.sync_all()?;
        fs::rename(&self.half, self.path)?;
        self.renamed = true;
        Ok(sync_folder(self.path)?)
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        // After a rename the name is free and may be another process's lock already; after a failure it is ours and must go.
        if !self.renamed {
            let _ = fs::remove_file(&self.half);
        }
    }
}

/// The half file, locked; none while another change has it.
fn lock_half(half: &Path) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(half)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Whoever had the lock before may have given the file the other name since it was opened here; and a link is no lock.
    let (ours, named) = (file.metadata()?, half.symlink_metadata());
    let same = named.is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
    Ok(same.then_some(file))
}

fn open_half(half: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(half)
}

fn write_half(half: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = open_half(half)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// The name is durable only once the folder is.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
