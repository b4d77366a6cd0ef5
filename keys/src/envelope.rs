//! The envelope `DCVE`: one a clip, with its wrapped DEK, its hidden owner and its sealed manifest.

use serde::{Deserialize, Serialize};

use crate::Secret32;

/// Why an envelope does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The key, the clip or the bytes do not fit; deliberately nothing more.
    #[error("the envelope does not open")]
    Refused,
    /// A newer program wrote it.
    #[error("envelope version {0} is not known")]
    UnknownVersion(u8),
    /// More objects than a DEK may seal, or a manifest that is too long.
    #[error("the manifest is too long")]
    TooLong,
}

/// What the clip consists of: enough to find and check every object without the catalogue. Times are unix milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// When the clip was recorded.
    pub recorded_at: Option<i64>,
    /// When its last byte was durable.
    pub received_at: Option<i64>,
    /// How long it plays.
    pub duration_ms: Option<u64>,
    /// The clip's objects.
    pub objects: Vec<ManifestObject>,
}

/// One object of a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestObject {
    /// The object's id.
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
    pub commitment: [u8; 32],
    /// SHA-256 of the plaintext.
    pub sha256: [u8; 32],
    /// RFC 6381 text.
    pub codec: Option<String>,
}

/// What an envelope is made of.
pub struct Envelope<'a> {
    /// The clip.
    pub clip: [u8; 16],
    /// Counts up; a reader refuses one that is lower than the highest it has seen.
    pub revision: u32,
    /// The owner; hidden under the locator key.
    pub owner: [u8; 16],
    /// Version of the owner's KEK; hidden too.
    pub kek_version: u32,
    /// The clip's DEK.
    pub dek: &'a Secret32,
    /// What the clip consists of.
    pub manifest: &'a Manifest,
}

/// Whose envelope it is and which KEK opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// The owner.
    pub owner: [u8; 16],
    /// Version of the owner's KEK.
    pub kek_version: u32,
}

/// An envelope's bytes, read but not opened.
pub struct SealedEnvelope<'a>(std::marker::PhantomData<&'a ()>);

/// Seals an envelope with a fresh salt.
pub fn seal(
    _system: &[u8],
    _content: &Envelope<'_>,
    _kek: &Secret32,
    _locator: &Secret32,
) -> Result<Vec<u8>, EnvelopeError> {
    todo!()
}

impl<'a> SealedEnvelope<'a> {
    /// Reads the clear part.
    pub fn parse(_bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        todo!()
    }

    /// The clip that the envelope says it is of.
    pub fn clip(&self) -> [u8; 16] {
        todo!()
    }

    /// The revision.
    pub fn revision(&self) -> u32 {
        todo!()
    }

    /// Whose it is; needs the system's locator key.
    pub fn locate(&self, _system: &[u8], _locator: &Secret32) -> Result<Located, EnvelopeError> {
        todo!()
    }

    /// Unwraps the DEK; `located` comes from [`Self::locate`] or from the catalogue, and a wrong one is refused.
    pub fn open_dek(&self, _system: &[u8], _located: &Located, _kek: &Secret32) -> Result<Secret32, EnvelopeError> {
        todo!()
    }

    /// Opens the manifest.
    pub fn open_manifest(&self, _system: &[u8], _dek: &Secret32) -> Result<Manifest, EnvelopeError> {
        todo!()
    }
}
