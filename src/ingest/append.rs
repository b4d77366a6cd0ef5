//! The request's side of an append: who may, where, and how the body reaches the writer.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::committer::{Committed, Order, complete};
use super::pace::Pace;
use super::writer::{Arrived, CHUNKS, Writer};
use super::{Checksum, Ingest, IngestError, UploadStatus};
use crate::access::Principal;
use crate::catalog::UploadRow;
use crate::model::{ClipId, Concat, UploadState};

/// How long an append waits for an older writer on this node to make durable what it has.
const APPEND_WAIT: Duration = Duration::from_secs(5);
/// The same for a question; its answer is due within 200 ms. What is not durable by then is sent again.
const OFFSET_WAIT: Duration = Duration::from_millis(120);

/// A body and what was said of it.
pub struct Body<S> {
    /// Where its first byte belongs.
    pub offset: u64,
    /// Its length, where that was announced.
    pub announced_bytes: Option<u64>,
    /// The sum it must have.
    pub checksum: Option<Checksum>,
    /// What is said of the upload's end.
    pub end: UploadEnd,
    /// Its bytes.
    pub stream: S,
}

/// What a request says of its upload's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadEnd {
    /// Nothing.
    Unsaid,
    /// The upload has so many bytes.
    At(u64),
    /// It ends where this body ends.
    WithBody,
}

impl<S> Body<S> {
    /// Bytes of which nothing is said but where they belong.
    pub fn at(offset: u64, stream: S) -> Self {
        Self {
            offset,
            announced_bytes: None,
            checksum: None,
            end: UploadEnd::Unsaid,
            stream,
        }
    }

    /// The upload's length, if this body tells it before it has come.
    fn told_length(&self) -> Option<u64> {
        match self.end {
            UploadEnd::Unsaid => None,
            UploadEnd::At(length) => Some(length),
            UploadEnd::WithBody => Some(self.offset.saturating_add(self.announced_bytes?)),
        }
    }
}

impl Ingest {
    pub(super) async fn append_body<E>(
        &self,
        who: &Principal,
        id: ClipId,
        body: Body<impl Stream<Item = Result<Bytes, E>>>,
    ) -> Result<UploadStatus, IngestError> {
        let (offset, told) = (body.offset, body.told_length());
        let row = self.upload_of(who, id).await?;
        if row.concat == Concat::Final {
            return Err(IngestError::Forbidden);
        }
        if row.state != UploadState::Open {
            return self.append_to_complete(&row, &body).await;
        }
        if row.received == offset && row.length.is_some() && told.is_some_and(|told| row.length != Some(told)) {
            return Err(IngestError::Inconsistent);
        }
        if let Some(limit) = over_limit(&row, &body) {
            return Err(IngestError::TooLarge { limit });
        }
        let by_quota = match row.length {
            Some(_) => None,
            None => self.end_by_quota(&row).await?,
        };
        if let Some(end) = &by_quota {
            let (quota, limit) = (end.quota, end.limit);
            let ends = told.or(body.announced_bytes.map(|bytes| offset.saturating_add(bytes)));
            if row.received == offset && ends.unwrap_or(offset) > end.at {
                return Err(IngestError::OverQuota { quota, limit });
            }
        }
        self.inner.vault.may_take_clips().await?;
        self.room_for_more(&row).await?;
        // Its own older request may still hold a turn, and gives it back at once.
        self.inner.live.take_over(id, APPEND_WAIT).await;
        let _turn = self.inner.turn(who)?;
        let Some(row) = self.fence(&row).await? else {
            // Completed or ended by the request that was just taken over.
            let row = self.upload_of(who, id).await?;
            return self.append_to_complete(&row, &body).await;
        };
        self.still_may(who).await?;
        if row.received != offset {
            return Err(IngestError::Mismatch { offset: row.received });
        }
        let length = match (row.length, told) {
            (None, Some(told)) => Some(self.settle_length(&row, told).await?),
            (known, _) => known,
        };
        if length == Some(offset) && body.announced_bytes == Some(0) {
            // There is nothing to write: it was said that nothing is missing.
            self.inner.live.forget(id);
            return self.status_of(&self.upload_of(who, id).await?).await;
        }
        let sign = self.inner.live.register(id, row.epoch).ok_or(IngestError::Fenced)?;
        let most = self.inner.config.max_upload_bytes;
        let writer = Writer {
            inner: Arc::clone(&self.inner),
            id,
            owner: row.owner,
            epoch: row.epoch,
            is_event: row.is_event,
            limit: length.unwrap_or(by_quota.map_or(most, |end| end.at.min(most))),
            length,
            offset,
            sum: body.checksum.map(Checksum::begin),
            sign,
        };
        let (chunks, arriving) = mpsc::channel(CHUNKS);
        // On the runtime that outlives the request: what arrived is kept when the request goes.
        let writing = self.inner.runtime.spawn(writer.run(arriving));
        let config = &self.inner.config;
        let pace = Pace::new(config.slow_window, config.slow_bytes);
        pump(body.stream, body.announced_bytes, chunks, config.body_idle, pace).await;
        let offset = writing.await.map_err(|panic| IngestError::Broken(panic.into()))??;
        let length = match (length, body.end) {
            // Whole, and its end is the upload's.
            (None, UploadEnd::WithBody) => Some(self.settle_length(&row, offset).await?),
            (Some(known), UploadEnd::WithBody) if known != offset => return Err(IngestError::Inconsistent),
            (known, _) => known,
        };
        let is_complete = length == Some(offset);
        if is_complete {
            self.inner.live.forget(id);
        }
        Ok(UploadStatus {
            id,
            offset,
            length,
            // A part that is all there waits for the others.
            expires_at: (!is_complete || row.concat == Concat::Partial).then(|| self.inner.expiry(row.is_event)),
            concat: row.concat,
            sha256: None,
        })
    }

