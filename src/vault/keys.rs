//! An owner's and a clip's opened keys: what they seal and open is bound to its table, column and row.

use std::sync::Arc;

use dashvault_keys::field::{self, FieldPlace};
use dashvault_keys::{Secret32, Zeroizing};

use super::VaultError;
use super::cache::OpenedKek;
use super::records::Record;
use crate::model::{ClipId, DeviceId, OwnerId, TenantId, UnixMs};

/// An owner's KEK and field key, opened. Erased from memory when nobody uses them any more.
pub struct OwnerKeys {
    pub(super) tenant: TenantId,
    pub(super) owner: OwnerId,
    pub(super) kek_version: u32,
    pub(super) keys: Arc<OpenedKek>,
    /// KEKs that open older clips, while they are being replaced.
    pub(super) older: Vec<(u32, Arc<OpenedKek>)>,
    pub(super) outage_since: Option<UnixMs>,
}

/// A clip's DEK, opened. Erased from memory when nobody uses it any more.
pub struct ClipKeys {
    pub(super) tenant: TenantId,
    pub(super) owner: OwnerId,
    pub(super) clip: ClipId,
    pub(super) dek: Arc<Secret32>,
}

impl OwnerKeys {
    /// Whose keys these are.
    pub fn owner(&self) -> OwnerId {
        self.owner
    }

    /// Version of the KEK that wraps new clips, for `clips.kek_version`.
    pub fn kek_version(&self) -> u32 {
        self.kek_version
    }

    /// The KEK of a version; none when the owner has it no more, or not yet.
    pub(super) fn kek(&self, version: u32) -> Option<&Secret32> {
        if version == self.kek_version {
            return Some(&self.keys.kek);
        }
        let older = self.older.iter().find(|(older, _)| *older == version);
        older.map(|(_, keys)| &keys.kek)
    }

    /// Set when these keys come from memory although their time has passed, because the root key's provider does not answer:
    /// since when. What they are used for then is recorded.
    pub fn outage_since(&self) -> Option<UnixMs> {
        self.outage_since
    }

    /// Seals a record into its column of the row `row`.
    pub fn seal<T: Record>(&self, row: &[u8; 16], record: &T) -> Vec<u8> {
        seal(&self.keys.field, self.tenant, row, record)
    }

    /// Opens a record of the row `row`.
    pub fn open<T: Record>(&self, row: &[u8; 16], sealed: &[u8]) -> Result<T, VaultError> {
        open(&self.keys.field, self.tenant, row, sealed)
    }

    /// What finds a clip by the SHA-256 of its original, inside one owner and one vehicle. It is keyed from the KEK and not
    /// from the field key: after an owner erased a clip, the next roll gives a new KEK, and nobody can test an older copy of
    /// the clip's row for known footage any more.
    pub fn clip_index(&self, device: Option<DeviceId>, sha256: &[u8]) -> [u8; 32] {
        self.clip_index_by(&self.keys.kek, device, sha256)
    }

    /// The same of a clip that is still under an older KEK; none when the owner has that KEK no more.
    pub(super) fn clip_index_under(&self, version: u32, device: Option<DeviceId>, sha256: &[u8]) -> Option<[u8; 32]> {
        let kek = self.kek(version)?;
        Some(self.clip_index_by(kek, device, sha256))
    }

    fn clip_index_by(&self, kek: &Secret32, device: Option<DeviceId>, sha256: &[u8]) -> [u8; 32] {
        let mut value = device.map_or_else(Vec::new, |device| device.as_bytes().to_vec());
        value.extend_from_slice(sha256);
        field::index(kek, self.tenant.as_bytes(), "clip_sha256", &value)
    }

    /// An index value that only this owner's keys make; `purpose` keeps the kinds apart.
    pub fn index(&self, purpose: &'static str, value: &[u8]) -> [u8; 32] {
        field::index(&self.keys.field, self.tenant.as_bytes(), purpose, value)
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
    pub fn seal<T: Record>(&self, row: &[u8; 16], record: &T) -> Vec<u8> {
        seal(&self.dek, self.tenant, row, record)
    }

    /// Opens a record of the row `row`.
    pub fn open<T: Record>(&self, row: &[u8; 16], sealed: &[u8]) -> Result<T, VaultError> {
        open(&self.dek, self.tenant, row, sealed)
    }
}

pub(super) fn seal<T: Record>(key: &Secret32, tenant: TenantId, row: &[u8; 16], record: &T) -> Vec<u8> {
    field::seal(key, &place::<T>(&tenant, row), &padded_json(record, T::PAD_BYTES))
}

pub(super) fn open<T: Record>(
    key: &Secret32,
    tenant: TenantId,
    row: &[u8; 16],
    sealed: &[u8],
) -> Result<T, VaultError> {
    let damaged = VaultError::DamagedRow {
        table: T::TABLE,
        column: T::COLUMN,
    };
    let Ok(plain) = field::open(key, &place::<T>(&tenant, row), sealed) else {
        return Err(damaged);
    };
    serde_json::from_slice(&plain).map_err(|_| damaged)
}

fn place<'a, T: Record>(tenant: &'a TenantId, row: &'a [u8; 16]) -> FieldPlace<'a> {
    FieldPlace {
        system: tenant.as_bytes(),
        table: T::TABLE,
        column: T::COLUMN,
        row,
    }
}

/// JSON with spaces behind it up to a multiple of `pad_bytes`; a reader of JSON does not mind them.
pub(super) fn padded_json(record: &impl serde::Serialize, pad_bytes: usize) -> Zeroizing<Vec<u8>> {
    let mut json = Zeroizing::new(serde_json::to_vec(record).expect("a record of plain fields is JSON"));
    let padded = json.len().next_multiple_of(pad_bytes);
    json.resize(padded, b' ');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::records::EventText;

    #[test]
    fn lengths_of_a_record_tell_little() {
        let length = |text: &str| padded_json(&EventText { text: text.to_owned() }, EventText::PAD_BYTES).len();
        assert_eq!(length(""), 256);
        assert_eq!(length(&"x".repeat(200)), 256);
        assert_eq!(length(&"x".repeat(256)), 512);
    }
}
