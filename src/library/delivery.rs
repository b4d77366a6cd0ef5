//! What a rendition's index makes of it for delivery, computed once and kept for a while.

use std::sync::Arc;

use bytes::Bytes;

use super::recent::Recent;
use super::rendition::{PlainHeader, media_playlist, stream_inf};
use super::resource::RenditionName;
use super::{Library, LibraryError};
use crate::model::ObjectId;
use crate::model::index::{MAX_INDEX_BYTES, RenditionIndex};
use crate::vault::{ClipKeys, StoredObject};

/// Headers and playlists of all renditions together. An hour of clip takes about 2 MB.
pub(super) const MAX_KEPT_BYTES: usize = 64 << 20;
/// Indexes that are read and opened out at once; the largest there may be takes some 100 MB while it is.
pub(super) const MAX_LOADS: usize = 4;

/// Kept by the id of the index's object, which never names another. Only used after the clip's keys were opened anew.
pub(super) type Deliveries = Recent<ObjectId, Delivery>;

/// A rendition ready to be delivered.
pub(super) struct Delivery {
    /// Length of the object that it is about.
    pub total_bytes: u64,
    /// Stands before the fragments of the plain MP4.
    pub header: Bytes,
    /// Bytes of the object that the header stands for.
    pub replaced: u64,
    /// The HLS media playlist.
    pub playlist: Bytes,
    /// The attributes that the multivariant playlist gives of it.
    pub stream_inf: String,
}

impl Delivery {
    fn of(name: &RenditionName, index: &RenditionIndex) -> Option<Self> {
        let header = PlainHeader::of(index).ok()?;
        Some(Self {
            total_bytes: index.total_bytes,
            header: header.bytes.into(),
            replaced: header.replaced,
            playlist: media_playlist(name, index)?.into(),
            stream_inf: stream_inf(index),
        })
    }

    fn weight(&self) -> usize {
        self.header.len() + self.playlist.len() + self.stream_inf.len()
    }
}

impl Library {
    /// The delivery of the rendition `name`, whose fragments are `video` and whose index is `index`.
    pub(super) async fn delivery(
        &self,
        keys: &ClipKeys,
        name: &RenditionName,
        video: &StoredObject,
        index: &StoredObject,
    ) -> Result<Arc<Delivery>, LibraryError> {
        let damaged = || LibraryError::DamagedIndex { clip: keys.clip() };
        if let Some(delivery) = self.inner.deliveries.get(index.id) {
            return match delivery.total_bytes == video.about.length {
                true => Ok(delivery),
                false => Err(damaged()),
            };
        }
        // The semaphore is never closed.
        let _load = self.inner.loads.acquire().await.map_err(|_| damaged())?;
        let encoded = self.inner.vault.read_all(keys, index, MAX_INDEX_BYTES as u64).await?;
        let name = name.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let index = RenditionIndex::from_bytes(&encoded).ok()?;
            Delivery::of(&name, &index)
        });
        let delivery = computed
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
            .filter(|delivery| delivery.total_bytes == video.about.length)
            .ok_or_else(damaged)?;
        let delivery = Arc::new(delivery);
        self.inner.deliveries.put(index.id, &delivery, delivery.weight());
        Ok(delivery)
    }
}
