//! Signs what was seen of the buckets, chained to the statement before.

use dashvault_keys::attestation::{self, BucketStatement, Statement};

use super::{Vault, VaultError};
use crate::model::UnixMs;

/// What is to be stated.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The version of the service.
    pub service: String,
    pub buckets: Vec<BucketStatement>,
}

/// A signed statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// Counts up from 1.
    pub seq: u64,
    /// When it was made; never before the one before.
    pub at: UnixMs,
    /// Of the statement.
    pub sha256: [u8; 32],
    /// As it is given away.
    pub line: String,
}

impl Vault {
    /// The statement that follows the line `before`, or the first one. A line that is not what a vault signed is
    /// [`VaultError::DamagedRow`]: nothing is chained to it.
    pub fn attest(&self, before: Option<&str>, seen: Seen) -> Result<Attested, VaultError> {
        let before = before.map(attestation::parse).transpose();
        let before = before.map_err(|_| VaultError::DamagedRow {
            table: "attestations",
            column: "line",
        })?;
        let (signer, keys, now) = (self.receipt_signer()?, self.receipt_keys()?, self.now());
        let head = before.as_ref().map(|(_, head)| head);
        let statement = Statement {
            service: seen.service,
            key_epoch: self.system()?.epoch,
            buckets: seen.buckets,
            ..Statement::following(head, self.sys(), now, &signer, &keys)
        };
        let (line, head) = signer.attest(statement);
        Ok(Attested {
            seq: head.seq,
            at: head.at_ms,
            sha256: head.sha256,
            line,
        })
    }
}
