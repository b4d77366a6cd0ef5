//! What tells that a clip is one that was begun or received before: inside one owner and one vehicle, and nowhere else.
//!
//! Owner and vehicle are part of what is hashed. A question about what another vehicle holds is so a question about another
//! index: it takes the same way and finds nothing, as one about a clip that nobody has.

use dashvault_keys::field;

use super::records::UploadMetadata;
use super::{OwnerKeys, Vault};
use crate::model::{DeviceId, OwnerId};

const PURPOSE: &str = "upload_begun";

/// Indexes of one thing: by the key that makes new ones first, then by those before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BegunIndexes {
    pub all: Vec<[u8; 32]>,
    /// Made of the vehicle's own name for the clip, as its SHA-256 was not declared.
    pub by_name: bool,
}

impl Vault {
    /// What a repeated creation finds its upload by, for `uploads.begun_index`: the declared SHA-256 and length, else the
    /// vehicle's name for the clip, its rendition and length. None when neither was told, or while the root key is waited for.
    pub fn begun_indexes(
        &self,
        owner: OwnerId,
        device: Option<DeviceId>,
        about: &UploadMetadata,
        length: Option<u64>,
    ) -> Option<BegunIndexes> {
        let mut value = owner.as_bytes().to_vec();
        put(&mut value, device.as_ref().map(|id| id.as_bytes().as_slice()));
        put(
            &mut value,
            length.map(u64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice),
        );
        let by_name = about.sha256.is_none();
        put(&mut value, about.sha256.as_deref().map(str::as_bytes));
        if by_name {
            put(&mut value, Some(about.clip.as_deref()?.as_bytes()));
            put(&mut value, about.rendition.as_deref().map(str::as_bytes));
        }
        let system = self.system().ok()?;
        let keys = system.record.index.verifying(self.now());
        let tenant = self.tenant();
        let index = keys.map(|key| field::index(&key.key, tenant.as_bytes(), PURPOSE, &value));
        Some(BegunIndexes {
            all: index.collect(),
            by_name,
        })
    }
}

impl OwnerKeys {
    /// What finds a clip by the SHA-256 of its original, by every KEK that the owner's clips may be under now.
    pub fn clip_indexes(&self, device: Option<DeviceId>, sha256: &[u8]) -> Vec<[u8; 32]> {
        let older = self.older.iter().map(|(version, _)| *version);
        let versions = std::iter::once(self.kek_version).chain(older);
        versions
            .filter_map(|version| self.clip_index_under(version, device, sha256))
            .collect()
    }
}

/// A value that may be absent, told apart from every other by its length.
fn put(value: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        None => value.push(0),
        Some(part) => {
            value.push(1);
            value.extend_from_slice(&(part.len() as u64).to_be_bytes());
            value.extend_from_slice(part);
        }
    }
}
