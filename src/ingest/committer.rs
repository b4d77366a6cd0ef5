//! Commits what is ready: fences, names and offsets of many uploads share one transaction, so that they share its sync.
//!
//! An order is answered after the commit that holds it. When one order spoils a shared transaction each is committed by
//! itself, so that a fault of one upload never reaches another.

use std::error::Error;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::IngestError;
use super::error::from_trouble;
use crate::audit::{Audit, AuditError, EventKind, NewEvent};
use crate::catalog::{Catalog, CatalogError, IntentRow, NewJob, PieceRow, Tx, UploadKeyRow, UploadRow, UploadStep};
use crate::model::{ClipId, ClipState, Clock, JobId, JobKind, ObjectId, TenantId, Trouble, UnixMs};

/// Orders of one transaction: enough that a sync and a way to the database are shared by all who wait where thousands of
/// vehicles send, few enough that it stays short.
const MAX_BATCH: usize = 256;
/// Orders of a spoilt batch that may each wait for somebody else's row. After so many the rest are told to come again:
/// each wait takes the catalogue's whole patience, and all the queue waits with it.
const MAX_CONTENDED: usize = 3;
/// Orders that wait; each is from one request, and a request that cannot hand its order over waits.
const QUEUE: usize = 1024;

/// Hands orders to the one task that commits. Cheap to clone.
#[derive(Clone)]
pub(super) struct Committer {
    orders: mpsc::Sender<Waiting>,
}

/// What is to be committed.
pub(super) enum Order {
    /// Fence every older writer of an open upload.
    Fence { id: ClipId, expires_at: UnixMs },
    /// Reserve the names of an upload's pieces to come.
    Reserve { id: ClipId, intents: Vec<IntentRow> },
    /// Move an upload's offset past pieces that are durable; complete it when that is all.
    Advance(Advance),
}

pub(super) struct Advance {
    pub step: UploadStep,
    /// The keys of the pieces, but for those whose row is there already.
    pub keys: Vec<UploadKeyRow>,
    pub pieces: Vec<PieceRow>,
    /// Whether that may be all of the upload.
    pub may_complete: bool,
}

/// What became of an order.
pub(super) enum Committed {
    /// The row after the fence; none when the upload is not open.
    Fenced(Option<Box<UploadRow>>),
    /// The names are reserved.
    Reserved,
    /// The offset was moved.
    Advanced,
    /// A newer request fenced the writer, or the upload is over: nothing was moved.
    Overtaken,
}

struct Waiting {
    order: Order,
    answer: oneshot::Sender<Result<Committed, Spoilt>>,
}

/// Why an order could not be committed; one cause may be told to many.
#[derive(Clone)]
struct Spoilt {
    trouble: Trouble,
    cause: Arc<dyn Error + Send + Sync>,
    /// The fault lies in one order, not in what all of them need.
    of_one: bool,
    /// Another transaction had the order's rows.
    contended: bool,
}

/// A sweep took the intent of a piece before the piece was committed.
#[derive(Debug, thiserror::Error)]
#[error("piece {0}, or one that was to be committed with it, lost its lease before")]
struct LeaseLost(ObjectId);

struct Rows {
    tenant: TenantId,
    catalog: Catalog,
    audit: Audit,
    clock: Arc<dyn Clock>,
}

impl Committer {
    /// Starts the task; it ends with the last clone.
    pub fn start(tenant: TenantId, catalog: Catalog, audit: Audit, clock: Arc<dyn Clock>) -> Self {
        let (orders, waiting) = mpsc::channel(QUEUE);
        let rows = Rows {
            tenant,
            catalog,
            audit,
            clock,
        };
        tokio::spawn(rows.run(waiting));
        Self { orders }
    }

    /// Commits an order, together with whatever else is ready.
    pub async fn commit(&self, order: Order) -> Result<Committed, IngestError> {
        let (answer, told) = oneshot::channel();
        let gone = || IngestError::Busy { retry_after_secs: 1 };
        self.orders.send(Waiting { order, answer }).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?.map_err(IngestError::from)
    }
}

