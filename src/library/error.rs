//! What can go wrong with clips, one variant for each thing a caller does differently.

use crate::catalog::CatalogError;
use crate::model::ClipId;

/// An error of the library. What is not there, or another owner's, is `None` instead.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// The clip is held: 409.
    #[error("clip {clip} is held, and can be neither trashed nor erased")]
    Held {
        /// The clip.
        clip: ClipId,
    },
    /// The clip is in no state in which this can be done: 409.
    #[error("clip {clip} is {state}: this cannot be done with it")]
    WrongState {
        /// The clip.
        clip: ClipId,
        /// Its state.
        state: crate::model::ClipState,
    },
    /// The cursor is none that this owner's list gave: 400.
    #[error("the cursor is none that this list gave")]
    Cursor,
    /// The catalogue does not answer, or its disk is full.
    #[error("the catalogue failed")]
    Catalog(#[from] CatalogError),
}
