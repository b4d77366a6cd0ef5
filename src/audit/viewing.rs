//! Who reads a clip: one event a viewing, written before a byte leaves.

use super::{Audit, AuditError};
use crate::model::{ClipId, CredentialId, LinkId, MediaKind, OwnerId};

/// One principal that reads one kind of media of one clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Viewing {
    /// The clip's owner, whose activity shows it.
    pub owner: OwnerId,
    /// The session or token that reads.
    pub credential: CredentialId,
    /// What is read.
    pub clip: ClipId,
    /// The link it is read through.
    pub link: Option<LinkId>,
    /// What is shown.
    pub media: MediaKind,
}

impl Audit {
    /// Records a read. Call it before a byte leaves, and let nothing leave when it fails. The first read of a viewing writes
    /// an event; further ones extend it at most once a minute; after half an hour's pause it is another viewing.
    pub async fn viewing(&self, _viewing: &Viewing) -> Result<(), AuditError> {
        todo!()
    }
}
