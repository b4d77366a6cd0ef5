//! The file that is uploaded: read once for its SHA-256, then from wherever the vault stands.

use std::io::SeekFrom;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{Bytes, BytesMut};
use dashvault_keys::digest::Sha256;
use data_encoding::HEXLOWER;
use futures_util::stream::{Stream, unfold};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::{ClientError, Doing};

/// Bytes of one read: few calls, little memory.
const CHUNK_BYTES: usize = 256 << 10;

/// A file as it was when its SHA-256 was taken.
pub(crate) struct Source {
    path: PathBuf,
    bytes: u64,
    modified: Option<SystemTime>,
    digest: [u8; 32],
    sha256: String,
}

impl Source {
    /// Reads the file once.
    pub async fn hash(path: &Path, mut progress: impl FnMut(u64, u64)) -> Result<Self, ClientError> {
        let failed = |source| file_error(path, source);
        let mut file = File::open(path).await.map_err(failed)?;
        let about = file.metadata().await.map_err(failed)?;
        let mut sum = Sha256::new();
        let (mut chunk, mut bytes) = (BytesMut::with_capacity(CHUNK_BYTES), 0);
        while file.read_buf(&mut chunk).await.map_err(failed)? > 0 {
            sum.update(&chunk);
            bytes += chunk.len() as u64;
            chunk.clear();
            progress(bytes, about.len());
        }
        if bytes == 0 {
            return Err(ClientError::Empty { path: path.to_owned() });
        }
        if bytes != about.len() {
            return Err(ClientError::Changed { path: path.to_owned() });
        }
        let digest = sum.finish();
        Ok(Self {
            path: path.to_owned(),
            bytes,
            modified: about.modified().ok(),
            sha256: HEXLOWER.encode(&digest),
            digest,
        })
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
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
        let ending = self.path.extension().map(|ending| ending.to_ascii_lowercase());
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

    /// When the file was last modified, milliseconds since 1970.
    pub fn modified_ms(&self) -> Option<i64> {
        let since = self.modified?.duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since.as_millis()).ok()
    }

    /// The bytes from `offset`; `sent` counts those handed on.
    ///
    /// # Errors
    /// [`ClientError::Changed`] when the file is not what was hashed any more.
    pub async fn from(
        &self,
        offset: u64,
        sent: Arc<AtomicU64>,
    ) -> Result<impl Stream<Item = std::io::Result<Bytes>> + use<>, ClientError> {
        let failed = |source| file_error(&self.path, source);
        let mut file = File::open(&self.path).await.map_err(failed)?;
        let about = file.metadata().await.map_err(failed)?;
        if about.len() != self.bytes || about.modified().ok() != self.modified {
            return Err(ClientError::Changed {
                path: self.path.clone(),
            });
        }
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        let file = file.take(self.bytes - offset);
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

fn file_error(path: &Path, source: std::io::Error) -> ClientError {
    ClientError::File {
        path: path.to_owned(),
        doing: Doing::Read,
        source,
    }
}
