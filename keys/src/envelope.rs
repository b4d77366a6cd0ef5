//! The envelope `DCVE`: one a clip, with its wrapped DEK, its hidden owner and its sealed manifest.
//!
//! ```text
//! magic 4 · version 1 · suite 1 · mode 1 · 0 · clip 16 · revision u32 · salt 32      the head, 60 bytes
//! locator 48 · commitment 32 · wrapped DEK 48 · u32 length · manifest and tag
//! ```

use crate::Secret32;
use crate::bytes::{Reader, padded_json, put_long};
use crate::digest::{equal, lp};
use crate::object::MAX_OBJECTS_PER_DEK;
use crate::part::{self, SALT_BYTES, SUITE};

mod manifest;

pub use manifest::{Manifest, ManifestObject};

const MAGIC: &[u8; 4] = b"DCVE";
const VERSION: u8 = 1;
/// The server holds the KEK; others, sealed to an owner's own key, may come.
const MODE_SERVER: u8 = 0;
const HEAD_BYTES: usize = 28 + SALT_BYTES;
const MANIFEST_STEP_BYTES: usize = 1024;
/// A manifest names tens of objects of some 400 bytes; this holds tens of thousands, and bounds what a reader allocates.
const MAX_MANIFEST_BYTES: usize = 32 << 20;

/// Why an envelope is not made or not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// The key, the clip or the bytes do not fit; deliberately nothing more.
    #[error("the envelope does not open")]
    Refused,
    /// A newer program wrote it.
    #[error("envelope version {0} is not known")]
    UnknownVersion(u8),
    /// Somebody put an old one back.
    #[error("the envelope has revision {found}, and {least} was seen already")]
    OldRevision {
        /// What it says.
        found: u32,
        /// The highest that was seen.
        least: u32,
    },
    /// More objects than a DEK may seal, or a manifest that is too long.
    #[error("the manifest is too long")]
    TooLong,
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
pub struct SealedEnvelope<'a> {
    head: &'a [u8],
    clip: [u8; 16],
    revision: u32,
    locator: &'a [u8],
    commitment: &'a [u8],
    wrapped_dek: &'a [u8],
    manifest: &'a [u8],
}

/// Seals an envelope with a fresh salt.
///
/// # Errors
/// [`EnvelopeError::TooLong`].
pub fn seal(
    system: &[u8],
    content: &Envelope<'_>,
    kek: &Secret32,
    locator: &Secret32,
) -> Result<Vec<u8>, EnvelopeError> {
    let manifest = padded_json(content.manifest, MANIFEST_STEP_BYTES);
    if content.manifest.objects.len() as u64 > MAX_OBJECTS_PER_DEK || manifest.len() > MAX_MANIFEST_BYTES {
        return Err(EnvelopeError::TooLong);
    }
    let salt = part::make_salt();
    let mut out = Vec::with_capacity(HEAD_BYTES + 148 + manifest.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&[VERSION, SUITE, MODE_SERVER, 0]);
    out.extend_from_slice(&content.clip);
    out.extend_from_slice(&content.revision.to_be_bytes());
    out.extend_from_slice(&salt);
    let head = out.clone();
    let located = Located {
        owner: content.owner,
        kek_version: content.kek_version,
    };
    let here = lp(&[system, &content.clip]);
    let owned = located.lp(system, &content.clip);
    out.extend_from_slice(&part::seal(
        locator,
        &salt,
        &[b"dcv1/env/locator\0", &here],
        &head,
        &located.to_bytes(),
    ));
    out.extend_from_slice(&part::commitment(kek, &salt, &[b"dcv1/env/commit\0", &owned]));
    let dek = content.dek;
    out.extend_from_slice(&part::seal(
        kek,
        &salt,
        &[b"dcv1/env/dek\0", &owned],
        &head,
        dek.expose(),
    ));
    let sealed = part::seal(dek, &salt, &[b"dcv1/env/manifest\0", &here], &head, &manifest);
    put_long(&mut out, &sealed);
    Ok(out)
}

