//! The task that owns a request's bytes: cuts them into pieces, makes them durable, moves the offset.
//!
//! It outlives the request. A piece is sealed as it fills, and goes to the store in parts where that takes small ones. While
//! one piece is made durable and committed the next one fills; a piece is committed only after the one before it, so what
//! the offset promises never has a hole.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::budget::Share;
use super::checksum::Sum;
use super::committer::{Advance, Committed, Order};
use super::live::{Name, PieceKey, Registered};
use super::{IngestError, Inner};
use crate::catalog::{PieceRow, UploadStep};
use crate::model::{ClipId, ObjectId, OwnerId};
use crate::vault::PieceWriter;

/// A piece is at most this long: so much that a request of 5 MB, which many clients send, is one piece with one sync and
/// one commit.
pub(super) const PIECE_BYTES: usize = 6 << 20;
/// Chunks on their way from the request to the writer; how many bytes they are is for whoever reads the body to bound.
pub(super) const CHUNKS: usize = 16;
/// Names reserved in one commit. Unused ones are swept.
const NAMES: RangeInclusive<usize> = 2..=16;
/// How long a reserved name may wait for its piece.
const NAME_LEASE_MS: i64 = 60 * 60 * 1000;
/// A name is used only if its lease lasts so much longer: no store takes this long for a piece.
const NAME_MARGIN_MS: i64 = 30 * 60 * 1000;

/// What a request hands its writer. A channel that closes before `End` is a body that was cut.
pub(super) enum Arrived {
    Bytes(Bytes),
    End,
}

/// One request's writer.
pub(super) struct Writer {
    pub inner: Arc<Inner>,
    pub id: ClipId,
    pub owner: OwnerId,
    pub is_event: bool,
    pub epoch: u64,
    /// Bytes there will be, where that is known.
    pub length: Option<u64>,
    /// Bytes there may be.
    pub limit: u64,
    /// The offset after everything that is committed.
    pub offset: u64,
    pub sum: Option<Sum>,
    pub sign: Registered,
}

/// How the bytes ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// The body was whole.
    Whole,
    /// The body was cut.
    Cut,
    /// A newer request, or the end of the process, stopped the writer.
    Stopped,
}

/// Pieces that are sealed and durable.
struct Stored {
    key: Arc<PieceKey>,
    piece: PieceRow,
}

/// The piece that fills.
struct Filling {
    key: Arc<PieceKey>,
    name: ObjectId,
    sealing: PieceWriter,
    length: usize,
    share: Share,
}

struct State {
    /// None until the next byte.
    filling: Option<Filling>,
    /// Offset of that piece's first byte.
    start: u64,
    /// When the piece that fills has to end.
    due: Option<Instant>,
    storing: Option<JoinHandle<Result<Option<Stored>, IngestError>>>,
    /// Pieces of a body with a checksum, which are committed together.
    staged: Vec<Stored>,
    /// Bytes that arrived and did not fit the piece.
    rest: Bytes,
}

impl State {
    /// Bytes in the piece that fills.
    fn filled(&self) -> usize {
        self.filling.as_ref().map_or(0, |piece| piece.length)
    }
}

impl Writer {
    /// Takes everything that arrives until the end, a cut or a stop. The offset after all that is durable.
    pub async fn run(mut self, mut arriving: mpsc::Receiver<Arrived>) -> Result<u64, IngestError> {
        let mut state = State {
            filling: None,
            start: self.offset,
            due: None,
            storing: None,
            staged: Vec::new(),
            rest: Bytes::new(),
        };
        let end = match self.receive(&mut state, &mut arriving).await {
            Ok(end) => end,
            Err(error) => {
                // What is being stored may still move the offset: the answer waits for it, and tells the error.
                if let Some(storing) = state.storing.take() {
                    let _ = self.settle(&mut state, storing.await);
                }
                return Err(error);
            }
        };
        self.finish(state, end).await
    }

