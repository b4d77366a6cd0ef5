//! What this process knows beside the rows: which uploads a writer is at, and the keys and names ready for their pieces.
//!
//! None of it is needed for safety. A writer that is missing here is still fenced by its epoch; a key or a name that is
//! forgotten is made anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::catalog::UploadKeyRow;
use crate::model::{ClipId, ObjectId, UnixMs};
use crate::vault::UploadKey;

/// Uploads whose key is kept between requests; past it, those that no writer is at are forgotten.
const MAX_KEPT: usize = 4096;
/// The object format allows 2^16 objects under one key; a new key comes long before.
const MAX_PIECES_A_KEY: u32 = 1 << 15;

/// The uploads that this process is at.
#[derive(Default)]
pub(super) struct Live {
    uploads: Mutex<HashMap<ClipId, Upload>>,
}

#[derive(Default)]
struct Upload {
    writer: Option<WriterSign>,
    key: Option<Arc<PieceKey>>,
    names: Vec<Name>,
}

/// How a writer is found and stopped by newer requests.
#[derive(Clone)]
struct WriterSign {
    epoch: u64,
    stop: CancellationToken,
    done: CancellationToken,
}

/// The writer's end of its sign; dropping it tells that the writer is done.
pub(super) struct Registered {
    pub stop: CancellationToken,
    _done: DropGuard,
}

/// The key of one upload's pieces in this process.
pub(super) struct PieceKey {
    pub key: UploadKey,
    stored: AtomicBool,
    pieces: AtomicU32,
}

/// A reserved object id and the end of its lease.
#[derive(Clone, Copy)]
pub(super) struct Name {
    pub id: ObjectId,
    pub lease_until: UnixMs,
}

impl Live {
    /// Registers a writer unless one of a newer epoch is there already.
    pub fn register(&self, id: ClipId, epoch: u64) -> Option<Registered> {
        let mut uploads = self.lock();
        if uploads.len() >= MAX_KEPT {
            uploads.retain(|_, upload| upload.writer.as_ref().is_some_and(|sign| !sign.done.is_cancelled()));
        }
        let upload = uploads.entry(id).or_default();
        if upload.writer.as_ref().is_some_and(|sign| sign.epoch > epoch) {
            return None;
        }
        let (stop, done) = (CancellationToken::new(), CancellationToken::new());
        if let Some(older) = upload.writer.replace(WriterSign {
            epoch,
            stop: stop.clone(),
            done: done.clone(),
        }) {
            older.stop.cancel();
        }
        Some(Registered {
            stop,
            _done: done.drop_guard(),
        })
    }

    /// Stops the writer of an upload, if there is one, and waits at most `most` until what it has is durable.
    pub async fn take_over(&self, id: ClipId, most: Duration) {
        let sign = self.lock().get(&id).and_then(|upload| upload.writer.clone());
        if let Some(sign) = sign {
            sign.stop.cancel();
            // A writer that takes longer is fenced by the row's epoch.
            let _ = tokio::time::timeout(most, sign.done.cancelled()).await;
        }
    }

    /// Whether a writer of this process is at an upload.
    pub fn is_busy(&self, id: ClipId) -> bool {
        let uploads = self.lock();
        let sign = uploads.get(&id).and_then(|upload| upload.writer.as_ref());
        sign.is_some_and(|sign| !sign.done.is_cancelled())
    }

    /// The writers of this process that are at something, and the epoch of each.
    pub fn writers(&self) -> Vec<(ClipId, u64)> {
        let uploads = self.lock();
        let signs = uploads
            .iter()
            .filter_map(|(id, upload)| Some((*id, upload.writer.as_ref()?)));
        let busy = signs.filter(|(_, sign)| !sign.done.is_cancelled());
        busy.map(|(id, sign)| (id, sign.epoch)).collect()
    }

    /// Stops the writer of an upload if it is still the one of this epoch.
    pub fn stop(&self, id: ClipId, epoch: u64) {
        let uploads = self.lock();
        let sign = uploads.get(&id).and_then(|upload| upload.writer.as_ref());
        if let Some(sign) = sign.filter(|sign| sign.epoch == epoch) {
            sign.stop.cancel();
        }
    }

    /// Stops every writer and waits until each is done.
    pub async fn stop_all(&self) {
        let signs: Vec<_> = self
            .lock()
            .values()
            .filter_map(|upload| upload.writer.clone())
            .collect();
        for sign in &signs {
            sign.stop.cancel();
        }
        for sign in &signs {
            sign.done.cancelled().await;
        }
    }

    /// The key of an upload's pieces; `make` makes one when there is none that may seal more.
    pub fn key<E>(&self, id: ClipId, make: impl FnOnce() -> Result<UploadKey, E>) -> Result<Arc<PieceKey>, E> {
        let mut uploads = self.lock();
        let upload = uploads.entry(id).or_default();
        match &upload.key {
            Some(key) if key.pieces.fetch_add(1, Ordering::Relaxed) < MAX_PIECES_A_KEY => Ok(Arc::clone(key)),
            _ => {
                let key = Arc::new(PieceKey {
                    key: make()?,
                    stored: AtomicBool::new(false),
                    pieces: AtomicU32::new(1),
                });
                upload.key = Some(Arc::clone(&key));
                Ok(key)
            }
        }
    }

    /// A reserved name whose lease lasts beyond `until`.
    pub fn take_name(&self, id: ClipId, until: UnixMs) -> Option<ObjectId> {
        let mut uploads = self.lock();
        let names = &mut uploads.get_mut(&id)?.names;
        names.retain(|name| name.lease_until > until);
        names.pop().map(|name| name.id)
    }

    /// Keeps names for later pieces.
    pub fn keep_names(&self, id: ClipId, names: impl Iterator<Item = Name>) {
        self.lock().entry(id).or_default().names.extend(names);
    }

    /// Forgets an upload that gets no more pieces.
    pub fn forget(&self, id: ClipId) {
        let mut uploads = self.lock();
        if let Some(upload) = uploads.get_mut(&id) {
            upload.key = None;
            upload.names.clear();
            if upload.writer.as_ref().is_none_or(|sign| sign.done.is_cancelled()) {
                uploads.remove(&id);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClipId, Upload>> {
        // The map is whole after every statement, so a panic elsewhere leaves it usable.
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PieceKey {
    /// Pieces that were begun under it.
    pub fn begun(&self) -> u32 {
        self.pieces.load(Ordering::Relaxed)
    }

    /// The key's row, until it is known to be there.
    pub fn row(&self) -> Option<UploadKeyRow> {
        (!self.stored.load(Ordering::Acquire)).then(|| UploadKeyRow {
            id: self.key.id,
            upload: self.key.upload,
            sealed: self.key.sealed.clone(),
        })
    }

    /// The commit that had the row came back well.
    pub fn is_stored(&self) {
        self.stored.store(true, Ordering::Release);
    }
}
