//! A store in memory that can be full, away, or slow.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result, UploadPart,
};

/// What befalls writes from now on.
#[derive(Debug, Default)]
pub struct Weather {
    full: AtomicBool,
    away: AtomicBool,
    slow_ms: AtomicU64,
}

impl Weather {
    pub fn full(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }

    pub fn away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    pub fn slow(&self, by: Duration) {
        self.slow_ms.store(by.as_millis() as u64, Ordering::SeqCst);
    }

    async fn wait(&self) {
        let slow = self.slow_ms.load(Ordering::SeqCst);
        if slow > 0 {
            tokio::time::sleep(Duration::from_millis(slow)).await;
        }
    }

    fn failure(&self) -> Option<object_store::Error> {
        let kind = if self.full.load(Ordering::SeqCst) {
            std::io::ErrorKind::StorageFull
        } else if self.away.load(Ordering::SeqCst) {
            std::io::ErrorKind::ConnectionRefused
        } else {
            return None;
        };
        Some(object_store::Error::Generic {
            store: "weather",
            source: std::io::Error::from(kind).into(),
        })
    }
}

pub struct MoodyStore {
    pub inner: std::sync::Arc<InMemory>,
    pub weather: std::sync::Arc<Weather>,
}

impl fmt::Display for MoodyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MoodyStore")
    }
}

impl fmt::Debug for MoodyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MoodyStore")
    }
}

#[async_trait]
impl ObjectStore for MoodyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.weather.wait().await;
        match self.weather.failure() {
            Some(failure) => Err(failure),
            None => self.inner.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(&self, location: &Path, opts: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Ok(Box::new(MoodyUpload {
            inner: self.inner.put_multipart_opts(location, opts).await?,
            weather: self.weather.clone(),
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
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

/// An upload in parts over the same weather; its end takes as long as a whole put.
#[derive(Debug)]
struct MoodyUpload {
    inner: Box<dyn MultipartUpload>,
    weather: std::sync::Arc<Weather>,
}

#[async_trait]
impl MultipartUpload for MoodyUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.weather.failure() {
            Some(failure) => Box::pin(async { Err(failure) }),
            None => self.inner.put_part(data),
        }
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.weather.wait().await;
        match self.weather.failure() {
            Some(failure) => Err(failure),
            None => self.inner.complete().await,
        }
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
