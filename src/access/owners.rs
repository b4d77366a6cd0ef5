//! Owners: added, listed, signed in by a one-time link, signed out.

use super::{Access, AccessError, OwnerSession};
use crate::model::{OwnerId, UnixMs};

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
    pub async fn add_owner(&self, _email: &str, _name: Option<&str>) -> Result<OwnerAdded, AccessError> {
        todo!()
    }

    /// Every owner that is not erased, oldest first.
    pub async fn owners(&self) -> Result<Vec<Owner>, AccessError> {
        todo!()
    }

    /// Who a signed-in owner is.
    pub async fn owner(&self, _session: &OwnerSession) -> Result<Owner, AccessError> {
        todo!()
    }

    /// The owner with an address, for the command line.
    pub async fn find_owner(&self, _email: &str) -> Result<Option<OwnerId>, AccessError> {
        todo!()
    }

    /// A new one-time sign-in token for the owner with this address; [`AccessError::NotFound`] without one.
    pub async fn make_sign_in(&self, _email: &str) -> Result<SignIn, AccessError> {
        todo!()
    }

    /// Redeems a sign-in token, once. Unknown, used and ended ones are all [`AccessError::Unauthenticated`].
    pub async fn redeem_sign_in(&self, _token: &str) -> Result<SignedIn, AccessError> {
        todo!()
    }

    /// Ends the session, or gives up the API token, that was shown.
    pub async fn sign_out(&self, _session: &OwnerSession) -> Result<(), AccessError> {
        todo!()
    }

    /// Marks an owner for erasure and queues the work: every session, token, vehicle and link is dead at once.
    pub async fn erase_owner(&self, _owner: OwnerId) -> Result<(), AccessError> {
        todo!()
    }
}
