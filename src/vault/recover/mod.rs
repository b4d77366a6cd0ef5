//! Rebuilds the catalogue from data bucket, key plane and root key: owners, vehicles, clips, objects and holds.
//!
//! Everything is read by the same functions that read the catalogue, so that nothing is believed here that would not be
//! believed there. What does not open is a finding and stops nothing else. Links, sessions, API tokens, open uploads and the
//! activity are in neither bucket and do not come back; a clip that lay in the trash comes back out of it.

mod clips;
mod owners;
mod plane;

use std::sync::Arc;

use dashvault_keys::provider::RootKey;
use dashvault_keys::system::{SystemError, SystemRecord};
use futures_util::TryStreamExt as _;

use super::{Config, Vault, VaultError, run_blocking};
use crate::catalog::{Catalog, MirrorRow, MirrorState, MirrorSubject, Recovering, SystemRecordRow, Tx};
use crate::model::{ClipId, Clock, ObjectId, TenantId, UnixMs};
use crate::store::{Location, Store};

use plane::{Copied, Plane, SystemCopy};

/// Of each kind of finding so many are told one by one; all are counted.
const MOST_TOLD: usize = 1_000;

/// What a recovery is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Objects of the key plane are read.
    Reading,
    /// Owners and their vehicles are rebuilt.
    Owners,
    /// Clips are rebuilt.
    Clips,
}

/// Is told how far a stage is: done, of how many.
pub type Told<'a> = &'a (dyn Fn(Stage, u64, u64) + Send + Sync);

/// Something that was not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object that it was found in.
    pub object: ObjectId,
    /// The clip, where one is known.
    pub clip: Option<ClipId>,
    /// What is wrong.
    pub reason: String,
}

/// What a recovery came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    pub owners: u64,
    pub vehicles: u64,
    /// Owners of whom it was said what they may keep.
    pub quotas: u64,
    pub clips: u64,
    /// Of the clips.
    pub held: u64,
    pub objects: u64,
    /// Owners and clips that were erased, and do not come back.
    pub erased: u64,
    /// Objects that a manifest names and the data bucket does not hold, or not in their size.
    pub missing: u64,
    /// Objects of the data bucket that no manifest names, most often links' media. They are left where they are.
    pub orphans: u64,
    /// Damaged or forged objects of the key plane, and records that do not open.
    pub unreadable: u64,
    /// The first thousand of what is wrong, orphans apart.
    pub findings: Vec<Finding>,
    /// The first thousand orphans.
    pub first_orphans: Vec<ObjectId>,
}

impl Recovered {
    fn finding(&mut self, object: ObjectId, reason: &str) {
        self.unreadable += 1;
        self.tell(object, None, reason);
    }

    fn tell(&mut self, object: ObjectId, clip: Option<ClipId>, reason: &str) {
        if self.findings.len() < MOST_TOLD {
            self.findings.push(Finding {
                object,
                clip,
                reason: reason.to_owned(),
            });
        }
    }
}

/// The data bucket as it is listed, and which of its objects a manifest named.
struct Bucket {
    /// By id.
    objects: Vec<(ObjectId, u64)>,
    named: Vec<bool>,
}

impl Bucket {
    async fn list(store: &Store) -> Result<Self, VaultError> {
        let listed = store
            .list(Location::Data)
            .map_ok(|listed| (listed.id, listed.size_bytes));
        let mut objects: Vec<_> = listed.try_collect().await?;
        objects.sort_unstable();
        Ok(Self {
            named: vec![false; objects.len()],
            objects,
        })
    }

    /// How large an object is; none when it is not there.
    fn name(&mut self, id: ObjectId) -> Option<u64> {
        let at = self.objects.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.named[at] = true;
        Some(self.objects[at].1)
    }

    fn orphans(&self) -> impl Iterator<Item = ObjectId> {
        let both = self.objects.iter().zip(&self.named);
        both.filter(|(_, named)| !**named).map(|((id, _), _)| *id)
    }
}

