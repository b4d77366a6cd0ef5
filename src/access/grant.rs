//! Grants to read: made here from rows read for each request, and nowhere else.

use super::{Access, AccessError, LinkSession, OwnerSession};
use crate::audit::Viewing;
use crate::model::{ClipId, ClipState, CredentialId, LinkId, MediaKind, OwnerId};

/// Leave to read one clip, or one link's media of it, now. Not kept beyond the request it was made for; a long answer asks
/// again with [`Access::still_reads`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadGrant {
    owner: OwnerId,
    clip: ClipId,
    link: Option<LinkId>,
    credential: CredentialId,
}

impl ReadGrant {
    /// Whose clip it is.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Which clip may be read.
    pub fn clip(&self) -> ClipId {
        self.clip
    }

    /// Set where only this link's own media may be read.
    pub fn link(&self) -> Option<LinkId> {
        self.link
    }

    /// The session or token that reads.
    pub fn credential(&self) -> CredentialId {
        self.credential
    }

    /// The viewing that a read of this kind of media belongs to, for [`crate::audit::Audit::viewing`].
    pub fn viewing(&self, media: MediaKind) -> Viewing {
        Viewing {
            owner: self.owner,
            credential: self.credential,
            clip: self.clip,
            link: self.link,
            media,
        }
    }
}

impl Access {
    /// Leave for an owner to read a clip; none when there is no such clip, it is another's, or it is being erased.
    pub async fn grant_owner(&self, owner: &OwnerSession, clip: ClipId) -> Result<Option<ReadGrant>, AccessError> {
        let row = self.inner.catalog.clip(owner.owner(), clip).await?;
        let row = row.filter(|row| row.state != ClipState::Erasing);
        Ok(row.map(|row| ReadGrant {
            owner: row.owner,
            clip: row.id,
            link: None,
            credential: owner.credential(),
        }))
    }

    /// Leave for the holder of a link to read its media. The link's and the clip's rows are read again: revoked, ended or
    /// trashed since is refused as [`AccessError::LinkRevoked`] or [`AccessError::LinkEnded`].
    pub async fn grant_link(&self, session: &LinkSession) -> Result<ReadGrant, AccessError> {
        let row = self.standing_link(session.link()).await?;
        Ok(ReadGrant {
            owner: row.owner,
            clip: row.clip,
            link: Some(row.id),
            credential: session.credential(),
        })
    }

    /// Whether a grant would still be made: session and owner stand, the clip is not being erased, the link neither revoked
    /// nor over. For answers that last longer than the moment they were granted in.
    pub async fn still_reads(&self, grant: &ReadGrant) -> Result<bool, AccessError> {
        let inner = &self.inner;
        let Some(credential) = inner.catalog.credential(grant.credential).await? else {
            return Ok(false);
        };
        let now = inner.clock.now_ms();
        if credential.revoked_at.is_some() || credential.expires_at.is_some_and(|end| end <= now) {
            return Ok(false);
        }
        match grant.link {
            Some(link) => match self.standing_link(link).await {
                Ok(_) => Ok(true),
                Err(AccessError::LinkRevoked | AccessError::LinkEnded) => Ok(false),
                Err(error) => Err(error),
            },
            None => {
                let clip = inner.catalog.clip(grant.owner, grant.clip).await?;
                Ok(clip.is_some_and(|row| row.state != ClipState::Erasing))
            }
        }
    }
}
