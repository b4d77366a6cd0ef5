//! Owners and their vehicles, from the KEK records of the key plane.

use dashvault_keys::kek::{KekError, KekHead, KekState, Profile, SealedKek, Vehicle};
use dashvault_keys::mirror::MirrorObject;
use dashvault_keys::{Secret32, field};

use super::plane::{Copied, KekCopies, LastRead, Plane};
use super::{Recovered, Stage, Told, begin_step};
use crate::catalog::{CatalogError, KekRow, MirrorSubject, NewDevice, NewOwner, Tx};
use crate::model::{DeviceId, KekId, ObjectId, OwnerId, UnixMs};
use crate::vault::custody::from_kek;
use crate::vault::records::{DeviceAbout, OwnerProfile};
use crate::vault::vehicles::of_profile;
use crate::vault::{Vault, VaultError, keys, run_blocking};

/// A KEK record that opened.
struct Opened {
    copied: Copied,
    head: KekHead,
    epoch: u32,
    record: Vec<u8>,
    profile: Profile,
}

impl Vault {
    pub(super) async fn recover_owners(
        &self,
        id: ObjectId,
        plane: &Plane,
        done: &mut Recovered,
        told: Told<'_>,
    ) -> Result<(), VaultError> {
        // The newest version first: its profile is the owner's. Then by object, so that each pack is read once or twice.
        let mut keks: Vec<_> = plane.keks.iter().collect();
        keks.sort_by_key(|(id, kek)| {
            (
                std::cmp::Reverse(kek.version),
                kek.copies.first().map(|c| c.object),
                **id,
            )
        });
        let (total, mut last) = (keks.len() as u64, LastRead::default());
        for (at, (kek_id, kek)) in keks.into_iter().enumerate() {
            if let Some(opened) = self.open_copies(kek_id, kek, &mut last, done).await? {
                self.recover_owner(id, opened, kek, done).await?;
            }
            told(Stage::Owners, at as u64 + 1, total);
        }
        Ok(())
    }

    /// The newest copy that opens.
    async fn open_copies(
        &self,
        id: &[u8; 16],
        kek: &KekCopies,
        last: &mut LastRead,
        done: &mut Recovered,
    ) -> Result<Option<Opened>, VaultError> {
        for copied in &kek.copies {
            let Some(bytes) = last.get(&self.inner.store, copied.object).await? else {
                continue;
            };
            let Ok(pack) = MirrorObject::parse(&bytes, copied.object.as_bytes()) else {
                continue;
            };
            let fits = |record: &&&[u8]| {
                let head = SealedKek::parse(record).map(|sealed| sealed.head());
                head.is_ok_and(|head| head.id == *id && head.revision == copied.revision)
            };
            let Some(record) = pack.records.iter().find(fits) else {
                continue;
            };
            match self.open_record(*copied, record.to_vec()).await {
                Ok(opened) => return Ok(Some(opened)),
                Err(error @ KekError::Provider(_)) if from_kek_passes(&error) => return Err(from_kek(error)),
                Err(error) => done.finding(copied.object, &error.to_string()),
            }
        }
        Ok(None)
    }

    async fn open_record(&self, copied: Copied, record: Vec<u8>) -> Result<Opened, KekError> {
        let (root, tenant) = (self.inner.root.clone(), self.tenant());
        run_blocking(move || {
            let sealed = SealedKek::parse(&record)?;
            let kek: Secret32 = sealed.unwrap(tenant.as_bytes(), root.as_ref())?;
            let profile = sealed.open_profile(tenant.as_bytes(), &kek)?;
            let (head, epoch) = (sealed.head(), sealed.wraps().iter().map(|wrap| wrap.epoch).max());
            Ok(Opened {
                copied,
                head,
                epoch: epoch.unwrap_or_default(),
                profile,
                record,
            })
        })
        .await
    }

