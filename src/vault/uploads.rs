//! Pieces of uploads and what is said about them: sealed with the ingest key's public half, so that receiving needs no root
//! key.

use dashvault_keys::object::{self, Opener, Pinned, Place, Sealer};
use dashvault_keys::{Secret32, Zeroizing, ingest};

use super::keys::padded_json;
use super::outgoing::Outgoing;
use super::read;
use super::records::UploadMetadata;
use super::{Vault, VaultError};
use crate::catalog::{IntentLocation, IntentRow};
use crate::model::{Bucket, ClipId, ObjectId, ObjectKind, OwnerId, UnixMs, UploadKeyId};
use crate::store::{Location, StoreError};

const KEY_INFO: &[u8] = b"dcv1/upload key";
const METADATA_INFO: &[u8] = b"dcv1/upload metadata";
/// Metadata's JSON is padded to a multiple of this.
const METADATA_PAD_BYTES: usize = 512;
/// More than twice what ingest makes: a row that asks for more is damaged, and nothing of that size is read.
const MAX_PIECE_BYTES: u64 = 16 << 20;
const TOO_LONG: VaultError = VaultError::OverLimit {
    limit_bytes: MAX_PIECE_BYTES,
};

/// The key under which one process seals the pieces that it receives of one upload.
pub struct UploadKey {
    pub id: UploadKeyId,
    pub upload: ClipId,
    /// The key sealed to the ingest key, for `upload_keys.sealed_key`.
    pub sealed: Vec<u8>,
    key: Secret32,
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

/// A piece that is sealed as it comes: at most one segment of it is in memory in plaintext. Dropped without
/// [`PieceWriter::finish`], what was stored is left to the sweep.
pub struct PieceWriter {
    sealer: Sealer,
    out: Outgoing,
    length: u64,
}

impl PieceWriter {
    /// Seals more of it, and sends what fills a part of the store.
    pub async fn write(&mut self, plain: &[u8]) -> Result<(), VaultError> {
        self.length += plain.len() as u64;
        if self.length > MAX_PIECE_BYTES {
            return Err(TOO_LONG);
        }
        for step in plain.chunks(read::STEP_BYTES) {
            self.sealer.push(step, self.out.sealed()).map_err(|_| TOO_LONG)?;
            self.out.send_whole_parts().await?;
        }
        Ok(())
    }

    /// Ends it and makes it durable; its commitment.
    pub async fn finish(mut self) -> Result<[u8; 32], VaultError> {
        let about = self.sealer.finish(self.out.sealed()).map_err(|_| TOO_LONG)?;
        self.out.finish().await?;
        Ok(about.commitment)
    }
}

impl Vault {
    /// How many sealed bytes of a piece are in memory at most, of `length` that it has.
    pub fn piece_memory_bytes(&self, length: usize) -> usize {
        // One part fills while the one before is on its way.
        length.min(2 * self.inner.store.part_bytes(Location::Staging))
    }

    /// A fresh key for one upload.
    pub fn make_upload_key(&self, upload: ClipId) -> Result<UploadKey, VaultError> {
        let (id, key) = (UploadKeyId::random(), Secret32::make_random());
        Ok(UploadKey {
            id,
            upload,
            sealed: self.seal_to_ingest(KEY_INFO, &[upload.as_bytes(), id.as_bytes()], key.expose())?,
            key,
        })
    }

    /// Opens an upload's key with the ingest key's secret half.
    pub async fn open_upload_key(
        &self,
        upload: ClipId,
        id: UploadKeyId,
        sealed: &[u8],
    ) -> Result<UploadKey, VaultError> {
        let key = self
            .open_from_ingest(KEY_INFO, &[upload.as_bytes(), id.as_bytes()], sealed)?
            .and_then(|plain| Secret32::from_slice(&plain).ok());
        let key = key.ok_or(VaultError::DamagedRow {
            table: "upload_keys",
            column: "sealed_key",
        })?;
        Ok(UploadKey {
            id,
            upload,
            sealed: sealed.to_vec(),
            key,
        })
    }

    /// Seals what was said about an upload, for `uploads.sealed_metadata`.
    pub fn seal_metadata(&self, upload: ClipId, metadata: &UploadMetadata) -> Result<Vec<u8>, VaultError> {
        let plain = padded_json(metadata, METADATA_PAD_BYTES);
        self.seal_to_ingest(METADATA_INFO, &[upload.as_bytes()], &plain)
    }

