//! The checksum of one request's body (tus 1.0.0, extension checksum).

use dashvault_keys::digest::{Sha1, Sha256, Sha512, equal};
use data_encoding::BASE64;

use super::IngestError;

/// How a body is summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    /// For old clients; it finds a broken transfer, no attacker.
    Sha1,
    /// For all else.
    Sha256,
    /// For clients that have it in hardware.
    Sha512,
    /// CRC-32C (Castagnoli), big-endian: for clients that cannot afford a hash; as good as the link layer's own sums.
    Crc32c,
}

/// The sum that a body must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    algorithm: ChecksumAlgorithm,
    expected: Vec<u8>,
}

/// A sum under way.
pub(super) struct Sum {
    expected: Vec<u8>,
    context: Context,
}

enum Context {
    Sha1(Sha1),
    Sha256(Sha256),
    Sha512(Sha512),
    Crc32c(u32),
}

impl Checksum {
    /// For `Tus-Checksum-Algorithm`.
    pub const ALGORITHMS: &'static str = "sha1,sha256,sha512,crc32c";
    /// A body with a checksum is all or nothing: a link on which more than this never breaks needs no checksum a request,
    /// and its pieces are the rows of one transaction.
    pub const MAX_BODY_BYTES: u64 = 256 << 20;

    /// Reads the header `Upload-Checksum`: an algorithm, a space, the sum in base64.
    ///
    /// # Errors
    /// [`IngestError::Unsupported`] for another algorithm, [`IngestError::InvalidChecksum`] for what is no sum.
    pub fn parse(header: &str) -> Result<Self, IngestError> {
        let (word, sum) = header.trim().split_once(' ').ok_or(IngestError::InvalidChecksum)?;
        let (algorithm, size_bytes) = match word.to_ascii_lowercase().as_str() {
            "sha1" => (ChecksumAlgorithm::Sha1, 20),
            "sha256" => (ChecksumAlgorithm::Sha256, 32),
            "sha512" => (ChecksumAlgorithm::Sha512, 64),
            "crc32c" => (ChecksumAlgorithm::Crc32c, 4),
            _ => return Err(IngestError::Unsupported),
        };
        let expected = BASE64
            .decode(sum.trim().as_bytes())
            .map_err(|_| IngestError::InvalidChecksum)?;
        if expected.len() != size_bytes {
            return Err(IngestError::InvalidChecksum);
        }
        Ok(Self { algorithm, expected })
    }

    /// The algorithm.
    pub fn algorithm(&self) -> ChecksumAlgorithm {
        self.algorithm
    }

    pub(super) fn begin(self) -> Sum {
        Sum {
            expected: self.expected,
            context: match self.algorithm {
                ChecksumAlgorithm::Sha1 => Context::Sha1(Sha1::new()),
                ChecksumAlgorithm::Sha256 => Context::Sha256(Sha256::new()),
                ChecksumAlgorithm::Sha512 => Context::Sha512(Sha512::new()),
                ChecksumAlgorithm::Crc32c => Context::Crc32c(0),
            },
        }
    }
}

impl Sum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match &mut self.context {
            Context::Sha1(context) => context.update(bytes),
            Context::Sha256(context) => context.update(bytes),
            Context::Sha512(context) => context.update(bytes),
            Context::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, bytes),
        }
    }

    /// Whether the bytes have the sum that was told.
    pub(super) fn fits(self) -> bool {
        match self.context {
            Context::Sha1(context) => equal(&context.finish(), &self.expected),
            Context::Sha256(context) => equal(&context.finish(), &self.expected),
            Context::Sha512(context) => equal(&context.finish(), &self.expected),
            Context::Crc32c(sum) => equal(&sum.to_be_bytes(), &self.expected),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of "abc", from FIPS 180.
    const SHA1: &str = "sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
    const SHA256: &str = "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
    const SHA512: &str =
        "sha512 3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";

    // Of "abc"; made by an implementation that is not this one's (Python, bit by bit from the polynomial of RFC 3720, B.4).
    const CRC32C: &str = "crc32c Nks/tw==";

    #[test]
    fn known_sums_are_right_and_others_are_not() {
        for header in [SHA1, SHA256, SHA512, CRC32C] {
            let checksum = Checksum::parse(header).unwrap();
            let mut right = checksum.clone().begin();
            right.update(b"a");
            right.update(b"bc");
            assert!(right.fits(), "{header}");
            let mut wrong = checksum.begin();
            wrong.update(b"abd");
            assert!(!wrong.fits(), "{header}");
        }
    }

    #[test]
    fn what_is_no_checksum_is_told_from_what_is_not_known() {
        for header in [
            "",
            "sha1",
            "sha1 ",
            "sha1 ?",
            "sha1 YWJj",
            "sha256 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
        ] {
            let refused = Checksum::parse(header).err();
            assert!(
                matches!(refused, Some(IngestError::InvalidChecksum)),
                "{header:?}: {refused:?}"
            );
        }
        for header in ["md5 rL0Y20zC+Fzt72VPzMSk2A==", "crc32 AAAAAA=="] {
            let refused = Checksum::parse(header).err();
            assert!(
                matches!(refused, Some(IngestError::Unsupported)),
                "{header:?}: {refused:?}"
            );
        }
    }
}
