//! Attestations: signed statements of what was seen of the buckets, each chained to the one before, so that a line cannot be
//! taken out, put in, altered or moved afterwards. Whoever has the lines and one trusted receipt key checks them offline.
//!
//! A line is one JSON object, `{"statement":…,"signature":"…"}`, and has exactly one way to be written (FORMAT.md, section
//! 9.1). What a cut at the end took away shows only to who remembers a head.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::digest::sha256;
use crate::receipt::ReceiptSigner;
use crate::signing::{self, SIGNATURE_BYTES};
use crate::system::{ReceiptKey, trusted_from};

/// The longest line; what is longer is no statement.
pub const MAX_LINE_BYTES: usize = 1 << 20;
const DOMAIN: &[u8] = b"dcv1/attestation\0";
const VERSION: u32 = 1;

/// Bytes that are written as hex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hex<const N: usize>(pub [u8; N]);

/// What is stated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Version of this format.
    pub attestation: u32,
    /// The vault: `SYS` of every derivation.
    pub system: Hex<16>,
    /// Counts up from 1.
    pub seq: u64,
    /// SHA-256 of the statement before; zeros in the first.
    pub previous: Hex<32>,
    /// Unix milliseconds, as every time here.
    pub at_ms: i64,
    /// The version of the service.
    pub service: String,
    /// The root epoch in force.
    pub key_epoch: u32,
    /// Every bucket that was ever looked at.
    pub buckets: Vec<BucketStatement>,
    /// The receipt key that signs.
    pub key: Hex<32>,
    /// The keys that lead from the signer of the statement before to this one's; in the first statement every one there was.
    pub vouched: Vec<VouchedKey>,
}

/// What was seen of one bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BucketStatement {
    /// `data`, `staging` or `keyplane`.
    pub bucket: String,
    /// `private`, `exposed` or `unknown`.
    pub verdict: String,
    /// When it became so.
    pub since_ms: i64,
    /// The last round.
    pub checked_ms: i64,
    /// When it was last proven private.
    pub private_ms: Option<i64>,
    /// Rounds that were ever made.
    pub rounds: u64,
    /// Changes of the verdict that there ever were: more of them than statements show that one came and went between two.
    pub changes: u64,
    /// The last walk through everything in it that came to its end.
    pub inventory: Option<InventoryStatement>,
}

/// What a walk through a bucket came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryStatement {
    pub began_ms: i64,
    pub ended_ms: i64,
    /// Looked at, and bytes that they have together.
    pub objects: u64,
    pub bytes: u64,
    /// Rows whose objects were asked for.
    pub rows: u64,
    pub findings: u64,
    /// Of them, those that may be plaintext.
    pub not_sealed: u64,
    pub clips_opened: u64,
    pub objects_opened: u64,
    /// How many of each format, version and suite.
    pub forms: BTreeMap<String, u64>,
}

/// A receipt key with its predecessor's word for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VouchedKey {
    pub version: u32,
    pub since_ms: i64,
    pub key: Hex<32>,
    pub endorsement: Hex<SIGNATURE_BYTES>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    statement: Statement,
    signature: Hex<SIGNATURE_BYTES>,
}

/// The end of a chain: whoever remembers one finds out whether later lines were cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub seq: u64,
    /// SHA-256 of the statement.
    pub sha256: [u8; 32],
    pub at_ms: i64,
    system: [u8; 16],
    /// The key that signed it.
    pub key: [u8; 32],
}

/// Why a line does not follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Cut in its middle, or written otherwise than a statement is.
    #[error("it is no statement as one is written: it was altered, or cut off in its middle")]
    Unreadable,
    /// Bytes of it were changed.
    #[error("it was altered: its signature does not fit")]
    Signature,
    /// Another vault's.
    #[error("it is another vault's")]
    OtherVault,
    /// Well signed, and by nobody who may.
    #[error("it is signed by another key: nobody that is trusted vouches for it")]
    OtherKey,
    /// Lines were taken out.
    #[error("there is a gap before it: statement {expected} belongs there, and this is {found}")]
    Gap {
        /// What belongs there.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// It stands at another place than it belongs to.
    #[error("it is out of order, or there twice: statement {expected} belongs there, and this is {found}")]
    Order {
        /// What belongs there.
        expected: u64,
        /// What is there.
        found: u64,
    },
    /// The line before is another than it was.
    #[error("it does not follow from the statement before: one of the two was exchanged for another")]
    OtherBefore,
    /// Signed out of time.
    #[error("its time is before that of the statement before")]
    Time,
}

