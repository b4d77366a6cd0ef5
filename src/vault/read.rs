//! Reads sealed objects: the stored size is compared first, and only whole authenticated segments are released.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dashvault_keys::object::{self, ObjectError, Opener, Pinned, Place};
use dashvault_keys::{Secret32, digest};
use futures_util::{Stream, TryStreamExt as _};
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;

use super::objects::{SealedObject, StoredObject};
use super::{ClipKeys, Vault, VaultError};
use crate::model::{ByteRange, ClipId, ObjectId, OwnerId};
use crate::store::{Location, Ranged, StoreError};

/// Sealed or opened at once before other tasks get their turn: less than a millisecond, hash included.
pub(super) const STEP_BYTES: usize = 1 << 20;
/// Segments asked for at once: two of the default size.
const CHUNK_BYTES: u64 = 512 << 10;
/// Chunks begun while the one before them is sent, so that neither a store's latency nor the waking of a task weighs: 2 MiB a
/// stream, the one that is sent included.
const AHEAD: usize = 3;

/// Everything that reading one object needs, without the vault's borrowed keys.
struct Reading {
    vault: Vault,
    dek: Arc<Secret32>,
    owner: OwnerId,
    clip: ClipId,
    id: ObjectId,
    kind: u8,
    rendition: String,
    pinned: Pinned,
    /// What the store must say that the object's size is.
    size: u64,
    opener: OnceCell<Opener>,
}

impl Vault {
    /// The bytes of a range of the exact plaintext. The stored size is compared and every segment authenticated before a
    /// byte of it leaves. Nothing is asked before the stream is polled, and nothing after it is dropped.
    pub fn read(
        &self,
        keys: &ClipKeys,
        object: &StoredObject,
        range: ByteRange,
    ) -> impl Stream<Item = Result<Bytes, VaultError>> + Send + 'static + use<> {
        let about = &object.about;
        let reading = self.reading(keys, object.id, about.kind, &about.rendition, object.pinned());
        let fits = range.start <= range.end
            && range.end <= about.length
            && about.length <= object.padded_size
            && reading.size == object.size_bytes;
        let start = match fits {
            true => Ok(reading.stream(range)),
            false => Err(reading.damaged()),
        };
        futures_util::stream::once(std::future::ready(start)).try_flatten()
    }

    /// The whole plaintext of a small object.
    pub async fn read_all(
        &self,
        keys: &ClipKeys,
        object: &StoredObject,
        limit_bytes: u64,
    ) -> Result<Vec<u8>, VaultError> {
        let length = object.about.length;
        if length > limit_bytes {
            return Err(VaultError::OverLimit { limit_bytes });
        }
        let mut stream = std::pin::pin!(self.read(keys, object, ByteRange::whole(length)));
        let mut plain = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
        while let Some(chunk) = stream.try_next().await? {
            plain.extend_from_slice(&chunk);
        }
        Ok(plain)
    }

    /// Reads an object back: opens every segment, compares length and SHA-256.
    pub async fn verify(&self, keys: &ClipKeys, object: &SealedObject) -> Result<(), VaultError> {
        let reading = self.reading(keys, object.id, object.kind as u8, &object.rendition, object.pinned());
        let damaged = reading.damaged();
        if reading.size != object.size_bytes || object.length > object.padded_size {
            return Err(damaged);
        }
        // With its padding: every segment is there and opens.
        let mut stream = std::pin::pin!(reading.stream(ByteRange::whole(object.padded_size)));
        let (mut left, mut hash) = (object.length, digest::Sha256::new());
        while let Some(chunk) = stream.try_next().await? {
            let exact = usize::try_from(left).map_or(chunk.len(), |left| left.min(chunk.len()));
            for step in chunk[..exact].chunks(STEP_BYTES) {
                hash.update(step);
                tokio::task::yield_now().await;
            }
            left -= exact as u64;
        }
        if left != 0 || hash.finish() != object.sha256 {
            return Err(damaged);
        }
        Ok(())
    }

    fn reading(&self, keys: &ClipKeys, id: ObjectId, kind: u8, rendition: &str, pinned: Pinned) -> Reading {
        Reading {
            vault: self.clone(),
            dek: keys.dek.clone(),
            owner: keys.owner,
            clip: keys.clip,
            id,
            kind,
            rendition: rendition.to_owned(),
            size: object::size(pinned.padded_length, pinned.log2_segment),
            pinned,
            opener: OnceCell::new(),
        }
    }
}

