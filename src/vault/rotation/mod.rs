//! Rotation: new root keys, new KEKs of owners, new keys of the system record, and the roll of the root epoch.
//!
//! Everything is re-wrapped and nothing sealed anew: no data object is read or written. Every step is a compare-and-swap on a
//! row's revision and leaves a catalogue that opens, so that a run may end at any point, run again, and run twice at once;
//! reads and uploads go on. What is under way stands in the rows themselves, never in memory.

mod owners;
mod roll;
mod root;
mod system;
mod verify;

pub use roll::Rolled;
pub use root::Rewrapped;
pub use system::SystemKey;

use crate::model::{KekId, OwnerId};

/// Rows of one step: the transaction stays short, and a pack of the key plane is full.
const BATCH: u32 = 1000;
/// Times that a walk is made again because others changed rows meanwhile.
const MAX_WALKS: usize = 20;
/// Failures that are named one by one; the others are counted.
const MAX_NAMED: usize = 20;

/// What a rotation is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// KEK records get a wrap of the newest root key.
    Rewrap,
    /// Owners get a new index of their e-mail address.
    Reindex,
    /// Owners get a new KEK.
    Renew,
    /// Clips' envelopes are sealed under their owner's new KEK.
    Reseal,
    /// KEKs that nothing names any more are destroyed.
    Destroy,
    /// Every KEK is opened with the newest root key.
    Verify,
}

impl Phase {
    /// The word for machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rewrap => "rewrap",
            Self::Reindex => "reindex",
            Self::Renew => "renew",
            Self::Reseal => "reseal",
            Self::Destroy => "destroy",
            Self::Verify => "verify",
        }
    }
}

/// How far a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub phase: Phase,
    pub done: u64,
    pub total: u64,
}

/// Is told how far a rotation is, some times a second at most.
pub type Tell<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// What does not open, and is left as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures {
    pub count: u64,
    /// The first of them: what it is, and why.
    pub named: Vec<String>,
}

impl Failures {
    fn kek(&mut self, id: KekId, owner: OwnerId, why: &dyn std::fmt::Display) {
        self.add(format!("key {id} of owner {owner}: {why}"));
    }

    fn owner(&mut self, owner: OwnerId, why: &dyn std::fmt::Display) {
        self.add(format!("owner {owner}: {why}"));
    }

    fn add(&mut self, what: String) {
        self.count += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(what);
        }
    }

    /// Whether everything opened.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}
