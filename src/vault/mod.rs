//! Where keys, key rows and the store meet; every byte that is stored passes here.

mod clips;
mod error;
mod keys;
mod objects;
mod owners;
pub mod records;
mod uploads;

use std::path::PathBuf;
use std::sync::Arc;

pub use error::{Cause, VaultError};
pub use keys::{ClipKeys, OwnerKeys};
pub use objects::{Holder, ObjectWriter, SealedObject, StoredObject};
pub use records::{
    ClipDetails, ClipSummary, DeviceAbout, EventText, LinkAbout, Manifest, ManifestObject, ObjectAbout, OwnerProfile,
    PairingAbout, Record, UploadMetadata,
};
pub use uploads::{PieceRef, UploadKey};

use crate::catalog::Catalog;
use crate::model::{Clock, TenantId};
use crate::store::Store;

/// What the vault has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The keyring file. It exists: a command makes it, the vault never does.
    pub keyring: PathBuf,
}

/// The vault. Cheap to clone.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    tenant: TenantId,
    clock: Arc<dyn Clock>,
}

impl Vault {
    /// Opens the keyring and the tenant's system record; on a new catalogue makes tenant and record. A keyring that does not
    /// fit the catalogue is [`VaultError::Keyring`].
    pub async fn open(
        _config: &Config,
        _catalog: Catalog,
        _store: Store,
        _clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        todo!()
    }

    /// The deployment's tenant.
    pub fn tenant(&self) -> TenantId {
        self.inner.tenant
    }

    /// The clock that the vault goes by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Whether catalogue and store answer and the root key opens what it wrapped.
    pub async fn ready(&self) -> Result<(), VaultError> {
        todo!()
    }
}
