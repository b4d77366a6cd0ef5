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
