//! An owner's clips: lists, what can be watched and read of one, trash and erasure; and what a link shows.

mod clip;
mod delivery;
mod erasure;
mod error;
mod index;
mod list;
mod read;
mod recent;
mod removal;
mod rendition;
mod resource;
mod shared;
mod view;

use std::sync::Arc;

pub use erasure::ErasureView;
pub use error::LibraryError;
pub use resource::{Disposition, RenditionName, RenditionNameError, Resource, What};
pub use view::{
    ClipError, ClipPage, ClipView, MeView, RenditionView, SharedClip, SharedMedia, SharedMediaState, SharedView, Time,
};

use tokio::sync::Semaphore;

use self::delivery::{Deliveries, MAX_KEPT_BYTES, MAX_LOADS};
use self::index::{Indexes, MAX_ENTRIES};
use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::model::{DeviceId, UnixMs};
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
    indexes: Indexes,
    deliveries: Deliveries,
    loads: Semaphore,
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
            inner: Arc::new(Inner {
                vault,
                catalog,
                audit,
                indexes: Indexes::new(MAX_ENTRIES),
                deliveries: Deliveries::new(MAX_KEPT_BYTES),
                loads: Semaphore::new(MAX_LOADS),
            }),
        }
    }
}
