//! A link's other side: redeemed by its holder, for a session that dies with it.

use dashvault_keys::token::LinkToken;
use subtle::ConstantTimeEq as _;

use super::links::{about_link, span_of};
use super::{Access, AccessError, LinkSession, LinkSpan};
use crate::audit::{EventKind, Refusal, RefusalReason};
use crate::catalog::{LinkRow, OwnerState};
use crate::model::{ClipState, CredentialId, CredentialKind, LinkId, UnixMs};
use crate::vault::LinkAbout;

/// A link's token has some 200 characters; nothing longer is looked at.
const MAX_TOKEN_CHARS: usize = 512;

/// What a redeemed link brings.
pub struct Redeemed {
    /// The session's secret, `dvl_…`, for the cookie.
    pub secret: String,
    /// The session.
    pub session: LinkSession,
}

impl Access {
    /// Redeems a link's token and counts the opening. Signature first: a forgery never reaches SQL and is
    /// [`AccessError::NotFound`], as an unknown link is. The holder of the right secret is told what ended it:
    /// [`AccessError::LinkRevoked`], [`AccessError::LinkEnded`], [`AccessError::LinkUsedUp`].
    pub async fn redeem_link(&self, token: &str) -> Result<Redeemed, AccessError> {
        if token.len() > MAX_TOKEN_CHARS {
            return Err(AccessError::NotFound);
        }
        let inner = &self.inner;
        let token = inner
            .vault
            .link_verifier()?
            .verify(token)
            .ok_or(AccessError::NotFound)?;
        let row = self.redeemable(&token).await?;
        let span = self.span_of_link(&row).await?;
        let now = inner.clock.now_ms();
        let mut tx = inner.catalog.begin().await?;
        if !tx.open_link(row.id, &token.secret_hash(), now).await? {
            // Another opening, or its owner, was faster: what ended it stands in the row.
            drop(tx);
            self.redeemable(&token).await?;
            return Err(AccessError::LinkUsedUp);
        }
        let (secret, credential) = self
            .issue(
                &mut tx,
                row.owner,
                CredentialKind::Link,
                Some(row.id),
                Some(row.expires_at),
            )
            .await?;
        let event = about_link(EventKind::LinkOpened, row.owner, row.clip, row.id);
        inner.audit.record(&mut tx, event).await?;
        tx.commit().await?;
        Ok(Redeemed {
            secret,
            session: LinkSession::new(row.owner, row.clip, row.id, credential, row.expires_at, span),
        })
    }

    /// The row that a rightly signed token opens. Whoever holds the right secret and comes too late is recorded, and told
    /// why.
    async fn redeemable(&self, token: &LinkToken) -> Result<LinkRow, AccessError> {
        let row = self.inner.catalog.link_any(LinkId::from_bytes(token.link)).await?;
        let Some(row) = row else {
            self.decoy_shown(&token.secret_hash()).await;
            return Err(AccessError::NotFound);
        };
        let secret_fits = bool::from(token.secret_hash().ct_eq(row.secret_hash.as_slice()));
        // There is nobody left to tell of an erased owner's link.
        if !secret_fits || row.owner_state != OwnerState::Active {
            return Err(AccessError::NotFound);
        }
        let now = self.inner.clock.now_ms();
        let (reason, refused) = match standing(&row, now) {
            Err(AccessError::LinkRevoked) => (RefusalReason::Revoked, AccessError::LinkRevoked),
            Err(_) => (RefusalReason::Ended, AccessError::LinkEnded),
            Ok(()) if token.expires_at_ms <= now => (RefusalReason::Ended, AccessError::LinkEnded),
            Ok(()) if row.opens >= row.max_opens => (RefusalReason::UsedUp, AccessError::LinkUsedUp),
            Ok(()) => return Ok(row),
        };
        let refusal = Refusal {
            owner: row.owner,
            clip: row.clip,
            link: row.id,
            reason,
        };
        self.inner.audit.refusal(&refusal).await?;
        Err(refused)
    }

    /// The session of a credential that a redeemed link brought, while the link stands.
    pub(super) async fn session_of_link(
        &self,
        credential: CredentialId,
        link: LinkId,
    ) -> Result<LinkSession, AccessError> {
        let row = self.standing_link(link).await?;
        let span = self.span_of_link(&row).await?;
        Ok(LinkSession::new(
            row.owner,
            row.clip,
            row.id,
            credential,
            row.expires_at,
            span,
        ))
    }

    /// A link's row, while the link stands. Being used up ends no session: it is about openings.
    pub(super) async fn standing_link(&self, link: LinkId) -> Result<LinkRow, AccessError> {
        let row = self.inner.catalog.link_any(link).await?;
        let row = row.ok_or(AccessError::LinkEnded)?;
        standing(&row, self.inner.clock.now_ms())?;
        Ok(row)
    }

    async fn span_of_link(&self, row: &LinkRow) -> Result<LinkSpan, AccessError> {
        let keys = self.inner.vault.read_clip_keys(row.owner, row.clip).await?;
        let keys = keys.ok_or(AccessError::LinkEnded)?;
        let about: LinkAbout = keys.open(row.id.as_bytes(), &row.sealed_about)?;
        Ok(span_of(&about))
    }
}

/// Whether a link still shows its clip.
fn standing(row: &LinkRow, now: UnixMs) -> Result<(), AccessError> {
    if row.revoked_at.is_some() {
        Err(AccessError::LinkRevoked)
    } else if row.expires_at <= now || row.clip_state != ClipState::Ready || row.owner_state != OwnerState::Active {
        Err(AccessError::LinkEnded)
    } else {
        Ok(())
    }
}
