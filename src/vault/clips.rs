//! Clips' keys: a fresh DEK, its envelope, and the way back.

use super::records::Manifest;
use super::{ClipKeys, OwnerKeys, Vault, VaultError};
use crate::model::{ClipId, OwnerId};

impl Vault {
    /// A fresh DEK for a clip.
    pub fn make_clip_keys(&self, _owner: &OwnerKeys, _clip: ClipId) -> ClipKeys {
        todo!()
    }

    /// The bytes for `clips.envelope`: the DEK wrapped by the owner's KEK, and the manifest under the DEK.
    pub fn envelope(&self, _owner: &OwnerKeys, _keys: &ClipKeys, _revision: u32, _manifest: &Manifest) -> Vec<u8> {
        todo!()
    }

    /// Opens a clip's envelope.
    pub fn clip_keys(&self, _owner: &OwnerKeys, _clip: ClipId, _envelope: &[u8]) -> Result<ClipKeys, VaultError> {
        todo!()
    }

    /// Reads a clip's row and opens its keys; none when the clip has no envelope: erased, or not finished yet.
    pub async fn read_clip_keys(&self, _owner: OwnerId, _clip: ClipId) -> Result<Option<ClipKeys>, VaultError> {
        todo!()
    }
}
