//! One service a data folder. Workers and commands come beside it: they take no lock.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;

use super::config::DataConfig;
use super::rooms::{self, RoomsError};
use crate::{catalog, store};

/// The lock's file in the data folder. What counts is the kernel's lock on it, which ends with the process however it ends;
/// the number in it is for people.
const FILE: &str = "lock";
/// A process's number and a line's end; whatever else lies there is not read.
const MAX_NUMBER_BYTES: u64 = 16;

/// Held as long as the service lives.
pub(super) struct FolderLock {
    _file: File,
}

/// Locks the data folder of a vault that lives in it; `None` where database or objects are elsewhere, and any number of
/// services share them.
pub(super) fn take(config: &DataConfig) -> Result<Option<FolderLock>, RoomsError> {
    let embedded = matches!(
        (&config.catalog, &config.store),
        (catalog::Config::Sqlite { .. }, store::Config::Folder { .. })
    );
    if !embedded {
        return Ok(None);
    }
    rooms::make_private_folder(&config.data)?;
    let folder = || config.data.display().to_string();
    let failed = |source| RoomsError::Unlockable {
        folder: folder(),
        source,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let mut file = options.open(config.data.join(FILE)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(RoomsError::InUse {
                folder: folder(),
                process: number_in(&mut file),
            });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    let noted = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    noted.map_err(failed)?;
    Ok(Some(FolderLock { _file: file }))
}

/// Who has the lock, as a person would say it.
fn number_in(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.take(MAX_NUMBER_BYTES).read_to_string(&mut text);
    match text.trim().parse::<u32>() {
        Ok(number) if read.is_ok() => format!("process {number}"),
        _ => "another process".to_owned(),
    }
}
