//! Where keys, key rows and the store meet; every byte that is stored passes here.

mod attest;
mod backfill;
mod brake;
mod cache;
mod canary;
mod clips;
mod compare;
mod custody;
mod erasure;
mod error;
mod gate;
mod inventory;
mod key_plane;
mod keys;
mod mirror;
mod objects;
mod outage;
mod outgoing;
mod owners;
mod read;
pub mod records;
mod recover;
mod replay;
pub mod rotation;
mod sameness;
mod sweep;
mod system;
mod uploads;
mod vehicles;
mod verify;
mod waiting;
mod writer;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{OnceCell, SetOnce};

use dashvault_keys::provider::{self, OpenError, ProviderConfig, RootKey};

pub use attest::{Attested, Seen};
pub use backfill::MirrorState;
pub use brake::{CLIPS_AN_HOUR, Reach};
pub use canary::object_path;
pub use clips::EnvelopeMade;
pub use compare::Compared;
pub use custody::{Custody, CustodyNumbers, LONGEST_LIFE};
pub use dashvault_keys::attestation::{BucketStatement, InventoryStatement};
pub use dashvault_keys::envelope::{Manifest, ManifestObject};
pub use dashvault_keys::kek::{OldKey, PublicKey, Vehicle};
pub use erasure::Buried;
pub use error::{Cause, VaultError};
pub use gate::{GateRule, why_withheld};
pub use inventory::{Forms, Inventory, InventoryTotals, ObjectsStep, RowsStep, StoredFlaw, StoredUnfit};
pub use key_plane::KeyPlaneSwept;
pub use keys::{ClipKeys, OwnerKeys};
pub use mirror::Mirrored;
pub use objects::{Holder, SealedObject, StoredObject};
pub use owners::OwnerMade;
pub use records::{
    ClipDetails, ClipSummary, DeviceAbout, EventText, LinkAbout, ObjectAbout, OwnerProfile, PairingAbout, Record,
    UploadMetadata,
};
pub use recover::{Finding, Recovered, Stage, Told};
pub use replay::Replayed;
pub use sameness::BegunIndexes;
pub use uploads::{PieceRef, PieceWriter, UploadKey};
pub use vehicles::KekChange;
pub use verify::{Flaw, Unfit};
pub use waiting::IngestKey;
pub use writer::ObjectWriter;

use brake::Brake;
use cache::KeyCache;
use custody::Counts;
use gate::Gate;
use outage::Outage;
use system::System;
use waiting::Awaited;

use crate::catalog::Catalog;
use crate::model::{Clock, TenantId, UnixMs};
use crate::store::Store;

/// What the vault has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the root keys are. They exist: a command makes them, the vault never does.
    pub root: ProviderConfig,
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
    /// Where the root key goes of a process that was started without it.
    awaited: Option<Awaited>,
    system: System,
    /// Set once the system record is open.
    open: SetOnce<()>,
    cache: KeyCache,
    outage: Outage,
    brake: Brake,
    gate: Gate,
    counts: Counts,
    /// Nothing of the catalogue lacks its mirror: looked at once a process, for only an older database lacks any.
    mirror_is_whole: AtomicBool,
    /// Set once this process has read the tombstones; nothing of an owner is opened before.
    replayed: OnceCell<Replayed>,
    /// Set once this process has held the catalogue against the key plane.
    compared: OnceCell<Compared>,
}

impl Vault {
    /// Opens the root key and the tenant's system record; on a new catalogue makes tenant and record. A root key that does not
    /// fit the catalogue is [`VaultError::Keyring`].
    pub async fn open(
        config: &Config,
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        let root = config.root.clone();
        let root = run_blocking(move || provider::open(&root)).await.map_err(unusable)?;
        Self::open_over(root, config, catalog, store, clock).await
    }

    /// As [`Self::open`], over a root key that is open already.
    pub async fn open_over(
        root: Arc<dyn RootKey>,
        config: &Config,
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        if catalog.is_half_recovered().await? {
            return Err(VaultError::HalfRecovered);
        }
        Self::assemble(root, config, catalog, store, clock).await
    }

    async fn assemble(
        root: Arc<dyn RootKey>,
        config: &Config,
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, VaultError> {
        let (tenant, system) = system::open_or_make(config, &catalog, &root, clock.now_ms()).await?;
        let vault = Self::of_parts(tenant, System::new(system), root, catalog, store, clock);
        vault.begin().await?;
        Ok(vault)
    }

    fn of_parts(
        tenant: TenantId,
        system: System,
        root: Arc<dyn RootKey>,
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let custody = Custody::default();
        Self {
            inner: Arc::new(Inner {
                tenant,
                catalog,
                store,
                clock,
                root,
                awaited: None,
                system,
                open: SetOnce::new(),
                cache: custody.cache(),
                outage: Outage::default(),
                brake: custody.brake(),
                gate: Gate::default(),
                counts: Counts::default(),
                mirror_is_whole: AtomicBool::new(false),
                replayed: OnceCell::new(),
                compared: OnceCell::new(),
            }),
        }
    }

    /// What a vault does first, once its system record is open.
    async fn begin(&self) -> Result<(), VaultError> {
        match self.begin_with_key_plane().await {
            Err(error) if error.is_passing() => {
                tracing::warn!(%error, "the key plane cannot be read yet; nothing of an owner is opened before it was");
            }
            other => other?,
        }
        // Another caller may have been faster.
        let _ = self.inner.open.set(());
        Ok(())
    }

    async fn begin_with_key_plane(&self) -> Result<(), VaultError> {
        self.erased_stay_erased().await?;
        self.mirror_missing_system().await?;
        Ok(())
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

    /// How full the disk of the store is, of a thousand; see [`Store::used_permille`].
    pub async fn store_used_permille(&self) -> Result<Option<u32>, VaultError> {
        Ok(self.inner.store.used_permille().await?)
    }

    fn now(&self) -> UnixMs {
        self.inner.clock.now_ms()
    }

    /// `SYS` of every derivation.
    fn sys(&self) -> &[u8; 16] {
        self.inner.tenant.as_bytes()
    }
}

fn unusable(error: OpenError) -> VaultError {
    let source = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
    VaultError::Keyring {
        reason: format!("{error}{source}"),
    }
}

/// Runs what may wait for a file or a key service beside the async tasks.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}
