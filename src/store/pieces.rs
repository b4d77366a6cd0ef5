//! Pieces in a folder: files of their own names, made durable one by one where they are few and all at once where they are many.
//!
//! A piece is written under its name at once. What a killed process or a power cut leaves of it was promised to nobody and
//! stands in an intent, so the sweep removes it; that spares the renaming and its place in the journal.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// From so many on, one sync of the whole file system costs less than one of each file and its folder.
const TOGETHER: usize = 4;
/// Pieces that wait for a sync. Each is of one upload, and one that cannot be handed over waits.
const WAITING: usize = 4096;

/// The folder. Cheap to clone.
#[derive(Clone)]
pub(super) struct Pieces {
    dir: PathBuf,
    syncs: mpsc::Sender<Ask>,
}

/// A piece that is being written.
pub(super) struct Piece {
    path: PathBuf,
    file: Option<File>,
    under_way: Option<AbortOnDropHandle<io::Result<File>>>,
    syncs: mpsc::Sender<Ask>,
}

/// A file that is written and wants to be durable.
struct Ask {
    file: File,
    shelf: PathBuf,
    done: oneshot::Sender<io::Result<()>>,
}

impl Pieces {
    /// Of a folder whose shelves are there. Starts the task that syncs; it ends with the last clone.
    pub fn open(dir: &Path) -> io::Result<Self> {
        // Kept open: what failed to reach the disk since the last sync is told to whoever has the file system open since then.
        let disk = File::open(dir)?;
        let (syncs, asked) = mpsc::channel(WAITING);
        tokio::spawn(sync_all(disk, asked));
        Ok(Self {
            dir: dir.to_owned(),
            syncs,
        })
    }

    /// Begins a piece; a name that is taken is an error.
    pub async fn begin(&self, name: &object_store::path::Path) -> io::Result<Piece> {
        let path = self.dir.join(name.as_ref());
        let made = {
            let (dir, path) = (self.dir.clone(), path.clone());
            blocking(move || create(&dir, &path))
        };
        Ok(Piece {
            path,
            file: Some(made.await?),
            under_way: None,
            syncs: self.syncs.clone(),
        })
    }

    /// Writes a whole piece; it is durable afterwards.
    pub async fn put(&self, name: &object_store::path::Path, bytes: Bytes) -> io::Result<()> {
        let mut piece = self.begin(name).await?;
        let written = async {
            piece.put(bytes).await?;
            piece.finish().await
        };
        let written = written.await;
        if written.is_err() {
            piece.remove().await.ok();
        }
        written
    }
}

impl Piece {
    /// Begins to write what follows, after what came before is written.
    pub async fn put(&mut self, bytes: Bytes) -> io::Result<()> {
        let mut file = self.settle().await?;
        let written = tokio::task::spawn_blocking(move || file.write_all(&bytes).map(|()| file));
        self.under_way = Some(AbortOnDropHandle::new(written));
        Ok(())
    }

