//! An owner's clips: lists, what can be watched and read of one, trash and erasure; and what a link shows.

mod error;
mod rendition;
mod resource;
mod view;

use bytes::Bytes;
use futures_util::Stream;

pub use error::LibraryError;
pub use resource::{Disposition, RenditionName, RenditionNameError, Resource, What};
pub use view::{
    ClipError, ClipPage, ClipView, MeView, RenditionView, SharedClip, SharedMedia, SharedMediaState, SharedView, Time,
};

use std::sync::Arc;

use crate::access::{LinkSession, OwnerSession, ReadGrant};
use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::model::{ByteRange, ClipId, DeviceId, UnixMs};
use crate::vault::Vault;

/// Clips of one page when the query names no number.
pub const DEFAULT_PAGE: usize = 24;
/// Each clip of a page costs three reads of rows and some openings.
pub const MAX_PAGE: usize = 100;
/// How long a clip stays in the trash.
pub const TRASH_MS: i64 = 7 * 24 * 3_600 * 1_000;

/// The library. Cheap to clone.
#[derive(Clone)]
pub struct Library {
    inner: Arc<Inner>,
}

struct Inner {
    vault: Vault,
    catalog: Catalog,
    audit: Audit,
}

/// Which of an owner's clips to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListQuery {
    /// At most this many, cut to [`MAX_PAGE`]; [`DEFAULT_PAGE`] when absent.
    pub limit: Option<usize>,
    /// From the page before.
    pub cursor: Option<String>,
    /// Recorded (received, where that is unknown) at this time or later.
    pub from: Option<UnixMs>,
    /// Recorded at this time or earlier.
    pub to: Option<UnixMs>,
    /// Sent by this vehicle.
    pub device: Option<DeviceId>,
    /// Those in the trash instead of those that are not.
    pub trashed: bool,
}

impl Library {
    /// A library over the catalogue and the vault.
    pub fn new(vault: Vault, catalog: Catalog, audit: Audit) -> Self {
        Self {
            inner: Arc::new(Inner { vault, catalog, audit }),
        }
    }

    /// A page of an owner's clips, newest first.
    pub async fn list(&self, _session: &OwnerSession, _query: &ListQuery) -> Result<ClipPage, LibraryError> {
        let _ = (&self.inner.vault, &self.inner.catalog, &self.inner.audit);
        todo!()
    }

    /// One clip of an owner; none when it is not there or another's.
    pub async fn clip(&self, _session: &OwnerSession, _clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        todo!()
    }

    /// The owner's account and how much it keeps.
    pub async fn me(&self, _session: &OwnerSession) -> Result<MeView, LibraryError> {
        todo!()
    }

    /// What a link shows, and whether it can be watched yet.
    pub async fn shared(&self, _session: &LinkSession) -> Result<SharedView, LibraryError> {
        todo!()
    }

    /// Puts a clip into the trash for seven days; its links are dead at once. A clip that lies there already stays as it
    /// is. None when it is not there or another's; [`LibraryError::Held`], and [`LibraryError::WrongState`] while its bytes
    /// still arrive (its upload can be ended).
    pub async fn trash(&self, _session: &OwnerSession, _clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        todo!()
    }

    /// Takes a clip out of the trash; [`LibraryError::WrongState`] when it is not in it, or its time there is over.
    pub async fn restore(&self, _session: &OwnerSession, _clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        todo!()
    }

    /// Destroys a clip's wrapped key now and queues the removal of its objects. A second time changes nothing.
    pub async fn erase_now(&self, _session: &OwnerSession, _clip: ClipId) -> Result<Option<ClipView>, LibraryError> {
        todo!()
    }

    /// Finds what is to be read; none when there is no such thing (yet), or the grant does not reach it. Records nothing:
    /// fit for HEAD and for conditional requests.
    pub async fn open(&self, _grant: &ReadGrant, _what: &What) -> Result<Option<Resource>, LibraryError> {
        todo!()
    }

    /// The bytes of a range, which must lie in the resource. The viewing is recorded first; if that fails nothing leaves.
    /// Segments are opened as the stream is polled, and no more once it is dropped.
    pub async fn stream(
        &self,
        resource: Resource,
        _range: ByteRange,
    ) -> Result<impl Stream<Item = Result<Bytes, LibraryError>> + Send + 'static + use<>, LibraryError> {
        let _ = (&resource.parts, &resource.viewing);
        Ok(futures_util::stream::empty())
    }
}
