//! The original: an upload's pieces opened in order and sealed into one object, compared with what was declared.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::Inner;
use super::error::JobError;
use super::finish::manifest_of;
use super::lease::Held;
use crate::audit::NewEvent;
use crate::catalog::{ClipPublication, ClipRow, UploadRow};
use crate::model::{ClipId, ClipState, Concat, EventKind, NOT_AS_DECLARED, ObjectKind};
use crate::vault::{
    ClipDetails, ClipKeys, ClipSummary, Manifest, ObjectWriter, OwnerKeys, PieceRef, SealedObject, UploadKey,
    UploadMetadata,
};

/// Piece rows read at once: 100 pieces of 4 MiB, or of half a second each on a slow link.
const PIECES_A_READ: u32 = 100;
/// Piece rows turned into intents in one transaction, which holds SQLite's only write lock.
const PIECES_A_RELEASE: u32 = 500;
/// Sealing the original is this much of a clip's progress.
const SEALING_PER_MILLE: u64 = 100;
/// A clip whose original is published.
pub(super) struct Published {
    pub(super) keys: Arc<ClipKeys>,
    /// Whether it may go on to be transcoded.
    pub(super) sound: bool,
}

impl Inner {
    /// Seals and publishes the original, in a transaction of its own: from then on a receipt can be given, and whatever
    /// happens to the renditions, the clip is kept.
    pub(super) async fn publish_original(
        &self,
        held: &Held,
        clip: &ClipRow,
        owner_keys: &OwnerKeys,
    ) -> Result<Published, JobError> {
        let upload = self.catalog.upload(clip.id).await?;
        let upload = upload.ok_or_else(|| JobError::internal("the clip's upload has no row"))?;
        let metadata = match &upload.sealed_metadata {
            Some(sealed) => self.vault.open_metadata(clip.id, sealed).await?,
            None => UploadMetadata::default(),
        };
        let keys = Arc::new(self.vault.make_clip_keys(owner_keys, clip.id));
        let created = self
            .vault
            .create_object(&keys, ObjectKind::Video, "original", self.holder(held));
        let mut writer = created.await?;
        let sealed = match self.seal_pieces(held, &upload, &mut writer).await {
            Ok(()) => writer.finish().await?,
            Err(error) => {
                // The sweep takes it if the store is down.
                let _ = writer.abort().await;
                return Err(error);
            }
        };
        self.vault.verify(&keys, &sealed).await?;
        let sound = is_as_declared(&metadata, &sealed);
        self.commit_original(held, clip, owner_keys, &keys, &upload, &metadata, &sealed, sound)
            .await?;
        Ok(Published { keys, sound })
    }

    async fn seal_pieces(&self, held: &Held, upload: &UploadRow, writer: &mut ObjectWriter) -> Result<(), JobError> {
        let length = upload
            .length
            .ok_or_else(|| JobError::internal("a complete upload has no length"))?;
        let mut sealed = 0;
        for source in self.sources_of(upload).await? {
            let row = match source == upload.id {
                true => None,
                false => self.catalog.upload(source).await?,
            };
            let part = row.as_ref().map_or(Some(length), |row| row.length);
            let part = part.ok_or_else(|| JobError::internal("a partial upload is over"))?;
            self.seal_run(held, upload, source, part, (sealed, length), writer)
                .await?;
            sealed += part;
        }
        if sealed == length {
            Ok(())
        } else {
            Err(JobError::internal("the parts are not as long as the upload"))
        }
    }

    /// The uploads whose pieces make up a clip: the upload itself, or the partial ones that it was made of.
    async fn sources_of(&self, upload: &UploadRow) -> Result<Vec<ClipId>, JobError> {
        match upload.concat {
            Concat::Final => Ok(self.catalog.parts_of(upload.id).await?),
            Concat::Whole | Concat::Partial => Ok(vec![upload.id]),
        }
    }

