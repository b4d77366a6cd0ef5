//! The device file: what pairing leaves on the vehicle, and the tokens made with it.

use std::path::{Path, PathBuf};

use crate::ClientError;

/// A paired vehicle: its id, its key, and the vault it belongs to.
pub struct Device {
    path: PathBuf,
    server: String,
    id: String,
}

/// Pairs this vehicle: makes its Ed25519 key, proves possession of it with the owner's `code`, and writes the device file
/// `out` (0600, complete or not at all).
///
/// # Errors
/// [`ClientError::Refused`] for a wrong or used code; [`ClientError::Paired`] when `out` exists.
pub async fn pair(server: &str, code: &str, out: &Path) -> Result<Device, ClientError> {
    let _ = (server, code, out);
    todo!()
}

impl Device {
    /// Reads a device file.
    pub fn load(path: &Path) -> Result<Self, ClientError> {
        let _ = path;
        todo!()
    }

    /// The vehicle's id, 26 characters.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The vault it was paired with, a URL without a trailing slash.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Where the device file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fresh bearer token, valid for a few minutes of this machine's clock.
    pub fn token(&self) -> String {
        todo!()
    }
}
