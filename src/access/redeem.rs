//! A link's other side: redeemed by its holder, for a session that dies with it.

use super::{Access, AccessError, LinkSession};

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
    pub async fn redeem_link(&self, _token: &str) -> Result<Redeemed, AccessError> {
        todo!()
    }
}