    /// Seals the pieces of one upload, which are `length` bytes, behind `done.0` of `done.1` bytes of the clip.
    async fn seal_run(
        &self,
        held: &Held,
        upload: &UploadRow,
        source: ClipId,
        length: u64,
        done: (u64, u64),
        writer: &mut ObjectWriter,
    ) -> Result<(), JobError> {
        let mut upload_keys = HashMap::<_, UploadKey>::new();
        for row in self.catalog.upload_keys_of(source).await? {
            let key = self.vault.open_upload_key(source, row.id, &row.sealed).await?;
            upload_keys.insert(row.id, key);
        }
        let (mut offset, mut last) = (0, None);
        while offset < length {
            let pieces = self.catalog.pieces_of(source, last, PIECES_A_READ).await?;
            if pieces.is_empty() {
                return Err(JobError::internal("pieces are missing"));
            }
            for row in pieces {
                if row.start != offset {
                    return Err(JobError::internal("the pieces do not follow each other"));
                }
                let key = upload_keys.get(&row.key);
                let key = key.ok_or_else(|| JobError::internal("a piece's key has no row"))?;
                let piece = PieceRef {
                    id: row.id,
                    start: row.start,
                    length: row.length,
                    commitment: row.commitment,
                };
                let plain = self.vault.open_piece(key, upload.owner, &piece).await?;
                writer.write(&plain).await?;
                last = Some(row.start);
                offset += row.length;
                let per_mille = SEALING_PER_MILLE * (done.0 + offset) / done.1;
                held.set_progress(u32::try_from(per_mille).unwrap_or(0));
            }
        }
        if offset == length {
            Ok(())
        } else {
            Err(JobError::internal("the pieces are longer than the upload"))
        }
    }

    /// Gives the pieces of an upload that nobody needs any more to the sweep of intents, and removes what it can at once.
    pub(super) async fn release_pieces(&self, held: &Held, upload: ClipId) -> Result<(), JobError> {
        for part in self.catalog.parts_of(upload).await? {
            self.release_pieces_of(held, part).await?;
        }
        self.release_pieces_of(held, upload).await
    }

    async fn release_pieces_of(&self, held: &Held, upload: ClipId) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        loop {
            let mut tx = self.begin_held(held).await?;
            let released = tx
                .release_pieces(held.row.tenant, upload, PIECES_A_RELEASE, now)
                .await?;
            tx.commit().await?;
            if released == 0 {
                return Ok(());
            }
            self.sweep_intents_of(upload.as_bytes()).await;
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "everything that is known of a clip meets here, once"
    )]
    async fn commit_original(
        &self,
        held: &Held,
        clip: &ClipRow,
        owner_keys: &OwnerKeys,
        keys: &Arc<ClipKeys>,
        upload: &UploadRow,
        metadata: &UploadMetadata,
        sealed: &SealedObject,
        sound: bool,
    ) -> Result<(), JobError> {
        let now = self.clock.now_ms();
        let about = sealed.about();
        let details = ClipDetails {
            sha256: about.sha256.clone(),
            bytes: sealed.length,
            filename: metadata.filename.clone(),
            filetype: metadata.filetype.clone(),
            camera: metadata.camera.clone(),
            lat: metadata.lat,
            lon: metadata.lon,
            recorded_at: metadata.recorded_at,
            received_at: upload.updated_at,
            error_detail: (!sound).then(|| "what arrived is not what the vehicle announced".to_owned()),
        };
        let summary = ClipSummary {
            recorded_at: metadata.recorded_at,
            device: clip.device,
            kind: metadata.kind.clone(),
            bytes: sealed.length,
            ..ClipSummary::default()
        };
        let (state, error_code) = if sound {
            (ClipState::Transcoding, None)
        } else {
            (ClipState::Failed, Some(NOT_AS_DECLARED))
        };
        let manifest = Manifest {
            objects: vec![sealed.in_manifest(&sealed.about())],
            ..manifest_of(clip, state, error_code, &summary, &details)
        };
        let row = clip.id.as_bytes();
        let (sealed_summary, sealed_details) = (keys.seal(row, &summary), keys.seal(row, &details));
        let envelope = self.vault.seal_envelope(keys, &manifest, self.holder(held)).await?;
        let index = owner_keys.clip_index(clip.device, &sealed.sha256);

        let mut tx = self.begin_step(held).await?;
        // Uploads before clips, as ingest and the owner's erasure lock them.
        let finished = tx.finish_upload(clip.id, now).await?;
        self.vault.publish(&mut tx, keys, sealed, &about, None).await?;
        let publication = ClipPublication {
            id: clip.id,
            state,
            incomplete: false,
            error_code,
            kek_version: envelope.kek_version.into(),
            envelope: &envelope.bytes,
            sealed_summary: &sealed_summary,
            sealed_details: &sealed_details,
            sha256_index: Some(&index),
        };
        if !tx.publish_clip(&publication, now).await? {
            return Err(JobError::Gone);
        }
        self.vault.record_mirror(&mut tx, &envelope.mirrored).await?;
        if !finished {
            return Err(JobError::internal("the upload is not complete"));
        }
        if !sound {
            let event = NewEvent::of_clip(clip.owner, EventKind::ClipFailed, clip.id);
            self.audit.record(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn is_as_declared(metadata: &UploadMetadata, sealed: &SealedObject) -> bool {
    let declared = metadata.sha256.as_ref();
    declared.is_none_or(|hex| hex.eq_ignore_ascii_case(&HEXLOWER.encode(&sealed.sha256)))
}
