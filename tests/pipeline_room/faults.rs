//! A store in memory that fails or dies at a chosen operation.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::sync::Notify;

/// What happens at the chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process dies before the operation reaches the store.
    DiesBefore,
    /// The process dies after the operation has landed, before its answer is seen.
    DiesAfter,
    /// The operation fails.
    Fails,
    /// The operation lands and is answered as if it had failed.
    LandsAndFails,
}

impl Fault {
    pub const ALL: [Self; 4] = [Self::DiesBefore, Self::DiesAfter, Self::Fails, Self::LandsAndFails];
}

/// Counts the operations of every location, and strikes at one of them.
#[derive(Default)]
pub struct Faults {
    done: AtomicUsize,
    strikes_at: AtomicUsize,
    fault: std::sync::Mutex<Option<Fault>>,
    dead: AtomicBool,
    died: Notify,
    /// Objects that cannot be removed, by their names.
    stuck: std::sync::Mutex<HashSet<String>>,
    /// Uploads in parts that hold bytes and were neither completed nor aborted.
    open_parts: std::sync::Mutex<HashSet<MultipartId>>,
}

impl Faults {
    /// Strikes at the operation number `at` from now, the first being 0.
    pub fn arm(&self, at: usize, fault: Fault) {
        self.done.store(0, Ordering::SeqCst);
        self.strikes_at.store(at, Ordering::SeqCst);
        *self.fault.lock().unwrap() = Some(fault);
    }

    /// From now on this object cannot be removed.
    pub fn stick(&self, name: impl ToString) {
        self.stuck.lock().unwrap().insert(name.to_string());
    }

    /// Every object can be removed again.
    pub fn unstick(&self) {
        self.stuck.lock().unwrap().clear();
    }

    /// Every operation works again; whether the fault had struck.
    pub fn heal(&self) -> bool {
        self.dead.store(false, Ordering::SeqCst);
        self.fault.lock().unwrap().take().is_none()
    }

    /// How many operations there were since the fault was armed.
    pub fn operations(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// How many uploads in parts hold bytes that nobody put together or threw away.
    pub fn half_uploads(&self) -> usize {
        self.open_parts.lock().unwrap().len()
    }

    /// Returns when the process has died.
    pub async fn death(&self) {
        loop {
            let died = self.died.notified();
            if self.dead.load(Ordering::SeqCst) {
                return;
            }
            died.await;
        }
    }

    fn strike(&self) -> Option<Fault> {
        let mut fault = self.fault.lock().unwrap();
        let at = self.done.fetch_add(1, Ordering::SeqCst);
        match *fault {
            Some(_) if at == self.strikes_at.load(Ordering::SeqCst) => fault.take(),
            _ => None,
        }
    }

    async fn pass<T>(&self, operation: impl Future<Output = Result<T>> + Send) -> Result<T> {
        if self.dead.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        match self.strike() {
            None => operation.await,
            Some(Fault::Fails) => Err(failure()),
            Some(Fault::LandsAndFails) => {
                operation.await?;
                Err(failure())
            }
            Some(Fault::DiesBefore) => self.die().await,
            Some(Fault::DiesAfter) => {
                operation.await?;
                self.die().await
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.dead.store(true, Ordering::SeqCst);
        self.died.notify_waiters();
        std::future::pending().await
    }
}

fn failure() -> object_store::Error {
    object_store::Error::Generic {
        store: "faulty",
        source: std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut").into(),
    }
}

/// A location in memory behind [`Faults`].
pub struct FaultyStore {
    inner: Arc<InMemory>,
    faults: Arc<Faults>,
}

impl FaultyStore {
    pub fn new(inner: Arc<InMemory>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FaultyStore")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.faults.pass(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.faults.pass(self.inner.put_multipart_opts(location, opts)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.faults.pass(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        locations
            .then(move |location| {
                let (inner, faults) = (inner.clone(), faults.clone());
                async move {
                    let location = location?;
                    let name = location.filename().unwrap_or_default();
                    if faults.stuck.lock().unwrap().contains(name) {
                        return Err(failure());
                    }
                    faults.pass(inner.delete(&location)).await?;
                    Ok(location)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for FaultyStore {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.faults.pass(self.inner.create_multipart(path)).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, part_idx: usize, data: PutPayload) -> Result<PartId> {
        let put = async {
            self.faults.open_parts.lock().unwrap().insert(id.clone());
            self.inner.put_part(path, id, part_idx, data).await
        };
        self.faults.pass(put).await
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let complete = async {
            self.faults.open_parts.lock().unwrap().remove(id);
            self.inner.complete_multipart(path, id, parts).await
        };
        self.faults.pass(complete).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let abort = async {
            self.faults.open_parts.lock().unwrap().remove(id);
            self.inner.abort_multipart(path, id).await
        };
        self.faults.pass(abort).await
    }
}
