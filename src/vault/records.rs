//! What is sealed in columns: one struct a column, written as JSON and padded, so that lengths tell little.
//!
//! Times are milliseconds since 1970. None of these prints what it holds: their `Debug` shows the name alone, so that a log
//! line or a failed assertion never tells a person's secrets.

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::{DeviceId, UnixMs};

/// A struct that is sealed in one column of one table.
pub trait Record: Serialize + DeserializeOwned {
    /// The table, part of the associated place.
    const TABLE: &'static str;
    /// The column, part of the associated place.
    const COLUMN: &'static str;
    /// The JSON is padded with spaces to a multiple of this many bytes.
    const PAD_BYTES: usize;
}

macro_rules! record {
    ($($name:ident in $table:literal, $column:literal, $pad:literal;)*) => {$(
        impl Record for $name {
            const TABLE: &'static str = $table;
            const COLUMN: &'static str = $column;
            const PAD_BYTES: usize = $pad;
        }
    )*};
}

macro_rules! silent {
    ($($name:ident)*) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}

record! {
    ClipSummary in "clips", "sealed_summary", 512;
    ClipDetails in "clips", "sealed_details", 1024;
    ObjectAbout in "objects", "sealed_about", 512;
    LinkAbout in "links", "sealed_about", 512;
    DeviceAbout in "devices", "sealed_about", 256;
    PairingAbout in "pairing_codes", "sealed_about", 256;
    OwnerProfile in "owners", "sealed_profile", 512;
    EventText in "events", "sealed_text", 256;
}

silent! {
    ClipSummary ClipDetails ObjectAbout LinkAbout DeviceAbout PairingAbout OwnerProfile EventText UploadMetadata
}

/// What a vehicle or browser said about its upload; sealed to the ingest key (`uploads.sealed_metadata`), not a field.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UploadMetadata {
    pub filename: Option<String>,
    pub filetype: Option<String>,
    /// Lower-case hex.
    pub sha256: Option<String>,
    pub recorded_at: Option<UnixMs>,
    pub camera: Option<String>,
    pub kind: Option<String>,
    /// Degrees north.
    pub lat: Option<f64>,
    /// Degrees east.
    pub lon: Option<f64>,
    /// What the vehicle calls the clip, so that a repeated creation is known without a SHA-256.
    pub clip: Option<String>,
    /// Which rendition of it this is.
    pub rendition: Option<String>,
}

/// What a list shows of a clip (`clips.sealed_summary`, DEK).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipSummary {
    pub recorded_at: Option<UnixMs>,
    pub duration_ms: Option<u64>,
    pub device: Option<DeviceId>,
    pub kind: Option<String>,
    pub bytes: u64,
    pub has_audio: bool,
    pub has_track: bool,
    pub width: Option<u32>,
    pub height: Option<u32>,
}

/// The rest of what is known of a clip (`clips.sealed_details`, DEK).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipDetails {
    /// Of the original, lower-case hex.
    pub sha256: String,
    pub bytes: u64,
    pub filename: Option<String>,
    pub filetype: Option<String>,
    pub camera: Option<String>,
    pub lat: Option<f64>,
    pub lon: Option<f64>,
    pub recorded_at: Option<UnixMs>,
    pub received_at: UnixMs,
    /// What a person may read beside `clips.error_code`.
    pub error_detail: Option<String>,
}

impl ClipDetails {
    /// The SHA-256 of the original, if the record holds one.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let sum = HEXLOWER_PERMISSIVE.decode(self.sha256.as_bytes()).ok()?;
        sum.try_into().ok()
    }
}

/// What an object is (`objects.sealed_about`, DEK).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ObjectAbout {
    /// The kind byte of the object format.
    pub kind: u8,
    /// `original`, `source`, `1080p`, `poster`, and `NAME.index` for a rendition's index.
    pub rendition: String,
    /// Exact plaintext bytes.
    pub length: u64,
    /// Of the plaintext, lower-case hex.
    pub sha256: String,
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// As RFC 6381 writes it.
    pub codec: Option<String>,
    pub duration_ms: Option<u64>,
}

/// What a link shows and to whom (`links.sealed_about`, DEK).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkAbout {
    pub recipient: String,
    pub from_ms: Option<u64>,
    pub to_ms: Option<u64>,
    pub audio: bool,
    pub location: bool,
    pub download: bool,
}

/// An owner's vehicle (`devices.sealed_about`, field key).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceAbout {
    pub label: String,
    pub vin: Option<String>,
    pub plate: Option<String>,
}

/// What a vehicle will be called once it is paired (`pairing_codes.sealed_about`, field key).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PairingAbout {
    pub label: String,
    pub vin: Option<String>,
    pub plate: Option<String>,
}

/// Who an owner is (`owners.sealed_profile`, field key).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnerProfile {
    pub email: String,
    pub name: Option<String>,
}

/// What an event says beyond its kind (`events.sealed_text`, field key).
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventText {
    pub text: String,
}