    async fn recover_owner(
        &self,
        recovery: ObjectId,
        opened: Opened,
        kek: &KekCopies,
        done: &mut Recovered,
    ) -> Result<(), VaultError> {
        let owner = OwnerId::from_bytes(opened.profile.owner);
        if self.inner.catalog.tombstone(owner.as_bytes()).await?.is_some() {
            done.erased += 1;
            return Ok(());
        }
        let now = self.now();
        let known = self.inner.catalog.owner(owner).await?.is_some();
        let mut tx = begin_step(&self.inner.catalog, recovery).await?;
        if !known {
            match self.insert_profile(&mut tx, owner, &opened.profile, now).await {
                Ok(vehicles) => {
                    done.owners += 1;
                    done.vehicles += vehicles;
                    done.quotas += u64::from(opened.profile.about.quotas.is_some());
                }
                Err(VaultError::EmailTaken) => {
                    done.finding(opened.copied.object, "another owner has the same e-mail address");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        let id = KekId::from_bytes(opened.head.id);
        let row = KekRow {
            id,
            owner,
            version: opened.head.version,
            epoch: opened.epoch,
            revision: opened.head.revision,
            least_revision: 0,
            record: opened.record,
        };
        match tx.insert_kek(self.tenant(), &row, now).await {
            Err(CatalogError::Exists(_)) => {
                // One of the two was written into the key plane and never committed.
                done.finding(opened.copied.object, "its owner has another key of the same version");
                return Ok(());
            }
            other => other?,
        }
        if opened.head.state == KekState::Retired {
            tx.retire_recovered_kek(id).await?;
        }
        tx.commit().await?;
        let subject = (MirrorSubject::Kek, id.as_bytes());
        self.note_copies(recovery, subject, &kek.copies, opened.copied).await
    }

    async fn insert_profile(
        &self,
        tx: &mut Tx,
        owner: OwnerId,
        profile: &Profile,
        now: UnixMs,
    ) -> Result<u64, VaultError> {
        let (tenant, system) = (self.tenant(), self.system()?);
        let about = OwnerProfile {
            email: profile.about.email.clone(),
            name: profile.about.name.clone(),
        };
        let indexes = system.email_indexes(tenant, &about.email, now);
        let new = NewOwner {
            id: owner,
            tenant,
            email_index: &indexes[0],
            index_version: system.record.index.newest().version,
            sealed_profile: &keys::seal(&profile.field_key, tenant, owner.as_bytes(), &about),
            created_at: profile.about.created_at.unwrap_or(now),
        };
        match tx.insert_owner(&new).await {
            Err(CatalogError::Exists(_)) => return Err(VaultError::EmailTaken),
            other => other?,
        }
        if let Some(said) = profile.about.quotas {
            tx.set_quotas(owner, &of_profile(said)).await?;
        }
        for vehicle in &profile.about.vehicles {
            self.insert_vehicle(tx, owner, &profile.field_key, vehicle, now).await?;
        }
        Ok(profile.about.vehicles.len() as u64)
    }

    async fn insert_vehicle(
        &self,
        tx: &mut Tx,
        owner: OwnerId,
        key: &Secret32,
        vehicle: &Vehicle,
        now: UnixMs,
    ) -> Result<(), VaultError> {
        let (tenant, id) = (self.tenant(), DeviceId::from_bytes(vehicle.device));
        let about = DeviceAbout {
            label: vehicle.label.clone(),
            vin: vehicle.vin.clone(),
            plate: vehicle.plate.clone(),
        };
        let vin_index = vehicle.vin.as_ref();
        let vin_index = vin_index.map(|vin| field::index(key, tenant.as_bytes(), "vin", vin.as_bytes()));
        let device = NewDevice {
            id,
            tenant,
            owner,
            public_key: &vehicle.public_key,
            next_key: vehicle.next_public_key.as_ref().map(|key| &key.0),
            sealed_about: &keys::seal(key, tenant, id.as_bytes(), &about),
            vin_index: vin_index.as_ref(),
            paired_at: vehicle.paired_at.unwrap_or(now),
        };
        tx.insert_device(&device).await?;
        for old in &vehicle.old_keys {
            tx.insert_old_key(id, &old.key.0, old.since).await?;
        }
        if vehicle.revoked {
            let at = vehicle.revoked_at.unwrap_or(now);
            tx.revoke_device(owner, id, at).await?;
        }
        Ok(())
    }
}

fn from_kek_passes(error: &KekError) -> bool {
    matches!(error, KekError::Provider(provider) if provider.is_passing())
}
