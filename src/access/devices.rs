//! Vehicles: listed, renamed, revoked.

use super::{Access, AccessError, OwnerSession, words};
use crate::audit::{EventKind, NewEvent};
use crate::catalog::DeviceRow;
use crate::model::{DeviceId, DeviceState, UnixMs};
use crate::vault::{DeviceAbout, OwnerKeys, Vehicle};

/// What fits a line of the list.
pub(super) const MAX_LABEL_CHARS: usize = 80;
/// Vehicles of an owner, revoked ones included, that a list shows.
const MAX_LISTED: u32 = 1_000;

/// What an owner calls a vehicle.
#[derive(Clone, PartialEq, Eq)]
pub struct VehicleName {
    /// For people: 1 to 80 characters.
    pub label: String,
    /// Vehicle identification number (ISO 3779): 17 characters, without I, O and Q.
    pub vin: Option<String>,
    /// Number plate: at most 20 characters.
    pub plate: Option<String>,
}

/// A vehicle, for its owner.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    /// Its id.
    pub id: DeviceId,
    /// Active, or revoked.
    pub state: DeviceState,
    /// What its owner calls it.
    pub name: VehicleName,
    /// When it was paired.
    pub paired_at: UnixMs,
    /// When it last showed a token, to within five minutes.
    pub last_seen_at: Option<UnixMs>,
    /// When it was revoked.
    pub revoked_at: Option<UnixMs>,
}

impl Access {
    /// An owner's vehicles, revoked ones too, newest first.
    pub async fn devices(&self, session: &OwnerSession) -> Result<Vec<Device>, AccessError> {
        let rows = self.inner.catalog.devices_of(session.owner(), MAX_LISTED).await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let keys = self.inner.vault.owner_keys(session.owner()).await?;
        rows.iter().map(|row| opened(row, &keys)).collect()
    }

    /// One vehicle.
    pub async fn device(&self, session: &OwnerSession, device: DeviceId) -> Result<Option<Device>, AccessError> {
        let Some(row) = self.inner.catalog.device(session.owner(), device).await? else {
            return Ok(None);
        };
        let keys = self.inner.vault.owner_keys(session.owner()).await?;
        opened(&row, &keys).map(Some)
    }

    /// Gives a vehicle another label.
    pub async fn rename_device(
        &self,
        session: &OwnerSession,
        device: DeviceId,
        label: &str,
    ) -> Result<Device, AccessError> {
        let label = words::line("label", label, MAX_LABEL_CHARS)?;
        self.in_line(session.owner(), || self.try_rename(session, device, &label))
            .await
    }

    async fn try_rename(&self, session: &OwnerSession, device: DeviceId, label: &str) -> Result<Device, AccessError> {
        let inner = &self.inner;
        let row = inner.catalog.device(session.owner(), device).await?;
        let row = row.ok_or(AccessError::NotFound)?;
        let keys = inner.vault.owner_keys(session.owner()).await?;
        let about: DeviceAbout = keys.open(device.as_bytes(), &row.sealed_about)?;
        let about = DeviceAbout {
            label: label.to_owned(),
            ..about
        };
        let sealed = keys.seal(device.as_bytes(), &about);
        let change = inner.vault.change_vehicles(&keys, |vehicles| {
            if let Some(vehicle) = found(vehicles, device) {
                vehicle.label = about.label.clone();
            }
        });
        let change = change.await?;
        let mut tx = inner.catalog.begin().await?;
        tx.set_device_about(session.owner(), device, &sealed).await?;
        inner.vault.record_kek(&mut tx, &change).await?;
        inner
            .audit
            .record(
                &mut tx,
                NewEvent {
                    text: Some((&keys, about.label)),
                    ..NewEvent::of(session.owner(), EventKind::DeviceRenamed)
                },
            )
            .await?;
        tx.commit().await?;
        let row = DeviceRow {
            sealed_about: sealed,
            ..row
        };
        opened(&row, &keys)
    }

    /// Revokes a vehicle: its next request is refused, and one that it is sending moves no offset any more. What came before
    /// stays its owner's. A second time changes nothing.
    pub async fn revoke_device(&self, session: &OwnerSession, device: DeviceId) -> Result<(), AccessError> {
        self.in_line(session.owner(), || self.try_revoke(session, device)).await
    }

    async fn try_revoke(&self, session: &OwnerSession, device: DeviceId) -> Result<(), AccessError> {
        let inner = &self.inner;
        let row = inner.catalog.device(session.owner(), device).await?;
        let row = row.ok_or(AccessError::NotFound)?;
        let keys = inner.vault.owner_keys(session.owner()).await?;
        let about: DeviceAbout = keys.open(device.as_bytes(), &row.sealed_about)?;
        let now = inner.clock.now_ms();
        if row.state == DeviceState::Revoked {
            return Ok(());
        }
        let change = inner.vault.change_vehicles(&keys, |vehicles| {
            if let Some(vehicle) = found(vehicles, device) {
                vehicle.revoked = true;
                vehicle.revoked_at = Some(now);
            }
        });
        let change = change.await?;
        let mut tx = inner.catalog.begin().await?;
        if tx.revoke_device(session.owner(), device, now).await? {
            tx.fence_uploads_of(session.owner(), device).await?;
            tx.remove_wishes_of_device(session.owner(), device).await?;
            inner.vault.record_kek(&mut tx, &change).await?;
            let event = NewEvent {
                text: Some((&keys, about.label)),
                ..NewEvent::of(session.owner(), EventKind::DeviceRevoked)
            };
            inner.audit.record(&mut tx, event).await?;
        }
        Ok(tx.commit().await?)
    }
}

pub(super) fn found(vehicles: &mut [Vehicle], device: DeviceId) -> Option<&mut Vehicle> {
    vehicles.iter_mut().find(|vehicle| vehicle.device == *device.as_bytes())
}

fn opened(row: &DeviceRow, keys: &OwnerKeys) -> Result<Device, AccessError> {
    let about: DeviceAbout = keys.open(row.id.as_bytes(), &row.sealed_about)?;
    Ok(Device {
        id: row.id,
        state: row.state,
        name: VehicleName {
            label: about.label,
            vin: about.vin,
            plate: about.plate,
        },
        paired_at: row.paired_at,
        last_seen_at: row.last_seen_at,
        revoked_at: row.revoked_at,
    })
}
