//! What can go wrong with clips, one variant for each thing a caller does differently.

use crate::audit::AuditError;
use crate::catalog::CatalogError;
use crate::model::{ClipId, ClipState, Trouble};
use crate::vault::VaultError;

/// An error of the library. What is not there, or another owner's, is `None` instead.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// 409: the clip is held, and can be neither trashed nor erased.
    #[error("clip {clip} is held")]
    Held {
        /// The clip.
        clip: ClipId,
    },
    /// 409: the clip is in no state in which this can be done.
    #[error("clip {clip} is {state}: this cannot be done with it now")]
    WrongState {
        /// The clip.
        clip: ClipId,
        /// Its state.
        state: ClipState,
    },
    /// 400: the cursor is none that this owner's list gave.
    #[error("the cursor is none that this list gave")]
    Cursor,
    /// What is stored of a rendition does not fit together; nothing of it left.
    #[error("a rendition of clip {clip} and its index do not fit together")]
    DamagedIndex {
        /// The clip.
        clip: ClipId,
    },
    /// The vault failed: unavailable, full, damaged, or the keys are gone.
    #[error("the vault failed")]
    Vault(#[from] VaultError),
    /// The catalogue failed.
    #[error("the catalogue failed")]
    Catalog(#[from] CatalogError),
    /// The record of what happened could not be written, so nothing happened.
    #[error("the record failed")]
    Audit(#[from] AuditError),
}

impl LibraryError {
    /// What it means to whoever asked, when it is no answer of its own there.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Held { .. } | Self::WrongState { .. } | Self::Cursor => Trouble::Defect,
            Self::DamagedIndex { .. } => Trouble::Damaged,
            Self::Vault(error) => error.trouble(),
            Self::Catalog(error) => error.trouble(),
            Self::Audit(error) => error.trouble(),
        }
    }
}
