//! The deployment's own keys, opened once at the start: what signs, what hides owners, what uploads are sealed to.

use std::sync::Arc;

use dashvault_keys::ingest::{IngestPublic, IngestSecret};
use dashvault_keys::provider::{ProviderError, RootKey};
use dashvault_keys::receipt::ReceiptSigner;
use dashvault_keys::system::{SystemError, SystemRecord};
use dashvault_keys::token::{self, LinkSigner, LinkVerifier};
use dashvault_keys::{Secret32, field};

use super::cache::Failed;
use super::custody::{ANSWER_TIME, judged_provider};
use super::{Config, Vault, VaultError, run_blocking};
use crate::catalog::{Catalog, SystemRecordRow};
use crate::model::{TenantId, UnixMs};

/// An opened system record.
pub(super) struct SystemKeys {
    pub locator: Secret32,
    index: Secret32,
    /// The root epoch whose index key this is.
    pub epoch: u32,
    token: Secret32,
    links: LinkSigner,
    link_verifier: LinkVerifier,
    receipts: ReceiptSigner,
    pub ingest: IngestSecret,
    pub ingest_public: IngestPublic,
    /// The wrapped record, to see whether the root key still opens it.
    wrapped: Vec<u8>,
}

impl SystemKeys {
    fn open(tenant: TenantId, row: SystemRecordRow, root: &dyn RootKey) -> Result<Self, SystemError> {
        let record = SystemRecord::open(tenant.as_bytes(), &row.record, root)?;
        let links = LinkSigner::new(&record.link);
        Ok(Self {
            link_verifier: links.verifier(),
            links,
            receipts: ReceiptSigner::new(&record.receipt),
            ingest_public: record.ingest.public(),
            ingest: record.ingest,
            locator: record.locator,
            index: record.index,
            token: record.token,
            epoch: row.epoch,
            wrapped: row.record,
        })
    }

    /// What stands in `owners.email_index` for an address, however it is written.
    pub fn email_index(&self, tenant: TenantId, email: &str) -> [u8; 32] {
        let normal = email.trim().to_lowercase();
        field::index(&self.index, tenant.as_bytes(), "email", normal.as_bytes())
    }
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
    let row = catalog.system_record(tenant).await?.ok_or(DAMAGED)?;
    let root = root.clone();
    let opened = run_blocking(move || SystemKeys::open(tenant, row, root.as_ref())).await;
    Ok((tenant, opened.map_err(|e| misfit(config, e))?))
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
    let sealed = run_blocking(move || {
        let record = SystemRecord::make().seal(tenant.as_bytes(), REVISION, root.as_ref())?;
        Ok((root.epoch()?, record))
    });
    let (epoch, record) = sealed.await.map_err(|e: SystemError| misfit(config, e))?;
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
    let path = config.keyring.display();
    match error {
        SystemError::Provider(ref cause) if cause.is_passing() => VaultError::Unavailable(error.into()),
        SystemError::Provider(ProviderError::NoSuchKey { reference, epoch }) => VaultError::Keyring {
            reason: format!(
                "the keyring {path} does not hold the root key of this catalogue ({reference}, epoch {epoch}): \
                 give the keyring that belongs to the catalogue, or restore its backup"
            ),
        },
        SystemError::Provider(ProviderError::Refused) | SystemError::Refused => VaultError::Keyring {
            reason: format!(
                "the keyring {path} does not open this catalogue: give the keyring that belongs to it, or restore \
                 keyring and catalogue from backups of one vault"
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

impl Vault {
    /// Signs links' tokens.
    pub fn link_signer(&self) -> &LinkSigner {
        &self.inner.system.links
    }

    /// Checks links' tokens.
    pub fn link_verifier(&self) -> &LinkVerifier {
        &self.inner.system.link_verifier
    }

    /// Signs receipts.
    pub fn receipt_signer(&self) -> &ReceiptSigner {
        &self.inner.system.receipts
    }

    /// What vehicles check receipts with.
    pub fn receipt_public_key(&self) -> [u8; 32] {
        self.inner.system.receipts.public_key()
    }

    /// What is kept of a pairing code.
    pub fn pairing_code_hash(&self, code: &str) -> [u8; 32] {
        token::pairing_code_hash(&self.inner.system.token, code)
    }

    /// Whether the root key still opens what it wrapped.
    pub(super) async fn check_root(&self) -> Result<(), Failed> {
        let inner = self.inner.clone();
        let opened = run_blocking(move || {
            let record = &inner.system.wrapped;
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
