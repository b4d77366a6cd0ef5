//! Sealed objects of clips: what is known of them, and how they are published and removed.

use std::time::Duration;

use dashvault_keys::envelope::ManifestObject;
use dashvault_keys::object::{Pinned, Sealed};
use data_encoding::HEXLOWER;

use super::records::ObjectAbout;
use super::{ClipKeys, Vault, VaultError};
use crate::catalog::{ObjectRow, Tx};
use crate::model::{LinkId, ObjectId, ObjectKind, UnixMs};
use crate::store::Location;

/// Who writes an object, and how long from its beginning the sweep leaves it alone.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    /// The job's or the upload's id.
    pub id: [u8; 16],
    /// From when the object is begun; whoever needs longer extends the holder's intents.
    pub lease: Duration,
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

impl SealedObject {
    pub(super) fn new(id: ObjectId, kind: ObjectKind, rendition: String, sealed: &Sealed, sha256: [u8; 32]) -> Self {
        Self {
            id,
            kind,
            rendition,
            suite: sealed.suite,
            log2_segment: sealed.log2_segment,
            padded_size: sealed.padded_length,
            size_bytes: sealed.size,
            commitment: sealed.commitment,
            length: sealed.length,
            sha256,
        }
    }

    /// The object's entry in its clip's manifest; picture and codec are those of `about`.
    pub fn in_manifest(&self, about: &ObjectAbout) -> ManifestObject {
        ManifestObject {
            id: *self.id.as_bytes(),
            kind: self.kind as u8,
            rendition: self.rendition.clone(),
            suite: self.suite,
            log2_segment: self.log2_segment,
            padded_length: self.padded_size,
            length: self.length,
            commitment: self.commitment,
            sha256: self.sha256,
            codec: about.codec.clone(),
            width: about.width,
            height: about.height,
            duration_ms: about.duration_ms,
        }
    }

    /// What is known of every object: kind, rendition, length and hash; picture and codec are the caller's to add.
    pub fn about(&self) -> ObjectAbout {
        ObjectAbout {
            kind: self.kind as u8,
            rendition: self.rendition.clone(),
            length: self.length,
            sha256: HEXLOWER.encode(&self.sha256),
            ..ObjectAbout::default()
        }
    }

    pub(super) fn pinned(&self) -> Pinned {
        Pinned {
            suite: self.suite,
            log2_segment: self.log2_segment,
            padded_length: self.padded_size,
            commitment: self.commitment,
        }
    }
}

impl StoredObject {
    /// The object's entry in a later revision of its clip's manifest.
    pub fn in_manifest(&self) -> Result<ManifestObject, VaultError> {
        let sha256 = HEXLOWER.decode(self.about.sha256.as_bytes()).ok();
        let damaged = VaultError::DamagedRow {
            table: "objects",
            column: "sealed_about",
        };
        Ok(ManifestObject {
            id: *self.id.as_bytes(),
            kind: self.about.kind,
            rendition: self.about.rendition.clone(),
            suite: self.suite,
            log2_segment: self.log2_segment,
            padded_length: self.padded_size,
            length: self.about.length,
            commitment: self.commitment,
            sha256: sha256.and_then(|bytes| bytes.try_into().ok()).ok_or(damaged)?,
            codec: self.about.codec.clone(),
            width: self.about.width,
            height: self.about.height,
            duration_ms: self.about.duration_ms,
        })
    }

    pub(super) fn pinned(&self) -> Pinned {
        Pinned {
            suite: self.suite,
            log2_segment: self.log2_segment,
            padded_length: self.padded_size,
            commitment: self.commitment,
        }
    }
}

impl Vault {
    /// Adds the object's row and removes its intent. An intent that the sweep has taken is [`VaultError::LeaseLost`]: the
    /// transaction must not be committed.
    pub async fn publish(
        &self,
        tx: &mut Tx,
        keys: &ClipKeys,
        object: &SealedObject,
        about: &ObjectAbout,
        link: Option<LinkId>,
    ) -> Result<(), VaultError> {
        if !tx.remove_intent(object.id).await? {
            return Err(VaultError::LeaseLost { object: object.id });
        }
        let row = ObjectRow {
            id: object.id,
            clip: keys.clip(),
            link,
            suite: object.suite,
            log2_segment: object.log2_segment,
            padded_size: object.padded_size,
            size_bytes: object.size_bytes,
            commitment: object.commitment,
            sealed_about: keys.seal(object.id.as_bytes(), about),
            created_at: self.now(),
        };
        tx.insert_object(self.tenant(), &row).await?;
        Ok(())
    }

    /// The published objects of a clip (`link` none) or of one of its links.
    pub async fn objects(&self, keys: &ClipKeys, link: Option<LinkId>) -> Result<Vec<StoredObject>, VaultError> {
        let rows = self.inner.catalog.objects_of(keys.clip(), link).await?;
        Self::open_objects(keys, rows)
    }

    /// Opens rows of the clip's objects that were read with those of other clips.
    pub fn open_objects(keys: &ClipKeys, rows: Vec<ObjectRow>) -> Result<Vec<StoredObject>, VaultError> {
        let open = |row: ObjectRow| {
            Ok(StoredObject {
                about: keys.open(row.id.as_bytes(), &row.sealed_about)?,
                id: row.id,
                link: row.link,
                suite: row.suite,
                log2_segment: row.log2_segment,
                padded_size: row.padded_size,
                size_bytes: row.size_bytes,
                commitment: row.commitment,
                created_at: row.created_at,
            })
        };
        rows.into_iter().map(open).collect()
    }

    /// Removes published objects' bytes from the store; those that are gone already are fine. The rows are the caller's.
    pub async fn remove_objects(&self, ids: &[ObjectId]) -> Result<(), VaultError> {
        Ok(self.inner.store.delete_all(Location::Data, ids).await?)
    }
}
