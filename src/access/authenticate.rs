//! From the text of a bearer credential to who it is.

use super::{Access, AccessError, Principal};

impl Access {
    /// Who shows this bearer text: an owner's token or web session, a vehicle's signed token, or a link's session. A link's
    /// session whose link is over is refused as [`AccessError::LinkRevoked`] or [`AccessError::LinkEnded`].
    pub async fn authenticate(&self, _bearer: &str) -> Result<Principal, AccessError> {
        todo!()
    }
}
