//! Resumable uploads as sealed pieces, and their receipts.
//!
//! A request's bytes belong to a writer task that outlives the request. The writer cuts them into pieces, each an immutable
//! sealed object in the staging location, and moves the upload's offset past a piece only in the transaction that names
//! it. There is one truth for the offset, the row; it is told after the commit and never before. The newest request on an
//! upload wins: it raises the row's epoch, and a writer of an older epoch moves nothing any more.

mod append;
mod beginnings;
mod begun;
mod budget;
mod checksum;
mod committer;
mod concat;
mod create;
mod ending;
mod error;
mod live;
mod marks;
mod metadata;
mod overtaken;
mod pace;
mod quota;
mod receipt;
mod status;
mod turns;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::runtime::Handle;

pub use checksum::{Checksum, ChecksumAlgorithm};
pub use error::IngestError;
pub use quota::{Quota, Usage};
pub use status::{ReceiptKey, ReceiptState, Swept, UploadStatus};

use crate::access::Principal;
use crate::audit::Audit;
use crate::catalog::{Catalog, UploadRow};
pub use crate::catalog::{Kept, KeptBy, Quotas};
use crate::model::{ClipId, Clock, DeviceId, OwnerId, UnixMs, UploadState};
use crate::vault::Vault;

pub use append::{Body, UploadEnd};
use beginnings::Beginnings;
use budget::Budget;
use committer::Committer;
use create::Creation;
use live::Live;
use marks::Marks;
use turns::{Turn, Turns, sender};

/// What a client is told when too much is being received: to come back in so many seconds.
const BUSY: IngestError = IngestError::Busy { retry_after_secs: 5 };

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
    /// The same of an event, which its vehicle may bring long after the accident.
    pub event_expires_after: Duration,
    /// A body that brings no byte for so long ends as if it were cut.
    pub body_idle: Duration,
    /// A body ends so, too, when it brought fewer bytes than this in [`Config::slow_window`] of waiting for it.
    pub slow_bytes: u64,
    /// Over what time a body's pace is looked at.
    pub slow_window: Duration,
    /// From so much of the disk on, routine clips are asked to come later.
    pub routine_below_percent: u32,
    /// And from so much on, everything but events, also what has begun.
    pub events_only_percent: u32,
    /// Requests that bring bytes at the same time in this process; more are asked to come back.
    pub max_writers: usize,
    /// Of those, at most so many by one vehicle.
    pub max_writers_each: usize,
    /// And by one owner's apps together.
    pub max_writers_of_owner: usize,
    /// Open uploads of one vehicle; more are asked to come back when some have ended.
    pub max_open_each: u64,
    /// Open uploads of one owner, the vehicles' included.
    pub max_open_of_owner: u64,
    /// What an owner and each vehicle may keep, unless something else was said of that owner.
    pub quotas: Quotas,
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
    runtime: Handle,
    committer: Committer,
    live: Live,
    budget: Budget,
    turns: Turns,
    beginnings: Beginnings,
    marks: Marks,
    closing: AtomicBool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // The object format ends there; a length of 64 GiB is its own padding.
            max_upload_bytes: 64 << 30,
            piece_time: Duration::from_millis(500),
            buffer_bytes: 64 << 20,
            expires_after: Duration::from_secs(7 * 24 * 3600),
            event_expires_after: Duration::from_secs(31 * 24 * 3600),
            body_idle: Duration::from_secs(30),
            // A phone on the edge of a cell of 2G brings eight times as much.
            slow_bytes: 15 << 10,
            slow_window: Duration::from_secs(60),
            routine_below_percent: 85,
            events_only_percent: 95,
            max_writers: 2048,
            // A client of ours sends one file at a time.
            max_writers_each: 4,
            // Several browsers, of six connections each.
            max_writers_of_owner: 32,
            // A week of a vehicle that begins an upload an hour and ends none.
            max_open_each: 256,
            max_open_of_owner: 4096,
            quotas: Quotas::default(),
        }
    }
}

impl Ingest {
    /// Must be called on the runtime that outlives the requests: the writers run there.
    pub fn new(config: Config, vault: Vault, catalog: Catalog, audit: Audit, clock: Arc<dyn Clock>) -> Self {
        let committer = Committer::start(vault.tenant(), catalog.clone(), audit.clone(), Arc::clone(&clock));
        let inner = Arc::new(Inner {
            budget: Budget::new(config.buffer_bytes),
            turns: Turns::new(config.max_writers),
            beginnings: Beginnings::default(),
            marks: Marks::default(),
            config,
            vault,
            catalog,
            audit,
            clock,
            runtime: Handle::current(),
            committer,
            live: Live::default(),
            closing: AtomicBool::new(false),
        });
        tokio::spawn(overtaken::watch(Arc::downgrade(&inner)));
        Self { inner }
    }

