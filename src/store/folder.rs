//! A folder as a store: every write and every removal is synced before it counts, and half files of a killed process go at the next start.

use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;

use super::pieces::Pieces;
use super::{Backend, Location, Store, StoreError};
use crate::model::ObjectId;

/// A half file this old belongs to no living writer: a job's lease ends long before.
const HALF_FILE_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Opens the folder, making what is missing.
pub(super) async fn open(dir: &Path) -> Result<Store, StoreError> {
    let root = dir.to_owned();
    let opened = tokio::task::spawn_blocking(move || {
        let at = |location: Location| {
            let path = root.join(location.as_str());
            let unusable = |e: &dyn std::fmt::Display| StoreError::Config {
                reason: format!("{}: {e}; give the service a folder that it may write", path.display()),
            };
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
            made.map_err(|e| unusable(&e))?;
            remove_half_files(&path, SystemTime::now()).map_err(|e| unusable(&e))?;
            let files = LocalFileSystem::new_with_prefix(&path).map_err(|e| unusable(&e))?;
            let files = files.with_fsync(true);
            let objects: Arc<dyn ObjectStore> = match location {
                Location::Staging => {
                    make_shelves(&path, location).map_err(|e| unusable(&e))?;
                    Arc::new(Pieces::open(&path, files).map_err(|e| unusable(&e))?)
                }
                _ => Arc::new(files),
            };
            Ok(Backend {
                folder: Some(path.into()),
                ..Backend::new(objects)
            })
        };
        Ok(Store::over(
            at(Location::Data)?,
            at(Location::Staging)?,
            at(Location::KeyPlane)?,
        ))
    });
    opened.await.map_err(|e| StoreError::Unavailable(e.into()))?
}

/// Makes it durable that `removed` is no longer in the location: object_store syncs what it writes, and no removal.
pub(super) async fn sync_removal(location: &Path, removed: &object_store::path::Path) -> Result<(), StoreError> {
    let file = location.join(removed.as_ref());
    let synced = tokio::task::spawn_blocking(move || {
        let shelf = file.parent().unwrap_or(&file);
        match File::open(shelf).and_then(|shelf| shelf.sync_all()) {
            // Nothing was ever written there.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            synced => synced,
        }
    });
    let synced = synced.await.map_err(|e| StoreError::Unavailable(e.into()))?;
    synced.map_err(|e| StoreError::Unavailable(e.into()))
}

/// Of a thousand parts of the folder's disk, how many are used, as `df` counts: what only root may use is left out.
pub(super) async fn used_permille(folder: &Path) -> Result<u32, StoreError> {
    let folder = folder.to_owned();
    // A disk that hangs must not hold up a thread of requests.
    let asked = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&folder));
    let disk = asked.await.map_err(|e| StoreError::Unavailable(e.into()))?;
    let disk = disk.map_err(|e| StoreError::Unavailable(io::Error::from(e).into()))?;
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    let all = u128::from(used) + u128::from(disk.f_bavail);
    let permille = (u128::from(used) * 1000).checked_div(all).unwrap_or_default();
    Ok(u32::try_from(permille).unwrap_or(1000))
}

/// Makes every shelf that a name may want, so that no piece of an upload waits until a new one is durable too.
fn make_shelves(folder: &Path, location: Location) -> io::Result<()> {
    let mut made = false;
    // A shelf's two characters are an id's first ten bits.
    for first_bits in 0..1_u16 << 10 {
        let mut id = [0; 16];
        id[..2].copy_from_slice(&(first_bits << 6).to_be_bytes());
        let name = location.name(ObjectId::from_bytes(id));
        match DirBuilder::new().mode(0o700).create(folder.join(&name[..2])) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => {
                other?;
                made = true;
            }
        }
    }
    if made { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Removes `…#number` files that were last written long ago.
fn remove_half_files(location: &Path, now: SystemTime) -> io::Result<()> {
    for shelf in std::fs::read_dir(location)? {
        let shelf = shelf?;
        if !shelf.file_type()?.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(shelf.path())? {
            let file = file?;
            if !is_half(&file.file_name()) {
                continue;
            }
            let age = now.duration_since(file.metadata()?.modified()?).unwrap_or_default();
            if age > HALF_FILE_AGE {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}

/// Whether object_store names a file so while it is being written.
fn is_half(name: &OsStr) -> bool {
    let parts = name.to_str().and_then(|name| name.split_once('#'));
    parts.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_piece_finds_its_shelf() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path()).await.unwrap();
        let staging = dir.path().join(Location::Staging.as_str());
        assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 1 << 10);
        for _ in 0..1000 {
            let name = Location::Staging.name(ObjectId::random());
            assert!(staging.join(&name[..2]).is_dir(), "{name}");
        }
    }

    #[tokio::test]
    async fn a_removal_that_cannot_be_made_durable_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path()).await.unwrap();
        let id = ObjectId::random();
        store.put(Location::Data, id, "bytes".into()).await.unwrap();
        store.delete(Location::Data, id).await.unwrap();
        // A shelf that is there and cannot be synced: so that it shows whether anybody tries, and also for an object that
        // is gone, as its remover may have died in between.
        let name = Location::Data.path(id).to_string();
        let shelf = dir.path().join("objects").join(&name[..2]);
        std::fs::remove_dir(&shelf).unwrap();
        std::os::unix::fs::symlink("/proc/self/task", &shelf).unwrap();
        let told = store.delete(Location::Data, id).await;
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
        std::fs::remove_file(&shelf).unwrap();
        store.delete(Location::Data, id).await.unwrap();
    }

    #[test]
    fn only_old_half_files_go() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = dir.path().join("ab");
        std::fs::create_dir(&shelf).unwrap();
        let now = SystemTime::now();
        let old = now - HALF_FILE_AGE - Duration::from_secs(1);
        for (name, written) in [("whole", old), ("half#1", old), ("young#1", now), ("odd#x", old)] {
            let file = File::create(shelf.join(name)).unwrap();
            file.set_modified(written).unwrap();
        }
        remove_half_files(dir.path(), now).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(&shelf)
            .unwrap()
            .map(|f| f.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["odd#x", "whole", "young#1"]);
    }
}
