//! What a clip consists of: JSON under its DEK, padded to 1 KiB.

use serde::{Deserialize, Serialize};
use serde_json::Value;

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
    /// The word of the catalogue for what became of the clip: `transcoding`, `ready`, `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it failed, as a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Less could be decoded than was claimed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub incomplete: bool,
    /// Held, as for a dispute: neither trashed nor erased.
    #[serde(default, skip_serializing_if = "is_false")]
    pub held: bool,
    /// When the clip's row was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<i64>,
    /// What a list shows of the clip, as the catalogue's sealed column holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<Value>,
    /// The rest of what is known of the clip, as the catalogue's sealed column holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Value>,
    /// The clip's objects; links' own media are not among them, a link does not outlive the catalogue.
    pub objects: Vec<ManifestObject>,
}

/// One object of a clip.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// How long it plays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

fn is_false(flag: &bool) -> bool {
    !flag
}