impl Reading {
    fn stream(self, range: ByteRange) -> impl Stream<Item = Result<Bytes, VaultError>> + Send + 'static {
        let chunks = Chunks {
            reading: Arc::new(self),
            range,
            next: range.start,
            ahead: VecDeque::with_capacity(AHEAD + 1),
        };
        futures_util::stream::try_unfold(chunks, Chunks::step)
            .map_ok(|segments| futures_util::stream::iter(segments.into_iter().map(Ok)))
            .try_flatten()
    }

    /// What lies in `range` of each segment's plaintext.
    async fn open(&self, segments: Range<u32>, range: ByteRange) -> Result<Vec<Bytes>, VaultError> {
        let span = |index| object::segment_span(index, self.pinned.padded_length, self.pinned.log2_segment);
        let mut start = span(segments.start).start;
        let end = span(segments.end - 1).end;
        // The prelude lies before the first segment: one request for both.
        let with_prelude = segments.start == 0;
        if with_prelude {
            start = 0;
        }
        let (ranged, opener) = match self.opener.get() {
            Some(opener) => (self.get(start..end).await?, opener),
            None if with_prelude => {
                let ranged = self.get(start..end).await?;
                let opener = self.opener.get_or_try_init(async || self.opener(&ranged.bytes)).await?;
                (ranged, opener)
            }
            None => {
                let prelude = self.get(0..object::PRELUDE_BYTES as u64);
                let (prelude, ranged) = futures_util::future::try_join(prelude, self.get(start..end)).await?;
                let opener = self
                    .opener
                    .get_or_try_init(async || self.opener(&prelude.bytes))
                    .await?;
                (ranged, opener)
            }
        };
        let mut bytes = Vec::from(ranged.bytes);
        let opened = open_in_place(opener, segments.clone(), &self.pinned, start, &mut bytes)
            .await
            .map_err(|_| self.damaged())?;
        let bytes = Bytes::from(bytes);
        let in_range = segments.zip(opened).map(|(index, opened)| {
            let plain_start = object::segment_plain_start(index, self.pinned.log2_segment);
            let at = |offset: u64| usize::try_from(offset.saturating_sub(plain_start)).unwrap_or(usize::MAX);
            let plain = bytes.slice(opened);
            plain.slice(at(range.start).min(plain.len())..at(range.end).min(plain.len()))
        });
        Ok(in_range.collect())
    }

    /// A range of the object, once its size is what was pinned.
    async fn get(&self, range: Range<u64>) -> Result<Ranged, VaultError> {
        let ranged = self.vault.inner.store.get_range(Location::Data, self.id, range).await;
        let ranged = ranged.map_err(|error| match error {
            StoreError::Missing(object) => VaultError::Missing {
                object,
                clip: self.clip,
            },
            StoreError::Short { .. } => self.damaged(),
            other => other.into(),
        })?;
        if ranged.object_size != self.size {
            return Err(self.damaged());
        }
        Ok(ranged)
    }

    fn opener(&self, object: &[u8]) -> Result<Opener, VaultError> {
        let place = Place {
            system: self.vault.sys(),
            owner: *self.owner.as_bytes(),
            clip: *self.clip.as_bytes(),
            kind: self.kind,
            rendition: &self.rendition,
        };
        let prelude = object.get(..object::PRELUDE_BYTES).ok_or_else(|| self.damaged())?;
        Opener::new(&self.dek, &place, *self.id.as_bytes(), &self.pinned, prelude).map_err(|_| self.damaged())
    }

    fn damaged(&self) -> VaultError {
        VaultError::Damaged {
            object: self.id,
            clip: self.clip,
        }
    }
}

/// Where a stream is.
struct Chunks {
    reading: Arc<Reading>,
    range: ByteRange,
    /// Plaintext offset of the next chunk that nobody has begun.
    next: u64,
    /// The chunk that is sent next and those that are opened meanwhile, in their order; dropped with the stream.
    ahead: VecDeque<AbortOnDropHandle<Result<Vec<Bytes>, VaultError>>>,
}

impl Chunks {
    async fn step(mut self) -> Result<Option<(Vec<Bytes>, Self)>, VaultError> {
        while self.ahead.len() <= AHEAD
            && let Some(begun) = self.begin()
        {
            self.ahead.push_back(begun);
        }
        let Some(current) = self.ahead.pop_front() else {
            return Ok(None);
        };
        match current.await {
            Ok(opened) => Ok(Some((opened?, self))),
            Err(failed) => std::panic::resume_unwind(failed.into_panic()),
        }
    }

    /// Begins the next chunk, if there is one.
    fn begin(&mut self) -> Option<AbortOnDropHandle<Result<Vec<Bytes>, VaultError>>> {
        if self.next >= self.range.end {
            return None;
        }
        let log2 = self.reading.pinned.log2_segment;
        let first = object::segment_at(self.next, log2);
        let most = u32::try_from(CHUNK_BYTES >> log2).unwrap_or(1).max(1);
        let last = object::segment_at(self.range.end - 1, log2);
        let end = last.saturating_add(1).min(first.saturating_add(most));
        let chunk = ByteRange {
            start: self.next,
            end: self.range.end.min(object::segment_plain_start(end, log2)),
        };
        self.next = chunk.end;
        let reading = self.reading.clone();
        let opened = tokio::spawn(async move { reading.open(first..end, chunk).await });
        Some(AbortOnDropHandle::new(opened))
    }
}

/// Opens in place the segments of `bytes`, which begin at byte `start` of the object; where the plaintext of each lies now.
pub(super) async fn open_in_place(
    opener: &Opener,
    segments: Range<u32>,
    pinned: &Pinned,
    start: u64,
    bytes: &mut [u8],
) -> Result<Vec<Range<usize>>, ObjectError> {
    let mut opened = Vec::with_capacity(segments.len());
    let mut since_pause = 0;
    for index in segments {
        let span = object::segment_span(index, pinned.padded_length, pinned.log2_segment);
        let at = |offset: u64| usize::try_from(offset - start).map_err(|_| ObjectError::Refused);
        let (from, to) = (at(span.start)?, at(span.end)?);
        let sealed = bytes.get_mut(from..to).ok_or(ObjectError::Refused)?;
        let length = opener.open_segment(index, sealed)?.len();
        opened.push(from..from + length);
        since_pause += length;
        if since_pause >= STEP_BYTES {
            since_pause = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(opened)
}
