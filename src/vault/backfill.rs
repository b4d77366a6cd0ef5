//! Mirrors what a database holds that is older than the mirror, until nothing is missing.
//!
//! Each record is sealed anew on the way, because the older ones said less: a KEK record nothing of vehicles, an envelope
//! nothing of a clip's state. One that does not open any more is mirrored as it is, so that nothing is lost.

use std::sync::atomic::Ordering;

use dashvault_keys::envelope::{Manifest, SealedEnvelope};
use dashvault_keys::mirror::MAX_RECORDS;

use super::key_plane::PACK_BYTES;
use super::mirror::Entry;
use super::records::{ClipDetails, ClipSummary};
use super::{Holder, Vault, VaultError};
use crate::catalog::{ClipRow, KekRow, MirrorSubject, MirrorTotals};
use crate::model::{ClipId, KekId};

/// Records listed at once, and KEK records in one pack: as many as it may hold.
const BATCH: u32 = MAX_RECORDS as u32;
/// Records of one step: a minute's work at most, so that the sweep comes back to what else it has to do.
const A_STEP: u64 = 5_000;
/// Between two lines of progress.
const TELL_EVERY: u64 = 1_000;

/// How much of the catalogue's keys the key plane holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MirrorState {
    pub envelopes: MirrorTotals,
    pub keks: MirrorTotals,
    pub system: MirrorTotals,
    pub tombstones: MirrorTotals,
}

impl MirrorState {
    /// Records whose newest revision the key plane does not hold.
    pub fn missing(&self) -> u64 {
        [self.envelopes, self.keks, self.system, self.tombstones]
            .iter()
            .map(|totals| totals.records.saturating_sub(totals.mirrored))
            .sum()
    }

    /// Revisions in the key plane that are newer than the catalogue.
    pub fn ahead(&self) -> u64 {
        self.envelopes.ahead + self.keks.ahead + self.system.ahead
    }

    /// Objects in the key plane that hold a newest revision.
    pub fn objects(&self) -> u64 {
        self.envelopes.objects + self.keks.objects + self.system.objects + self.tombstones.objects
    }
}

impl Vault {
    /// How complete the mirror is.
    pub async fn mirror_state(&self) -> Result<MirrorState, VaultError> {
        let catalog = &self.inner.catalog;
        Ok(MirrorState {
            envelopes: catalog.mirror_totals(MirrorSubject::Envelope).await?,
            keks: catalog.mirror_totals(MirrorSubject::Kek).await?,
            system: catalog.mirror_totals(MirrorSubject::System).await?,
            tombstones: catalog.mirror_totals(MirrorSubject::Tombstone).await?,
        })
    }

    /// One step of mirroring what has no mirror yet; how many records. Once nothing was missing, later calls of this process
    /// look no more.
    pub async fn mirror_missing(&self) -> Result<u64, VaultError> {
        if self.inner.mirror_is_whole.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let mut done = self.mirror_missing_system().await?;
        done += self.mirror_missing_tombstones().await?;
        done += self.mirror_missing_keks().await?;
        done += self.mirror_missing_envelopes().await?;
        if done >= A_STEP {
            return Ok(done);
        }
        if done > 0 {
            tracing::info!("the key plane's mirror holds all that the catalogue holds");
        }
        self.inner.mirror_is_whole.store(true, Ordering::Relaxed);
        Ok(done)
    }

    pub(super) async fn mirror_missing_system(&self) -> Result<u64, VaultError> {
        let catalog = &self.inner.catalog;
        let Some(row) = catalog.system_record(self.tenant()).await? else {
            return Ok(0);
        };
        let subject = self.tenant();
        let newest = catalog.newest_mirror(MirrorSubject::System, subject.as_bytes()).await?;
        if newest.is_some_and(|newest| newest.revision >= row.revision) {
            return Ok(0);
        }
        let mirrored = self.mirror_system(&row).await?;
        let mut tx = catalog.begin().await?;
        match self.record_mirror(&mut tx, &mirrored).await {
            Ok(()) => tx.commit().await?,
            // Another process did it.
            Err(VaultError::Superseded) => return Ok(0),
            Err(error) => return Err(error),
        }
        Ok(1)
    }

