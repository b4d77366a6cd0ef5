//! The deployment's own keys, opened at the start and again when they change: what signs, what hides owners, what uploads
//! are sealed to.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use dashvault_keys::ingest::IngestPublic;
use dashvault_keys::provider::{ProviderError, RootKey};
use dashvault_keys::receipt::ReceiptSigner;
use dashvault_keys::system::{ReceiptKey, SystemError, SystemRecord};
use dashvault_keys::token::{self, LinkSigner, LinkVerifier};
use dashvault_keys::{Secret32, digest, field};
use tokio_util::sync::CancellationToken;

use super::cache::Failed;
use super::custody::{ANSWER_TIME, judged_provider};
use super::{Config, Vault, VaultError, run_blocking};
use crate::catalog::{Catalog, SystemRecordRow, Tx};
use crate::model::{TenantId, UnixMs};

/// How often a node looks whether the system record has changed.
const FOLLOW: Duration = Duration::from_secs(2);

/// An opened system record.
pub(super) struct SystemKeys {
    pub record: SystemRecord,
    /// The root epoch whose record this is.
    pub epoch: u32,
    pub revision: u32,
    pub ingest_public: IngestPublic,
    /// The wrapped record, to see whether the root key still opens it.
    wrapped: Vec<u8>,
}

impl SystemKeys {
    fn open(tenant: TenantId, row: SystemRecordRow, root: &dyn RootKey) -> Result<Self, SystemError> {
        let record = SystemRecord::open(tenant.as_bytes(), &row.record, root)?;
        if SystemRecord::revision_of(&row.record) != Some(row.revision) {
            return Err(SystemError::Refused);
        }
        Ok(Self {
            ingest_public: record.ingest.public(),
            record,
            epoch: row.epoch,
            revision: row.revision,
            wrapped: row.record,
        })
    }

    /// The root key that wraps the record, as its provider names it.
    pub fn wrap_reference(&self) -> Option<String> {
        SystemRecord::reference_of(&self.wrapped)
    }

    /// What stands in `owners.email_index` for an address, however it is written: by the newest index key, and by those
    /// before it whose owners have not all got a new index yet.
    pub fn email_indexes(&self, tenant: TenantId, email: &str, now: UnixMs) -> Vec<[u8; 32]> {
        let normal = email.trim().to_lowercase();
        let index = |key: &Secret32| field::index(key, tenant.as_bytes(), "email", normal.as_bytes());
        self.record.index.verifying(now).map(|key| index(&key.key)).collect()
    }
}

/// The system record that counts now.
pub(super) struct System(RwLock<Held>);

enum Held {
    /// The root key's provider has not answered yet; what uploads are sealed to may be known all the same.
    Waiting(Option<IngestPublic>),
    Open(Arc<SystemKeys>),
}

impl System {
    pub fn new(keys: SystemKeys) -> Self {
        Self(RwLock::new(Held::Open(Arc::new(keys))))
    }

    pub fn waiting(ingest: Option<IngestPublic>) -> Self {
        Self(RwLock::new(Held::Waiting(ingest)))
    }

    /// [`VaultError::Unavailable`] while the root key is waited for.
    pub fn current(&self) -> Result<Arc<SystemKeys>, VaultError> {
        match &*self.read() {
            Held::Open(keys) => Ok(keys.clone()),
            Held::Waiting(_) => Err(unanswered()),
        }
    }

