//! Clips and their objects, from the envelopes of the key plane.

use dashvault_keys::envelope::{Manifest, ManifestObject, SealedEnvelope};
use dashvault_keys::mirror::MirrorObject;
use dashvault_keys::object;
use data_encoding::HEXLOWER;
use serde_json::Value;

use super::plane::{Copied, LastRead, Plane};
use super::{Bucket, Recovered, Stage, Told, begin_step};
use crate::catalog::{ClipPublication, MirrorSubject, NewClip, NewJob, ObjectRow};
use crate::model::{ClipId, ClipState, JobId, JobKind, ObjectId, OwnerId};
use crate::vault::records::{ClipDetails, ClipSummary, ObjectAbout};
use crate::vault::{ClipKeys, OwnerKeys, Vault, VaultError};

/// An envelope that opened.
struct Opened {
    bytes: Vec<u8>,
    owner_keys: OwnerKeys,
    keys: ClipKeys,
    kek_version: u32,
    manifest: Manifest,
}

/// What became of one copy of an envelope.
enum Looked {
    Opened(Box<Opened>),
    /// It, or its owner, was erased.
    Erased,
    /// It does not open; why.
    Refused(String),
}

impl Vault {
    pub(super) async fn recover_clips(
        &self,
        recovery: ObjectId,
        plane: &Plane,
        bucket: &mut Bucket,
        done: &mut Recovered,
        told: Told<'_>,
    ) -> Result<(), VaultError> {
        let total = plane.envelopes.len() as u64;
        for (at, (id, copies)) in plane.envelopes.iter().enumerate() {
            let clip = ClipId::from_bytes(*id);
            let mut last = LastRead::default();
            for copied in copies {
                match self.look(clip, *copied, &mut last).await? {
                    Looked::Opened(opened) => {
                        self.recover_clip(recovery, *opened, bucket, done).await?;
                        let subject = (MirrorSubject::Envelope, id);
                        self.note_copies(recovery, subject, copies, *copied).await?;
                        break;
                    }
                    Looked::Erased => {
                        done.erased += 1;
                        break;
                    }
                    Looked::Refused(reason) => {
                        done.unreadable += 1;
                        done.tell(copied.object, Some(clip), &reason);
                    }
                }
            }
            told(Stage::Clips, at as u64 + 1, total);
        }
        Ok(())
    }

    async fn look(&self, clip: ClipId, copied: Copied, last: &mut LastRead) -> Result<Looked, VaultError> {
        let refused = |reason: &dyn std::fmt::Display| Ok(Looked::Refused(reason.to_string()));
        let Some(bytes) = last.get(&self.inner.store, copied.object).await? else {
            return refused(&"it went while it was read");
        };
        let object = match MirrorObject::parse(&bytes, copied.object.as_bytes()) {
            Ok(object) => object,
            Err(error) => return refused(&error),
        };
        let Some(bytes) = object.records.first().map(|record| record.to_vec()) else {
            return refused(&"it is empty");
        };
        let system = self.system()?;
        let located = SealedEnvelope::parse(&bytes)
            .and_then(|sealed| sealed.check(*clip.as_bytes(), copied.revision))
            .and_then(|sealed| sealed.locate(self.sys(), &system.record.locator));
        let located = match located {
            Ok(located) => located,
            Err(error) => return refused(&error),
        };
        let owner = OwnerId::from_bytes(located.owner);
        for subject in [clip.as_bytes(), owner.as_bytes()] {
            if self.inner.catalog.tombstone(subject).await?.is_some() {
                return Ok(Looked::Erased);
            }
        }
        let opened = async {
            let owner_keys = self.owner_keys(owner).await?;
            let keys = self.clip_keys(&owner_keys, clip, &bytes, copied.revision)?;
            let manifest = self.manifest(&keys, &bytes)?;
            Ok((owner_keys, keys, manifest))
        };
        match opened.await {
            Ok((owner_keys, keys, manifest)) => Ok(Looked::Opened(Box::new(Opened {
                owner_keys,
                keys,
                kek_version: located.kek_version,
                manifest,
                bytes,
            }))),
            Err(VaultError::Gone) => refused(&"its owner is not in the key plane"),
            Err(VaultError::Superseded) => refused(&"its owner's key of that version is not in the key plane"),
            Err(error @ VaultError::DamagedRow { .. }) => refused(&error),
            Err(error) => Err(error),
        }
    }

