//! The catalogue held against the key plane: a row that is older than its mirror is noticed, whoever put it back.
//!
//! Only objects that the catalogue does not know are read. Nothing is removed for being unknown: after an old database was
//! put back, such an object is the newest word on somebody's clip. What a tombstone names is the exception, and what the
//! catalogue holds in a newer revision.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashvault_keys::envelope::SealedEnvelope;
use dashvault_keys::kek::SealedKek;
use dashvault_keys::mirror::{MAX_MIRROR_BYTES, MirrorKind, MirrorObject};
use dashvault_keys::system::SystemRecord;
use futures_util::TryStreamExt as _;

use super::mirror::location;
use super::{Vault, VaultError, run_blocking};
use crate::catalog::{CatalogError, ErasureKind, MAX_MIRROR_IDS, MirrorRow, MirrorState, MirrorSubject};
use crate::model::{ClipId, KekId, ObjectId};
use crate::store::{Listed, Location, StoreError};

/// What holding the catalogue against the key plane came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compared {
    /// Objects that were listed.
    pub listed: u64,
    /// Those that the catalogue does not know.
    pub unknown: u64,
    /// Records that are newer than the catalogue's row, or have none.
    pub ahead: u64,
    /// Objects that the catalogue counts on and the key plane lacks; the sweep writes their records again.
    pub lost: u64,
    /// Objects or records that are damaged, or that this vault did not make.
    pub findings: u64,
}

/// A record that the catalogue does not know, as the key plane has it.
struct Found {
    kind: MirrorSubject,
    subject: [u8; 16],
    revision: u32,
    /// Old when the catalogue holds a newer one or a tombstone names it, newest when it holds the same bytes, else ahead.
    state: MirrorState,
}

/// Ids of the key plane's objects that are kept in memory while they are compared, some 64 MiB; of a larger key plane the
/// unknown objects are read all the same, and lost ones are not looked for.
const MAX_LISTED: usize = 2 << 20;
/// Objects looked up at once.
const BATCH: u32 = 500;

impl Vault {
    /// Compares once a process; what it came to, also later. Rows that are older than the key plane are told, and their
    /// next revision will be above the one that was seen.
    pub async fn compare_with_key_plane(&self) -> Result<Compared, VaultError> {
        let compared = self.inner.compared.get_or_try_init(|| self.compare());
        compared.await.copied()
    }

    async fn compare(&self) -> Result<Compared, VaultError> {
        // What cannot be judged without the root key must not be judged.
        self.system()?;
        let mut done = Compared::default();
        let mut there = HashSet::new();
        let mut listing = self.inner.store.list(Location::KeyPlane).try_chunks(MAX_MIRROR_IDS);
        while let Some(batch) = listing.try_next().await.map_err(|error| error.1)? {
            let ids: Vec<_> = batch.iter().map(|listed| listed.id).collect();
            let known = self.inner.catalog.known_mirrors(&ids).await?;
            done.listed += batch.len() as u64;
            if there.len() < MAX_LISTED {
                there.extend(&ids);
            }
            for listed in batch.iter().filter(|listed| !known.contains(&listed.id)) {
                done.unknown += 1;
                self.compare_object(listed, &mut done).await?;
            }
        }
        if there.len() < MAX_LISTED {
            let mut stones = self.inner.store.list(Location::Tombstones);
            while let Some(listed) = stones.try_next().await? {
                there.insert(listed.id);
            }
            done.lost = self.forget_lost(&there).await?;
        }
        if done.ahead > 0 {
            tracing::error!(
                records = done.ahead,
                "the key plane holds newer wrapped keys than the database, which is an older one: what changed since is not \
                 in it; nothing is lost, `dashvault recover` rebuilds it"
            );
        }
        Ok(done)
    }

    /// Forgets objects that are not in the key plane any more, so that their records are mirrored again; how many.
    async fn forget_lost(&self, there: &HashSet<ObjectId>) -> Result<u64, VaultError> {
        let (mut lost, mut after) = (0, None);
        loop {
            let objects = self.inner.catalog.mirror_objects(after, BATCH).await?;
            let Some((last, _)) = objects.last() else { break };
            after = Some(*last);
            for (object, kind) in objects.iter().filter(|(object, _)| !there.contains(object)) {
                // It may have come since the listing.
                match self.inner.store.size(location(*kind), *object).await {
                    Err(StoreError::Missing(_)) => {}
                    Ok(_) => continue,
                    Err(error) => return Err(error.into()),
                }
                let mut tx = self.inner.catalog.begin().await?;
                tx.forget_mirror_object(*object).await?;
                tx.commit().await?;
                lost += 1;
            }
        }
        if lost > 0 {
            self.inner.mirror_is_whole.store(false, Ordering::Relaxed);
            tracing::warn!(
                objects = lost,
                "the key plane lacks objects that the database counted on; their records are written again"
            );
        }
        Ok(lost)
    }

