//! Tombstones, read at every start: what was erased stays erased, whichever database was put back.
//!
//! Objects that the catalogue knows are passed over, so that a start lists packs of hundreds of tombstones and reads none. What
//! the catalogue does not know is believed by its signature alone; then the wraps are destroyed here, before anything is
//! opened, and a job removes the rest. A damaged or forged tombstone is told and erases nothing.

use dashvault_keys::mirror::{MAX_MIRROR_BYTES, MirrorKind, MirrorObject};
use dashvault_keys::tombstone::{Erased, Tombstone};
use futures_util::TryStreamExt as _;

use super::{Vault, VaultError};
use crate::catalog::{
    CatalogError, ErasureKind, ErasureRow, MAX_MIRROR_IDS, MirrorRow, MirrorState, MirrorSubject, NewJob, OwnerState,
    Tx,
};
use crate::model::{ClipId, ErasureId, JobId, JobKind, ObjectId, OwnerId};
use crate::store::{Listed, Location, StoreError};

/// Between two lines of progress.
const TELL_EVERY: u64 = 1_000;

/// What reading the tombstones came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Objects that were listed.
    pub listed: u64,
    /// Tombstones that this catalogue had not known.
    pub unknown: u64,
    /// Clips and owners that stood in it in spite of their tombstones, and are erased again.
    pub erased_again: u64,
    /// Objects or tombstones that are damaged, forged, or of a newer program.
    pub findings: u64,
}

impl Vault {
    /// Waits until this process has read the tombstones. Whatever opens an owner's key asks first.
    pub(super) async fn erased_stay_erased(&self) -> Result<&Replayed, VaultError> {
        self.inner.replayed.get_or_try_init(|| self.replay_tombstones()).await
    }

    /// What reading the tombstones came to, once it was done.
    pub fn replayed(&self) -> Option<Replayed> {
        self.inner.replayed.get().copied()
    }

    /// Reads every tombstone that the catalogue does not know and erases again what it names. May be called again.
    pub async fn replay_tombstones(&self) -> Result<Replayed, VaultError> {
        let mut done = Replayed::default();
        let mut listing = self.inner.store.list(Location::Tombstones).try_chunks(MAX_MIRROR_IDS);
        while let Some(batch) = listing.try_next().await.map_err(|error| error.1)? {
            let ids: Vec<_> = batch.iter().map(|listed| listed.id).collect();
            let known = self.inner.catalog.known_mirrors(&ids).await?;
            done.listed += batch.len() as u64;
            for listed in batch.iter().filter(|listed| !known.contains(&listed.id)) {
                self.replay_object(listed, &mut done).await?;
            }
        }
        if done.erased_again > 0 {
            self.inner.catalog.checkpoint().await?;
            tracing::warn!(
                erased = done.erased_again,
                "clips or owners that had been erased stood in the database, which is an older one: they are erased again"
            );
        }
        Ok(done)
    }

