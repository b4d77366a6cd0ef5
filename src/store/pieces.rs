//! Pieces in a folder: files of their own names, made durable one by one where they are few and all at once where they are many.
//!
//! A piece is written under its name at once. What a killed process or a power cut leaves of it was promised to nobody and
//! stands in an intent, so the sweep removes it; that spares the renaming and its place in the journal. What is not writing is
//! the folder's own store's.

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path as Name;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::{mpsc, oneshot};

/// From so many on, one sync of the whole file system costs less than one of each file and its folder.
const TOGETHER: usize = 4;
/// Pieces that wait for a sync. Each is of one upload, and one that cannot be handed over waits.
const WAITING: usize = 4096;

/// The folder.
#[derive(Debug)]
pub(super) struct Pieces {
    dir: PathBuf,
    files: LocalFileSystem,
    syncs: mpsc::Sender<Ask>,
}

/// A piece that is being written.
#[derive(Debug)]
struct Piece {
    path: PathBuf,
    /// None once it is removed.
    file: Option<Arc<File>>,
    /// Where the next part belongs.
    end: u64,
    syncs: mpsc::Sender<Ask>,
}

/// A file that is written and wants to be durable.
#[derive(Debug)]
struct Ask {
    file: Arc<File>,
    shelf: PathBuf,
    done: oneshot::Sender<io::Result<()>>,
}

impl Pieces {
    /// Of a folder whose shelves are there. Starts the task that syncs; it ends with the last writer.
    pub fn open(dir: &Path, files: LocalFileSystem) -> io::Result<Self> {
        // Kept open: what failed to reach the disk since the last sync is told to whoever has the file system open since then.
        let disk = File::open(dir)?;
        let (syncs, asked) = mpsc::channel(WAITING);
        tokio::spawn(sync_all(disk, asked));
        Ok(Self {
            dir: dir.to_owned(),
            files,
            syncs,
        })
    }

    async fn begin(&self, name: &Name, is_new: bool) -> Result<Piece> {
        let path = self.dir.join(name.as_ref());
        let (dir, at) = (self.dir.clone(), path.clone());
        let file = blocking(move || create(&dir, &at, is_new)).await;
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::AlreadyExists {
                path: name.to_string(),
                source: error.into(),
            },
            _ => failed(error),
        })?;
        Ok(Piece {
            path,
            file: Some(Arc::new(file)),
            end: 0,
            syncs: self.syncs.clone(),
        })
    }
}

impl fmt::Display for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder of pieces")
    }
}

#[async_trait]
impl ObjectStore for Pieces {
    async fn put_opts(&self, location: &Name, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let is_new = matches!(opts.mode, PutMode::Create);
        let mut piece = self.begin(location, is_new).await?;
        let written = async {
            piece.put_part(payload).await?;
            piece.complete().await
        };
        let written = written.await;
        if written.is_err() {
            piece.abort().await.ok();
        }
        written
    }

    async fn put_multipart_opts(&self, location: &Name, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(self.begin(location, true).await?))
    }

    async fn get_opts(&self, location: &Name, options: GetOptions) -> Result<GetResult> {
        self.files.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Name, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Name>>) -> BoxStream<'static, Result<Name>> {
        self.files.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Name>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Name>, offset: &Name) -> BoxStream<'static, Result<ObjectMeta>> {
        self.files.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Name>) -> Result<ListResult> {
        self.files.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Name, to: &Name, options: CopyOptions) -> Result<()> {
        self.files.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartUpload for Piece {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (file, mut at) = (self.file.clone(), self.end);
        self.end += data.content_length() as u64;
        Box::pin(async move {
            let file = file.ok_or_else(removed)?;
            let written = blocking(move || {
                for bytes in data {
                    file.write_all_at(&bytes, at)?;
                    at += bytes.len() as u64;
                }
                Ok(())
            });
            written.await.map_err(failed)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let file = self.file.clone().ok_or_else(removed)?;
        let shelf = self.path.parent().unwrap_or(&self.path).to_owned();
        let (done, told) = oneshot::channel();
        let gone = || failed(io::Error::other("the task that syncs pieces has ended"));
        self.syncs.send(Ask { file, shelf, done }).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?.map_err(failed)?;
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Default::default(),
        })
    }

    /// Whoever removes makes that durable, as any removal.
    async fn abort(&mut self) -> Result<()> {
        self.file = None;
        let path = self.path.clone();
        match blocking(move || std::fs::remove_file(path)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }
}

fn create(dir: &Path, path: &Path, is_new: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .create_new(is_new)
        .mode(0o600);
    match (options.open(path), path.parent()) {
        // Somebody tidied empty folders away.
        (Err(error), Some(shelf)) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).create(shelf)?;
            File::open(dir)?.sync_all()?;
            options.open(path)
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

fn failed(error: io::Error) -> Error {
    Error::Generic {
        store: "folder of pieces",
        source: error.into(),
    }
}

fn removed() -> Error {
    failed(io::Error::other("the piece was removed"))
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;

    use super::*;

    fn shelf(dir: &Path) -> Pieces {
        std::fs::create_dir(dir.join("ab")).unwrap();
        Pieces::open(dir, LocalFileSystem::new_with_prefix(dir).unwrap()).unwrap()
    }

    fn ask(file: File, dir: &Path) -> (Ask, oneshot::Receiver<io::Result<()>>) {
        let (done, told) = oneshot::channel();
        let (file, shelf) = (Arc::new(file), dir.to_owned());
        (Ask { file, shelf, done }, told)
    }

    #[tokio::test]
    async fn many_at_once_are_all_there() {
        let dir = tempfile::tempdir().unwrap();
        let pieces = shelf(dir.path());
        let put = async |n| pieces.put(&Name::from(format!("ab/{n}")), vec![7; n].into()).await;
        let puts = (0..200).map(put);
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
        pieces.put(&Name::from("ab/c"), "piece".into()).await.unwrap();
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
        let mut piece = pieces.put_multipart(&Name::from("ab/c")).await.unwrap();
        piece.put_part("piece".into()).await.unwrap();
        piece.abort().await.unwrap();
        assert!(!dir.path().join("ab/c").exists());
        assert!(piece.complete().await.is_err(), "a removed piece is not finished");
    }
}
