//! Signed links: made, listed, revoked by their owner.

use super::{Access, AccessError, LinkSpan, OwnerSession};
use crate::model::{ClipId, LinkId, UnixMs};

/// What an owner wants to share.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkWish {
    /// For whom: 1 to 200 characters, shown to the owner alone.
    pub recipient: String,
    /// At least 1, at most 30 days.
    pub expires_in_s: u64,
    /// The part of the clip, with or without sound and track.
    pub span: LinkSpan,
    /// 1 to 1,000.
    pub max_opens: u32,
}

/// A new link.
pub struct LinkMade {
    /// The link's id: stands in the URL's path.
    pub id: LinkId,
    /// The secret: stands in the URL's fragment. It is not kept.
    pub token: String,
    /// When the link ends.
    pub expires_at: UnixMs,
    /// Preparing: its media are being made.
    pub state: LinkState,
}

/// What became of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Its media are being made.
    Preparing,
    /// It can be opened and watched.
    Ready,
    /// Its media could not be made.
    Failed,
    /// Its owner revoked it.
    Revoked,
    /// Its time is over, or its clip is in the trash or gone.
    Expired,
    /// It was opened as often as it may be; sessions go on to its end.
    UsedUp,
}

impl LinkState {
    /// The word that the HTTP face uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::UsedUp => "used_up",
        }
    }
}

/// A link, for its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct Link {
    /// Its id.
    pub id: LinkId,
    /// What it shows.
    pub clip: ClipId,
    /// What became of it.
    pub state: LinkState,
    /// For whom; none once the clip is erased.
    pub recipient: Option<String>,
    /// The part; none once the clip is erased.
    pub span: Option<LinkSpan>,
    /// How often it was opened.
    pub opens: u32,
    /// How often it may be opened.
    pub max_opens: u32,
    /// When it was made.
    pub created_at: UnixMs,
    /// When it ends.
    pub expires_at: UnixMs,
    /// When it was revoked.
    pub revoked_at: Option<UnixMs>,
}

impl Access {
    /// Makes a link: row, event and the job that makes its media, in one transaction.
    pub async fn make_link(
        &self,
        _session: &OwnerSession,
        _clip: ClipId,
        _wish: LinkWish,
    ) -> Result<LinkMade, AccessError> {
        todo!()
    }

    /// An owner's links, newest first.
    pub async fn links(&self, _session: &OwnerSession) -> Result<Vec<Link>, AccessError> {
        todo!()
    }

    /// Revokes a link: its next request is refused, and its media go. A second time changes nothing.
    pub async fn revoke_link(&self, _session: &OwnerSession, _link: LinkId) -> Result<(), AccessError> {
        todo!()
    }
}