impl Rows {
    async fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while waiting.recv_many(&mut batch, MAX_BATCH).await > 0 {
            // The same order in every transaction, so that two nodes never wait for each other's rows crosswise.
            batch.sort_by_key(|waiting| *waiting.order.upload());
            match self.commit(&batch).await {
                Ok(done) => answer_all(batch.drain(..).zip(done)),
                Err(spoilt) if batch.len() == 1 || !spoilt.of_one => {
                    for Waiting { answer, .. } in batch.drain(..) {
                        let _ = answer.send(Err(spoilt.clone()));
                    }
                }
                Err(_) => self.commit_each(&mut batch).await,
            }
        }
    }

    async fn commit_each(&self, batch: &mut Vec<Waiting>) {
        let mut contended = 0;
        let mut given_up: Option<Spoilt> = None;
        for one in batch.drain(..) {
            let one = [one];
            let done = match &given_up {
                Some(spoilt) => Err(spoilt.clone()),
                None => self.commit(&one).await,
            };
            if let Err(spoilt) = &done {
                contended += usize::from(spoilt.contended);
                // Nor does it help to ask a database again that went away meanwhile.
                if contended >= MAX_CONTENDED || !spoilt.of_one {
                    given_up.get_or_insert(spoilt.clone());
                }
            }
            let [Waiting { answer, .. }] = one;
            let _ = answer.send(done.map(|mut done| done.remove(0)));
        }
    }

    async fn commit(&self, batch: &[Waiting]) -> Result<Vec<Committed>, Spoilt> {
        let now = self.clock.now_ms();
        // A fence tells nobody anything: with a power cut the writers that it keeps out are gone too.
        let fences_only = batch.iter().all(|waiting| matches!(waiting.order, Order::Fence { .. }));
        let mut tx = match fences_only {
            true => self.catalog.begin_unsynced().await?,
            false => self.catalog.begin().await?,
        };
        let advances: Vec<_> = batch.iter().filter_map(|waiting| waiting.order.advance()).collect();
        // Before the fences: each of those then tells an offset that nothing of this transaction moves any more.
        let mut moved = self.advance_all(&mut tx, &advances, now).await?.into_iter();
        let names = batch
            .iter()
            .flat_map(|waiting| waiting.order.names())
            .collect::<Vec<_>>();
        tx.insert_intents(self.tenant, &names, now).await?;
        let mut done = Vec::with_capacity(batch.len());
        for Waiting { order, .. } in batch {
            done.push(match order {
                Order::Fence { id, expires_at } => {
                    Committed::Fenced(tx.fence_upload(*id, *expires_at).await?.map(Box::new))
                }
                Order::Reserve { .. } => Committed::Reserved,
                Order::Advance(_) if moved.next() == Some(true) => Committed::Advanced,
                Order::Advance(_) => Committed::Overtaken,
            });
        }
        tx.commit().await?;
        Ok(done)
    }

    /// For each whether its upload's offset was moved.
    async fn advance_all(&self, tx: &mut Tx, advances: &[&Advance], now: UnixMs) -> Result<Vec<bool>, Spoilt> {
        let steps: Vec<_> = advances.iter().map(|advance| &advance.step).collect();
        let moved = tx.advance_uploads(&steps, now).await?;
        let advanced = || {
            advances
                .iter()
                .zip(&moved)
                .filter(|(_, moved)| **moved)
                .map(|(advance, _)| advance)
        };
        for key in advanced().flat_map(|advance| &advance.keys) {
            tx.insert_upload_key(key).await?;
        }
        let pieces: Vec<_> = advanced().flat_map(|advance| &advance.pieces).collect();
        let names: Vec<_> = pieces.iter().map(|piece| piece.id).collect();
        let removed = tx.remove_intents(&names).await?;
        if let Some(first) = names.first().filter(|_| removed != names.len()) {
            return Err(LeaseLost(*first).into());
        }
        tx.insert_pieces(&pieces, now).await?;
        for advance in advanced().filter(|advance| advance.may_complete) {
            complete(tx, &self.audit, advance.step.id, now).await?;
        }
        Ok(moved)
    }
}

