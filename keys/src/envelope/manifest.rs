//! What a clip consists of: JSON under its DEK, padded to 1 KiB.

use serde::{Deserialize, Serialize};

use crate::bytes::hex;

/// What the clip consists of: enough to find and check every object without the catalogue. Times are unix milliseconds.
///
/// No `Debug`: it says when somebody drove.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// When the clip was recorded.
    #[serde(default)]
    pub recorded_at: Option<i64>,
    /// When its last byte was durable.
    #[serde(default)]
    pub received_at: Option<i64>,
    /// How long it plays.
    #[serde(default)]
    pub duration_ms: Option<u64>,
    /// The clip's objects; links' own media are not among them, a link does not outlive the catalogue.
    pub objects: Vec<ManifestObject>,
}

/// One object of a clip.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestObject {
    /// The object's id.
    #[serde(with = "hex")]
    pub id: [u8; 16],
    /// See [`crate::object::kind`].
    pub kind: u8,
    /// The rendition's name.
    pub rendition: String,
    /// The suite.
    pub suite: u8,
    /// log2 of the segment size.
    pub log2_segment: u8,
    /// Plaintext bytes with padding.
    pub padded_length: u64,
    /// Plaintext bytes.
    pub length: u64,
    /// The commitment.
    #[serde(with = "hex")]
    pub commitment: [u8; 32],
    /// SHA-256 of the plaintext.
    #[serde(with = "hex")]
    pub sha256: [u8; 32],
    /// RFC 6381 text.
    #[serde(default)]
    pub codec: Option<String>,
}
