//! Opens the rooms in the order of their arrows.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dashvault_keys::provider::{self, OpenError, ProviderConfig, RootKey};
use tracing::{info, warn};

use super::config::DataConfig;
use super::output::sentence;
use super::{CommandError, ingest_note, time};
use crate::access::{self, Access};
use crate::audit::Audit;
use crate::catalog::{Catalog, CatalogError};
use crate::library::Library;
use crate::model::{Clock, OwnerId};
use crate::store::{Store, StoreError};
use crate::vault::{self, Custody, GateRule, Vault, VaultError};

/// Between two questions to a root key's provider that did not answer at the start.
const ASK_AGAIN: Duration = Duration::from_secs(2);

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
    #[error("the root key cannot be used, and nothing was changed")]
    RootKey(#[from] OpenError),
    #[error(
        "the root key of this vault is not there, and what is stored can be opened by it alone: point to it (--keyring, or \
         the other settings of its provider), or bring it back with `dashvault keys restore`"
    )]
    RootKeyLost(#[source] OpenError),
    #[error("there is no vault in {0}: look at --data, or start `dashvault serve` once")]
    NoVault(String),
    #[error("this vault has no root key yet: start `dashvault serve` once, or make it with `dashvault keys init`")]
    NoRootKeyYet(#[source] OpenError),
}

/// Whether a command may make a vault, root key and all, where there is nothing yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum NewVault {
    Make,
    Refuse,
}

/// What becomes of a start while the root key's provider does not answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// It fails: for commands, which can do nothing without.
    Fail,
    /// The rooms open, and [`Rooms::without_root`] says what is still to be done.
    Wait,
}

/// What a service that was started without its root key does about it.
pub(super) struct WithoutRoot {
    /// The provider did answer when it was opened, and not when it was used.
    root: Option<Arc<dyn RootKey>>,
    config: vault::Config,
}

/// The rooms that commands and the service share.
pub(super) struct Rooms {
    pub(super) catalog: Catalog,
    pub(super) vault: Vault,
    pub(super) audit: Audit,
    pub(super) access: Access,
    pub(super) library: Library,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) without_root: Option<WithoutRoot>,
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
    open_under(config, new, &Custody::default(), GateRule::Unwatched, Unanswered::Fail).await
}

/// As [`open`], with rules for keys in memory and for what is written.
pub(super) async fn open_under(
    config: &DataConfig,
    new: NewVault,
    custody: &Custody,
    gate: GateRule,
    unanswered: Unanswered,
) -> Result<Rooms, RoomsError> {
    if new == NewVault::Refuse {
        require_vault(config)?;
    }
    let catalog = connect(config, new).await?;
    let clock = time::clock(&catalog).await?;
    let root = match root_key(&config.vault.root, &catalog, new).await {
        Err(RoomsError::RootKey(error)) if error.is_passing() && unanswered == Unanswered::Wait => Err(error),
        other => Ok(other?),
    };
    let store = Store::open(&config.store).await?;
    let opened = match root {
        Ok(root) => match Vault::open_over(
            root.clone(),
            &config.vault,
            catalog.clone(),
            store.clone(),
            clock.clone(),
        )
        .await
        {
            Err(error) if error.is_passing() && unanswered == Unanswered::Wait => Err((Some(root), error.into())),
            other => Ok(other?),
        },
        Err(error) => Err((None, RoomsError::RootKey(error))),
    };
    let (vault, without_root) = match opened {
        Ok(vault) => (vault, None),
        Err((root, why)) => {
            let noted = ingest_note::read(&config.data);
            // A new vault has nothing yet that could wait.
            let waiting = Vault::open_waiting(catalog.clone(), store, clock.clone(), noted).await?;
            let Some(vault) = waiting else { return Err(why) };
            warn!(
                causes = sentence(&why),
                takes_uploads = vault.knows_ingest_key(),
                "the root key's provider does not answer: the service starts without, and goes on by itself when it does"
            );
            let config = config.vault.clone();
            (vault, Some(WithoutRoot { root, config }))
        }
    };
    let vault = vault.under(custody).gated(gate);
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
        without_root,
    })
}

impl WithoutRoot {
    /// Asks the provider until it answers, and gives the vault its root key. What is wrong with the root key, once the provider
    /// answers, is told as it would have been at the start.
    pub(super) async fn wait(self, vault: &Vault) -> Result<(), RoomsError> {
        let Self { mut root, config } = self;
        loop {
            tokio::time::sleep(ASK_AGAIN).await;
            let opened = match root.take() {
                Some(root) => root,
                None => match open_root(&config.root).await {
                    Err(error) if error.is_passing() => continue,
                    Err(error) if error.is_missing() => return Err(RoomsError::RootKeyLost(error)),
                    other => other?,
                },
            };
            match vault.give_root(&config, opened.clone()).await {
                // What opened needs its secrets no more, and has them no more.
                Err(error) if error.is_passing() => root = Some(opened),
                other => return Ok(other?),
            }
        }
    }
}

/// Opens the provider of root keys beside the async tasks, for it may wait for a disk or a key service.
pub(super) async fn open_root(config: &ProviderConfig) -> Result<Arc<dyn RootKey>, OpenError> {
    opened(config, beside(config, provider::open).await)
}

/// Makes the first root key of a new vault.
pub(super) async fn create_root(config: &ProviderConfig) -> Result<Arc<dyn RootKey>, OpenError> {
    opened(config, beside(config, provider::create).await)
}

/// What opened needs no secret of the program's start any more; a provider without a key does, until it has one.
fn opened<T>(config: &ProviderConfig, done: Result<T, OpenError>) -> Result<T, OpenError> {
    if done.is_ok() {
        config.forget_secrets();
    }
    done
}

async fn beside<T: Send + 'static>(config: &ProviderConfig, work: fn(&ProviderConfig) -> T) -> T {
    let config = config.clone();
    match tokio::task::spawn_blocking(move || work(&config)).await {
        Ok(done) => done,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// A vault that has nothing yet gets its root key; one that has something and no root key has lost it.
async fn root_key(config: &ProviderConfig, catalog: &Catalog, new: NewVault) -> Result<Arc<dyn RootKey>, RoomsError> {
    let missing = match open_root(config).await {
        Err(error) if error.is_missing() => error,
        answer => return Ok(answer?),
    };
    if catalog.first_tenant().await?.is_some() {
        return Err(RoomsError::RootKeyLost(missing));
    }
    if new == NewVault::Refuse {
        return Err(RoomsError::NoRootKeyYet(missing));
    }
    make_folder_of(config)?;
    match create_root(config).await {
        Ok(root) => {
            info!(
                root_key = %config,
                "made a new root key; one in a keyring file is backed up with `dashvault keys backup`, apart from the data"
            );
            Ok(root)
        }
        // Another process started on the same new folder a moment ago.
        Err(error) if error.is_there_already() => Ok(open_root(config).await?),
        Err(error) => Err(error.into()),
    }
}

/// The folder that a keyring file is going to lie in.
pub(super) fn make_folder_of(config: &ProviderConfig) -> Result<(), RoomsError> {
    let folder = config.keyring_path().and_then(Path::parent);
    match folder.filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => make_private_folder(folder),
        None => Ok(()),
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
