//! Where keys, key rows and the store meet; every byte that is stored passes here.

mod brake;
mod cache;
mod clips;
mod custody;
mod error;
mod keys;
mod objects;
mod outage;
mod owners;
mod read;
pub mod records;
mod sweep;
mod system;
mod uploads;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

use dashvault_keys::provider::{Keyring, KeyringError, RootKey};

pub use brake::{CLIPS_AN_HOUR, Reach};
pub use custody::{Custody, CustodyNumbers};
pub use dashvault_keys::envelope::{Manifest, ManifestObject};
pub use error::{Cause, VaultError};
pub use keys::{ClipKeys, OwnerKeys};
pub use objects::{Holder, SealedObject, StoredObject};
pub use records::{
    ClipDetails, ClipSummary, DeviceAbout, EventText, LinkAbout, ObjectAbout, OwnerProfile, PairingAbout, Record,
    UploadMetadata,
};
pub use uploads::{PieceRef, UploadKey};
pub use writer::ObjectWriter;

use brake::Brake;
use cache::KeyCache;
use custody::Counts;
use outage::Outage;
use system::System;

use crate::catalog::Catalog;
use crate::model::{Clock, TenantId, UnixMs};
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
    catalog: Catalog,
    store: Store,
    clock: Arc<dyn Clock>,
    root: Arc<dyn RootKey>,
    system: System,
    cache: KeyCache,
    outage: Outage,
    brake: Brake,
    counts: Counts,
}

impl Vault {
    /// Opens the keyring and the tenant's system record; on a new catalogue makes tenant and record. A keyring that does not
    /// fit the catalogue is [`VaultError::Keyring`].
    pub async fn open(
        config: &Config,
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        let path = config.keyring.clone();
        let keyring = run_blocking(move || Keyring::open(&path)).await.map_err(unusable)?;
        Self::open_over(Arc::new(keyring), config, catalog, store, clock).await
    }

    /// As [`Self::open`], over a root key that is open already.
    pub async fn open_over(
        root: Arc<dyn RootKey>,
        config: &Config,
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        let custody = Custody::default();
        let (tenant, system) = system::open_or_make(config, &catalog, &root, clock.now_ms()).await?;
        Ok(Self {
            inner: Arc::new(Inner {
                tenant,
                catalog,
                store,
                clock,
                root,
                system: System::new(system),
                cache: custody.cache(),
                outage: Outage::default(),
                brake: custody.brake(),
                counts: Counts::default(),
            }),
        })
    }

    /// The same vault with other rules for keys in memory. Only before it is shared: a clone keeps it as it is.
    #[must_use]
    pub fn under(mut self, custody: &Custody) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.cache = custody.cache();
            inner.brake = custody.brake();
        }
        self
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
        self.storage_ready().await?;
        self.root_ready().await
    }

    /// Whether catalogue and store answer.
    pub async fn storage_ready(&self) -> Result<(), VaultError> {
        self.inner.catalog.ping().await?;
        Ok(self.inner.store.ping().await?)
    }

    fn now(&self) -> UnixMs {
        self.inner.clock.now_ms()
    }

    /// `SYS` of every derivation.
    fn sys(&self) -> &[u8; 16] {
        self.inner.tenant.as_bytes()
    }
}

fn unusable(error: KeyringError) -> VaultError {
    let help = match &error {
        KeyringError::Missing(_) => {
            "; restore it from its backup, or make one with `dashvault keys init` for a new vault"
        }
        KeyringError::Permissions { .. } => "; run chmod 600 on it",
        KeyringError::Damaged(_) => "; restore it from its backup with `dashvault keys restore`",
        KeyringError::UnknownVersion(_) => "; run the newer program",
        _ => "",
    };
    VaultError::Keyring {
        reason: format!("{error}{help}"),
    }
}

/// Runs what may wait for a file or a key service beside the async tasks.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
