//! Vehicles: paired by a code and a proof, listed, renamed, revoked.

use super::{Access, AccessError, OwnerSession};
use crate::model::{DeviceId, DeviceState, UnixMs};

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

/// A new pairing code.
pub struct PairingCode {
    /// To be typed into the vehicle, for example `7KQ4-M2XA-9TBE`.
    pub code: String,
    /// It is of no use after that.
    pub expires_at: UnixMs,
}

/// What pairing brings the vehicle.
pub struct Paired {
    /// The id for its tokens.
    pub device: DeviceId,
    /// The Ed25519 key that signs receipts.
    pub vault_public_key: [u8; 32],
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
    /// Makes a pairing code.
    pub async fn make_pairing_code(
        &self,
        _session: &OwnerSession,
        _name: VehicleName,
    ) -> Result<PairingCode, AccessError> {
        todo!()
    }

    /// Pairs a vehicle: the code, the vehicle's Ed25519 public key, and the proof that it has the private one (a signature
    /// over the code). A code that is unknown, wrong, used or ended is [`AccessError::NotFound`]; one that has died of wrong
    /// tries is [`AccessError::TooManyTries`].
    pub async fn pair(&self, _code: &str, _public_key: &[u8], _proof: &str) -> Result<Paired, AccessError> {
        todo!()
    }

    /// An owner's vehicles, revoked ones too, newest first.
    pub async fn devices(&self, _session: &OwnerSession) -> Result<Vec<Device>, AccessError> {
        todo!()
    }

    /// One vehicle.
    pub async fn device(&self, _session: &OwnerSession, _device: DeviceId) -> Result<Option<Device>, AccessError> {
        todo!()
    }

    /// Gives a vehicle another label.
    pub async fn rename_device(
        &self,
        _session: &OwnerSession,
        _device: DeviceId,
        _label: &str,
    ) -> Result<Device, AccessError> {
        todo!()
    }

    /// Revokes a vehicle: its next request is refused. A second time changes nothing.
    pub async fn revoke_device(&self, _session: &OwnerSession, _device: DeviceId) -> Result<(), AccessError> {
        todo!()
    }

    /// Whether a vehicle may still speak; one look at its row, for requests that take long.
    pub async fn device_is_active(&self, _device: DeviceId) -> Result<bool, AccessError> {
        todo!()
    }
}