    async fn receive(&mut self, state: &mut State, arriving: &mut mpsc::Receiver<Arrived>) -> Result<End, IngestError> {
        let mut end = End::Cut;
        loop {
            self.fill(state).await?;
            let may_store = state.storing.is_none();
            let is_full = state.filled() >= PIECE_BYTES && !self.is_last(state);
            let has_to_end = is_full || !state.rest.is_empty();
            if has_to_end && may_store {
                self.store(state);
                continue;
            }
            let stop = self.sign.stop.clone();
            let due = state.due.filter(|_| may_store && !self.is_last(state));
            tokio::select! {
                biased;
                done = async { state.storing.as_mut().expect("it is being stored").await }, if !may_store => {
                    state.storing = None;
                    self.settle(state, done)?;
                }
                () = stop.cancelled(), if end != End::Stopped => {
                    // What the channel holds has arrived; nothing more gets in.
                    arriving.close();
                    end = End::Stopped;
                }
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.store(state),
                arrived = arriving.recv(), if !has_to_end => match arrived {
                    Some(Arrived::Bytes(bytes)) => state.rest = bytes,
                    Some(Arrived::End) => return Ok(End::Whole),
                    None => return Ok(end),
                },
            }
        }
    }

    /// Seals arrived bytes into the piece that fills, as many as there is room for.
    async fn fill(&mut self, state: &mut State) -> Result<(), IngestError> {
        if state.rest.is_empty() {
            return Ok(());
        }
        let arrived = state.start + (state.filled() + state.rest.len()) as u64;
        if arrived > self.limit {
            return Err(IngestError::TooLarge {
                limit: self.limit.saturating_sub(self.offset),
            });
        }
        if self.sum.is_some() && arrived - self.offset > super::Checksum::MAX_BODY_BYTES {
            return Err(IngestError::TooLarge {
                limit: super::Checksum::MAX_BODY_BYTES,
            });
        }
        if state.filling.is_none() {
            state.filling = Some(self.begin(state.start).await?);
        }
        let piece = state.filling.as_mut().expect("it was just begun");
        let room = piece.room(state.rest.len(), &self.inner);
        let taken = state.rest.split_to(room);
        if let Some(sum) = &mut self.sum {
            sum.update(&taken);
        } else if state.due.is_none() && !taken.is_empty() {
            // Nothing of a body with a checksum is told before its end, so time cuts no piece of it.
            state.due = Some(Instant::now() + self.inner.config.piece_time);
        }
        piece.length += taken.len();
        Ok(piece.sealing.write(&taken).await?)
    }

    async fn begin(&self, start: u64) -> Result<Filling, IngestError> {
        let inner = &self.inner;
        let key = inner.live.key(self.id, || inner.vault.make_upload_key(self.id))?;
        let name = self.name(key.begun()).await?;
        Ok(Filling {
            sealing: inner.vault.begin_piece(&key.key, self.owner, name, start).await?,
            key,
            name,
            length: 0,
            share: inner.budget.share(),
        })
    }

    /// A reserved name for the next piece of an upload that has begun so many.
    async fn name(&self, begun: u32) -> Result<ObjectId, IngestError> {
        let inner = &self.inner;
        let now = inner.clock.now_ms();
        if let Some(name) = inner.live.take_name(self.id, now + NAME_MARGIN_MS) {
            return Ok(name);
        }
        let lease_until = now + NAME_LEASE_MS;
        // As many as it had pieces, so that thousands that begin at once do not reserve tens of thousands, and a long upload
        // seldom waits for more.
        let wanted = (begun as usize).clamp(*NAMES.start(), *NAMES.end());
        let intents = inner.vault.name_pieces(self.id, wanted, lease_until);
        let mut names: Vec<_> = intents.iter().map(|intent| intent.object).collect();
        let id = self.id;
        // With what others commit: where thousands begin at once, a transaction each would keep all their offsets waiting.
        inner.committer.commit(Order::Reserve { id, intents }).await?;
        let name = names.pop().expect("as many names as were asked for");
        let rest = names.into_iter().map(|id| Name { id, lease_until });
        inner.live.keep_names(id, rest);
        Ok(name)
    }

    /// Whether the piece that fills would complete the upload. It waits for the end of the body, which shows whether the
    /// upload is longer than it said.
    fn is_last(&self, state: &State) -> bool {
        self.length == Some(state.start + state.filled() as u64)
    }

    /// Ends the piece that fills and begins to make it durable.
    fn store(&self, state: &mut State) {
        let Some(piece) = state.filling.take() else { return };
        let start = state.start;
        state.start += piece.length as u64;
        state.due = None;
        let step = self.sum.is_none().then(|| self.step(start, state.start));
        let may_complete = self.may_complete(state.start);
        let (inner, id) = (Arc::clone(&self.inner), self.id);
        state.storing = Some(tokio::spawn(piece.store(inner, id, start, step, may_complete)));
    }

