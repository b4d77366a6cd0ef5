//! What a file system says of a file besides length and time of modification, which a camera can make the same again: its
//! clock may be dead, its clips as long as each other, and a card's times are two seconds apart.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::statfs;
use serde::{Deserialize, Serialize};

/// ext, XFS, Btrfs, F2FS and what lies over them: a file keeps its inode, and every change of it the time of that change,
/// which no program can set. Memory cards have no inodes, and of a network nobody knows.
const KEEPING: [u64; 5] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x794C_7630];

/// A file as it is until it is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    inode: u64,
    /// Nanoseconds since 1970.
    changed_ns: i64,
}

impl Mark {
    /// None where it would say nothing.
    pub fn of(path: &Path, about: &Metadata) -> Option<Self> {
        is_kept_at(path).then(|| Self::kept(about))
    }

    /// The same on a file system that [`is_kept_at`] knows already.
    pub fn kept(about: &Metadata) -> Self {
        Self {
            inode: about.ino(),
            changed_ns: about
                .ctime()
                .saturating_mul(1_000_000_000)
                .saturating_add(about.ctime_nsec()),
        }
    }
}

/// Whether a file system keeps what a mark is made of.
pub(crate) fn is_kept_at(path: &Path) -> bool {
    // Its type is a word of another width and sign from one machine to the next.
    let kind = statfs(path).map(|about| about.f_type as u64 & 0xFFFF_FFFF);
    kind.is_ok_and(|kind| KEEPING.contains(&kind))
}