    async fn recover_clip(
        &self,
        recovery: ObjectId,
        opened: Opened,
        bucket: &mut Bucket,
        done: &mut Recovered,
    ) -> Result<(), VaultError> {
        let Opened { keys, manifest, .. } = &opened;
        let (tenant, now, clip) = (self.tenant(), self.now(), keys.clip());
        let summary: ClipSummary = stored(manifest.summary.as_ref()).unwrap_or_else(|| summary_of(manifest));
        let details: ClipDetails = stored(manifest.details.as_ref()).unwrap_or_else(|| details_of(manifest));
        let state = manifest.state.as_deref().and_then(|word| word.parse().ok());
        let state = state.unwrap_or(ClipState::Ready);
        let mut tx = begin_step(&self.inner.catalog, recovery).await?;
        tx.insert_clip(&NewClip {
            id: clip,
            tenant,
            owner: keys.owner(),
            device: summary.device,
            created_at: manifest.created_at.unwrap_or(now),
        })
        .await?;
        tx.set_clip_state(clip, &[ClipState::Uploading], ClipState::Queued, now)
            .await?;
        let owner_keys = &opened.owner_keys;
        let index = original(manifest)
            .and_then(|original| owner_keys.clip_index_under(opened.kek_version, summary.device, &original.sha256));
        let publication = ClipPublication {
            id: clip,
            state,
            incomplete: manifest.incomplete,
            error_code: manifest.error_code.as_deref(),
            kek_version: opened.kek_version.into(),
            envelope: &opened.bytes,
            sealed_summary: &keys.seal(clip.as_bytes(), &summary),
            sealed_details: &keys.seal(clip.as_bytes(), &details),
            sha256_index: index.as_ref().map(<[u8; 32]>::as_slice),
        };
        tx.publish_clip(&publication, now).await?;
        for (made_at, entry) in (now..).zip(&manifest.objects) {
            // The rows' times keep the manifest's order.
            let row = object_row(keys, entry, made_at);
            let there = bucket.name(row.id);
            if there != Some(row.size_bytes) {
                done.missing += 1;
                let reason = match there {
                    None => "the data bucket does not hold it",
                    Some(_) => "the data bucket holds it in another size",
                };
                done.tell(row.id, Some(clip), reason);
            }
            tx.insert_object(tenant, &row).await?;
            done.objects += 1;
        }
        if manifest.held {
            tx.hold_clip(clip, true, now).await?;
            done.held += 1;
        }
        if state == ClipState::Transcoding {
            // The original is there; its renditions are made anew.
            tx.queue_job(&NewJob {
                id: JobId::random(),
                tenant,
                kind: JobKind::Finish,
                owner: keys.owner(),
                clip: Some(clip),
                link: None,
                run_after: now,
            })
            .await?;
        }
        tx.commit().await?;
        done.clips += 1;
        Ok(())
    }
}

fn object_row(keys: &ClipKeys, entry: &ManifestObject, now: i64) -> ObjectRow {
    let id = ObjectId::from_bytes(entry.id);
    let about = ObjectAbout {
        kind: entry.kind,
        rendition: entry.rendition.clone(),
        length: entry.length,
        sha256: HEXLOWER.encode(&entry.sha256),
        width: entry.width,
        height: entry.height,
        codec: entry.codec.clone(),
        duration_ms: entry.duration_ms,
    };
    ObjectRow {
        id,
        clip: keys.clip(),
        link: None,
        suite: entry.suite,
        log2_segment: entry.log2_segment,
        padded_size: entry.padded_length,
        size_bytes: object::size(entry.padded_length, entry.log2_segment),
        commitment: entry.commitment,
        sealed_about: keys.seal(id.as_bytes(), &about),
        created_at: now,
    }
}

fn stored<T: serde::de::DeserializeOwned>(value: Option<&Value>) -> Option<T> {
    value.and_then(|value| serde_json::from_value(value.clone()).ok())
}

/// Of a manifest that is older than the summaries in it.
fn summary_of(manifest: &Manifest) -> ClipSummary {
    ClipSummary {
        recorded_at: manifest.recorded_at,
        duration_ms: manifest.duration_ms,
        bytes: original(manifest).map_or(0, |original| original.length),
        ..ClipSummary::default()
    }
}

fn details_of(manifest: &Manifest) -> ClipDetails {
    ClipDetails {
        sha256: original(manifest).map_or_else(String::new, |original| HEXLOWER.encode(&original.sha256)),
        bytes: original(manifest).map_or(0, |original| original.length),
        recorded_at: manifest.recorded_at,
        received_at: manifest.received_at.unwrap_or_default(),
        ..ClipDetails::default()
    }
}

fn original(manifest: &Manifest) -> Option<&ManifestObject> {
    manifest.objects.iter().find(|object| object.rendition == "original")
}