    /// Notes the length of an upload that was begun without one, and completes it if that is all there is.
    async fn settle_length(&self, fenced: &UploadRow, length: u64) -> Result<u64, IngestError> {
        let limit = self.inner.config.max_upload_bytes;
        if length > limit {
            return Err(IngestError::TooLarge { limit });
        }
        if length == 0 {
            return Err(IngestError::Empty);
        }
        let now = self.inner.clock.now_ms();
        let mut tx = self.inner.catalog.begin().await?;
        if !tx.set_upload_length(fenced.id, fenced.epoch, length, now).await? {
            tx.rollback().await?;
            let row = self.inner.catalog.upload(fenced.id).await?;
            return match row {
                Some(row) if row.state == UploadState::Open && row.epoch == fenced.epoch => {
                    Err(IngestError::Inconsistent)
                }
                _ => Err(IngestError::Fenced),
            };
        }
        complete(&mut tx, &self.inner.audit, fenced.id, now).await?;
        tx.commit().await?;
        Ok(length)
    }

    /// The last request repeated, because its answer was lost, is answered as the first was.
    async fn append_to_complete<S>(&self, row: &UploadRow, body: &Body<S>) -> Result<UploadStatus, IngestError> {
        let status = self.status_of(row).await?;
        if body.offset != status.offset {
            return Err(IngestError::Mismatch { offset: status.offset });
        }
        if body.announced_bytes != Some(0) {
            return Err(IngestError::TooLarge { limit: 0 });
        }
        Ok(status)
    }

    pub(super) async fn find_offset(&self, who: &Principal, id: ClipId) -> Result<UploadStatus, IngestError> {
        let row = self.upload_of(who, id).await?;
        // An owner who looks at what a vehicle sends does not stop it.
        if row.state != UploadState::Open || !is_sender(who, &row) {
            return self.status_of(&row).await;
        }
        self.inner.live.take_over(id, OFFSET_WAIT).await;
        match self.fence(&row).await? {
            Some(row) => self.status_of(&row).await,
            None => self.status_of(&self.upload_of(who, id).await?).await,
        }
    }

    /// Fences every older writer; the row after it, none when the upload is not open.
    async fn fence(&self, row: &UploadRow) -> Result<Option<UploadRow>, IngestError> {
        let (id, expires_at) = (row.id, self.inner.expiry(row.is_event));
        match self.inner.committer.commit(Order::Fence { id, expires_at }).await? {
            Committed::Fenced(row) => Ok(row.map(|row| *row)),
            Committed::Reserved | Committed::Advanced | Committed::Overtaken => Ok(None),
        }
    }

    /// Whether a vehicle was revoked since its request was let in. Asked after the fence: a revocation raises the epochs of
    /// what its vehicle sends in its own transaction, so that one which is not seen here comes after the fence, and ends the
    /// writer by its epoch.
    pub(super) async fn still_may(&self, who: &Principal) -> Result<(), IngestError> {
        match who {
            Principal::Device(session) if self.inner.catalog.active_device(session.device()).await?.is_none() => {
                Err(IngestError::Revoked)
            }
            _ => Ok(()),
        }
    }
}

fn over_limit<S>(row: &UploadRow, body: &Body<S>) -> Option<u64> {
    let (bytes, offset) = (body.announced_bytes?, body.offset);
    let left = row.length?.saturating_sub(offset);
    let limit = match body.checksum {
        Some(_) => left.min(Checksum::MAX_BODY_BYTES),
        None => left,
    };
    (bytes > limit && offset == row.received).then_some(limit)
}

fn is_sender(who: &Principal, row: &UploadRow) -> bool {
    match who {
        Principal::Owner(_) => row.device.is_none(),
        Principal::Device(session) => row.device == Some(session.device()),
        Principal::Link(_) => false,
    }
}

/// Hands the body to the writer until either ends. A body that breaks off, stalls or drips closes the channel without an end.
async fn pump<E>(
    stream: impl Stream<Item = Result<Bytes, E>>,
    announced_bytes: Option<u64>,
    chunks: mpsc::Sender<Arrived>,
    idle: Duration,
    mut pace: Pace,
) {
    let mut stream = pin!(stream);
    let mut arrived_bytes = 0;
    // The place in the channel comes first: between a chunk's arrival and its handing over nothing is awaited, so that a
    // request which is dropped loses none.
    while let Ok(place) = chunks.reserve().await {
        let asked = Instant::now();
        let next = tokio::select! {
            next = timeout(idle, stream.next()) => next,
            () = chunks.closed() => return,
        };
        match next {
            Ok(Some(Ok(bytes))) => {
                arrived_bytes += bytes.len() as u64;
                let keeps_up = pace.keeps_up(asked.elapsed(), bytes.len());
                place.send(Arrived::Bytes(bytes));
                if !keeps_up {
                    return;
                }
            }
            Ok(None) if announced_bytes.is_none_or(|announced| announced == arrived_bytes) => {
                place.send(Arrived::End);
                return;
            }
            Ok(None | Some(Err(_))) | Err(_) => return,
        }
    }
}