impl Vault {
    /// Rebuilds an empty catalogue. One that an earlier recovery left half-done is emptied first; one that holds a vault is
    /// [`VaultError::NotEmpty`], and untouched.
    pub async fn recover(
        root: Arc<dyn RootKey>,
        config: &Config,
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
        told: Told<'_>,
    ) -> Result<Recovered, VaultError> {
        let mut done = Recovered::default();
        let now = clock.now_ms();
        let mut tx = catalog.begin().await?;
        let Recovering::Begun(id) = tx.begin_recovery(now).await? else {
            return Err(VaultError::NotEmpty);
        };
        tx.commit().await?;
        let plane = Plane::read(&store, &mut done, told).await?;
        let (tenant, system) = newest_system(&plane.systems, &root, &mut done).await?;
        let row = SystemRecordRow {
            epoch: SystemRecord::epoch_of(&system.record).unwrap_or_default(),
            revision: system.copied.revision,
            record: system.record.clone(),
        };
        let mut tx = begin_step(&catalog, id).await?;
        tx.insert_tenant(tenant, now).await?;
        tx.insert_system_record(tenant, &row, now).await?;
        let copies: Vec<_> = plane.systems.iter().map(|system| system.copied).collect();
        let subject = (MirrorSubject::System, tenant.as_bytes());
        note_copies(&mut tx, tenant, subject, &copies, system.copied, now).await?;
        tx.commit().await?;
        let vault = Self::assemble(root, config, catalog, store, clock).await?;
        // A key plane that does not answer for a moment must not bring back what was erased.
        vault.erased_stay_erased().await?;
        vault.recover_owners(id, &plane, &mut done, told).await?;
        let mut bucket = Bucket::list(&vault.inner.store).await?;
        vault.recover_clips(id, &plane, &mut bucket, &mut done, told).await?;
        // The watch's own, and nobody's clip.
        bucket.name(vault.canary(crate::model::Bucket::Data)?);
        done.first_orphans = bucket.orphans().take(MOST_TOLD).collect();
        done.orphans = bucket.orphans().count() as u64;
        let mut tx = begin_step(&vault.inner.catalog, id).await?;
        tx.finish_recovery(id, vault.now()).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// Writes down which objects hold a record; the one that was taken is the newest, the others are left to the sweep. One
    /// that is newer and does not open stays where it is: it is a finding.
    async fn note_copies(
        &self,
        id: ObjectId,
        subject: (MirrorSubject, &[u8; 16]),
        copies: &[Copied],
        taken: Copied,
    ) -> Result<(), VaultError> {
        let mut tx = begin_step(&self.inner.catalog, id).await?;
        note_copies(&mut tx, self.tenant(), subject, copies, taken, self.now()).await?;
        Ok(tx.commit().await?)
    }
}

/// A transaction of a recovery that no other has taken over.
async fn begin_step(catalog: &Catalog, id: ObjectId) -> Result<Tx, VaultError> {
    let mut tx = catalog.begin().await?;
    if !tx.hold_recovery(id).await? {
        return Err(VaultError::TakenOver);
    }
    Ok(tx)
}

async fn note_copies(
    tx: &mut Tx,
    tenant: TenantId,
    (kind, subject): (MirrorSubject, &[u8; 16]),
    copies: &[Copied],
    taken: Copied,
    now: UnixMs,
) -> Result<(), VaultError> {
    for copied in copies.iter().filter(|copied| copied.revision <= taken.revision) {
        let newest = copied.object == taken.object;
        let row = MirrorRow {
            object: copied.object,
            kind,
            subject: *subject,
            revision: copied.revision,
            state: if newest { MirrorState::Newest } else { MirrorState::Old },
            packed: copied.packed,
        };
        tx.insert_mirror(tenant, &row, now).await?;
    }
    Ok(())
}

/// The newest system record that the root key opens.
async fn newest_system<'a>(
    systems: &'a [SystemCopy],
    root: &Arc<dyn RootKey>,
    done: &mut Recovered,
) -> Result<(TenantId, &'a SystemCopy), VaultError> {
    let mut refused = None;
    for copy in systems {
        let (root, system, record) = (root.clone(), copy.system, copy.record.clone());
        match run_blocking(move || SystemRecord::open(&system, &record, root.as_ref()).map(drop)).await {
            Ok(()) => return Ok((TenantId::from_bytes(copy.system), copy)),
            Err(SystemError::Provider(error)) if error.is_passing() => {
                return Err(VaultError::Unavailable(error.into()));
            }
            Err(error) => {
                done.finding(copy.copied.object, &error.to_string());
                refused = refused.or(Some(error));
            }
        }
    }
    let why = match refused {
        Some(error) => {
            format!("no system record in the key plane opens with this root key ({error}): give the newest one")
        }
        None => "the key plane holds no system record: look at the key plane's bucket or folder".to_owned(),
    };
    Err(VaultError::Keyring { reason: why })
}