impl Statement {
    /// The statement that follows a line, or the first; what is seen is still to be put in. `keys` are all receipt keys
    /// there ever were.
    pub fn following(
        before: Option<&Head>,
        system: &[u8; 16],
        at_ms: i64,
        signer: &ReceiptSigner,
        keys: &[ReceiptKey],
    ) -> Self {
        let key = signer.public_key();
        // One that is in the record, and does not sign yet, is of no use here.
        let known = keys
            .iter()
            .position(|one| one.public_key == key)
            .map_or(keys.len(), |at| at + 1);
        let from = before.and_then(|head| keys.iter().position(|one| one.public_key == head.key));
        let vouched = &keys[from.map_or(0, |at| at + 1).min(known)..known];
        Self {
            attestation: VERSION,
            system: Hex(*system),
            seq: before.map_or(1, |head| head.seq + 1),
            previous: Hex(before.map_or([0; 32], |head| head.sha256)),
            at_ms: before.map_or(at_ms, |head| at_ms.max(head.at_ms)),
            service: String::new(),
            key_epoch: 0,
            buckets: Vec::new(),
            key: Hex(key),
            vouched: vouched.iter().map(VouchedKey::from).collect(),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string(self).expect("names, numbers and hex are JSON")
    }

    fn head(&self) -> Head {
        Head {
            seq: self.seq,
            sha256: sha256(self.text().as_bytes()),
            at_ms: self.at_ms,
            system: self.system.0,
            key: self.key.0,
        }
    }

    /// Whether its key is trusted, or follows from one that is.
    fn is_vouched_by(&self, trusted: &[u8; 32]) -> bool {
        let keys: Vec<_> = self.vouched.iter().map(ReceiptKey::from).collect();
        trusted_from(trusted, &keys).contains(&self.key.0)
    }
}

impl ReceiptSigner {
    /// The line of a statement, and the chain's head with it. The statement names this key.
    pub fn attest(&self, statement: Statement) -> (String, Head) {
        let signature = signing::sign(self.seed(), DOMAIN, statement.text().as_bytes());
        let head = statement.head();
        let line = Line {
            statement,
            signature: Hex(signature),
        };
        let line = serde_json::to_string(&line).expect("names, numbers and hex are JSON");
        (line, head)
    }
}

/// The statement of a line, if it is written as one is and its own key signed it. Whether that key is trusted, and what came
/// before, is [`Chain`]'s to say.
pub fn parse(line: &str) -> Result<(Statement, Head), Broken> {
    if line.len() > MAX_LINE_BYTES {
        return Err(Broken::Unreadable);
    }
    let parsed: Line = serde_json::from_str(line).map_err(|_| Broken::Unreadable)?;
    let is_canonical = serde_json::to_string(&parsed).is_ok_and(|again| again == line);
    let Line { statement, signature } = parsed;
    if !is_canonical || statement.attestation != VERSION {
        return Err(Broken::Unreadable);
    }
    if !signing::verify(&statement.key.0, DOMAIN, statement.text().as_bytes(), &signature.0) {
        return Err(Broken::Signature);
    }
    let head = statement.head();
    Ok((statement, head))
}

/// Follows a chain from its first line on.
#[derive(Debug, Default)]
pub struct Chain {
    trusted: Option<[u8; 32]>,
    head: Option<Head>,
}

impl Chain {
    /// A chain whose first line is signed by `trusted` or by a key that follows from it. Without one the first line's own key
    /// is believed: then only what came after it is shown to be of one hand.
    pub fn new(trusted: Option<[u8; 32]>) -> Self {
        Self { trusted, head: None }
    }

    /// The last line that followed.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Takes the next line.
    pub fn follow(&mut self, line: &str) -> Result<(Statement, Head), Broken> {
        let (statement, head) = parse(line)?;
        let before = self.head.as_ref();
        if before.is_some_and(|before| before.system != head.system) {
            return Err(Broken::OtherVault);
        }
        let trusted = before.map(|before| before.key).or(self.trusted);
        if trusted.is_some_and(|trusted| !statement.is_vouched_by(&trusted)) {
            return Err(Broken::OtherKey);
        }
        let (expected, found) = (before.map_or(1, |before| before.seq + 1), head.seq);
        if found > expected {
            return Err(Broken::Gap { expected, found });
        }
        if found < expected {
            return Err(Broken::Order { expected, found });
        }
        if statement.previous.0 != before.map_or([0; 32], |before| before.sha256) {
            return Err(Broken::OtherBefore);
        }
        if before.is_some_and(|before| head.at_ms < before.at_ms) {
            return Err(Broken::Time);
        }
        self.head = Some(head);
        Ok((statement, head))
    }
}

impl From<&ReceiptKey> for VouchedKey {
    fn from(key: &ReceiptKey) -> Self {
        Self {
            version: key.version,
            since_ms: key.since_ms,
            key: Hex(key.public_key),
            endorsement: Hex(key.endorsement),
        }
    }
}

impl From<&VouchedKey> for ReceiptKey {
    fn from(key: &VouchedKey) -> Self {
        Self {
            version: key.version,
            since_ms: key.since_ms,
            public_key: key.key.0,
            endorsement: key.endorsement.0,
        }
    }
}

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&HEXLOWER.encode(&self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = HEXLOWER.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes
            .map(Self)
            .ok_or_else(|| de::Error::custom("not so many bytes in hex"))
    }
}
