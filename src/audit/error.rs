//! What can go wrong with the record.

use crate::catalog::CatalogError;
use crate::model::Trouble;
use crate::vault::VaultError;

/// An error of the record.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The catalogue failed.
    #[error("the record cannot be kept")]
    Catalog(#[from] CatalogError),
    /// Keys could not be opened, or a text is damaged.
    #[error("a text of the record cannot be sealed or opened")]
    Vault(#[from] VaultError),
}

impl AuditError {
    /// What it means to whoever asked, when it is no answer of its own there.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Catalog(error) => error.trouble(),
            Self::Vault(error) => error.trouble(),
        }
    }
}
