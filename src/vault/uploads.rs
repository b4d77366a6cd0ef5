//! Pieces of uploads and what is said about them: sealed with the ingest key's public half, so that receiving needs no root
//! key.

use zeroize::Zeroizing;

use super::records::UploadMetadata;
use super::{Vault, VaultError};
use crate::model::{ClipId, ObjectId, OwnerId, UnixMs, UploadKeyId};

/// The key under which one process seals the pieces that it receives of one upload.
pub struct UploadKey {
    pub id: UploadKeyId,
    pub upload: ClipId,
    /// The key sealed to the ingest key, for `upload_keys.sealed_key`.
    pub sealed: Vec<u8>,
}

/// A piece as its row tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct PieceRef {
    pub id: ObjectId,
    /// Offset of its first byte in the upload.
    pub start: u64,
    /// Exact bytes.
    pub length: u64,
    pub commitment: [u8; 32],
}

impl Vault {
    /// A fresh key for one upload.
    pub fn make_upload_key(&self, _upload: ClipId) -> UploadKey {
        todo!()
    }

    /// Opens an upload's key; needs the root key.
    pub async fn open_upload_key(
        &self,
        _upload: ClipId,
        _id: UploadKeyId,
        _sealed: &[u8],
    ) -> Result<UploadKey, VaultError> {
        todo!()
    }

    /// Seals what was said about an upload, for `uploads.sealed_metadata`.
    pub fn seal_metadata(&self, _upload: ClipId, _metadata: &UploadMetadata) -> Vec<u8> {
        todo!()
    }

    /// Opens what was said about an upload; needs the root key.
    pub async fn open_metadata(&self, _upload: ClipId, _sealed: &[u8]) -> Result<UploadMetadata, VaultError> {
        todo!()
    }

    /// Names `count` pieces to come; their intents are committed together.
    pub async fn reserve_pieces(
        &self,
        _upload: ClipId,
        _count: usize,
        _lease_until: UnixMs,
    ) -> Result<Vec<ObjectId>, VaultError> {
        todo!()
    }

    /// Seals one piece under a reserved id and makes it durable; its commitment.
    pub async fn put_piece(
        &self,
        _key: &UploadKey,
        _owner: OwnerId,
        _id: ObjectId,
        _start: u64,
        _plain: &[u8],
    ) -> Result<[u8; 32], VaultError> {
        todo!()
    }

    /// Opens one piece.
    pub async fn open_piece(
        &self,
        _key: &UploadKey,
        _owner: OwnerId,
        _piece: &PieceRef,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        todo!()
    }
}
