//! The list of what happened, newest first, its texts opened.

use std::fmt;
use std::str::FromStr;

use super::{Audit, AuditError, EventKind};
use crate::model::{ClipId, EventId, LinkId, OwnerId, UnixMs};

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

/// A place in an activity list; its text goes to the client and comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActivityCursor {
    at: UnixMs,
    id: EventId,
}

impl fmt::Display for ActivityCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at, self.id)
    }
}

impl FromStr for ActivityCursor {
    type Err = AuditError;

    fn from_str(text: &str) -> Result<Self, AuditError> {
        let (at, id) = text.split_once('.').ok_or(AuditError::Cursor)?;
        Ok(Self {
            at: at.parse().map_err(|_| AuditError::Cursor)?,
            id: id.parse().map_err(|_| AuditError::Cursor)?,
        })
    }
}

impl Audit {
    /// At most `limit` events of an owner, those older than `after`, newest first.
    pub async fn activity(
        &self,
        _owner: OwnerId,
        _after: Option<ActivityCursor>,
        _limit: usize,
    ) -> Result<Activity, AuditError> {
        todo!()
    }
}
