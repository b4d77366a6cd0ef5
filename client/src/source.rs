//! The file that is uploaded: read once for its SHA-256, then from wherever the vault stands.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use dashvault_keys::digest::Sha256;
use data_encoding::HEXLOWER;
use futures_util::stream::{Stream, unfold};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::mark::Mark;
use crate::{ClientError, file};

/// Bytes of one read: few calls, little memory.
const CHUNK_BYTES: usize = 256 << 10;

/// What tells that a file is the same as before, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Stamp {
    pub bytes: u64,
    /// Nanoseconds since 1970.
    pub modified_ns: i64,
}

/// A file as it was when its SHA-256 was taken.
pub(crate) struct Source {
    path: PathBuf,
    stamp: Stamp,
    mark: Option<Mark>,
    sha256: String,
}

impl Source {
    /// Reads the file once.
    pub async fn hash(path: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Self, ClientError> {
        let failed = |source| file::unreadable(path, source);
        let mut file = File::open(path).await.map_err(failed)?;
        let about = file.metadata().await.map_err(failed)?;
        let mut sum = Sha256::new();
        let (mut chunk, mut bytes) = (BytesMut::with_capacity(CHUNK_BYTES), 0);
        while file.read_buf(&mut chunk).await.map_err(failed)? > 0 {
            sum.update(&chunk);
            bytes += chunk.len() as u64;
            chunk.clear();
            if bytes > about.len() {
                // It grows as fast as it is read.
                return Err(ClientError::Changed { path: path.to_owned() });
            }
            progress(bytes, about.len());
        }
        if bytes == 0 {
            return Err(ClientError::Empty { path: path.to_owned() });
        }
        let (stamp, mark) = (Stamp::of(&about), Mark::of(path, &about));
        let now = file.metadata().await.map_err(failed)?;
        if bytes != about.len() || (Stamp::of(&now), Mark::of(path, &now)) != (stamp, mark) {
            return Err(ClientError::Changed { path: path.to_owned() });
        }
        Ok(Self {
            path: path.to_owned(),
            stamp,
            mark,
            sha256: HEXLOWER.encode(&sum.finish()),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    /// Lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub fn name(&self) -> Option<String> {
        Some(self.path.file_name()?.to_string_lossy().into_owned())
    }

    /// The media type that the name's ending stands for.
    pub fn media_type(&self) -> &'static str {
        media_type(&self.path)
    }

    /// What tells whether the file is still the one that was read.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// The file that was read, where the file system knows.
    pub fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// When the file was last modified, milliseconds since 1970.
    pub fn modified_ms(&self) -> Option<i64> {
        let at = self.stamp.modified_ns.div_euclid(1_000_000);
        (at >= 0).then_some(at)
    }

    /// The file as it was when an earlier process took its SHA-256.
    ///
    /// # Errors
    /// [`ClientError::Changed`] when it is not that file any more.
    pub async fn known(path: &Path, stamp: Stamp, digest: [u8; 32]) -> Result<Self, ClientError> {
        let about = tokio::fs::metadata(path)
            .await
            .map_err(|source| file::unreadable(path, source))?;
        if Stamp::of(&about) != stamp {
            return Err(ClientError::Changed { path: path.to_owned() });
        }
        Ok(Self {
            path: path.to_owned(),
            stamp,
            mark: Mark::of(path, &about),
            sha256: HEXLOWER.encode(&digest),
        })
    }

    /// So many bytes from `offset`; `sent` counts those handed on.
    ///
    /// # Errors
    /// [`ClientError::Changed`] when the file is not what was hashed any more.
    pub async fn from(
        &self,
        offset: u64,
        length: u64,
        sent: Arc<AtomicU64>,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + use<>, ClientError> {
        let failed = |source| file::unreadable(&self.path, source);
        let mut file = File::open(&self.path).await.map_err(failed)?;
        let about = file.metadata().await.map_err(failed)?;
        if (Stamp::of(&about), Mark::of(&self.path, &about)) != (self.stamp, self.mark) {
            return Err(ClientError::Changed {
                path: self.path.clone(),
            });
        }
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        let file = file.take(length.min(self.stamp.bytes - offset));
        Ok(unfold(file, move |mut file| {
            let sent = Arc::clone(&sent);
            async move {
                let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
                match file.read_buf(&mut chunk).await {
                    Ok(0) => None,
                    Ok(read) => {
                        sent.fetch_add(read as u64, Ordering::Relaxed);
                        Some((Ok(chunk.freeze()), file))
                    }
                    Err(error) => Some((Err(error), file)),
                }
            }
        }))
    }
}

impl Stamp {
    pub fn of(about: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self {
            bytes: about.len(),
            modified_ns: about
                .mtime()
                .saturating_mul(1_000_000_000)
                .saturating_add(about.mtime_nsec()),
        }
    }
}

/// The media type that a name's ending stands for.
pub(crate) fn media_type(path: &Path) -> &'static str {
    let ending = path.extension().map(|ending| ending.to_ascii_lowercase());
    match ending.as_ref().and_then(|ending| ending.to_str()) {
        Some("mp4" | "m4v") => "video/mp4",
        Some("mov") => "video/quicktime",
        Some("mkv") => "video/x-matroska",
        Some("ts" | "mts" | "m2ts") => "video/mp2t",
        Some("avi") => "video/x-msvideo",
        Some("webm") => "video/webm",
        _ => "application/octet-stream",
    }
}