    /// The longest upload taken, for `Tus-Max-Size`.
    pub fn max_upload_bytes(&self) -> u64 {
        self.inner.config.max_upload_bytes
    }

    /// Begins an upload of `length` bytes, or of as many as its sender says later; `metadata` is the header `Upload-Metadata`
    /// as it came. Repeated by the same vehicle for the same clip, because the answer was lost, it tells where the upload
    /// stands that was begun before, or that all of the clip is there.
    ///
    /// # Errors
    /// [`IngestError::Empty`], [`IngestError::TooLarge`], [`IngestError::InvalidMetadata`], [`IngestError::Forbidden`] to
    /// the holder of a link, [`IngestError::Busy`], [`IngestError::OverQuota`].
    pub async fn create(
        &self,
        who: &Principal,
        length: Option<u64>,
        metadata: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        self.create_upload(who, Creation::Resumable, length, metadata).await
    }

    /// Begins an upload that comes in one request, whole or not at all: always a new one.
    ///
    /// # Errors
    /// As [`Ingest::create`].
    pub async fn create_plain(
        &self,
        who: &Principal,
        length: Option<u64>,
        metadata: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        self.create_upload(who, Creation::Plain, length, metadata).await
    }

    /// Begins a partial upload: bytes that become part of a clip when they are joined with others, and expire otherwise. Of
    /// its metadata the kind counts, for how long it waits; what is said of the clip is said when they are joined.
    ///
    /// # Errors
    /// As [`Ingest::create`].
    pub async fn create_partial(
        &self,
        who: &Principal,
        length: Option<u64>,
        metadata: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        self.create_upload(who, Creation::Partial, length, metadata).await
    }

    /// Makes one upload of partial ones, in this order. It is complete at once: no byte is copied, and what the parts hold
    /// is sealed into the clip from where it lies. Repeated, it tells of the upload that was made.
    ///
    /// # Errors
    /// [`IngestError::InvalidParts`], [`IngestError::PartMissing`] while a part has not all its bytes,
    /// [`IngestError::PartTaken`] when a part belongs to another upload already.
    pub async fn join(
        &self,
        who: &Principal,
        parts: &[ClipId],
        metadata: Option<&str>,
    ) -> Result<UploadStatus, IngestError> {
        self.join_parts(who, parts, metadata).await
    }

    /// The partial uploads that an upload was made of, in their order.
    ///
    /// # Errors
    /// [`IngestError::NotFound`].
    pub async fn parts(&self, who: &Principal, id: ClipId) -> Result<Vec<ClipId>, IngestError> {
        self.upload_of(who, id).await?;
        Ok(self.inner.catalog.parts_of(id).await?)
    }

    /// Where an upload stands (HEAD). An older request on it ends, and what it has under way is made durable first; an
    /// owner's question about what a vehicle sends leaves the vehicle alone.
    ///
    /// # Errors
    /// [`IngestError::NotFound`], [`IngestError::Gone`].
    pub async fn offset(&self, who: &Principal, id: ClipId) -> Result<UploadStatus, IngestError> {
        self.find_offset(who, id).await
    }

    /// Appends a body (PATCH, and the body of a creation at offset 0). All bytes told are durable. With a checksum the body is
    /// taken whole or not at all; it may then have at most [`Checksum::MAX_BODY_BYTES`].
    ///
    /// Dropping the future ends the body: what had arrived is kept.
    ///
    /// # Errors
    /// [`IngestError::Mismatch`] tells the right offset. [`IngestError::Inconsistent`] when the upload was said to have another
    /// length. [`IngestError::Interrupted`] when the body broke off or stalled:
    /// what had arrived is kept, unless it had a checksum. [`IngestError::Fenced`] when a newer request took over,
    /// [`IngestError::Revoked`] when there is no such vehicle any more.
    pub async fn append<E>(
        &self,
        who: &Principal,
        id: ClipId,
        body: Body<impl Stream<Item = Result<Bytes, E>>>,
    ) -> Result<UploadStatus, IngestError> {
        match self.append_body(who, id, body).await {
            // A revocation fences what its vehicle sends.
            Err(IngestError::Fenced) => self.still_may(who).await.and(Err(IngestError::Fenced)),
            appended => appended,
        }
    }

    /// Ends an upload that is not complete, for its owner (DELETE). Its bytes are removed.
    ///
    /// # Errors
    /// [`IngestError::Forbidden`] to a vehicle, [`IngestError::Complete`] when there is a clip to delete instead.
    pub async fn terminate(&self, who: &Principal, id: ClipId) -> Result<(), IngestError> {
        if !matches!(who, Principal::Owner(_)) {
            // Of what is another's nothing is said.
            self.upload_of(who, id).await?;
            return Err(IngestError::Forbidden);
        }
        self.end(who, id).await
    }