    /// Makes it durable.
    pub async fn finish(&mut self) -> io::Result<()> {
        let file = self.settle().await?;
        let (done, told) = oneshot::channel();
        let shelf = self.path.parent().unwrap_or(&self.path).to_owned();
        let gone = || io::Error::other("the task that syncs pieces has ended");
        self.syncs.send(Ask { file, shelf, done }).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// Removes it. The caller makes that durable, as any removal.
    pub async fn remove(&mut self) -> io::Result<()> {
        // Whether the last of it was written does not matter any more.
        self.settle().await.ok();
        let path = self.path.clone();
        match blocking(move || std::fs::remove_file(path)).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    async fn settle(&mut self) -> io::Result<File> {
        if let Some(under_way) = self.under_way.take() {
            return under_way.await.map_err(io::Error::other)?;
        }
        self.file
            .take()
            .ok_or_else(|| io::Error::other("a piece that failed is written no further"))
    }
}

fn create(dir: &Path, path: &Path) -> io::Result<File> {
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match (create(), path.parent()) {
        // Somebody tidied empty folders away.
        (Err(error), Some(shelf)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).create(shelf)?;
            File::open(dir)?.sync_all()?;
            create()
        }
        (made, _) => made,
    }
}

/// Answers who asks. While one round is under way the next one gathers.
async fn sync_all(disk: File, mut asked: mpsc::Receiver<Ask>) {
    let mut round = Vec::new();
    let mut disk = Some(disk);
    while asked.recv_many(&mut round, WAITING).await > 0 {
        let Some(kept) = disk.take() else { return };
        let asks = std::mem::take(&mut round);
        let synced = tokio::task::spawn_blocking(move || {
            sync_round(&kept, asks);
            kept
        });
        disk = synced.await.ok();
    }
}

fn sync_round(disk: &File, asks: Vec<Ask>) {
    if asks.len() < TOGETHER {
        for Ask { file, shelf, done } in asks {
            let synced = file
                .sync_all()
                .and_then(|()| File::open(shelf))
                .and_then(|shelf| shelf.sync_all());
            // Whoever asked may be gone.
            let _ = done.send(synced);
        }
        return;
    }
    let synced = rustix::fs::syncfs(disk);
    for Ask { done, .. } in asks {
        let _ = done.send(synced.map_err(io::Error::from));
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use object_store::path::Path as Name;

    use super::*;

    fn shelf(dir: &Path) -> Pieces {
        std::fs::create_dir(dir.join("ab")).unwrap();
        Pieces::open(dir).unwrap()
    }

    fn ask(file: File, dir: &Path) -> (Ask, oneshot::Receiver<io::Result<()>>) {
        let (done, told) = oneshot::channel();
        let shelf = dir.to_owned();
        (Ask { file, shelf, done }, told)
    }

    #[tokio::test]
    async fn many_at_once_are_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = shelf(dir.path());
        let puts = (0..200).map(|n| {
            let pieces = pieces.clone();
            async move {
                pieces
                    .put(&Name::from(format!("ab/{n}")), Bytes::from(vec![7; n]))
                    .await
            }
        });
        futures_util::future::try_join_all(puts).await.unwrap();
        for n in 0..200 {
            assert_eq!(std::fs::read(dir.path().join(format!("ab/{n}"))).unwrap(), vec![7; n]);
        }
    }

    #[tokio::test]
    async fn a_shelf_that_was_tidied_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = shelf(dir.path());
        std::fs::remove_dir(dir.path().join("ab")).unwrap();
        pieces
            .put(&Name::from("ab/c"), Bytes::from_static(b"piece"))
            .await
            .unwrap();
        assert_eq!(std::fs::read(dir.path().join("ab/c")).unwrap(), b"piece");
    }

    #[tokio::test]
    async fn what_cannot_be_made_durable_is_told_to_each_who_waits() {
        let dir = tempfile::tempdir().unwrap();
        let whole = || File::create(dir.path().join("whole")).unwrap();
        // A file system of which only the path is held is not synced, nor is a socket.
        let no_disk = OpenOptions::new()
            .read(true)
            .custom_flags(rustix::fs::OFlags::PATH.bits().cast_signed())
            .open(dir.path())
            .unwrap();
        let (asks, told): (Vec<_>, Vec<_>) = (0..TOGETHER).map(|_| ask(whole(), dir.path())).unzip();
        sync_round(&no_disk, asks);
        for told in told {
            assert!(told.await.unwrap().is_err());
        }
        let socket = std::os::unix::net::UnixStream::pair().unwrap().0;
        let socket = File::from(std::os::fd::OwnedFd::from(socket));
        let (bad, told_bad) = ask(socket, dir.path());
        let (good, told_good) = ask(whole(), dir.path());
        sync_round(&no_disk, vec![bad, good]);
        assert!(told_bad.await.unwrap().is_err());
        told_good.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_piece_that_failed_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = shelf(dir.path());
        let mut piece = pieces.begin(&Name::from("ab/c")).await.unwrap();
        piece.put(Bytes::from_static(b"piece")).await.unwrap();
        piece.remove().await.unwrap();
        assert!(!dir.path().join("ab/c").exists());
        assert!(piece.finish().await.is_err(), "a removed piece is not finished");
    }
}
