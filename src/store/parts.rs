//! An object that is written in parts while its length is still unknown.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use tokio_util::task::AbortOnDropHandle;

use super::error;
use super::{Backend, StoreError};
use crate::model::ObjectId;

/// S3 wants parts of at least 5 MiB, all of one size, and at most 10,000: 8 MiB reach past the format's 64 GiB.
const NAMED_PART_BYTES: usize = 8 << 20;
/// A folder takes any size; small parts keep memory small.
const PLAIN_PART_BYTES: usize = 1 << 20;

/// An upload in parts. One part is on its way while the caller seals the next.
pub struct Parts {
    id: ObjectId,
    path: Path,
    backend: Backend,
    kind: Kind,
    size_bytes: u64,
}

enum Kind {
    Named {
        store: Arc<dyn MultipartStore>,
        name: String,
        parts: Vec<PartId>,
        under_way: Option<AbortOnDropHandle<object_store::Result<PartId>>>,
    },
    Plain {
        upload: Box<dyn MultipartUpload>,
        under_way: Option<AbortOnDropHandle<object_store::Result<()>>>,
    },
}

impl Parts {
    pub(super) async fn begin(backend: &Backend, id: ObjectId, path: Path) -> Result<Self, StoreError> {
        let failed = |e| StoreError::from_object_store(e, id);
        let kind = match &backend.multipart {
            Some(store) => Kind::Named {
                name: store.create_multipart(&path).await.map_err(failed)?,
                store: store.clone(),
                parts: Vec::new(),
                under_way: None,
            },
            None => Kind::Plain {
                upload: backend.objects.put_multipart(&path).await.map_err(failed)?,
                under_way: None,
            },
        };
        Ok(Self {
            id,
            path,
            backend: backend.clone(),
            kind,
            size_bytes: 0,
        })
    }

    /// How many bytes each part but the last has.
    pub(super) fn part_bytes_of(backend: &Backend) -> usize {
        match backend.multipart {
            Some(_) => NAMED_PART_BYTES,
            None => PLAIN_PART_BYTES,
        }
    }

    /// The store's name for this upload, with which another process can end it.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Named { name, .. } => Some(name),
            Kind::Plain { .. } => None,
        }
    }

    /// Sends the next part, after the one before has arrived. Every part but the last has
    /// [`part_bytes`](super::Store::part_bytes).
    pub async fn put(&mut self, part: Bytes) -> Result<(), StoreError> {
        self.settle().await?;
        self.size_bytes += part.len() as u64;
        let payload = PutPayload::from(part);
        match &mut self.kind {
            Kind::Named {
                store,
                name,
                parts,
                under_way,
            } => {
                let (store, name, index, path) = (store.clone(), name.clone(), parts.len(), self.path.clone());
                let sent = async move { store.put_part(&path, &name, index, payload).await };
                *under_way = Some(AbortOnDropHandle::new(tokio::spawn(sent)));
            }
            Kind::Plain { upload, under_way } => {
                *under_way = Some(AbortOnDropHandle::new(tokio::spawn(upload.put_part(payload))));
            }
        }
        Ok(())
    }

    /// Puts the object together; it is durable afterwards.
    pub async fn finish(mut self) -> Result<(), StoreError> {
        self.settle().await?;
        let path = self.path.clone();
        let done = match &mut self.kind {
            Kind::Named { store, name, parts, .. } => {
                store.complete_multipart(&path, name, std::mem::take(parts)).await
            }
            Kind::Plain { upload, .. } => upload.complete().await,
        };
        match done {
            Ok(_) => Ok(()),
            // The answer to a completion that landed was lost, and the store's own retry found no upload any more.
            Err(error) if error::is_gone(&error) => {
                let head = self.backend.objects.head(&path).await;
                match head {
                    Ok(meta) if meta.size == self.size_bytes => Ok(()),
                    _ => Err(StoreError::from_object_store(error, self.id)),
                }
            }
            Err(error) => Err(StoreError::from_object_store(error, self.id)),
        }
    }

    /// Takes back what was sent.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        // Whether the last part arrived does not matter any more.
        self.settle().await.ok();
        let path = self.path.clone();
        let done = match &mut self.kind {
            Kind::Named { store, name, .. } => store.abort_multipart(&path, name).await,
            Kind::Plain { upload, .. } => upload.abort().await,
        };
        match done {
            Err(error) if !error::is_gone(&error) => Err(StoreError::from_object_store(error, self.id)),
            _ => Ok(()),
        }
    }

    /// Waits for the part that is under way.
    async fn settle(&mut self) -> Result<(), StoreError> {
        let arrived = match &mut self.kind {
            Kind::Named { parts, under_way, .. } => match under_way.take() {
                Some(task) => task.await.map(|sent| sent.map(|part| parts.push(part))),
                None => return Ok(()),
            },
            Kind::Plain { under_way, .. } => match under_way.take() {
                Some(task) => task.await,
                None => return Ok(()),
            },
        };
        arrived
            .map_err(|e| StoreError::Unavailable(e.into()))?
            .map_err(|e| StoreError::from_object_store(e, self.id))
    }
}
