//! Resumable uploads as sealed pieces, and their receipts.
//!
//! A request's bytes belong to a writer task that outlives the request. The writer cuts them into pieces, each an immutable
//! sealed object in the staging location, and moves the upload's offset past a piece only in the transaction that names
//! it. There is one truth for the offset, the row; it is told after the commit and never before. The newest request on an
//! upload wins: it raises the row's epoch, and a writer of an older epoch moves nothing any more.

mod checksum;
mod error;
mod status;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;

pub use checksum::{Checksum, ChecksumAlgorithm};
pub use error::IngestError;
pub use status::{ReceiptState, Swept, UploadStatus};

use crate::access::Principal;
use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::model::{ClipId, Clock};
use crate::vault::Vault;

/// What receiving is bounded by.
#[derive(Debug, Clone)]
pub struct Config {
    /// The longest upload taken.
    pub max_upload_bytes: u64,
    /// A piece ends when its first byte is this old.
    pub piece_time: Duration,
    /// Plaintext and sealed bytes of pieces under way in this process, beside 256 KiB an upload.
    pub buffer_bytes: usize,
    /// An upload to which nothing came for so long is ended.
    pub expires_after: Duration,
    /// A body that brings no byte for so long ends as if it were cut.
    pub body_idle: Duration,
    /// Requests that bring bytes at the same time in this process; more are asked to come back.
    pub max_writers: usize,
}

/// Receives uploads. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    vault: Vault,
    catalog: Catalog,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The object format ends there; a length of 64 GiB is its own padding.
            max_upload_bytes: 64 << 30,
            piece_time: Duration::from_millis(500),
            buffer_bytes: 64 << 20,
            expires_after: Duration::from_secs(7 * 24 * 3600),
            body_idle: Duration::from_secs(30),
            max_writers: 2048,
        }
    }
}

impl Ingest {
    /// Must be called on the runtime that outlives the requests: the writers run there.
    pub fn new(config: Config, vault: Vault, catalog: Catalog, audit: Audit, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                vault,
                catalog,
                audit,
                clock,
            }),
        }
    }

    /// The longest upload taken, for `Tus-Max-Size`.
    pub fn max_upload_bytes(&self) -> u64 {
        self.inner.config.max_upload_bytes
    }

    /// Begins an upload of `length` bytes; `metadata` is the header `Upload-Metadata` as it came.
    ///
    /// # Errors
    /// [`IngestError::Empty`], [`IngestError::TooLarge`], [`IngestError::InvalidMetadata`], [`IngestError::Forbidden`] to
    /// the holder of a link, [`IngestError::Busy`].
    pub async fn create(
        &self,
        who: &Principal,
        length: u64,
        metadata: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        let _ = (who, length, metadata, &self.inner.vault, &self.inner.catalog);
        todo!()
    }

    /// Where an upload stands (HEAD). What an older request has under way is flushed, and the older request ends.
    pub async fn offset(&self, who: &Principal, id: ClipId) -> Result<UploadStatus, IngestError> {
        let _ = (who, id, &self.inner.audit);
        todo!()
    }

    /// Appends a body at `offset` (PATCH, and the body of a creation at offset 0). `body_bytes` is the length that was
    /// announced, if any. All bytes told are durable. With a checksum the body is taken whole or not at all; it may then
    /// have at most [`Checksum::MAX_BODY_BYTES`].
    ///
    /// Dropping the future ends the body: what had arrived is kept.
    ///
    /// # Errors
    /// [`IngestError::Mismatch`] tells the right offset. [`IngestError::Interrupted`] when the body broke off or stalled:
    /// what had arrived is kept, unless it had a checksum. [`IngestError::Fenced`] when a newer request took over.
    pub async fn append<E>(
        &self,
        who: &Principal,
        id: ClipId,
        offset: u64,
        body_bytes: Option<u64>,
        checksum: Option<Checksum>,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<UploadStatus, IngestError> {
        let _ = (who, id, offset, body_bytes, checksum, body);
        todo!()
    }

    /// Ends an upload that is not complete, for its owner (DELETE). Its bytes are removed.
    pub async fn terminate(&self, who: &Principal, id: ClipId) -> Result<(), IngestError> {
        let _ = (who, id);
        todo!()
    }

    /// The receipt of a finished upload.
    pub async fn receipt(&self, who: &Principal, id: ClipId) -> Result<ReceiptState, IngestError> {
        let _ = (who, id);
        todo!()
    }

    /// Completes what a crash left with all its bytes durable but not complete; call it at start-up. How many.
    pub async fn recover(&self) -> Result<u64, IngestError> {
        todo!()
    }

    /// Ends uploads to which nothing came for too long and gives the bytes of ended ones to the sweep of intents; call it
    /// every few minutes, on any number of nodes.
    pub async fn sweep(&self) -> Result<Swept, IngestError> {
        let _ = &self.inner.clock;
        todo!()
    }

    /// Ends every writer as a cut would and waits until what they had is durable; then all requests are refused as busy.
    pub async fn shut_down(&self) {
        todo!()
    }
}
