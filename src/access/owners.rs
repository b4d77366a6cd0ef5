//! Owners: added, listed, signed in by a one-time link, signed out.

use dashvault_keys::token::{bearer_hash, make_bearer};

use super::{Access, AccessError, OwnerSession, words};
use crate::audit::{EventKind, NewEvent};
use crate::catalog::{ErasureKind, NewCredential, NewJob, OwnerRow, OwnerState, Quotas, Tx};
use crate::model::{CredentialId, CredentialKind, ErasureId, JobId, JobKind, LinkId, OwnerId, UnixMs};
use crate::vault::OwnerProfile;

/// How long a web session lives after it was last used, to within a day.
pub(super) const WEB_SESSION_MS: i64 = 30 * 24 * 3_600_000;
/// However much it is used, a web session ends half a year after its sign-in.
pub(super) const WEB_SESSION_MAX_MS: i64 = 180 * 24 * 3_600_000;
/// Ended credentials are kept for a while and then make room.
const KEEP_ENDED_MS: i64 = 24 * 3_600_000;
/// Names of people are shorter; a longer text is a mistake.
const MAX_NAME_CHARS: usize = 120;
/// A sign-in token has some 60 characters; nothing longer is hashed.
const MAX_SIGN_IN_CHARS: usize = 256;
/// Owners read at once for the operator's list.
const OWNERS_A_PAGE: u32 = 500;

/// A new owner, with what the command line prints once.
pub struct OwnerAdded {
    /// The owner.
    pub owner: OwnerId,
    /// An API token, `dvo_…`; only its hash is kept.
    pub token: String,
    /// A first one-time sign-in token.
    pub sign_in: SignIn,
}

/// A one-time sign-in token, for the fragment of a sign-in link.
pub struct SignIn {
    /// `dvs_…`; only its hash is kept.
    pub token: String,
    /// It is of no use after that.
    pub expires_at: UnixMs,
}

/// What a redeemed sign-in token brings.
pub struct SignedIn {
    /// The web session's secret, `dvw_…`, for the cookie.
    pub secret: String,
    /// The session.
    pub session: OwnerSession,
}

/// An owner, for the operator's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The owner's id.
    pub id: OwnerId,
    /// The owner's address.
    pub email: String,
    /// The owner's name.
    pub name: Option<String>,
    /// When the owner was added.
    pub created_at: UnixMs,
}

impl Access {
    /// Adds an owner. A taken address is [`AccessError::EmailTaken`].
    pub async fn add_owner(&self, email: &str, name: Option<&str>) -> Result<OwnerAdded, AccessError> {
        let profile = OwnerProfile {
            email: words::email("email", email)?,
            name: words::maybe_line("name", name, MAX_NAME_CHARS)?,
        };
        let inner = &self.inner;
        let owner = OwnerId::random();
        let made = inner.vault.make_owner(owner, &profile).await?;
        let mut tx = inner.catalog.begin().await?;
        inner.vault.record_owner(&mut tx, &made).await?;
        let (token, _) = self.issue(&mut tx, owner, CredentialKind::Api, None, None).await?;
        inner
            .audit
            .record(&mut tx, NewEvent::of(owner, EventKind::OwnerAdded))
            .await?;
        let sign_in = self.issue_sign_in(&mut tx, owner).await?;
        tx.commit().await?;
        Ok(OwnerAdded { owner, token, sign_in })
    }

    /// Every owner that is active, oldest first; those that are being erased have no address any more.
    pub async fn owners(&self) -> Result<Vec<Owner>, AccessError> {
        let inner = &self.inner;
        let mut owners = Vec::new();
        let mut after = None;
        loop {
            let page = inner.catalog.owners(inner.vault.tenant(), after, OWNERS_A_PAGE).await?;
            after = page.last().map(|row| row.id);
            let full = page.len() >= OWNERS_A_PAGE as usize;
            for row in page {
                if row.state == OwnerState::Active {
                    owners.push(self.read_owner(row).await?);
                }
            }
            if !full {
                break;
            }
        }
        owners.sort_by_key(|owner| (owner.created_at, owner.id));
        Ok(owners)
    }

    /// Who a signed-in owner is.
    pub async fn owner(&self, session: &OwnerSession) -> Result<Owner, AccessError> {
        let row = self.inner.catalog.owner(session.owner()).await?;
        let row = row.filter(|row| row.state == OwnerState::Active);
        self.read_owner(row.ok_or(AccessError::Unauthenticated)?).await
    }

    /// The owner with an address, for the command line.
    pub async fn find_owner(&self, email: &str) -> Result<Option<OwnerId>, AccessError> {
        Ok(self.inner.vault.find_owner(email).await?)
    }

    /// A new one-time sign-in token for the owner with this address; [`AccessError::NotFound`] without one.
    pub async fn make_sign_in(&self, email: &str) -> Result<SignIn, AccessError> {
        let inner = &self.inner;
        let owner = inner.vault.find_owner(email).await?.ok_or(AccessError::NotFound)?;
        let mut tx = inner.catalog.begin().await?;
        if !tx.hold_owner(owner).await? {
            return Err(AccessError::NotFound);
        }
        let ended = inner.clock.now_ms() - KEEP_ENDED_MS;
        tx.remove_ended_credentials(owner, ended).await?;
        let sign_in = self.issue_sign_in(&mut tx, owner).await?;
        tx.commit().await?;
        Ok(sign_in)
    }