/// Completes an upload if all its bytes are there: clip queued, job queued, event, in the caller's transaction. Both the
/// last piece's commit and the recovery at start-up come here. Whether it was completed now.
pub(super) async fn complete(tx: &mut Tx, audit: &Audit, id: ClipId, now: UnixMs) -> Result<bool, CompleteError> {
    let Some(upload) = tx.complete_upload(id, now).await? else {
        return Ok(false);
    };
    if !tx
        .set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, now)
        .await?
    {
        // Its owner erased the clip while the last bytes came: there is nothing to finish.
        tx.erase_upload(id, now).await?;
        return Ok(false);
    }
    tx.queue_job(&NewJob {
        id: JobId::random(),
        tenant: upload.tenant,
        kind: JobKind::Finish,
        owner: upload.owner,
        clip: Some(id),
        link: None,
        run_after: now,
    })
    .await?;
    // What fenced writers left is no part of the clip.
    tx.end_intents(id.as_bytes(), now).await?;
    audit
        .record(tx, NewEvent::of_clip(upload.owner, EventKind::UploadComplete, id))
        .await?;
    Ok(true)
}

/// Rows could not be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompleteError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Audit(#[from] AuditError),
}

fn answer_all(done: impl Iterator<Item = (Waiting, Committed)>) {
    for (Waiting { answer, .. }, done) in done {
        // Whoever asked may be gone; what was committed stays.
        let _ = answer.send(Ok(done));
    }
}

impl Order {
    fn upload(&self) -> &ClipId {
        match self {
            Self::Fence { id, .. } | Self::Reserve { id, .. } => id,
            Self::Advance(advance) => &advance.step.id,
        }
    }

    fn advance(&self) -> Option<&Advance> {
        match self {
            Self::Advance(advance) => Some(advance),
            Self::Fence { .. } | Self::Reserve { .. } => None,
        }
    }

    fn names(&self) -> &[IntentRow] {
        match self {
            Self::Reserve { intents, .. } => intents,
            Self::Fence { .. } | Self::Advance(_) => &[],
        }
    }
}

impl Spoilt {
    fn new(trouble: Trouble, contended: bool, cause: impl Error + Send + Sync + 'static) -> Self {
        Self {
            trouble,
            cause: Arc::new(cause),
            // A database that is away or full fails each order alike: trying them one by one would keep all waiting.
            of_one: contended || !matches!(trouble, Trouble::Unavailable | Trouble::Full),
            contended,
        }
    }
}

impl From<CatalogError> for Spoilt {
    fn from(error: CatalogError) -> Self {
        Self::new(error.trouble(), matches!(error, CatalogError::Contended(_)), error)
    }
}

impl From<CompleteError> for Spoilt {
    fn from(error: CompleteError) -> Self {
        let (CompleteError::Catalog(catalog) | CompleteError::Audit(AuditError::Catalog(catalog))) = &error else {
            return Self::new(error.trouble(), false, error);
        };
        Self::new(catalog.trouble(), matches!(catalog, CatalogError::Contended(_)), error)
    }
}

impl From<LeaseLost> for Spoilt {
    fn from(error: LeaseLost) -> Self {
        Self {
            // The bytes can be sent again at once.
            trouble: Trouble::Unavailable,
            cause: Arc::new(error),
            of_one: true,
            contended: false,
        }
    }
}

impl From<Spoilt> for IngestError {
    fn from(spoilt: Spoilt) -> Self {
        from_trouble(spoilt.trouble, Box::new(spoilt.cause))
    }
}

impl CompleteError {
    fn trouble(&self) -> Trouble {
        match self {
            Self::Catalog(error) => error.trouble(),
            Self::Audit(error) => error.trouble(),
        }
    }
}

impl From<CompleteError> for IngestError {
    fn from(error: CompleteError) -> Self {
        from_trouble(error.trouble(), error.into())
    }
}
