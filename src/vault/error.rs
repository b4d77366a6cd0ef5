//! What can go wrong in the vault, one variant for each thing a caller does differently.

use crate::catalog::CatalogError;
use crate::model::{Bucket, ClipId, ObjectId, Trouble};
use crate::store::StoreError;

/// Where a failure came from; told once, at the edge.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of the vault.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The store, the catalogue or the root key does not answer: 503, try again later.
    #[error("the vault's storage does not answer")]
    Unavailable(#[source] Cause),
    /// No room on a disk: 507.
    #[error("the vault's storage is full")]
    Full(#[source] Cause),
    /// An object that the catalogue names is not what was sealed: nothing of it left.
    #[error("object {object} of clip {clip} is damaged")]
    Damaged {
        /// The object.
        object: ObjectId,
        /// Its clip, or its upload.
        clip: ClipId,
    },
    /// An object that the catalogue names is not in the store: erased a moment ago, or lost.
    #[error("object {object} of clip {clip} is missing")]
    Missing {
        /// The object.
        object: ObjectId,
        /// Its clip, or its upload.
        clip: ClipId,
    },
    /// A sealed column does not open at its place.
    #[error("{table}.{column} does not open")]
    DamagedRow {
        /// The table.
        table: &'static str,
        /// The sealed column.
        column: &'static str,
    },
    /// A row holds an older revision of a wrapped key than was seen before: somebody put it back. Nothing of it is opened.
    #[error(
        "{table} holds revision {found} of a wrapped key, and revision {least} was seen already: an older one was put back; \
         the newer one lies in the key plane, `dashvault recover` reads it"
    )]
    OldRevision {
        /// The table.
        table: &'static str,
        /// What the row holds.
        found: u32,
        /// The highest that was seen.
        least: u32,
    },
    /// Another process has changed the same wrapped key first: begin again from the newer one.
    #[error("another process has changed the same key meanwhile")]
    Superseded,
    /// The catalogue holds a vault, and a recovery fills an empty one only.
    #[error("the database holds a vault already, and nothing in it was touched: give an empty one to recover into")]
    NotEmpty,
    /// Another recovery of this catalogue was begun later.
    #[error("another recovery of this database was begun later and goes on; this one has stopped")]
    TakenOver,
    /// A recovery of this catalogue was begun and not finished.
    #[error("the database is being recovered, or its recovery was cut off: run `dashvault recover` to its end first")]
    HalfRecovered,
    /// The keys are destroyed: what was asked for has been erased.
    #[error("its keys are gone")]
    Gone,
    /// Another owner has this e-mail address.
    #[error("an owner with this e-mail address exists")]
    EmailTaken,
    /// The intent has been swept, because its lease ended: start again with a new object.
    #[error("object {object} lost its lease before it was published")]
    LeaseLost {
        /// The object that must not be published.
        object: ObjectId,
    },
    /// More bytes than the caller or the format allows.
    #[error("more than {limit_bytes} bytes")]
    OverLimit {
        /// The most there may be.
        limit_bytes: u64,
    },
    /// The keyring cannot be used with this catalogue; the text says what to do.
    #[error("{reason}")]
    Keyring {
        /// What is wrong and what helps.
        reason: String,
    },
    /// One reader has opened too many clips within an hour: 429.
    #[error("too many clips were opened within an hour: try again in {retry_after_secs} s")]
    Braked {
        /// When there is one more.
        retry_after_secs: u32,
    },
    /// The bucket that it would be written into is not known to be private: 503. Nothing is lost, whoever has it keeps it.
    #[error("nothing is written into the {bucket} bucket: {why}; shut it, and look at `dashvault exposure check`")]
    Withheld {
        /// Which bucket.
        bucket: Bucket,
        /// What the watch knows of it.
        why: &'static str,
        /// When to ask again.
        retry_after_secs: u32,
    },
    /// The store or the catalogue refuses, and trying again will not help: somebody must look.
    #[error("the vault's storage refused")]
    Refused(#[source] Cause),
}

impl VaultError {
    /// What it means to whoever asked, when it is no answer of its own there.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unavailable(_) => Trouble::Unavailable,
            Self::Full(_) => Trouble::Full,
            Self::Damaged { .. } | Self::Missing { .. } | Self::DamagedRow { .. } | Self::OldRevision { .. } => {
                Trouble::Damaged
            }
            Self::Superseded => Trouble::Unavailable,
            Self::Gone => Trouble::Gone,
            Self::Keyring { .. } => Trouble::Locked,
            Self::Braked { retry_after_secs } => Trouble::Braked {
                retry_after_secs: *retry_after_secs,
            },
            Self::Withheld { retry_after_secs, .. } => Trouble::Withheld {
                retry_after_secs: *retry_after_secs,
            },
            _ => Trouble::Defect,
        }
    }
}

impl VaultError {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Full(_) | Self::Superseded | Self::Withheld { .. }
        )
    }
}

impl From<CatalogError> for VaultError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Unavailable(_) | CatalogError::Contended(_) => Self::Unavailable(error.into()),
            CatalogError::Full(_) => Self::Full(error.into()),
            CatalogError::Superseded => Self::Superseded,
            _ => Self::Refused(error.into()),
        }
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error.into()),
            StoreError::Full(_) => Self::Full(error.into()),
            _ => Self::Refused(error.into()),
        }
    }
}