    /// Redeems a sign-in token, once. Unknown, used and ended ones are all [`AccessError::Unauthenticated`].
    pub async fn redeem_sign_in(&self, token: &str) -> Result<SignedIn, AccessError> {
        if token.len() > MAX_SIGN_IN_CHARS || !token.starts_with(prefix(CredentialKind::SignIn)) {
            return Err(AccessError::Unauthenticated);
        }
        let inner = &self.inner;
        let now = inner.clock.now_ms();
        let mut tx = inner.catalog.begin().await?;
        let hash = bearer_hash(token);
        let Some(owner) = tx.use_sign_in(&hash, now).await? else {
            drop(tx);
            self.decoy_shown(&hash).await;
            return Err(AccessError::Unauthenticated);
        };
        // Ended sessions, links' ones too, make room whenever their owner signs in.
        tx.remove_ended_credentials(owner, now - KEEP_ENDED_MS).await?;
        let end = Some(now + WEB_SESSION_MS);
        let (secret, credential) = self.issue(&mut tx, owner, CredentialKind::Web, None, end).await?;
        inner
            .audit
            .record(&mut tx, NewEvent::of(owner, EventKind::SignedIn))
            .await?;
        tx.commit().await?;
        Ok(SignedIn {
            secret,
            session: OwnerSession::new(owner, credential, true, end, false),
        })
    }

    /// Ends the session, or gives up the API token, that was shown.
    pub async fn sign_out(&self, session: &OwnerSession) -> Result<(), AccessError> {
        let inner = &self.inner;
        let mut tx = inner.catalog.begin().await?;
        if tx.revoke_credential(session.credential(), inner.clock.now_ms()).await? {
            let event = NewEvent::of(session.owner(), EventKind::SignedOut);
            inner.audit.record(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Marks an owner for erasure and queues the work: every session, token, vehicle and link is dead at once. An owner of
    /// whom a clip is held is [`AccessError::ClipHeld`]. The id is how the receipt is asked for once the account is gone.
    pub async fn erase_owner(&self, owner: OwnerId) -> Result<ErasureId, AccessError> {
        let inner = &self.inner;
        if inner.catalog.count_held_clips(owner).await? > 0 {
            return Err(AccessError::ClipHeld);
        }
        let buried = inner.vault.bury(ErasureKind::Owner, owner.as_bytes(), None).await?;
        let buried = buried.ok_or(AccessError::NotFound)?;
        let mut tx = inner.catalog.begin().await?;
        if !tx.begin_owner_erasure(owner).await? {
            tx.rollback().await?;
            inner.vault.take_back(buried).await?;
            return Err(AccessError::NotFound);
        }
        inner.vault.record_burial(&mut tx, &buried).await?;
        tx.queue_job(&NewJob {
            id: JobId::random(),
            tenant: inner.vault.tenant(),
            kind: JobKind::EraseOwner,
            owner,
            clip: None,
            link: None,
            run_after: inner.clock.now_ms(),
        })
        .await?;
        tx.commit().await?;
        Ok(buried.id())
    }

    /// Says what an owner may keep, instead of what everybody may; [`Quotas::default`] takes it back.
    pub async fn set_quotas(&self, owner: OwnerId, quotas: Quotas) -> Result<(), AccessError> {
        self.in_line(owner, || self.try_set_quotas(owner, &quotas)).await
    }

    async fn try_set_quotas(&self, owner: OwnerId, quotas: &Quotas) -> Result<(), AccessError> {
        let inner = &self.inner;
        let row = inner.catalog.owner(owner).await?;
        row.filter(|row| row.state == OwnerState::Active)
            .ok_or(AccessError::NotFound)?;
        let keys = inner.vault.owner_keys(owner).await?;
        let change = inner.vault.change_quotas(&keys, quotas).await?;
        let mut tx = inner.catalog.begin().await?;
        if !tx.set_quotas(owner, quotas).await? {
            return Err(AccessError::NotFound);
        }
        inner.vault.record_kek(&mut tx, &change).await?;
        Ok(tx.commit().await?)
    }

    async fn read_owner(&self, row: OwnerRow) -> Result<Owner, AccessError> {
        let keys = self.inner.vault.owner_keys(row.id).await?;
        let profile = self.inner.vault.profile(&keys).await?;
        Ok(Owner {
            id: row.id,
            email: profile.email,
            name: profile.name,
            created_at: row.created_at,
        })
    }

    async fn issue_sign_in(&self, tx: &mut Tx, owner: OwnerId) -> Result<SignIn, AccessError> {
        let minutes = self.inner.config.sign_in_minutes.clamp(15, 60);
        let expires_at = self.inner.clock.now_ms() + i64::from(minutes) * 60_000;
        let (token, _) = self
            .issue(tx, owner, CredentialKind::SignIn, None, Some(expires_at))
            .await?;
        let event = NewEvent::of(owner, EventKind::SignInMade);
        self.inner.audit.record(tx, event).await?;
        Ok(SignIn { token, expires_at })
    }

    /// Makes a bearer secret and its row; the secret is told once and only its hash is kept.
    pub(super) async fn issue(
        &self,
        tx: &mut Tx,
        owner: OwnerId,
        kind: CredentialKind,
        link: Option<LinkId>,
        expires_at: Option<UnixMs>,
    ) -> Result<(String, CredentialId), AccessError> {
        let (secret, secret_hash) = make_bearer(prefix(kind));
        let id = CredentialId::random();
        tx.insert_credential(&NewCredential {
            id,
            tenant: self.inner.vault.tenant(),
            owner,
            kind,
            link,
            secret_hash: &secret_hash,
            created_at: self.inner.clock.now_ms(),
            expires_at,
        })
        .await?;
        Ok((secret, id))
    }
}

/// What a secret of this kind begins with, so that a leaked one is recognised, by people and by scanners.
pub(super) const fn prefix(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::Api => "dvo_",
        CredentialKind::Web => "dvw_",
        CredentialKind::SignIn => "dvs_",
        CredentialKind::Link => "dvl_",
    }
}