    /// Tombstones that somebody took out of the key plane; their rows hold them too.
    async fn mirror_missing_tombstones(&self) -> Result<u64, VaultError> {
        let (mut done, mut after) = (0, None);
        loop {
            let subjects = self.inner.catalog.unmirrored_tombstones(after, BATCH).await?;
            let Some(last) = subjects.last() else { return Ok(done) };
            after = Some(*last);
            let mut stones = Vec::with_capacity(subjects.len());
            for subject in subjects {
                if let Some(bytes) = self.inner.catalog.tombstone(&subject).await? {
                    stones.push((subject, bytes));
                }
            }
            let entries = stones.iter().map(|(subject, bytes)| Entry {
                subject: *subject,
                revision: 1,
                bytes,
            });
            let mirrored = self
                .write_mirror(MirrorSubject::Tombstone, Holder::nobody(), entries.collect())
                .await?;
            let mut tx = self.inner.catalog.begin().await?;
            self.record_mirror(&mut tx, &mirrored).await?;
            tx.commit().await?;
            done += stones.len() as u64;
        }
    }

    async fn mirror_missing_keks(&self) -> Result<u64, VaultError> {
        let (mut done, mut after) = (0, None);
        loop {
            let ids = self.inner.catalog.unmirrored_keks(after, BATCH).await?;
            let Some(last) = ids.last() else { return Ok(done) };
            after = Some(*last);
            let mut changes = Vec::with_capacity(ids.len());
            for id in &ids {
                if let Some(row) = self.inner.catalog.kek(KekId::from_bytes(*id)).await? {
                    changes.push(self.mirrored_anew(row).await?);
                }
            }
            let mut rest = changes.as_slice();
            while !rest.is_empty() {
                let (pack, later) = rest.split_at(fitting(rest));
                done += self.mirror_kek_changes(pack).await?;
                rest = later;
            }
            tell(done, "KEK records");
            if done >= A_STEP {
                return Ok(done);
            }
        }
    }

    /// The record with what the catalogue says of the owner now, or as it is; and the revision that it replaces.
    async fn mirrored_anew(&self, row: KekRow) -> Result<(KekRow, u32), VaultError> {
        let as_it_is = (row.clone(), row.revision);
        let resealed = async {
            let keys = self.owner_keys(row.owner).await?;
            if keys.kek_version() != row.version {
                return Ok(as_it_is.clone());
            }
            let about = self.profile_of(&keys).await?;
            self.reseal(&keys, row, about).await
        };
        match resealed.await {
            Err(VaultError::DamagedRow { .. } | VaultError::Gone) => {
                tracing::error!(kek = %as_it_is.0.id, "an owner's wrapped key does not open; it is mirrored as it is");
                Ok(as_it_is)
            }
            other => other,
        }
    }

