//! A vault whose root key's provider has not answered since the process started: it takes uploads, sealed to the ingest key's
//! public half, and everything else waits until the root key is given.

use std::sync::Arc;

use dashvault_keys::Zeroizing;
use dashvault_keys::ingest::IngestPublic;
use dashvault_keys::provider::{ProviderError, RootKey, RootState, Wrap};
use tokio::sync::SetOnce;

use super::system::{self, System};
use super::{Config, Vault, VaultError};
use crate::catalog::Catalog;
use crate::model::{Clock, TenantId};
use crate::store::Store;

/// What receiving uploads needs of a vault whose system record cannot be opened yet. Nothing in it is secret, but whoever can
/// change it can make this service seal to another key: it comes from a place that only the service's own user writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IngestKey {
    /// The vault that it is of.
    pub tenant: TenantId,
    /// The public half.
    pub public: [u8; 32],
}

/// The root key that is waited for.
pub(super) type Awaited = Arc<SetOnce<Arc<dyn RootKey>>>;

impl Vault {
    /// A vault that waits for its root key, see [`Vault::give_root`]; none where there is no vault yet. Without `ingest` of this
    /// vault it takes no uploads meanwhile.
    pub async fn open_waiting(
        catalog: Catalog,
        store: Store,
        clock: Arc<dyn Clock>,
        ingest: Option<IngestKey>,
    ) -> Result<Option<Self>, VaultError> {
        if catalog.is_half_recovered().await? {
            return Err(VaultError::HalfRecovered);
        }
        let Some(tenant) = catalog.first_tenant().await? else {
            return Ok(None);
        };
        let known = ingest.filter(|key| key.tenant == tenant);
        let system = System::waiting(known.map(|key| IngestPublic(key.public)));
        let awaited = Awaited::default();
        let root = Arc::new(Later(awaited.clone()));
        let mut vault = Self::of_parts(tenant, system, root, catalog, store, clock);
        if let Some(inner) = Arc::get_mut(&mut vault.inner) {
            inner.awaited = Some(awaited);
        }
        Ok(Some(vault))
    }

    /// Gives the root key to a vault that waits for it; from then on it is a vault like any other. A root key that does not fit
    /// the catalogue is [`VaultError::Keyring`], one whose provider does not answer again [`VaultError::Unavailable`]: the
    /// vault waits on.
    pub async fn give_root(&self, config: &Config, root: Arc<dyn RootKey>) -> Result<(), VaultError> {
        let inner = &self.inner;
        let Some(awaited) = &inner.awaited else { return Ok(()) };
        let keys = system::open(config, &inner.catalog, &root, inner.tenant).await?;
        let differs = |known: IngestPublic| known != keys.ingest_public;
        if inner.system.ingest_public().is_ok_and(differs) {
            return Err(VaultError::Keyring {
                reason: "uploads since the start were sealed to another ingest key than this vault's: somebody has changed the \
                         note of it in the data folder. What came since then cannot be finished, and no vehicle has a receipt for \
                         it; remove the file ingest-key from the data folder, look who can write there, and start again"
                    .to_owned(),
            });
        }
        // Another caller may have been faster, with the same key.
        let _ = awaited.set(root);
        inner.system.take(keys);
        inner.outage.over();
        self.begin().await
    }

    /// Whether the root key's provider has not answered since the process started.
    pub fn is_waiting(&self) -> bool {
        self.inner.open.get().is_none()
    }

    /// Waits until the root key is there.
    pub async fn until_open(&self) {
        self.inner.open.wait().await;
    }

    /// Whether uploads can be taken: what they are sealed to is known.
    pub fn knows_ingest_key(&self) -> bool {
        self.inner.system.ingest_public().is_ok()
    }

    /// What uploads are sealed to, for a later start without the root key.
    pub fn ingest_key(&self) -> Result<IngestKey, VaultError> {
        Ok(IngestKey {
            tenant: self.tenant(),
            public: self.inner.system.ingest_public()?.0,
        })
    }
}

/// What answers for the root key until it is there.
struct Later(Awaited);

impl Later {
    fn root(&self) -> Result<&Arc<dyn RootKey>, ProviderError> {
        let absent = || ProviderError::Unavailable("it has not answered since this process started".to_owned());
        self.0.get().ok_or_else(absent)
    }
}

impl RootKey for Later {
    fn wrap(&self, plain: &[u8], aad: &[u8]) -> Result<Wrap, ProviderError> {
        self.root()?.wrap(plain, aad)
    }

    fn unwrap(&self, wrap: &Wrap, aad: &[u8]) -> Result<Zeroizing<Vec<u8>>, ProviderError> {
        self.root()?.unwrap(wrap, aad)
    }

    fn batch(&self) -> Result<Option<Box<dyn RootKey + '_>>, ProviderError> {
        self.root()?.batch()
    }

    fn state(&self) -> Result<RootState, ProviderError> {
        self.root()?.state()
    }

    fn epoch(&self) -> Result<u32, ProviderError> {
        self.root()?.epoch()
    }

    fn add_version(&self) -> Result<u32, ProviderError> {
        self.root()?.add_version()
    }

    fn add_epoch(&self, after: u32) -> Result<u32, ProviderError> {
        self.root()?.add_epoch(after)
    }

    fn destroy_epoch(&self, epoch: u32) -> Result<(), ProviderError> {
        self.root()?.destroy_epoch(epoch)
    }
}
