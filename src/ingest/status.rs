//! What is told of an upload.

use crate::model::{ClipId, Concat, UnixMs};

/// Where an upload stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadStatus {
    /// The upload, and the clip it brings.
    pub id: ClipId,
    /// Durable bytes.
    pub offset: u64,
    /// Bytes there will be; none while its sender has not said.
    pub length: Option<u64>,
    /// When it ends if nothing comes (`Upload-Expires`); none once it is complete.
    pub expires_at: Option<UnixMs>,
    /// What its bytes become.
    pub concat: Concat,
    /// The clip's SHA-256, once its original is sealed and read back.
    pub sha256: Option<[u8; 32]>,
}

impl UploadStatus {
    /// Whether every byte is durable.
    pub fn is_complete(&self) -> bool {
        self.length == Some(self.offset)
    }
}

/// A receipt, or the reason why there is none yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReceiptState {
    /// Bytes are missing, or the original is not sealed and read back yet: 202.
    Pending,
    /// The signed receipt, one line of text.
    Signed(String),
    /// There will be none: the bytes are not what was declared, or cannot be kept. A stable word says why.
    Refused(String),
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Uploads that expired.
    pub expired: u64,
    /// Pieces given to the sweep of intents.
    pub pieces: u64,
    /// Tombstones removed.
    pub tombstones: u64,
}

/// A key that receipts are, or were, signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReceiptKey {
    /// Counts up from 1.
    pub version: u32,
    /// Signs from then on; unix milliseconds.
    pub since: i64,
    /// Ed25519.
    pub public_key: [u8; 32],
    /// The signature of the key before over version, time and public key; zeros for the first.
    pub endorsement: [u8; 64],
}
