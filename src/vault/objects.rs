//! Sealed objects of clips: written under an intent, published with their row, read by whole authenticated segments.

use bytes::Bytes;
use futures_util::Stream;

use super::records::ObjectAbout;
use super::{ClipKeys, Vault, VaultError};
use crate::catalog::Tx;
use crate::model::{ByteRange, LinkId, ObjectId, ObjectKind, UnixMs};

/// Who writes an object, and until when the sweep leaves it alone.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// The job's or the upload's id.
    pub id: [u8; 16],
    /// The end of its lease.
    pub lease_until: UnixMs,
}

/// An object that is whole and durable, and not yet published.
#[derive(Debug, Clone, PartialEq)]
pub struct SealedObject {
    pub id: ObjectId,
    pub kind: ObjectKind,
    pub rendition: String,
    pub suite: u8,
    pub log2_segment: u8,
    /// Padded plaintext bytes.
    pub padded_size: u64,
    /// The whole object.
    pub size_bytes: u64,
    pub commitment: [u8; 32],
    /// Exact plaintext bytes.
    pub length: u64,
    /// Of the plaintext.
    pub sha256: [u8; 32],
}

/// A published object.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredObject {
    pub id: ObjectId,
    pub link: Option<LinkId>,
    pub about: ObjectAbout,
    pub suite: u8,
    pub log2_segment: u8,
    /// Padded plaintext bytes.
    pub padded_size: u64,
    /// The whole object.
    pub size_bytes: u64,
    pub commitment: [u8; 32],
    pub created_at: UnixMs,
}

/// Seals what is written into the store. Dropped without [`ObjectWriter::finish`], what was stored is left to the sweep.
pub struct ObjectWriter {
    _private: (),
}

impl ObjectWriter {
    /// The object's id, which stands in `intents`.
    pub fn id(&self) -> ObjectId {
        todo!()
    }

    /// Seals more plaintext.
    pub async fn write(&mut self, _plain: &[u8]) -> Result<(), VaultError> {
        todo!()
    }

    /// Ends the object and makes it durable.
    pub async fn finish(self) -> Result<SealedObject, VaultError> {
        todo!()
    }

    /// Takes back what was stored, and its intent.
    pub async fn abort(self) -> Result<(), VaultError> {
        todo!()
    }
}

impl Vault {
    /// Begins an object. Its intent is committed before the first byte.
    pub async fn create_object(
        &self,
        _keys: &ClipKeys,
        _kind: ObjectKind,
        _rendition: &str,
        _holder: Holder,
    ) -> Result<ObjectWriter, VaultError> {
        todo!()
    }

    /// Adds the object's row and removes its intent; an intent that is gone is [`VaultError::LeaseLost`].
    pub async fn publish(
        &self,
        _tx: &mut Tx,
        _keys: &ClipKeys,
        _object: &SealedObject,
        _about: &ObjectAbout,
        _link: Option<LinkId>,
    ) -> Result<(), VaultError> {
        todo!()
    }

    /// The published objects of a clip (`link` none) or of one of its links.
    pub async fn objects(&self, _keys: &ClipKeys, _link: Option<LinkId>) -> Result<Vec<StoredObject>, VaultError> {
        todo!()
    }

    /// The bytes of a range of the exact plaintext. The stored size is compared and every segment authenticated before a
    /// byte of it leaves.
    pub fn read(
        &self,
        _keys: &ClipKeys,
        _object: &StoredObject,
        _range: ByteRange,
    ) -> impl Stream<Item = Result<Bytes, VaultError>> + Send + 'static + use<> {
        futures_util::stream::poll_fn(|_| todo!())
    }

    /// The whole plaintext of a small object.
    pub async fn read_all(
        &self,
        _keys: &ClipKeys,
        _object: &StoredObject,
        _limit_bytes: u64,
    ) -> Result<Vec<u8>, VaultError> {
        todo!()
    }

    /// Reads an object back: opens every segment, compares length and SHA-256.
    pub async fn verify(&self, _keys: &ClipKeys, _object: &SealedObject) -> Result<(), VaultError> {
        todo!()
    }

    /// Removes published objects' bytes from the store; those that are gone already are fine. The rows are the caller's.
    pub async fn remove_objects(&self, _ids: &[ObjectId]) -> Result<(), VaultError> {
        todo!()
    }

    /// Removes pieces' bytes from the staging location; those that are gone already are fine. The rows are the caller's.
    pub async fn remove_pieces(&self, _ids: &[ObjectId]) -> Result<(), VaultError> {
        todo!()
    }

    /// Removes what unpublished objects left whose lease has ended before `now`, and nothing else; how many there were.
    pub async fn sweep_intents(&self, _now: UnixMs) -> Result<u64, VaultError> {
        todo!()
    }
}