    /// Whether an upload that has come so far may be whole. Where this request does not know its length, another may have told it.
    fn may_complete(&self, to: u64) -> bool {
        self.length.is_none_or(|length| to == length)
    }

    fn step(&self, from: u64, to: u64) -> UploadStep {
        UploadStep {
            id: self.id,
            epoch: self.epoch,
            from,
            to,
            expires_at: self.inner.expiry(self.is_event),
        }
    }

    /// Takes note of a piece that is durable.
    fn settle(
        &mut self,
        state: &mut State,
        done: Result<Result<Option<Stored>, IngestError>, tokio::task::JoinError>,
    ) -> Result<(), IngestError> {
        match done.map_err(|panic| IngestError::Broken(panic.into()))?? {
            Some(stored) => state.staged.push(stored),
            None => self.offset = state.start,
        }
        Ok(())
    }

    async fn finish(mut self, mut state: State, end: End) -> Result<u64, IngestError> {
        if let Some(storing) = state.storing.take() {
            let done = storing.await;
            self.settle(&mut state, done)?;
        }
        let all_or_nothing = self.sum.is_some();
        if !(all_or_nothing && end != End::Whole) {
            while state.filling.is_some() || !state.rest.is_empty() {
                self.fill(&mut state).await?;
                self.store(&mut state);
                let done = state.storing.take().expect("it is being stored").await;
                self.settle(&mut state, done)?;
            }
        }
        match end {
            End::Stopped if self.inner.is_closing() => return Err(IngestError::Busy { retry_after_secs: 1 }),
            End::Stopped => return Err(IngestError::Fenced),
            End::Cut => return Err(IngestError::Interrupted { offset: self.offset }),
            End::Whole => {}
        }
        if let Some(sum) = self.sum.take() {
            if !sum.fits() {
                return Err(IngestError::Checksum);
            }
            self.commit_staged(state).await?;
        }
        Ok(self.offset)
    }

    async fn commit_staged(&mut self, state: State) -> Result<(), IngestError> {
        if state.staged.is_empty() {
            return Ok(());
        }
        let step = self.step(self.offset, state.start);
        commit(&self.inner, step, state.staged, self.may_complete(state.start)).await?;
        self.offset = state.start;
        Ok(())
    }
}

impl Filling {
    /// How many of `wanted` bytes it has room for. When that is none, the piece has to end here.
    fn room(&mut self, wanted: usize, inner: &Inner) -> usize {
        let wanted = wanted.min(PIECE_BYTES - self.length);
        let memory = |length| inner.vault.piece_memory_bytes(length);
        let most = memory(PIECE_BYTES);
        let may_hold = self.share.reach(memory(self.length + wanted), most);
        if may_hold < most {
            wanted.min(may_hold.saturating_sub(self.length))
        } else {
            wanted
        }
    }

    /// Makes it durable, and commits if there is nothing to wait for, which is a `step`; then none.
    async fn store(
        self,
        inner: Arc<Inner>,
        upload: ClipId,
        start: u64,
        step: Option<UploadStep>,
        may_complete: bool,
    ) -> Result<Option<Stored>, IngestError> {
        let commitment = self.sealing.finish().await?;
        let piece = PieceRow {
            id: self.name,
            upload,
            key: self.key.key.id,
            start,
            length: self.length as u64,
            commitment,
        };
        drop(self.share);
        let stored = Stored { key: self.key, piece };
        match step {
            Some(step) => commit(&inner, step, vec![stored], may_complete).await.map(|()| None),
            None => Ok(Some(stored)),
        }
    }
}

/// Moves the offset past pieces that are durable.
async fn commit(inner: &Inner, step: UploadStep, stored: Vec<Stored>, may_complete: bool) -> Result<(), IngestError> {
    let mut keys: Vec<_> = stored.iter().map(|stored| Arc::clone(&stored.key)).collect();
    keys.dedup_by_key(|key| key.key.id);
    let order = Order::Advance(Advance {
        step,
        keys: keys.iter().filter_map(|key| key.row()).collect(),
        pieces: stored.into_iter().map(|stored| stored.piece).collect(),
        may_complete,
    });
    match inner.committer.commit(order).await? {
        Committed::Advanced => {
            keys.iter().for_each(|key| key.is_stored());
            Ok(())
        }
        Committed::Overtaken | Committed::Reserved | Committed::Fenced(_) => Err(IngestError::Fenced),
    }
}
