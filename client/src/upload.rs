//! Uploads files over links that die.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{ClientError, Device};

/// How a file is to be uploaded.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Wait until the original is sealed and its receipt verified.
    pub wait: bool,
    /// Tell the file's modification time as the recording time. Off by default: it is often that of a copy.
    pub recorded_at_from_mtime: bool,
    /// The camera's name, such as `front`.
    pub camera: Option<String>,
    /// The kind of clip, such as `event` or `routine`.
    pub kind: Option<String>,
    /// Give up when the vault was not reached for so long. `None` tries for ever.
    pub give_up_after: Option<Duration>,
}

/// What an upload is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Reading the file once for its SHA-256.
    Hashing,
    /// Sending.
    Sending,
    /// The link failed; a pause before the next try.
    Pausing,
    /// All bytes are durable; the vault seals the original.
    Sealing,
}

/// How far an upload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is busy with.
    pub stage: Stage,
    /// Bytes hashed or sent so far.
    pub bytes: u64,
    /// Bytes of the file.
    pub total: u64,
}

/// A file that the vault holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    /// The file.
    pub file: PathBuf,
    /// The clip's id, also the upload's.
    pub clip_id: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256 of the file.
    pub sha256: String,
    /// The signed receipt, verified; only with [`Options::wait`]. Without it the file must be kept.
    pub receipt: Option<String>,
}

/// Uploads to one vault as one vehicle.
pub struct Client {
    device: Device,
    server: String,
}

impl Client {
    /// A client of the vault that the device was paired with, or of `server` when the same vault has another address.
    pub fn new(device: Device, server: Option<&str>) -> Result<Self, ClientError> {
        let server = server.unwrap_or(device.server()).to_owned();
        Ok(Self { device, server })
    }

    /// Uploads a file, resuming what an earlier call or an earlier process began. Links that fail, a vault that is busy
    /// or full are tried again with growing pauses.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when trying again cannot help, [`ClientError::Receipt`] when the receipt is wrong.
    pub async fn upload(
        &self,
        file: &Path,
        options: &Options,
        progress: impl FnMut(Progress) + Send,
    ) -> Result<Uploaded, ClientError> {
        let _ = (file, options, progress, &self.device, &self.server);
        todo!()
    }
}
