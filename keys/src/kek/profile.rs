//! The owner's profile inside a KEK record: `owner 16 · field key 32 · JSON`, padded with spaces to 1 KiB and 48 bytes.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Secret32;
use crate::bytes::{Reader, hex, padded_json};

const STEP_BYTES: usize = 1024;

/// The owner's profile in the record: enough to rebuild owner and vehicles without the catalogue.
pub struct Profile {
    /// The owner.
    pub owner: [u8; 16],
    /// Seals fields about the owner.
    pub field_key: Secret32,
    /// Who the owner is.
    pub about: ProfileAbout,
}

/// The readable part of a profile. No `Debug`: it names a person.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileAbout {
    /// E-mail address.
    pub email: String,
    /// Name, if told.
    #[serde(default)]
    pub name: Option<String>,
    /// Paired vehicles.
    #[serde(default)]
    pub vehicles: Vec<Vehicle>,
    /// When the owner was added; unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// What this owner may keep, if that was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Quotas>,
}

/// The most that an owner may keep; what is not there is as for everybody.
#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Clips.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clips: Option<u64>,
    /// Bytes of each vehicle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_bytes: Option<u64>,
    /// Clips of each vehicle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vehicle_clips: Option<u64>,
}

/// An Ed25519 public key, in hexadecimal where it is written.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicKey(#[serde(with = "hex")] pub [u8; 32]);

/// A key that a vehicle had, or announced and never used.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldKey {
    /// The key.
    pub key: PublicKey,
    /// Since when its vehicle signs with another; unix milliseconds.
    pub since: i64,
}

/// A paired vehicle.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vehicle {
    /// The device's id.
    #[serde(with = "hex")]
    pub device: [u8; 16],
    /// Its Ed25519 public key.
    #[serde(with = "hex")]
    pub public_key: [u8; 32],
    /// The key that it announced and may have used since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_public_key: Option<PublicKey>,
    /// Those that it had before: they open nothing, and pair no other vehicle.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub old_keys: Vec<OldKey>,
    /// The owner's name for it.
    pub label: String,
    /// Vehicle identification number.
    #[serde(default)]
    pub vin: Option<String>,
    /// Licence plate.
    #[serde(default)]
    pub plate: Option<String>,
    /// Whether the owner has taken its right away.
    #[serde(default)]
    pub revoked: bool,
    /// When it was paired; unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paired_at: Option<i64>,
    /// When it was revoked; unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<i64>,
}

impl Profile {
    pub(super) fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let json = padded_json(&self.about, STEP_BYTES);
        let mut out = Zeroizing::new(Vec::with_capacity(48 + json.len()));
        out.extend_from_slice(&self.owner);
        out.extend_from_slice(self.field_key.expose());
        out.extend_from_slice(&json);
        out
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (owner, field_key) = (reader.array()?, reader.take(32)?);
        Some(Self {
            owner,
            field_key: Secret32::from_slice(field_key).ok()?,
            about: serde_json::from_slice(&bytes[48..]).ok()?,
        })
    }
}
