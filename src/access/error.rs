//! What access refuses, one variant for each thing a caller does differently.

use crate::audit::AuditError;
use crate::catalog::CatalogError;
use crate::model::{ClipState, UnixMs};
use crate::vault::VaultError;

/// A refusal, or a failure on the way to an answer.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// 401: no credential that is good now: unknown, forged, ended, used, or given up. Never says which.
    #[error("no valid credential")]
    Unauthenticated,
    /// 401 with a `Date`: a vehicle's token, rightly signed, that lies outside the clock's tolerance.
    #[error("the token's time does not fit the vault's clock")]
    ClockSkew {
        /// What the vault's clock says.
        now: UnixMs,
    },
    /// 403: who it is is known, and this is not theirs to do.
    #[error("not allowed with this credential")]
    Forbidden,
    /// 404: there is no such thing, or it is another's; never says which.
    #[error("not found")]
    NotFound,
    /// 410, to the holder of the right secret: the link's time is over, or its clip is in the trash.
    #[error("the link has ended")]
    LinkEnded,
    /// 410, to the holder of the right secret: the owner revoked the link.
    #[error("the link was revoked")]
    LinkRevoked,
    /// 410, to the holder of the right secret: the link was opened as often as it may be.
    #[error("the link is used up")]
    LinkUsedUp,
    /// 429: a pairing code that died of wrong tries; only a new code helps.
    #[error("too many wrong tries")]
    TooManyTries,
    /// 409: as many as there may be exist already; one has to end first.
    #[error("at most {limit} {what}")]
    LimitReached {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        limit: u32,
    },
    /// 409: the clip cannot be shared in the state it is in.
    #[error("the clip is {state}, not ready")]
    ClipNotReady {
        /// The state it is in.
        state: ClipState,
    },
    /// 409: a clip is held, so its owner cannot be erased.
    #[error("a clip is held")]
    ClipHeld,
    /// 409: another owner has this e-mail address.
    #[error("an owner with this e-mail address exists")]
    EmailTaken,
    /// 400: a field of the request cannot be taken.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field, as the request names it.
        field: &'static str,
        /// What is wrong with it, for the person who sent it.
        reason: &'static str,
    },
    /// The vault failed: unavailable, full, or damaged.
    #[error("the vault failed")]
    Vault(#[source] VaultError),
    /// The catalogue failed.
    #[error("the catalogue failed")]
    Catalog(#[from] CatalogError),
    /// The record of what happened could not be written, so nothing happened.
    #[error("the record failed")]
    Audit(#[from] AuditError),
}

impl From<VaultError> for AccessError {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::EmailTaken => Self::EmailTaken,
            other => Self::Vault(other),
        }
    }
}

/// Whether one more fits.
pub(super) fn at_most(limit: u32, what: &'static str, there_are: u32) -> Result<(), AccessError> {
    if there_are < limit {
        Ok(())
    } else {
        Err(AccessError::LimitReached { what, limit })
    }
}
