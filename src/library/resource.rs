//! What of a clip can be read as bytes, and a thing found to be read: its length, its headers, its parts.

use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;

use crate::audit::Viewing;
use crate::model::UnixMs;
use crate::vault::{ClipKeys, Reach, StoredObject};

/// Letters of the longest name of a rendition.
const MAX_NAME_BYTES: usize = 32;

/// What of a clip, or of a link, is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The uploaded bytes; never through a link.
    Original,
    /// A rendition as an ordinary MP4.
    Rendition(RenditionName),
    /// The HLS multivariant playlist.
    MainPlaylist,
    /// A rendition's HLS media playlist.
    MediaPlaylist(RenditionName),
    /// A rendition as it is stored, fragmented MP4: what a media playlist's byte ranges lie in.
    Fragments(RenditionName),
    /// A still picture.
    Poster,
}

impl What {
    /// What of the clip it opens, as the brake counts it.
    pub(super) fn reach(&self) -> Reach {
        match self {
            Self::Poster => Reach::Still,
            _ => Reach::Media,
        }
    }

    /// What `hls/{file}` names: `main.m3u8`, `{rendition}.m3u8`, `{rendition}.mp4`.
    pub fn from_hls_file(file: &str) -> Option<Self> {
        if file == "main.m3u8" {
            return Some(Self::MainPlaylist);
        }
        let (name, extension) = file.rsplit_once('.')?;
        let name = name.parse().ok()?;
        match extension {
            "m3u8" => Some(Self::MediaPlaylist(name)),
            "mp4" => Some(Self::Fragments(name)),
            _ => None,
        }
    }
}

/// The name of a rendition: letters, digits, `-` and `_`, so that it stands in a URL and a playlist as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RenditionName(String);

/// The text is no rendition's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a rendition's name")]
pub struct RenditionNameError;

impl RenditionName {
    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RenditionName {
    type Err = RenditionNameError;

    fn from_str(text: &str) -> Result<Self, RenditionNameError> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        // These two are objects of a clip too, read in their own ways.
        let other = ["original", "poster"].contains(&text);
        if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(fine) || other {
            return Err(RenditionNameError);
        }
        Ok(Self(text.to_owned()))
    }
}

/// Something found to be read, with what the headers of an answer need.
pub struct Resource {
    pub(super) length: u64,
    pub(super) content_type: &'static str,
    pub(super) etag: String,
    pub(super) last_modified: UnixMs,
    pub(super) disposition: Disposition,
    pub(super) parts: Vec<Part>,
    pub(super) viewing: Viewing,
    pub(super) sha256: Option<[u8; 32]>,
}

/// What a browser does with the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Shows them.
    Inline,
    /// Keeps them under a name, which is the sender's text: any Unicode, quotes included.
    Attachment(String),
}

/// A run of a resource's bytes.
pub(super) enum Part {
    /// Computed here.
    Memory(Bytes),
    /// `from..from + length` of a sealed object's plaintext.
    Object {
        keys: Arc<ClipKeys>,
        object: Box<StoredObject>,
        from: u64,
        length: u64,
    },
}

impl Part {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Object { length, .. } => *length,
        }
    }

    /// `length` bytes from `from` on; both lie within.
    pub(super) fn slice(self, from: u64, length: u64) -> Self {
        match self {
            Self::Memory(bytes) => {
                // What lies within bytes in memory has a usize.
                let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                Self::Memory(bytes.slice(within(from)..within(from + length)))
            }
            Self::Object {
                keys, object, from: at, ..
            } => Self::Object {
                keys,
                object,
                from: at + from,
                length,
            },
        }
    }
}

impl Resource {
    /// Bytes of the whole.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The media type.
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// A strong entity tag, with its quotes (RFC 9110, 8.8.3): equal tags, equal bytes.
    pub fn etag(&self) -> &str {
        &self.etag
    }

    /// When the newest of its objects was published.
    pub fn last_modified(&self) -> UnixMs {
        self.last_modified
    }

    /// The SHA-256 of the whole, where it is an original whose sum was sealed with it.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.sha256
    }

    /// What a browser should do with it.
    pub fn disposition(&self) -> &Disposition {
        &self.disposition
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_hls() {
        let name: RenditionName = "720p".parse().unwrap();
        assert_eq!(What::from_hls_file("main.m3u8"), Some(What::MainPlaylist));
        assert_eq!(
            What::from_hls_file("720p.m3u8"),
            Some(What::MediaPlaylist(name.clone()))
        );
        assert_eq!(What::from_hls_file("720p.mp4"), Some(What::Fragments(name)));
        for other in [
            "",
            "main",
            ".m3u8",
            "original.mp4",
            "poster.mp4",
            "720p.index.mp4",
            "../720p.mp4",
            "720p.ts",
            "a b.m3u8",
        ] {
            assert_eq!(What::from_hls_file(other), None, "{other}");
        }
    }
}