    async fn mirror_kek_changes(&self, changes: &[(KekRow, u32)]) -> Result<u64, VaultError> {
        let rows: Vec<_> = changes.iter().map(|(row, _)| row.clone()).collect();
        let mut mirrored = self.mirror_keks(&rows).await?;
        let mut done = 0;
        let mut tx = self.inner.catalog.begin().await?;
        for (row, before) in changes {
            if tx.replace_kek(row, *before).await? {
                done += 1;
            } else {
                mirrored.give_up(row.id.as_bytes());
            }
        }
        self.record_mirror(&mut tx, &mirrored).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn mirror_missing_envelopes(&self) -> Result<u64, VaultError> {
        let (mut done, mut after) = (0, None);
        loop {
            let ids = self.inner.catalog.unmirrored_clips(after, BATCH).await?;
            let Some(last) = ids.last() else { return Ok(done) };
            after = Some(*last);
            for id in &ids {
                done += u64::from(self.mirror_clip(ClipId::from_bytes(*id)).await?);
                tell(done, "envelopes");
            }
            if done >= A_STEP {
                return Ok(done);
            }
        }
    }

    async fn mirror_clip(&self, clip: ClipId) -> Result<bool, VaultError> {
        let Some(row) = self.inner.catalog.clip_any(clip).await? else {
            return Ok(false);
        };
        match self.seal_envelope_anew(&row, row.held).await {
            Err(VaultError::DamagedRow { table, column }) => {
                tracing::error!(%clip, table, column, "a clip's key does not open; its envelope is mirrored as it is");
                self.mirror_as_it_is(&row).await
            }
            Err(VaultError::Superseded | VaultError::Gone) => Ok(false),
            other => other,
        }
    }

    /// Holds a clip, as for a dispute, or lets it go, in its row and in the key plane; false when it is not there, has no
    /// keys, or is being erased.
    pub async fn hold_clip(&self, clip: ClipId, held: bool) -> Result<bool, VaultError> {
        match self.inner.catalog.clip_any(clip).await? {
            Some(row) => self.seal_envelope_anew(&row, held).await,
            None => Ok(false),
        }
    }

    /// The next revision of a clip's envelope, with all that the row says and whether it is held.
    async fn seal_envelope_anew(&self, row: &ClipRow, held: bool) -> Result<bool, VaultError> {
        let Some(before) = &row.envelope else { return Ok(false) };
        let owner_keys = self.owner_keys(row.owner).await?;
        let keys = self.clip_keys(&owner_keys, row.id, before, row.least_revision)?;
        let (summary, details) = (row.sealed_summary.as_deref(), row.sealed_details.as_deref());
        let summary: Option<ClipSummary> = summary.map(|sealed| keys.open(row.id.as_bytes(), sealed)).transpose()?;
        let details: Option<ClipDetails> = details.map(|sealed| keys.open(row.id.as_bytes(), sealed)).transpose()?;
        let manifest = Manifest {
            state: Some(row.state_before.unwrap_or(row.state).as_str().to_owned()),
            error_code: row.error_code.clone(),
            incomplete: row.incomplete,
            held,
            created_at: Some(row.created_at),
            summary: serde_json::to_value(summary).ok(),
            details: serde_json::to_value(details).ok(),
            ..self.manifest(&keys, before)?
        };
        let made = self
            .seal_envelope(&keys, &manifest, Holder::of(row.id.as_bytes()))
            .await?;
        let mut tx = self.inner.catalog.begin().await?;
        let replaced = tx
            .replace_envelope(row.id, before, made.kek_version, &made.bytes)
            .await?;
        if !replaced || (held != row.held && !tx.hold_clip(row.id, held, self.now()).await?) {
            return Err(VaultError::Superseded);
        }
        self.record_mirror(&mut tx, &made.mirrored).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn mirror_as_it_is(&self, row: &ClipRow) -> Result<bool, VaultError> {
        let sealed = row
            .envelope
            .as_deref()
            .map(|bytes| (bytes, SealedEnvelope::parse(bytes)));
        let Some((bytes, Ok(sealed))) = sealed else {
            return Ok(false);
        };
        let revision = sealed.revision();
        let mirrored = self
            .mirror_envelope(row.id, revision, bytes, Holder::of(row.id.as_bytes()))
            .await?;
        let mut tx = self.inner.catalog.begin().await?;
        self.record_mirror(&mut tx, &mirrored).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// How many of the first records fit one pack; at least one.
fn fitting(changes: &[(KekRow, u32)]) -> usize {
    let mut bytes = 0;
    let fit = changes.iter().take_while(|(row, _)| {
        bytes += row.record.len();
        bytes <= PACK_BYTES
    });
    fit.count().max(1)
}

fn tell(done: u64, what: &'static str) {
    if done > 0 && done.is_multiple_of(TELL_EVERY) {
        tracing::info!(done, what, "writing the key plane's mirror of an older database");
    }
}
