//! What can go wrong on the vehicle's side, one variant for each thing a caller does differently.

use std::fmt;
use std::path::PathBuf;

/// What was tried with a local file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It was read.
    Read,
    /// It was written.
    Write,
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "written",
        })
    }
}

/// An error of the client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server's address is no http or https URL.
    #[error("{url} is no address of a vault: an http or https URL is expected")]
    Address {
        /// What was given.
        url: String,
    },
    /// The server's address is plain http to another machine.
    #[error(
        "{url} is not safe: a vault on another machine is reached by https only, else whoever is on the way reads along"
    )]
    Insecure {
        /// What was given.
        url: String,
    },
    /// A local file cannot be read or written.
    #[error("{} cannot be {doing}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        doing: Doing,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The device file exists already; pairing never overwrites a key.
    #[error("{} exists already: a vehicle's key is never overwritten", path.display())]
    Paired {
        /// The device file.
        path: PathBuf,
    },
    /// The vault spent the pairing code and knows this vehicle, but the device file could not be written: its key is lost.
    #[error(
        "the vault has paired this vehicle as {device_id}, but its key could not be kept: revoke that vehicle and ask the \
         owner for a new code"
    )]
    PairedInVain {
        /// The vehicle that must be revoked.
        device_id: String,
        /// Why the device file could not be written.
        #[source]
        cause: Box<ClientError>,
    },
    /// The vault does not take the pairing code.
    #[error("the code is wrong, used or expired: ask the owner for a new one")]
    Code,
    /// The vault does not take this vehicle's token (401) or does not let it upload (403).
    #[error(
        "this vehicle was revoked, or its clock is off; nothing was deleted: keep the file (the vault said {status}: {reason})"
    )]
    Unwelcome {
        /// The HTTP status.
        status: u16,
        /// The problem's title or detail.
        reason: String,
    },
    /// The device file does not hold what pairing writes.
    #[error("{} is no device file: {reason}", path.display())]
    DeviceFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file to upload has no bytes.
    #[error("{} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file changed while it was uploaded.
    #[error("{} changed while it was uploaded", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The server does not answer, or not in time; only told when [`crate::CourierOptions::give_up_after`] is set.
    #[error("the vault does not answer")]
    Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server refused for good; trying again would not help.
    #[error("the vault refused ({status}): {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The problem's title or detail.
        reason: String,
    },
    /// The receipt is not signed by the vault that this vehicle was paired with, or is for other bytes.
    #[error("the receipt does not stand for this file: {reason}")]
    Receipt {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Another process works with this state folder.
    #[error("another program is uploading with {}: one at a time", folder.display())]
    StateInUse {
        /// The state folder.
        folder: PathBuf,
    },
    /// The count of what was sent over cellular is damaged.
    #[error(
        "{} is damaged: how much was sent this month is not known; remove it to begin a new count, no clip is lost by that",
        path.display()
    )]
    State {
        /// The file.
        path: PathBuf,
    },
    /// The server answers what this client does not understand.
    #[error("the vault answered something unexpected: {reason}")]
    Protocol {
        /// What was unexpected.
        reason: String,
    },
}

impl ClientError {
    /// Whether the error is one file's own, so that other files may still be uploaded.
    pub fn is_of_one_file(&self) -> bool {
        match self {
            Self::File { doing, .. } => *doing == Doing::Read,
            Self::Empty { .. } | Self::Changed { .. } => true,
            // What the file is, how long it is, or that it arrived as another; not the vehicle, not the vault.
            Self::Refused { status, .. } => matches!(status, 400 | 409 | 413 | 415 | 422),
            _ => false,
        }
    }
}