    /// What uploads are sealed to; known without the root key, where it was noted.
    pub fn ingest_public(&self) -> Result<IngestPublic, VaultError> {
        match &*self.read() {
            Held::Open(keys) => Ok(keys.ingest_public),
            Held::Waiting(noted) => noted.ok_or_else(unanswered),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a newer record; one that is older than what is held was put back by somebody, and is not taken.
    pub fn take(&self, keys: SystemKeys) -> bool {
        let mut held = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let newer = match &*held {
            Held::Open(held) => (keys.epoch, keys.revision) > (held.epoch, held.revision),
            Held::Waiting(_) => true,
        };
        if newer {
            *held = Held::Open(Arc::new(keys));
        }
        newer
    }
}

fn unanswered() -> VaultError {
    VaultError::Unavailable("the root key's provider has not answered since this process started".into())
}

/// The tenant and its system record; both are made in a catalogue that has none.
pub(super) async fn open_or_make(
    config: &Config,
    catalog: &Catalog,
    root: &Arc<dyn RootKey>,
    now: UnixMs,
) -> Result<(TenantId, SystemKeys), VaultError> {
    let tenant = match catalog.first_tenant().await? {
        Some(tenant) => tenant,
        None => make(config, catalog, root, now).await?,
    };
    Ok((tenant, open(config, catalog, root, tenant).await?))
}

/// The tenant's system record.
pub(super) async fn open(
    config: &Config,
    catalog: &Catalog,
    root: &Arc<dyn RootKey>,
    tenant: TenantId,
) -> Result<SystemKeys, VaultError> {
    let row = catalog.system_record(tenant).await?.ok_or(DAMAGED)?;
    let root = root.clone();
    let opened = run_blocking(move || SystemKeys::open(tenant, row, root.as_ref())).await;
    opened.map_err(|error| misfit(config, error))
}

/// Makes tenant and record in one transaction; a process that does the same at the same time waits and finds them.
async fn make(
    config: &Config,
    catalog: &Catalog,
    root: &Arc<dyn RootKey>,
    now: UnixMs,
) -> Result<TenantId, VaultError> {
    const REVISION: u32 = 1;
    let tenant = TenantId::random();
    let root = root.clone();
    let sealed = run_blocking(move || SystemRecord::make().seal(tenant.as_bytes(), REVISION, root.as_ref())).await;
    let (epoch, record) = sealed.map_err(|e| misfit(config, e))?;
    let row = SystemRecordRow {
        epoch,
        revision: REVISION,
        record,
    };
    let mut tx = catalog.begin().await?;
    tx.lock_tenants().await?;
    if let Some(other) = tx.first_tenant().await? {
        return Ok(other);
    }
    tx.insert_tenant(tenant, now).await?;
    tx.insert_system_record(tenant, &row, now).await?;
    tx.commit().await?;
    Ok(tenant)
}

const DAMAGED: VaultError = VaultError::DamagedRow {
    table: "system_records",
    column: "record",
};

fn misfit(config: &Config, error: SystemError) -> VaultError {
    let root = &config.root;
    match error {
        SystemError::Provider(ref cause) if cause.is_passing() => VaultError::Unavailable(error.into()),
        SystemError::Provider(ProviderError::NoSuchKey { reference, epoch }) => VaultError::Keyring {
            reason: format!(
                "{root} does not hold the root key of this catalogue ({reference}, epoch {epoch}): give the root key that \
                 belongs to the catalogue, or restore its newest backup; nothing was changed"
            ),
        },
        SystemError::Provider(ProviderError::Refused) | SystemError::Refused => VaultError::Keyring {
            reason: format!(
                "{root} does not open this catalogue: give the root key that belongs to it, or restore root key and \
                 catalogue from backups of one vault; nothing was changed"
            ),
        },
        SystemError::Provider(other) => VaultError::Keyring {
            reason: format!("the root key does not open this catalogue: {other}"),
        },
        SystemError::UnknownVersion(version) => VaultError::Keyring {
            reason: format!("the catalogue's system record has version {version}: run the newer program"),
        },
    }
}

pub(super) fn from_system(error: SystemError) -> VaultError {
    match error {
        SystemError::Provider(ref provider) if provider.is_passing() => VaultError::Unavailable(error.into()),
        SystemError::Refused => DAMAGED,
        other => VaultError::Keyring {
            reason: format!("the root key does not open the newest system record: {other}"),
        },
    }
}

impl Vault {
    /// The system record that counts now; [`VaultError::Unavailable`] while the root key is waited for.
    pub(super) fn system(&self) -> Result<Arc<SystemKeys>, VaultError> {
        self.inner.system.current()
    }

    /// Signs links' tokens.
    pub fn link_signer(&self) -> Result<LinkSigner, VaultError> {
        Ok(LinkSigner::new(&self.system()?.record.link.signing(self.now()).key))
    }

    /// Checks links' tokens: those of every key whose links may not have ended yet.
    pub fn link_verifier(&self) -> Result<LinkVerifier, VaultError> {
        let system = self.system()?;
        let keys = system.record.link.verifying(self.now());
        Ok(LinkVerifier::of(keys.map(|key| &key.key)))
    }

    /// Signs receipts.
    pub fn receipt_signer(&self) -> Result<ReceiptSigner, VaultError> {
        Ok(ReceiptSigner::new(
            &self.system()?.record.receipt.signing(self.now()).key,
        ))
    }

    /// What vehicles check receipts with: the key that signs now.
    pub fn receipt_public_key(&self) -> Result<[u8; 32], VaultError> {
        Ok(self.receipt_signer()?.public_key())
    }

    /// Every receipt key there ever was, each endorsed by the one before it.
    pub fn receipt_keys(&self) -> Result<Vec<ReceiptKey>, VaultError> {
        Ok(self.system()?.record.receipt_keys.clone())
    }

    /// What is kept of a new pairing code.
    pub fn pairing_code_hash(&self, code: &str) -> Result<[u8; 32], VaultError> {
        let system = self.system()?;
        let key = system.record.token.signing(self.now());
        Ok(token::pairing_code_hash(&key.key, code))
    }

    /// Whether this is the code of which `hash` was kept.
    pub fn is_pairing_code(&self, code: &str, hash: &[u8]) -> Result<bool, VaultError> {
        let system = self.system()?;
        let keys = system.record.token.verifying(self.now());
        // Every key is tried, so that the time tells nothing about which one fits.
        let fits = keys.map(|key| digest::equal(&token::pairing_code_hash(&key.key, code), hash));
        Ok(fits.fold(false, |fits, one| fits | one))
    }

    /// Reads the system record again if another process has changed it; whether it had.
    pub async fn refresh_system(&self) -> Result<bool, VaultError> {
        let tenant = self.tenant();
        let row = self.inner.catalog.system_record(tenant).await?.ok_or(DAMAGED)?;
        self.take_system(row).await
    }

    /// Holds the system record until the transaction ends: nobody rotates its keys meanwhile. What is held is the newest.
    pub(super) async fn hold_system(&self, tx: &mut Tx) -> Result<Arc<SystemKeys>, VaultError> {
        let row = tx.hold_system_record(self.tenant()).await?.ok_or(DAMAGED)?;
        self.take_system(row).await?;
        self.system()
    }

    async fn take_system(&self, row: SystemRecordRow) -> Result<bool, VaultError> {
        let held = self.system()?;
        if (row.epoch, row.revision) == (held.epoch, held.revision) {
            return Ok(false);
        }
        let (root, tenant) = (self.inner.root.clone(), self.tenant());
        let opened = run_blocking(move || SystemKeys::open(tenant, row, root.as_ref())).await;
        Ok(self.inner.system.take(opened.map_err(from_system)?))
    }

    /// Follows the system record, until `ending`.
    pub async fn follow_system(&self, ending: CancellationToken) {
        loop {
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(FOLLOW) => {}
            }
            match self.refresh_system().await {
                Err(_) if self.is_waiting() => {}
                Ok(false) => {}
                Ok(true) => tracing::info!("another process has rotated the vault's keys; the new ones are in use"),
                Err(error) => tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the system record cannot be read again now; the keys that are known stay in use"
                ),
            }
        }
    }

