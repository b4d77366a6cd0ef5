//! The checksum of one request's body (tus 1.0.0, extension checksum).

use super::IngestError;

/// How a body is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// For old clients.
    Sha1,
    /// For all else.
    Sha256,
}

/// The sum that a body must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    expected: Vec<u8>,
}

impl Checksum {
    /// For `Tus-Checksum-Algorithm`.
    pub const ALGORITHMS: &'static str = "sha1,sha256";
    /// A body with a checksum is all or nothing: a link on which more than this never breaks needs no checksum a request.
    pub const MAX_BODY_BYTES: u64 = 256 << 20;

    /// Reads the header `Upload-Checksum`.
    ///
    /// # Errors
    /// [`IngestError::Unsupported`] for another algorithm, [`IngestError::InvalidChecksum`] for what is no sum.
    pub fn parse(header: &str) -> Result<Self, IngestError> {
        let _ = header;
        todo!()
    }

    /// The algorithm.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    /// The sum's bytes.
    pub fn expected(&self) -> &[u8] {
        &self.expected
    }
}
