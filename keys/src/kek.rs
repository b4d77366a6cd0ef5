//! The KEK record `DCVK`: an owner's key-encryption key under one or more wraps, and the owner's profile sealed by it.

use serde::{Deserialize, Serialize};

use crate::Secret32;
use crate::provider::{ProviderError, RootKey, Wrap};

/// Why a KEK record is not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum KekError {
    /// The key, the place or the bytes do not fit; deliberately nothing more.
    #[error("the KEK record does not open")]
    Refused,
    /// A newer program wrote it.
    #[error("KEK record version {0} is not known")]
    UnknownVersion(u8),
    /// The profile is longer than a record may hold, or there is no wrap, or more than eight.
    #[error("the KEK record is too long, or has no wrap")]
    TooLong,
    /// No wrap could be undone.
    #[error("no wrap of the KEK could be undone")]
    Provider(#[from] ProviderError),
}

/// What a record says in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KekHead {
    /// The record's id.
    pub id: [u8; 16],
    /// Version of the owner's KEK.
    pub version: u32,
    /// Counts up with each rewriting of the record.
    pub revision: u32,
    /// Whether new clips are sealed under it.
    pub state: KekState,
}

/// Whether new clips are sealed under a KEK.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KekState {
    /// The owner's newest.
    Active,
    /// Opens older clips only.
    Retired,
}

/// The owner's profile in the record: enough to rebuild owner and vehicles without the catalogue.
pub struct Profile {
    /// The owner.
    pub owner: [u8; 16],
    /// Seals fields about the owner.
    pub field_key: Secret32,
    /// Who the owner is.
    pub about: ProfileAbout,
}

/// The readable part of a profile.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileAbout {
    /// E-mail address.
    pub email: String,
    /// Name, if told.
    pub name: Option<String>,
    /// Paired vehicles.
    pub vehicles: Vec<Vehicle>,
}

/// A paired vehicle.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vehicle {
    /// The device's id.
    pub device: [u8; 16],
    /// Its Ed25519 public key.
    pub public_key: [u8; 32],
    /// The owner's name for it.
    pub label: String,
    /// Vehicle identification number.
    pub vin: Option<String>,
    /// Licence plate.
    pub plate: Option<String>,
    /// Whether the owner has taken its right away.
    pub revoked: bool,
}

/// A KEK record's bytes, read but not opened.
pub struct SealedKek<'a>(std::marker::PhantomData<&'a ()>);

/// Wraps a KEK by the root key; the wrap is good for every revision of the record.
pub fn wrap(
    _system: &[u8],
    _root: &dyn RootKey,
    _id: [u8; 16],
    _version: u32,
    _kek: &Secret32,
) -> Result<Wrap, ProviderError> {
    todo!()
}

/// Seals a record with a fresh salt.
pub fn seal(
    _system: &[u8],
    _head: &KekHead,
    _kek: &Secret32,
    _wraps: &[Wrap],
    _profile: &Profile,
) -> Result<Vec<u8>, KekError> {
    todo!()
}

impl<'a> SealedKek<'a> {
    /// Reads the clear part.
    pub fn parse(_bytes: &'a [u8]) -> Result<Self, KekError> {
        todo!()
    }

    /// The clear part.
    pub fn head(&self) -> KekHead {
        todo!()
    }

    /// The wraps, to be kept or replaced when the record is sealed anew.
    pub fn wraps(&self) -> &[Wrap] {
        todo!()
    }

    /// Undoes the first wrap that the root key knows, and checks the KEK against the record's commitment.
    pub fn unwrap(&self, _system: &[u8], _root: &dyn RootKey) -> Result<Secret32, KekError> {
        todo!()
    }

    /// Opens the profile. The caller compares [`Profile::owner`] with the owner it asked for.
    pub fn open_profile(&self, _system: &[u8], _kek: &Secret32) -> Result<Profile, KekError> {
        todo!()
    }
}
