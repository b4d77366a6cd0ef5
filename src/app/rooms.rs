//! Opens the rooms in the order of their arrows.

use std::path::Path;
use std::sync::Arc;

use dashvault_keys::provider::{Keyring, KeyringError};
use tracing::info;

use super::config::DataConfig;
use super::{CommandError, time};
use crate::access::{self, Access};
use crate::audit::Audit;
use crate::catalog::{Catalog, CatalogError};
use crate::library::Library;
use crate::model::{Clock, OwnerId};
use crate::store::{Store, StoreError};
use crate::vault::{Custody, Vault, VaultError};

/// Why the rooms do not open. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoomsError {
    #[error("the folder {folder} cannot be made: give another with --data")]
    Folder {
        folder: String,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "another `dashvault serve` ({process}) runs on the data folder {folder}: end it first, or give this one a folder of \
         its own with --data; more workers for the same vault are `dashvault work`"
    )]
    InUse { folder: String, process: String },
    #[error(
        "the data folder {folder} cannot be locked: give one on a local disk that this user may write, with --data"
    )]
    Unlockable {
        folder: String,
        #[source]
        source: std::io::Error,
    },
    #[error("the database does not open: look whether it runs, and at DASHVAULT_DATABASE_URL or the data folder")]
    Catalog(#[from] CatalogError),
    #[error(
        "the object store does not open: look whether it runs, and at the DASHVAULT_S3_* variables or the data folder"
    )]
    Store(#[from] StoreError),
    #[error("the vault does not open")]
    Vault(#[from] VaultError),
    #[error("the keyring cannot be made")]
    Keyring(#[from] KeyringError),
    #[error(
        "there is no keyring at {0}, and what is stored can be opened by it alone: point to it with --keyring, or bring it \
         back with `dashvault keys restore`"
    )]
    KeyringLost(String),
    #[error("there is no vault in {0}: look at --data, or start `dashvault serve` once")]
    NoVault(String),
    #[error("there is no keyring at {0} yet: start `dashvault serve` once, or make one with `dashvault keys init`")]
    NoKeyringYet(String),
}

/// Whether a command may make a vault, keyring and all, where there is nothing yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewVault {
    Make,
    Refuse,
}

/// The rooms that commands and the service share.
pub(super) struct Rooms {
    pub(super) catalog: Catalog,
    pub(super) vault: Vault,
    pub(super) audit: Audit,
    pub(super) access: Access,
    pub(super) library: Library,
    pub(super) clock: Arc<dyn Clock>,
}

impl Rooms {
    /// The owner that a person named by id or by e-mail address.
    pub(super) async fn owner(&self, named: &str) -> Result<OwnerId, CommandError> {
        let owner = match named.parse() {
            Ok(id) => Some(id),
            Err(_) => self.access.find_owner(named).await?,
        };
        owner.ok_or_else(|| CommandError::Refused(format!("there is no owner {named}")))
    }
}

/// The database, its schema up to date.
pub(super) async fn connect(config: &DataConfig, new: NewVault) -> Result<Catalog, RoomsError> {
    match new {
        NewVault::Make => make_private_folder(&config.data)?,
        NewVault::Refuse => require_catalog(config)?,
    }
    Ok(Catalog::connect(&config.catalog).await?)
}

/// Refuses where a command would otherwise make an empty vault beside the one that was meant.
pub(super) fn require_vault(config: &DataConfig) -> Result<(), RoomsError> {
    require_catalog(config)?;
    if !config.store.may_be_there() {
        return Err(RoomsError::NoVault(config.data.display().to_string()));
    }
    Ok(())
}

fn require_catalog(config: &DataConfig) -> Result<(), RoomsError> {
    if !config.catalog.may_be_there() {
        return Err(RoomsError::NoVault(config.data.display().to_string()));
    }
    Ok(())
}

/// Opens everything but ingest, media and the pipeline.
pub(super) async fn open(config: &DataConfig, new: NewVault) -> Result<Rooms, RoomsError> {
    open_under(config, new, &Custody::default()).await
}

/// As [`open`], with rules for keys in memory.
pub(super) async fn open_under(config: &DataConfig, new: NewVault, custody: &Custody) -> Result<Rooms, RoomsError> {
    if new == NewVault::Refuse {
        require_vault(config)?;
    }
    let catalog = connect(config, new).await?;
    let clock = time::clock(&catalog).await?;
    ensure_keyring(&config.vault.keyring, &catalog, new).await?;
    let store = Store::open(&config.store).await?;
    let vault = Vault::open(&config.vault, catalog.clone(), store, clock.clone()).await?;
    let vault = vault.under(custody);
    let audit = Audit::new(vault.clone(), catalog.clone());
    let access = Access::new(
        access::Config::default(),
        vault.clone(),
        catalog.clone(),
        audit.clone(),
        clock.clone(),
    );
    let library = Library::new(vault.clone(), catalog.clone(), audit.clone());
    Ok(Rooms {
        catalog,
        vault,
        audit,
        access,
        library,
        clock,
    })
}

/// A vault that has nothing yet gets its keyring; one that has something and no keyring has lost it.
async fn ensure_keyring(keyring: &Path, catalog: &Catalog, new: NewVault) -> Result<(), RoomsError> {
    if keyring.exists() {
        return Ok(());
    }
    let place = keyring.display().to_string();
    if catalog.first_tenant().await?.is_some() {
        return Err(RoomsError::KeyringLost(place));
    }
    if new == NewVault::Refuse {
        return Err(RoomsError::NoKeyringYet(place));
    }
    if let Some(folder) = keyring.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        make_private_folder(folder)?;
    }
    match Keyring::create(keyring) {
        Ok(_) => {
            info!(
                keyring = place,
                "made a new keyring: back it up with `dashvault keys backup`, apart from the data"
            );
            Ok(())
        }
        // Another process started on the same new folder a moment ago.
        Err(KeyringError::Exists(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn make_private_folder(folder: &Path) -> Result<(), RoomsError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| RoomsError::Folder {
        folder: folder.display().to_string(),
        source,
    })
}