    async fn compare_object(&self, listed: &Listed, done: &mut Compared) -> Result<(), VaultError> {
        let object = listed.id;
        if listed.size_bytes > MAX_MIRROR_BYTES as u64 {
            finding(object, "it is longer than any object of the key plane", done);
            return Ok(());
        }
        let bytes = match self.inner.store.get(Location::KeyPlane, object).await {
            Ok(bytes) => bytes,
            // Swept, or written into a pack, since it was listed.
            Err(StoreError::Missing(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let read = match MirrorObject::parse(&bytes, object.as_bytes()) {
            Ok(read) if read.system == *self.sys() => read,
            Ok(_) => {
                finding(object, "it is another vault's", done);
                return Ok(());
            }
            Err(error) => {
                finding(object, &error.to_string(), done);
                return Ok(());
            }
        };
        let mut found = Vec::with_capacity(read.records.len());
        for record in &read.records {
            let record = match read.kind {
                MirrorKind::Envelope => self.compare_envelope(record).await?,
                MirrorKind::Keks => self.compare_kek(record).await?,
                MirrorKind::System => self.compare_system(record).await?,
                MirrorKind::Tombstones => None,
            };
            match record {
                Some(record) => found.push(record),
                None => finding(object, "a record in it was not made by this vault", done),
            }
        }
        self.note(object, &found, read.records.len(), done).await
    }

    /// Writes down what was seen, so that the next revision is above it and what is needless goes.
    async fn note(
        &self,
        object: ObjectId,
        found: &[Found],
        records: usize,
        done: &mut Compared,
    ) -> Result<(), VaultError> {
        // With a record that is not to be believed, the object stays unknown, so that every start tells of it.
        let known = found.len() == records;
        let is_ahead = |record: &&Found| record.state == MirrorState::Ahead;
        done.ahead += found.iter().filter(is_ahead).count() as u64;
        if !known {
            return Ok(());
        }
        let packed = u32::try_from(records).unwrap_or(u32::MAX);
        let mut tx = self.inner.catalog.begin().await?;
        for record in found {
            if record.state == MirrorState::Newest {
                // The catalogue, an older one, names the object that it lay in before it was packed into this one.
                tx.retire_mirrors_of(record.kind, &record.subject).await?;
            }
            let row = MirrorRow {
                object,
                kind: record.kind,
                subject: record.subject,
                revision: record.revision,
                state: record.state,
                packed,
            };
            match tx.insert_mirror(self.tenant(), &row, self.now()).await {
                // Another process that compares at the same time was faster.
                Err(CatalogError::Exists(_)) => return Ok(()),
                other => other?,
            }
        }
        Ok(tx.commit().await?)
    }

    /// The locator proves that this vault made it.
    async fn compare_envelope(&self, record: &[u8]) -> Result<Option<Found>, VaultError> {
        let Ok(sealed) = SealedEnvelope::parse(record) else {
            return Ok(None);
        };
        let Ok(located) = sealed.locate(self.sys(), &self.system()?.record.locator) else {
            return Ok(None);
        };
        let catalog = &self.inner.catalog;
        let clip = sealed.clip();
        let erased = catalog.erasure_of(ErasureKind::Clip, &clip).await?.is_some()
            || catalog.erasure_of(ErasureKind::Owner, &located.owner).await?.is_some();
        let row = catalog.clip_any(ClipId::from_bytes(clip)).await?;
        let current = row.and_then(|row| row.envelope);
        let least = current
            .as_deref()
            .and_then(|bytes| SealedEnvelope::parse(bytes).map(|sealed| sealed.revision()).ok());
        Ok(Some(Found {
            kind: MirrorSubject::Envelope,
            subject: clip,
            revision: sealed.revision(),
            state: state(
                erased || Some(sealed.revision()) < least,
                current.as_deref() == Some(record),
            ),
        }))
    }

    /// The root key and the profile prove it; they are asked only for a record that is newer than the catalogue's.
    async fn compare_kek(&self, record: &[u8]) -> Result<Option<Found>, VaultError> {
        let Ok(sealed) = SealedKek::parse(record) else {
            return Ok(None);
        };
        let head = sealed.head();
        let current = self.inner.catalog.kek(KekId::from_bytes(head.id)).await?;
        let found = |state| Found {
            kind: MirrorSubject::Kek,
            subject: head.id,
            revision: head.revision,
            state,
        };
        if let Some(current) = current {
            if head.revision < current.revision {
                return Ok(Some(found(MirrorState::Old)));
            }
            if current.record == record {
                return Ok(Some(found(MirrorState::Newest)));
            }
        }
        let (root, tenant, record): (_, _, Arc<[u8]>) = (self.inner.root.clone(), self.tenant(), record.into());
        let owner = run_blocking(move || {
            let sealed = SealedKek::parse(&record).ok()?;
            let kek = sealed.unwrap(tenant.as_bytes(), root.as_ref()).ok()?;
            let profile = sealed.open_profile(tenant.as_bytes(), &kek).ok()?;
            Some(profile.owner)
        });
        let Some(owner) = owner.await else { return Ok(None) };
        let erased = self.inner.catalog.erasure_of(ErasureKind::Owner, &owner).await?;
        Ok(Some(found(state(erased.is_some(), false))))
    }

    async fn compare_system(&self, record: &[u8]) -> Result<Option<Found>, VaultError> {
        let (root, tenant, record): (_, _, Arc<[u8]>) = (self.inner.root.clone(), self.tenant(), record.into());
        let current = self.inner.catalog.system_record(self.tenant()).await?;
        let is_current = current.as_ref().is_some_and(|row| row.record[..] == record[..]);
        let revision = run_blocking(move || {
            SystemRecord::open(tenant.as_bytes(), &record, root.as_ref()).ok()?;
            SystemRecord::revision_of(&record)
        });
        let Some(revision) = revision.await else {
            return Ok(None);
        };
        Ok(Some(Found {
            kind: MirrorSubject::System,
            subject: *self.tenant().as_bytes(),
            revision,
            state: state(Some(revision) < current.map(|row| row.revision), is_current),
        }))
    }
}

fn state(needless: bool, same: bool) -> MirrorState {
    match (needless, same) {
        (true, _) => MirrorState::Old,
        (false, true) => MirrorState::Newest,
        (false, false) => MirrorState::Ahead,
    }
}

fn finding(object: ObjectId, reason: &str, done: &mut Compared) {
    done.findings += 1;
    tracing::error!(
        %object,
        reason,
        "an object of the key plane is not to be believed: look who can write there; the catalogue's own keys are used"
    );
}