    /// Whether the root key still opens what it wrapped.
    pub(super) async fn check_root(&self) -> Result<(), Failed> {
        match self.check_record().await {
            // A roll destroys the root key of the record in memory: the newest one counts.
            Err(Failed::Withdrawn(error)) => match self.refresh_system().await {
                Ok(true) => self.check_record().await,
                _ => Err(Failed::Withdrawn(error)),
            },
            answer => answer,
        }
    }

    async fn check_record(&self) -> Result<(), Failed> {
        let (inner, system) = (self.inner.clone(), self.system().map_err(Failed::Passing)?);
        let opened = run_blocking(move || {
            let record = &system.wrapped;
            SystemRecord::open(inner.tenant.as_bytes(), record, inner.root.as_ref()).map(drop)
        });
        let opened = match tokio::time::timeout(ANSWER_TIME, opened).await {
            Ok(opened) => opened,
            Err(late) => return Err(Failed::Passing(VaultError::Unavailable(late.into()))),
        };
        opened.map_err(|error| match &error {
            SystemError::Provider(provider) if provider.is_passing() => judged_provider(provider.clone(), error.into()),
            other => Failed::Withdrawn(VaultError::Keyring {
                reason: format!("the root key does not open the system record any more: {other}"),
            }),
        })
    }
}
