//! The list of what happened, newest first, its texts opened.

use super::{Audit, AuditError, EventKind};
use crate::catalog::EventRow;
use crate::model::{ClipId, EventId, LinkId, OwnerId, Place, UnixMs, cut_to_page};
use crate::vault::{EventText, OwnerKeys};

/// One line of an owner's activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// The event's id.
    pub id: EventId,
    /// What it was.
    pub kind: EventKind,
    /// The clip it was about.
    pub clip: Option<ClipId>,
    /// The link it was about.
    pub link: Option<LinkId>,
    /// What its kind does not say.
    pub text: Option<String>,
    /// When it happened, or a viewing began.
    pub at: UnixMs,
    /// When a viewing was last seen to go on; `at` for all else.
    pub last_at: UnixMs,
    /// How many minutes of a viewing were seen; 1 for all else.
    pub count: u64,
}

/// A page of an owner's activity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activity {
    /// Newest first.
    pub events: Vec<Happened>,
    /// Where the next page begins; none after the last.
    pub next: Option<ActivityCursor>,
}

/// A place in an activity list.
pub type ActivityCursor = Place<EventId>;

/// Events of one page at most: more would only be scrolled past.
pub const MAX_EVENTS_A_PAGE: u32 = 200;

impl Audit {
    /// At most `limit` (1 to [`MAX_EVENTS_A_PAGE`]) events of an owner, those older than `after`, newest first.
    pub async fn activity(
        &self,
        owner: OwnerId,
        after: Option<ActivityCursor>,
        limit: u32,
    ) -> Result<Activity, AuditError> {
        let limit = limit.clamp(1, MAX_EVENTS_A_PAGE);
        let before = after.map(|cursor| (cursor.at, cursor.id));
        let mut rows = self.inner.catalog.events_of(owner, before, limit + 1).await?;
        let next = cut_to_page(&mut rows, limit, |last| Place {
            at: last.at,
            id: last.id,
        });
        let keys = if rows.iter().any(|row| row.sealed_text.is_some()) {
            Some(self.inner.vault.owner_keys(owner).await?)
        } else {
            None
        };
        let events = rows.into_iter().map(|row| happened(row, keys.as_ref())).collect();
        Ok(Activity { events, next })
    }
}

fn happened(row: EventRow, keys: Option<&OwnerKeys>) -> Happened {
    let text = row.sealed_text.as_deref().zip(keys).and_then(|(sealed, keys)| {
        // One damaged text must not hide from the owner what else happened.
        keys.open::<EventText>(row.id.as_bytes(), sealed)
            .inspect_err(|error| tracing::error!(event = %row.id, %error, "an event's text does not open"))
            .ok()
    });
    Happened {
        id: row.id,
        kind: row.kind,
        clip: row.clip,
        link: row.link,
        text: text.map(|text| text.text),
        at: row.at,
        last_at: row.last_at,
        count: row.count,
    }
}
