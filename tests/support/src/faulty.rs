//! An object store in memory that fails when a test says so: before an operation, or after it has landed.

use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What is about to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `put`, `get`, `delete`, `list`, `create_multipart`, `put_part`, `complete_multipart` or `abort_multipart`.
    pub name: &'static str,
    /// The object's name; empty for a listing.
    pub path: String,
    /// How many operations came before.
    pub number: usize,
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The store does not answer, and nothing was done.
    Down,
    /// The store has no room, and nothing was done.
    Full,
    /// It was done, and the answer was lost.
    Lost,
    /// A part was said to be kept, and was thrown away. Any other operation is done as ever.
    Forgotten,
}

type Rule = Box<dyn Fn(&Operation) -> Option<Fault> + Send>;

/// The store; clones are the same store. What it holds can be read and changed behind its back.
#[derive(Clone)]
pub struct Faulty {
    inner: InMemory,
    watch: Arc<Watch>,
}

struct Watch {
    rule: Mutex<Rule>,
    seen: Mutex<Vec<Operation>>,
}

impl Watch {
    fn judge(&self, name: &'static str, path: &str) -> Option<Fault> {
        let mut seen = self.seen.lock().expect("no test panics with the lock");
        let operation = Operation {
            name,
            path: path.to_owned(),
            number: seen.len(),
        };
        seen.push(operation.clone());
        drop(seen);
        (self.rule.lock().expect("no test panics with the lock"))(&operation)
    }

    async fn run<T>(&self, name: &'static str, path: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.judge(name, path) {
            None | Some(Fault::Forgotten) => work.await,
            Some(Fault::Lost) => {
                work.await?;
                Err(failure(Fault::Lost))
            }
            Some(fault) => Err(failure(fault)),
        }
    }
}

impl Default for Faulty {
    fn default() -> Self {
        Self::new()
    }
}

impl Faulty {
    /// A store that does not fail yet.
    pub fn new() -> Self {
        Self {
            inner: InMemory::new(),
            watch: Arc::new(Watch {
                rule: Mutex::new(Box::new(|_| None)),
                seen: Mutex::default(),
            }),
        }
    }

    /// From now on asks `rule` before every operation.
    pub fn fail(&self, rule: impl Fn(&Operation) -> Option<Fault> + Send + 'static) {
        *self.watch.rule.lock().expect("no test panics with the lock") = Box::new(rule);
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.fail(|_| None);
    }

    /// Every operation so far, those that failed too.
    pub fn seen(&self) -> Vec<Operation> {
        self.watch.seen.lock().expect("no test panics with the lock").clone()
    }

    /// The names of all objects.
    pub async fn names(&self) -> Vec<String> {
        let mut listing = self.inner.list(None);
        let mut names = Vec::new();
        while let Some(meta) = listing.next().await {
            names.push(meta.expect("a listing of memory").location.to_string());
        }
        names
    }

    /// An object's bytes.
    pub async fn object(&self, name: &str) -> Bytes {
        let got = self.inner.get(&Path::from(name)).await.expect("the object is there");
        got.bytes().await.expect("its bytes")
    }

    /// Loses an object.
    pub async fn remove(&self, name: &str) {
        let removed = self.inner.delete(&Path::from(name)).await;
        removed.expect("the object was there");
    }

    /// Puts other bytes in an object's place.
    pub async fn replace(&self, name: &str, bytes: impl Into<Bytes>) {
        let payload = PutPayload::from(bytes.into());
        self.inner
            .put(&Path::from(name), payload)
            .await
            .expect("memory has room");
    }
}

fn failure(fault: Fault) -> Error {
    let kind = match fault {
        Fault::Down | Fault::Lost | Fault::Forgotten => io::ErrorKind::ConnectionReset,
        Fault::Full => io::ErrorKind::StorageFull,
    };
    Error::Generic {
        store: "faulty",
        source: Box::new(io::Error::from(kind)),
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        let work = self.inner.put_opts(location, payload, opts);
        self.watch.run("put", location.as_ref(), work).await
    }

    async fn put_multipart_opts(
        &self,
        _location: &Path,
        _opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(Error::NotSupported {
            source: "this store names its uploads in parts".into(),
        })
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let work = self.inner.get_opts(location, options);
        self.watch.run("get", location.as_ref(), work).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let work = self.inner.get_ranges(location, ranges);
        self.watch.run("get", location.as_ref(), work).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        // One by one, as a service would: what failed is told, the rest goes on.
        let faulty = self.clone();
        let delete = move |location: Result<Path>| {
            let faulty = faulty.clone();
            async move {
                let location = location?;
                let work = faulty.inner.delete(&location);
                faulty.watch.run("delete", location.as_ref(), work).await?;
                Ok(location)
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.watch.judge("list", prefix.map_or("", |p| p.as_ref())) {
            None | Some(Fault::Forgotten) => self.inner.list(prefix),
            Some(fault) => futures_util::stream::once(std::future::ready(Err(failure(fault)))).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let work = self.inner.list_with_delimiter(prefix);
        self.watch.run("list", prefix.map_or("", |p| p.as_ref()), work).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let work = self.inner.copy_opts(from, to, options);
        self.watch.run("copy", to.as_ref(), work).await
    }
}

#[async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        let work = self.inner.create_multipart(path);
        self.watch.run("create_multipart", path.as_ref(), work).await
    }

    async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, payload: PutPayload) -> Result<PartId> {
        match self.watch.judge("put_part", path.as_ref()) {
            None => self.inner.put_part(path, id, index, payload).await,
            Some(Fault::Forgotten) => Ok(PartId {
                content_id: String::new(),
            }),
            Some(Fault::Lost) => {
                self.inner.put_part(path, id, index, payload).await?;
                Err(failure(Fault::Lost))
            }
            Some(fault) => Err(failure(fault)),
        }
    }

    async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<PutResult> {
        let work = self.inner.complete_multipart(path, id, parts);
        self.watch.run("complete_multipart", path.as_ref(), work).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        let work = self.inner.abort_multipart(path, id);
        self.watch.run("abort_multipart", path.as_ref(), work).await
    }
}
