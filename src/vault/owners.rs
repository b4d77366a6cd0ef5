//! Custody of owners' keys: make, open, destroy; and the look-up by e-mail address.

use super::records::OwnerProfile;
use super::{OwnerKeys, Vault, VaultError};
use crate::catalog::Tx;
use crate::model::OwnerId;

impl Vault {
    /// Makes an owner: KEK, field key, sealed profile, e-mail index. An address that is taken is [`VaultError::EmailTaken`].
    pub async fn make_owner(&self, _tx: &mut Tx, _owner: OwnerId, _profile: &OwnerProfile) -> Result<(), VaultError> {
        todo!()
    }

    /// The owner with this e-mail address, however it is written.
    pub async fn find_owner(&self, _email: &str) -> Result<Option<OwnerId>, VaultError> {
        todo!()
    }

    /// An owner's keys. The row is read each time, so that another process's erasure takes effect at once.
    pub async fn owner_keys(&self, _owner: OwnerId) -> Result<OwnerKeys, VaultError> {
        todo!()
    }

    /// Who the owner is.
    pub async fn profile(&self, _keys: &OwnerKeys) -> Result<OwnerProfile, VaultError> {
        todo!()
    }

    /// Destroys an owner's wrapped keys, e-mail index and profile: overwritten, deleted, and out of the log.
    pub async fn erase_owner_keys(&self, _owner: OwnerId) -> Result<(), VaultError> {
        todo!()
    }
}
