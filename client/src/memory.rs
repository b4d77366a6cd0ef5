//! Where an upload lives, kept beside the device file, so that a client which was restarted goes on instead of anew.
//!
//! One small file an upload, named after the SHA-256 of what is uploaded. It is kept until the receipt is verified.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::connection::now_ms;
use crate::{ClientError, Device, file};

/// An unfinished upload is forgotten by the vault long before.
const MAX_AGE_MS: i64 = 31 * 24 * 60 * 60 * 1000;
/// A record has some hundred bytes.
const MAX_RECORD_BYTES: u64 = 16 << 10;

#[derive(Serialize, Deserialize)]
struct Record {
    url: String,
    bytes: u64,
    begun_at_ms: i64,
}

/// The record of one upload.
pub(crate) struct Memory {
    path: PathBuf,
    bytes: u64,
}

impl Memory {
    pub fn of(device: &Device, sha256: &str, bytes: u64) -> Self {
        let mut folder = device.path().as_os_str().to_owned();
        folder.push(".uploads");
        Self {
            path: PathBuf::from(folder).join(format!("{sha256}.json")),
            bytes,
        }
    }

    /// The upload's URL, if one was begun and is not too old.
    pub fn recall(&self) -> Option<String> {
        if self.path.metadata().ok()?.len() > MAX_RECORD_BYTES {
            return None;
        }
        let record: Record = serde_json::from_slice(&std::fs::read(&self.path).ok()?).ok()?;
        let fresh = now_ms().saturating_sub(record.begun_at_ms) < MAX_AGE_MS;
        (fresh && record.bytes == self.bytes).then_some(record.url)
    }

    pub fn keep(&self, url: &str) -> Result<(), ClientError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        file::make_private_folder(folder)?;
        let record = Record {
            url: url.to_owned(),
            bytes: self.bytes,
            begun_at_ms: now_ms(),
        };
        let bytes = serde_json::to_vec(&record).expect("a record is plain JSON");
        file::write(&self.path, &bytes, false)
    }

    pub fn forget(&self) {
        // A record that stays behind costs one question to the vault.
        let _ = std::fs::remove_file(&self.path);
    }
}
