//! What an owner's KEK record says of vehicles and quotas: each change is a new revision of it, so that the key plane alone can
//! tell who may upload, and how much.

use std::collections::HashMap;

use dashvault_keys::kek::{self, KekHead, OldKey, Profile, ProfileAbout, PublicKey, SealedKek, Vehicle};

use super::custody::from_kek;
use super::mirror::Mirrored;
use super::records::{DeviceAbout, OwnerProfile};
use super::{OwnerKeys, Vault, VaultError};
use crate::catalog::{DeviceRow, KekRow, MirrorSubject, Quotas, Tx};
use crate::model::{DeviceId, DeviceState, OwnerId};

/// Vehicles of an owner in the record, revoked ones included: some 300 bytes each, in a profile of at most 1 MiB.
const MAX_VEHICLES: u32 = 2_000;
/// Old keys of all of them in the record, those that were replaced last: some 100 bytes each, beside the vehicles.
const MAX_OLD_KEYS: u32 = 3_000;

/// A new revision of an owner's KEK record that lies in the key plane and is not yet the catalogue's.
#[must_use = "it counts only once it is recorded"]
pub struct KekChange {
    row: KekRow,
    before: u32,
    mirrored: Mirrored,
}

impl Vault {
    /// Seals the owner's KEK record anew with the vehicles that the catalogue holds and `change` to them, and mirrors it.
    pub async fn change_vehicles(
        &self,
        keys: &OwnerKeys,
        change: impl FnOnce(&mut Vec<Vehicle>),
    ) -> Result<KekChange, VaultError> {
        self.change_profile(keys, |about| change(&mut about.vehicles)).await
    }

    /// The same with what the owner may keep.
    pub async fn change_quotas(&self, keys: &OwnerKeys, quotas: &Quotas) -> Result<KekChange, VaultError> {
        self.change_profile(keys, |about| about.quotas = in_profile(quotas))
            .await
    }

    async fn change_profile(
        &self,
        keys: &OwnerKeys,
        change: impl FnOnce(&mut ProfileAbout),
    ) -> Result<KekChange, VaultError> {
        let row = self.inner.catalog.active_kek(keys.owner()).await?;
        let row = row.ok_or(VaultError::Gone)?;
        if row.version != keys.kek_version() {
            return Err(VaultError::Superseded);
        }
        let mut about = self.profile_of(keys).await?;
        change(&mut about);
        let changed = self.reseal(keys, row, about).await?;
        let mirrored = self.mirror_keks(std::slice::from_ref(&changed.0)).await?;
        Ok(KekChange {
            row: changed.0,
            before: changed.1,
            mirrored,
        })
    }

    /// Puts the new revision into its row. When another one came first it is [`VaultError::Superseded`]: the transaction must
    /// not be committed, and the change begins anew.
    pub async fn record_kek(&self, tx: &mut Tx, change: &KekChange) -> Result<(), VaultError> {
        if !tx.replace_kek(&change.row, change.before).await? {
            return Err(VaultError::Superseded);
        }
        self.record_mirror(tx, &change.mirrored).await
    }

    /// What the KEK record says of an owner, as the catalogue has it now.
    pub(super) async fn profile_of(&self, keys: &OwnerKeys) -> Result<ProfileAbout, VaultError> {
        let owner = keys.owner();
        let row = self.inner.catalog.owner(owner).await?.ok_or(VaultError::Gone)?;
        let sealed = row.sealed_profile.ok_or(VaultError::Gone)?;
        let OwnerProfile { email, name } = keys.open(owner.as_bytes(), &sealed)?;
        let devices = self.inner.catalog.devices_of(owner, MAX_VEHICLES).await?;
        let quotas = self.inner.catalog.quotas(owner).await?;
        let mut old_keys = self.old_keys_of(owner).await?;
        // One damaged row must not keep the others out of the key plane.
        let mut read = |device: &DeviceRow| vehicle(keys, device, old_keys.remove(&device.id).unwrap_or_default());
        let vehicles = devices.iter().filter_map(|device| match read(device) {
            Ok(vehicle) => Some(vehicle),
            Err(error) => {
                tracing::error!(device = %device.id, %error, "a vehicle's row is damaged; the key plane does not hold it");
                None
            }
        });
        Ok(ProfileAbout {
            email,
            name,
            vehicles: vehicles.collect(),
            created_at: Some(row.created_at),
            quotas: in_profile(&quotas),
        })
    }

    /// The keys that an owner's vehicles had, the one that was replaced last first.
    async fn old_keys_of(&self, owner: OwnerId) -> Result<HashMap<DeviceId, Vec<OldKey>>, VaultError> {
        let mut all: HashMap<_, Vec<_>> = HashMap::new();
        for (device, old) in self.inner.catalog.old_device_keys_of(owner, MAX_OLD_KEYS).await? {
            let damaged = VaultError::DamagedRow {
                table: "device_old_keys",
                column: "key",
            };
            all.entry(device).or_default().push(OldKey {
                key: PublicKey(old.key.as_slice().try_into().map_err(|_| damaged)?),
                since: old.since,
            });
        }
        Ok(all)
    }

    /// The next revision of a KEK record, around the wraps that it has; and the revision that it replaces.
    pub(super) async fn reseal(
        &self,
        keys: &OwnerKeys,
        row: KekRow,
        about: ProfileAbout,
    ) -> Result<(KekRow, u32), VaultError> {
        let before = row.revision;
        let revision = self
            .next_revision(MirrorSubject::Kek, row.id.as_bytes(), before)
            .await?;
        let (owner, tenant) = (keys.owner(), self.tenant());
        let profile = Profile {
            owner: *owner.as_bytes(),
            field_key: keys.keys.field.duplicate(),
            about,
        };
        let sealed = SealedKek::parse(&row.record).map_err(from_kek)?;
        let head = KekHead {
            revision,
            ..sealed.head()
        };
        let record = kek::seal(tenant.as_bytes(), &head, &keys.keys.kek, sealed.wraps(), &profile);
        let record = record.map_err(from_kek)?;
        let row = KekRow {
            revision,
            record,
            ..row
        };
        Ok((row, before))
    }
}

fn in_profile(quotas: &Quotas) -> Option<kek::Quotas> {
    quotas.is_any().then_some(kek::Quotas {
        bytes: quotas.bytes,
        clips: quotas.clips,
        vehicle_bytes: quotas.bytes_each,
        vehicle_clips: quotas.clips_each,
    })
}

pub(super) fn of_profile(said: kek::Quotas) -> Quotas {
    Quotas {
        bytes: said.bytes,
        clips: said.clips,
        bytes_each: said.vehicle_bytes,
        clips_each: said.vehicle_clips,
    }
}

fn vehicle(keys: &OwnerKeys, row: &DeviceRow, old_keys: Vec<OldKey>) -> Result<Vehicle, VaultError> {
    let about: DeviceAbout = keys.open(row.id.as_bytes(), &row.sealed_about)?;
    let damaged = VaultError::DamagedRow {
        table: "devices",
        column: "public_key",
    };
    Ok(Vehicle {
        device: *row.id.as_bytes(),
        public_key: row.public_key.as_slice().try_into().map_err(|_| damaged)?,
        next_public_key: row
            .next_key
            .as_deref()
            .and_then(|key| key.try_into().ok())
            .map(PublicKey),
        label: about.label,
        old_keys,
        vin: about.vin,
        plate: about.plate,
        revoked: row.state == DeviceState::Revoked,
        paired_at: Some(row.paired_at),
        revoked_at: row.revoked_at,
    })
}
