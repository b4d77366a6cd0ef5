//! What happened: events are added, never changed, but for a viewing's last time.

mod activity;
mod error;
mod viewing;

use std::sync::Arc;

pub use activity::{Activity, ActivityCursor, Happened, MAX_EVENTS_A_PAGE};
pub use error::AuditError;
pub use viewing::{Refusal, RefusalReason, Viewing};

use crate::catalog::{Catalog, NewEventRow, Tx};
pub use crate::model::EventKind;
use crate::model::{ClipId, EventId, LinkId, OwnerId};
use crate::vault::{EventText, OwnerKeys, Vault};

/// The record of what happened. Cheap to clone.
#[derive(Clone)]
pub struct Audit {
    inner: Arc<Inner>,
}

struct Inner {
    vault: Vault,
    catalog: Catalog,
    written: viewing::Written,
}

/// Something that has just happened.
pub struct NewEvent<'a> {
    /// Whose activity shows it.
    pub owner: OwnerId,
    /// What it was.
    pub kind: EventKind,
    /// The clip it was about.
    pub clip: Option<ClipId>,
    /// The link it was about.
    pub link: Option<LinkId>,
    /// What its kind does not say, in words for the owner; sealed under the owner's field key. Never what is sealed under
    /// a clip's key (recipients, places, times): it would outlive the clip.
    pub text: Option<(&'a OwnerKeys, String)>,
}

impl NewEvent<'_> {
    /// An event about the owner alone.
    pub fn of(owner: OwnerId, kind: EventKind) -> Self {
        Self {
            owner,
            kind,
            clip: None,
            link: None,
            text: None,
        }
    }

    /// An event about a clip.
    pub fn of_clip(owner: OwnerId, kind: EventKind, clip: ClipId) -> Self {
        Self {
            clip: Some(clip),
            ..Self::of(owner, kind)
        }
    }
}

impl Audit {
    /// The record kept in `catalog`, its texts sealed by `vault`.
    pub fn new(vault: Vault, catalog: Catalog) -> Self {
        Self {
            inner: Arc::new(Inner {
                vault,
                catalog,
                written: viewing::Written::default(),
            }),
        }
    }

    /// Adds an event in the transaction that makes it true: both happen, or neither.
    pub async fn record(&self, tx: &mut Tx, event: NewEvent<'_>) -> Result<(), AuditError> {
        let id = EventId::random();
        let sealed_text = event.text.map(|(keys, text)| seal_text(keys, id, text));
        tx.insert_event(&NewEventRow {
            id,
            tenant: self.inner.vault.tenant(),
            owner: event.owner,
            kind: event.kind,
            clip: event.clip,
            link: event.link,
            viewing: None,
            sealed_text,
            at: self.inner.vault.clock().now_ms(),
        })
        .await?;
        Ok(())
    }
}

fn seal_text(keys: &OwnerKeys, event: EventId, text: String) -> Vec<u8> {
    keys.seal(event.as_bytes(), &EventText { text })
}