    /// Takes back an upload that was sent in one request and did not come whole: its sender has no way to go on with it.
    ///
    /// # Errors
    /// [`IngestError::Complete`] when all of it came after all.
    pub async fn discard(&self, who: &Principal, id: ClipId) -> Result<(), IngestError> {
        self.end(who, id).await
    }

    /// Every key that receipts were ever signed with, the newest last: each was endorsed by the one before it, so that a
    /// vehicle follows from the one it was paired with.
    ///
    /// # Errors
    /// [`IngestError::Unavailable`] while the vault waits for its root key.
    pub fn receipt_keys(&self) -> Result<Vec<ReceiptKey>, IngestError> {
        let keys = self.inner.vault.receipt_keys()?;
        let keys = keys.iter().map(|key| ReceiptKey {
            version: key.version,
            since: key.since_ms,
            public_key: key.public_key,
            endorsement: key.endorsement,
        });
        Ok(keys.collect())
    }

    /// The receipt of a finished upload: the same word each time it is asked for, signed by the key that signs then.
    ///
    /// # Errors
    /// [`IngestError::Gone`] once the clip is erased.
    pub async fn receipt(&self, who: &Principal, id: ClipId) -> Result<ReceiptState, IngestError> {
        self.find_receipt(who, id).await
    }

    /// Completes what has all its bytes durable and is not complete; call it at start-up. How many.
    pub async fn recover(&self) -> Result<u64, IngestError> {
        self.complete_full().await
    }

    /// Ends uploads to which nothing came for too long and gives the bytes of ended ones to the sweep of intents; call it
    /// every few minutes, on any number of nodes.
    pub async fn sweep(&self) -> Result<Swept, IngestError> {
        self.sweep_uploads().await
    }

    /// Ends every writer as a cut would and waits until what they had is durable; from now on all bodies are refused as
    /// busy.
    pub async fn shut_down(&self) {
        self.inner.closing.store(true, Ordering::SeqCst);
        self.inner.live.stop_all().await;
    }

    /// The upload, if `who` may know of it.
    async fn upload_of(&self, who: &Principal, id: ClipId) -> Result<UploadRow, IngestError> {
        let row = self.inner.catalog.upload(id).await?;
        let row = row.filter(|row| match who {
            Principal::Owner(session) => row.owner == session.owner(),
            Principal::Device(session) => row.owner == session.owner() && row.device == Some(session.device()),
            Principal::Link(_) => false,
        });
        row.ok_or(IngestError::NotFound)
    }

    async fn status_of(&self, row: &UploadRow) -> Result<UploadStatus, IngestError> {
        let mut sha256 = None;
        let (offset, length) = match row.state {
            UploadState::Open | UploadState::Complete => (row.received, row.length),
            UploadState::Ended | UploadState::Expired => return Err(IngestError::Gone),
            UploadState::Finished => {
                // The row has forgotten the exact length; what is sealed about the clip knows it.
                let clip = self
                    .inner
                    .catalog
                    .clip(row.owner, row.id)
                    .await?
                    .ok_or(IngestError::Gone)?;
                let details = self.details(row, clip.sealed_details).await?;
                sha256 = details.sha256();
                (details.bytes, Some(details.bytes))
            }
        };
        Ok(UploadStatus {
            id: row.id,
            offset,
            length,
            expires_at: (row.state == UploadState::Open).then_some(row.expires_at),
            concat: row.concat,
            sha256,
        })
    }
}

impl Inner {
    /// When an upload ends if nothing more comes.
    fn expiry(&self, is_event: bool) -> UnixMs {
        let after = match is_event {
            true => self.config.event_expires_after,
            false => self.config.expires_after,
        };
        let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        self.clock.now_ms().saturating_add(after)
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// A turn to bring bytes, held as long as they come.
    fn turn(&self, who: &Principal) -> Result<Turn<'_>, IngestError> {
        let turn = match self.is_closing() {
            true => None,
            false => self.turns.take(sender(who), self.most_at_once(who)),
        };
        turn.ok_or(BUSY)
    }

    fn most_at_once(&self, who: &Principal) -> usize {
        match who {
            Principal::Device(_) => self.config.max_writers_each,
            Principal::Owner(_) => self.config.max_writers_of_owner,
            Principal::Link(_) => 0,
        }
    }

    /// New uploads are turned away first, so that those which began can end.
    fn may_begin(&self) -> Result<(), IngestError> {
        let spare = self.config.max_writers / 8;
        if self.is_closing() || self.turns.left() <= spare {
            return Err(BUSY);
        }
        Ok(())
    }

    async fn room_for_one_more(&self, owner: OwnerId, device: Option<DeviceId>) -> Result<(), IngestError> {
        let open = self.catalog.open_uploads(owner, device).await?;
        if open.of_device >= self.config.max_open_each || open.of_owner >= self.config.max_open_of_owner {
            return Err(BUSY);
        }
        Ok(())
    }
}