impl<'a> SealedEnvelope<'a> {
    /// Reads the clear part.
    ///
    /// # Errors
    /// [`EnvelopeError::UnknownVersion`], and [`EnvelopeError::Refused`] for what is no envelope.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > 4 && bytes[..4] == *MAGIC && bytes[4] != VERSION {
            return Err(EnvelopeError::UnknownVersion(bytes[4]));
        }
        Self::read(bytes).ok_or(EnvelopeError::Refused)
    }

    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let fixed: [u8; 8] = reader.array()?;
        if fixed[..4] != *MAGIC || fixed[4..] != [VERSION, SUITE, MODE_SERVER, 0] {
            return None;
        }
        let clip = reader.array()?;
        let revision = reader.u32()?;
        reader.take(SALT_BYTES)?;
        let envelope = Self {
            head: &bytes[..HEAD_BYTES],
            clip,
            revision,
            locator: reader.take(48)?,
            commitment: reader.take(32)?,
            wrapped_dek: reader.take(48)?,
            manifest: reader.long(MAX_MANIFEST_BYTES + part::TAG_BYTES)?,
        };
        reader.end()?;
        Some(envelope)
    }

    /// Refuses an envelope of another clip, and one older than the highest revision that was seen.
    ///
    /// # Errors
    /// [`EnvelopeError::Refused`] and [`EnvelopeError::OldRevision`].
    pub fn check(self, clip: [u8; 16], least_revision: u32) -> Result<Self, EnvelopeError> {
        if self.clip != clip {
            return Err(EnvelopeError::Refused);
        }
        if self.revision < least_revision {
            return Err(EnvelopeError::OldRevision {
                found: self.revision,
                least: least_revision,
            });
        }
        Ok(self)
    }

    /// The clip that the envelope says it is of.
    pub fn clip(&self) -> [u8; 16] {
        self.clip
    }

    /// The revision.
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Whose it is; needs the system's locator key.
    ///
    /// # Errors
    /// [`EnvelopeError::Refused`].
    pub fn locate(&self, system: &[u8], locator: &Secret32) -> Result<Located, EnvelopeError> {
        let here = lp(&[system, &self.clip]);
        part::open(
            locator,
            self.salt(),
            &[b"dcv1/env/locator\0", &here],
            self.head,
            self.locator,
        )
        .and_then(|plain| Located::from_bytes(&plain))
        .ok_or(EnvelopeError::Refused)
    }

    /// Unwraps the DEK; `located` comes from [`Self::locate`] or from the catalogue, and a wrong one is refused.
    ///
    /// # Errors
    /// [`EnvelopeError::Refused`]; the commitment to the KEK is compared first.
    pub fn open_dek(&self, system: &[u8], located: &Located, kek: &Secret32) -> Result<Secret32, EnvelopeError> {
        let owned = located.lp(system, &self.clip);
        let committed = part::commitment(kek, self.salt(), &[b"dcv1/env/commit\0", &owned]);
        if !equal(&committed, self.commitment) {
            return Err(EnvelopeError::Refused);
        }
        part::open(
            kek,
            self.salt(),
            &[b"dcv1/env/dek\0", &owned],
            self.head,
            self.wrapped_dek,
        )
        .and_then(|dek| Secret32::from_slice(&dek).ok())
        .ok_or(EnvelopeError::Refused)
    }

    /// Opens the manifest.
    ///
    /// # Errors
    /// [`EnvelopeError::Refused`].
    pub fn open_manifest(&self, system: &[u8], dek: &Secret32) -> Result<Manifest, EnvelopeError> {
        let here = lp(&[system, &self.clip]);
        part::open(
            dek,
            self.salt(),
            &[b"dcv1/env/manifest\0", &here],
            self.head,
            self.manifest,
        )
        .and_then(|json| serde_json::from_slice(&json).ok())
        .ok_or(EnvelopeError::Refused)
    }

    fn salt(&self) -> &[u8] {
        &self.head[HEAD_BYTES - SALT_BYTES..]
    }
}

impl Located {
    /// owner 16 · KEK version u32 · 12 zeros.
    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.owner);
        bytes[16..20].copy_from_slice(&self.kek_version.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let located = Self {
            owner: reader.array()?,
            kek_version: reader.u32()?,
        };
        reader.take(12)?;
        reader.end()?;
        Some(located)
    }

    fn lp(&self, system: &[u8], clip: &[u8; 16]) -> Vec<u8> {
        lp(&[system, clip, &self.owner, &self.kek_version.to_be_bytes()])
    }
}

#[cfg(test)]
mod tests;