    /// Opens what was said about an upload with the ingest key's secret half.
    pub async fn open_metadata(&self, upload: ClipId, sealed: &[u8]) -> Result<UploadMetadata, VaultError> {
        let plain = self.open_from_ingest(METADATA_INFO, &[upload.as_bytes()], sealed)?;
        plain
            .and_then(|plain| serde_json::from_slice(&plain).ok())
            .ok_or(VaultError::DamagedRow {
                table: "uploads",
                column: "sealed_metadata",
            })
    }

    /// Names `count` pieces to come: their intents, which are committed before the first byte of any.
    pub fn name_pieces(&self, upload: ClipId, count: usize, lease_until: UnixMs) -> Vec<IntentRow> {
        let intents = std::iter::repeat_with(|| IntentRow {
            object: ObjectId::random(),
            location: IntentLocation::Staging,
            holder: *upload.as_bytes(),
            multipart_id: None,
            lease_until,
        });
        intents.take(count).collect()
    }

    /// Begins a piece under a name whose intent is committed.
    pub async fn begin_piece(
        &self,
        key: &UploadKey,
        owner: OwnerId,
        id: ObjectId,
        start: u64,
    ) -> Result<PieceWriter, VaultError> {
        self.may_write(&[Bucket::Staging]).await?;
        let rendition = rendition(start);
        let place = self.piece_place(key, owner, &rendition);
        let sealer = Sealer::new(&key.key, &place, *id.as_bytes(), object::PIECE_LOG2_SEGMENT);
        Ok(PieceWriter {
            sealer: sealer.map_err(|_| TOO_LONG)?,
            out: Outgoing::new(self, Location::Staging, id),
            length: 0,
        })
    }

    /// Opens one piece.
    pub async fn open_piece(
        &self,
        key: &UploadKey,
        owner: OwnerId,
        piece: &PieceRef,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (object, clip) = (piece.id, key.upload);
        let damaged = || VaultError::Damaged { object, clip };
        if piece.length > MAX_PIECE_BYTES {
            return Err(damaged());
        }
        let log2_segment = object::PIECE_LOG2_SEGMENT;
        let size = object::size(piece.length, log2_segment);
        let ranged = match self.inner.store.get_range(Location::Staging, object, 0..size).await {
            Ok(ranged) => ranged,
            Err(StoreError::Missing(_)) => return Err(VaultError::Missing { object, clip }),
            Err(StoreError::Short { .. }) => return Err(damaged()),
            Err(error) => return Err(error.into()),
        };
        if ranged.object_size != size {
            return Err(damaged());
        }
        let pinned = Pinned {
            suite: object::SUITE,
            log2_segment,
            padded_length: piece.length,
            commitment: piece.commitment,
        };
        let mut bytes = Zeroizing::new(Vec::from(ranged.bytes));
        let rendition = rendition(piece.start);
        let place = self.piece_place(key, owner, &rendition);
        let prelude = bytes.get(..object::PRELUDE_BYTES).ok_or_else(damaged)?;
        let opener = Opener::new(&key.key, &place, *object.as_bytes(), &pinned, prelude).map_err(|_| damaged())?;
        let opened = read::open_in_place(&opener, 0..opener.segments(), &pinned, 0, &mut bytes)
            .await
            .map_err(|_| damaged())?;
        // The plaintext of the segments in a row, at the beginning.
        let mut end = 0;
        for plain in opened {
            let length = plain.len();
            bytes.copy_within(plain, end);
            end += length;
        }
        bytes.truncate(end);
        Ok(bytes)
    }

    fn piece_place<'a>(&'a self, key: &UploadKey, owner: OwnerId, rendition: &'a str) -> Place<'a> {
        Place {
            system: self.sys(),
            owner: *owner.as_bytes(),
            clip: *key.upload.as_bytes(),
            kind: ObjectKind::Piece as u8,
            rendition,
        }
    }

    fn seal_to_ingest(&self, info: &[u8], ids: &[&[u8; 16]], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let public = self.inner.system.ingest_public()?;
        // A vault's own key is no weak point; a note of it that was changed may be.
        ingest::seal_to(&public, info, &self.aad(ids), plain).map_err(|error| VaultError::Refused(error.into()))
    }

    fn open_from_ingest(
        &self,
        info: &[u8],
        ids: &[&[u8; 16]],
        sealed: &[u8],
    ) -> Result<Option<Zeroizing<Vec<u8>>>, VaultError> {
        Ok(self.system()?.record.ingest.open(info, &self.aad(ids), sealed).ok())
    }

    /// The tenant and the ids that a sealed value belongs to.
    fn aad(&self, ids: &[&[u8; 16]]) -> Vec<u8> {
        let mut aad = self.sys().to_vec();
        ids.iter().for_each(|id| aad.extend_from_slice(*id));
        aad
    }
}

fn rendition(start: u64) -> String {
    format!("p{start}")
}
