//! An owner's and a clip's opened keys: what they seal and open is bound to its table, column and row.

use super::VaultError;
use super::records::Record;
use crate::model::{ClipId, OwnerId};

/// An owner's KEK and field key, opened. Erased from memory when dropped.
pub struct OwnerKeys {
    owner: OwnerId,
}

/// A clip's DEK, opened. Erased from memory when dropped.
pub struct ClipKeys {
    owner: OwnerId,
    clip: ClipId,
}

impl OwnerKeys {
    /// Whose keys these are.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Seals a record into its column of the row `row`.
    pub fn seal<T: Record>(&self, _row: &[u8; 16], _record: &T) -> Vec<u8> {
        todo!()
    }

    /// Opens a record of the row `row`.
    pub fn open<T: Record>(&self, _row: &[u8; 16], _sealed: &[u8]) -> Result<T, VaultError> {
        todo!()
    }

    /// An index value that only this owner's keys make; `purpose` keeps the kinds apart.
    pub fn index(&self, _purpose: &'static str, _value: &[u8]) -> [u8; 32] {
        todo!()
    }
}

impl ClipKeys {
    /// Whose clip it is.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Which clip it is.
    pub fn clip(&self) -> ClipId {
        self.clip
    }

    /// Seals a record into its column of the row `row`.
    pub fn seal<T: Record>(&self, _row: &[u8; 16], _record: &T) -> Vec<u8> {
        todo!()
    }

    /// Opens a record of the row `row`.
    pub fn open<T: Record>(&self, _row: &[u8; 16], _sealed: &[u8]) -> Result<T, VaultError> {
        todo!()
    }
}