    async fn replay_object(&self, listed: &Listed, done: &mut Replayed) -> Result<(), VaultError> {
        let object = listed.id;
        if listed.size_bytes > MAX_MIRROR_BYTES as u64 {
            finding(object, "it is longer than any tombstone object", done);
            return Ok(());
        }
        let bytes = match self.inner.store.get(Location::Tombstones, object).await {
            Ok(bytes) => bytes,
            // Packed by another process since it was listed.
            Err(StoreError::Missing(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let read = match MirrorObject::parse(&bytes, object.as_bytes()) {
            Ok(read) if read.kind == MirrorKind::Tombstones && read.system == *self.sys() => read,
            Ok(_) => {
                finding(object, "it holds something else, or is another vault's", done);
                return Ok(());
            }
            Err(error) => {
                finding(object, &error.to_string(), done);
                return Ok(());
            }
        };
        let packed = u32::try_from(read.records.len()).unwrap_or(u32::MAX);
        let (before, keys) = (done.findings, self.receipt_public_keys()?);
        let mut stones = Vec::with_capacity(read.records.len());
        for record in &read.records {
            match Tombstone::verify(record, self.sys(), &keys) {
                Ok(stone) => stones.push((stone, *record)),
                Err(error) => finding(object, &error.to_string(), done),
            }
        }
        // An object with a finding stays unknown, so that every start tells of it.
        let known = done.findings == before;
        for (stone, record) in stones {
            let row = known.then_some(MirrorRow {
                object,
                kind: MirrorSubject::Tombstone,
                subject: stone.subject,
                revision: 1,
                state: MirrorState::Newest,
                packed,
            });
            self.replay_stone(&stone, record, row, done).await?;
            if done.unknown.is_multiple_of(TELL_EVERY) {
                tracing::info!(
                    read = done.unknown,
                    "reading tombstones that the database does not know"
                );
            }
        }
        Ok(())
    }

    async fn replay_stone(
        &self,
        stone: &Tombstone,
        record: &[u8],
        mirror: Option<MirrorRow>,
        done: &mut Replayed,
    ) -> Result<(), VaultError> {
        let mut tx = self.inner.catalog.begin().await?;
        let again = match stone.what {
            Erased::Clip => {
                self.erase_clip_again(&mut tx, ClipId::from_bytes(stone.subject))
                    .await?
            }
            Erased::Owner => {
                self.erase_owner_again(&mut tx, OwnerId::from_bytes(stone.subject))
                    .await?
            }
            Erased::Epoch => None,
        };
        let row = ErasureRow {
            id: ErasureId::random(),
            kind: kind(stone.what),
            subject: stone.subject,
            owner: again.filter(|_| stone.what == Erased::Clip),
            tombstone: record.to_vec(),
            ordered_at: stone.at_ms,
            receipt: None,
            done_at: None,
        };
        tx.insert_erasure(self.tenant(), &row).await?;
        if let Some(mirror) = mirror {
            // The catalogue may name an older object that was packed into this one since.
            tx.retire_mirrors_of(MirrorSubject::Tombstone, &stone.subject).await?;
            match tx.insert_mirror(self.tenant(), &mirror, self.now()).await {
                // Another process that starts at the same time was faster.
                Err(CatalogError::Exists(_)) => return Ok(()),
                other => other?,
            }
        }
        tx.commit().await?;
        done.unknown += 1;
        if let Some(owner) = again {
            done.erased_again += 1;
            self.inner.cache.forget(owner);
        }
        Ok(())
    }

    /// Destroys a clip's wrap, also if it is held, and queues the removal of the rest; its owner, none when it is not there
    /// or has nothing left to destroy.
    async fn erase_clip_again(&self, tx: &mut Tx, clip: ClipId) -> Result<Option<OwnerId>, VaultError> {
        let Some(row) = self.inner.catalog.clip_any(clip).await? else {
            return Ok(None);
        };
        let now = self.now();
        tx.queue_erasure(&self.erasure_job(JobKind::EraseClip, row.owner, Some(clip)))
            .await?;
        tx.hold_clip(clip, false, now).await?;
        tx.erase_upload(clip, now).await?;
        tx.erase_clip_keys(clip, now).await?;
        tx.delete_links_of(clip).await?;
        tx.remove_wishes_of_clip(clip).await?;
        tx.retire_mirrors_of(MirrorSubject::Envelope, clip.as_bytes()).await?;
        Ok(Some(row.owner))
    }

    /// Destroys an owner's wraps and whatever lets somebody in, and queues the removal of the rest.
    async fn erase_owner_again(&self, tx: &mut Tx, owner: OwnerId) -> Result<Option<OwnerId>, VaultError> {
        let row = self.inner.catalog.owner(owner).await?;
        if row.is_none_or(|row| row.state == OwnerState::Erased) {
            return Ok(None);
        }
        if tx.begin_owner_erasure(owner).await? {
            tx.queue_job(&self.erasure_job(JobKind::EraseOwner, owner, None))
                .await?;
        }
        tx.let_go_clips_of(owner, self.now()).await?;
        self.destroy_owner_keys(tx, owner).await?;
        tx.remove_credentials_of(owner).await?;
        Ok(Some(owner))
    }

    /// Overwrites and deletes an owner's KEK records; their mirrors become old.
    pub(super) async fn destroy_owner_keys(&self, tx: &mut Tx, owner: OwnerId) -> Result<(), VaultError> {
        for kek in tx.destroy_keks(owner).await? {
            tx.retire_mirrors_of(MirrorSubject::Kek, kek.as_bytes()).await?;
        }
        Ok(())
    }

    fn erasure_job(&self, kind: JobKind, owner: OwnerId, clip: Option<ClipId>) -> NewJob {
        NewJob {
            id: JobId::random(),
            tenant: self.tenant(),
            kind,
            owner,
            clip,
            link: None,
            run_after: self.now(),
        }
    }
}

fn kind(what: Erased) -> ErasureKind {
    match what {
        Erased::Clip => ErasureKind::Clip,
        Erased::Owner => ErasureKind::Owner,
        Erased::Epoch => ErasureKind::Epoch,
    }
}

fn finding(object: ObjectId, reason: &str, done: &mut Replayed) {
    done.findings += 1;
    tracing::error!(
        %object,
        reason,
        "a tombstone in the key plane is not to be believed, and nothing was erased for it: look who can write there"
    );
}
