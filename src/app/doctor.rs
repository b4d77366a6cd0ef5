//! `dashvault doctor`: looks at every part and says what is wrong and what helps.

mod attackers;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use attackers::{Attacker, Installation};
use dashvault_keys::provider::{Keyring, OpenError, ProviderConfig, RootKey};
use serde_json::json;

use super::CommandError;
use super::config::root_key::lies_beneath;
use super::config::secret_text::in_the_open;
use super::config::{DataConfig, WorkConfig, environment};
use super::output::{Output, sentence};
use super::process;
use super::rooms::{self, NewVault};
use crate::catalog::{self, Catalog, CatalogError, Standing};
use crate::media::Media;
use crate::model::{Clock as _, SystemClock};
use crate::store::{self, Facts, Location, Store, StoreError};
use crate::vault::Vault;

/// A part that does not answer by then is wrong.
const LOOK_TIME: Duration = Duration::from_secs(15);
const DAY_MS: i64 = 24 * 3_600_000;

/// What a look found.
enum Found {
    Well(String),
    Wrong(String),
}

pub(super) async fn run(config: WorkConfig, output: Output) -> Result<(), CommandError> {
    rooms::require_vault(&config.data)?;
    let mut wrong = 0;
    let mut tell = |part: &str, found: Found| {
        let (word, text) = match &found {
            Found::Well(text) => ("ok", text),
            Found::Wrong(text) => {
                wrong += 1;
                ("wrong", text)
            }
        };
        output.tell(
            &json!({ "part": part, "state": word, "detail": text }),
            &format!("{part:<10} {word:<6} {text}"),
        );
    };
    let mut here = installation(&config.data);
    tell("folder", private(&config.data.data));
    let secrets = config.data.require_secrets();
    here.has_known_secret = secrets.is_err();
    tell(
        "secrets",
        found(&secrets, "none of the configuration is one that everybody knows"),
    );
    tell("variables", Found::Well(variables(&in_the_open(&environment))));
    tell("memory", Found::Well(memory()));
    let root = rooms::open_root(&config.data.vault.root).await;
    tell("root key", root_key(&config.data.vault.root, &root));
    let catalog = rooms::connect(&config.data, NewVault::Refuse).await;
    tell("catalogue", found(&catalog, "answers, its schema is up to date"));
    let store = Store::open(&config.data.store).await;
    let pinged = match &store {
        Ok(store) => answered(store.ping()).await,
        Err(error) => Err(sentence(error)),
    };
    if let (Ok(store), Ok(())) = (&store, &pinged) {
        let facts = store_facts(store).await;
        here.store = facts.as_ref().ok().copied();
        tell("store does", does(facts));
    }
    tell("store", looked(pinged, "answers"));
    if let Ok(catalog) = &catalog
        && let Ok(Some(standing)) = standing(catalog).await
    {
        here.last_link_days = standing.last_link_end.map(|end| (end - SystemClock.now_ms()) / DAY_MS);
        here.standing = Some(standing);
    }
    if let (Ok(root), Ok(catalog), Ok(store)) = (root, catalog, store) {
        let clock = Arc::new(crate::model::SystemClock);
        let vault = Vault::open_over(root, &config.data.vault, catalog.clone(), store, clock).await;
        let ready = match &vault {
            Ok(vault) => answered(vault.ready()).await,
            Err(error) => Err(sentence(error)),
        };
        tell("vault", looked(ready, "the root key opens what is stored here"));
        if let Ok(vault) = &vault {
            tell("key plane", key_plane(vault).await);
        }
        catalog.close().await;
    }
    here.worker_may_be_open = config.media.allow_unsandboxed;
    let worker = Media::new(config.media).self_test().await;
    here.worker_is_locked_in = worker.is_ok() && !here.worker_may_be_open;
    tell("worker", found(&worker, "runs, locked in"));
    for attacker in attackers::table(&here) {
        tell_attacker(output, &attacker);
    }
    match wrong {
        0 => Ok(()),
        n => Err(CommandError::Refused(format!(
            "{n} of the parts above need somebody to look"
        ))),
    }
}

/// No fault, because compose files give secrets so, and a sentence, because it can be done better.
fn variables(open: &[&str]) -> String {
    match open {
        [] => "none of them is a secret".to_owned(),
        some => format!(
            "{} can be read in /proc by whatever runs as this user: put the text into a file of mode 0600, and name that in a \
             variable with _FILE behind its name",
            some.join(", ")
        ),
    }
}

/// What becomes of keys in memory, as far as this user's rights say it of a service that has the same.
fn memory() -> String {
    let kept = match (process::may_lock_without_limit(), process::about_swap()) {
        (true, _) => "it is locked",
        (false, None) => "it may not be locked, and there is no swap",
        (false, Some(told)) => told,
    };
    format!("no core dumps; {kept}")
}

/// What the configuration says of an installation.
fn installation(config: &DataConfig) -> Installation {
    let (root, data) = (&config.vault.root, &config.data);
    let keyring = root.keyring_path();
    Installation {
        is_folder: matches!(config.store, store::Config::Folder { .. }),
        store_in_clear: matches!(&config.store, store::Config::S3(s3) if goes_in_clear(s3.endpoint.as_deref())),
        database_beside_data: matches!(config.catalog, catalog::Config::Sqlite { .. }),
        data_readable: std::fs::metadata(data).is_ok_and(|about| about.permissions().mode() & 0o077 != 0),
        keyring_beside_data: keyring.is_some_and(|keyring| lies_beneath(keyring, data)),
        keyring_has_passphrase: keyring.and_then(|keyring| Keyring::has_passphrase(keyring).ok()),
        root_key_is_apart: keyring.is_none(),
        ..Installation::default()
    }
}

/// Whether requests to an address can be watched on the way.
fn goes_in_clear(endpoint: Option<&str>) -> bool {
    let Some(rest) = endpoint.and_then(|address| address.strip_prefix("http://")) else {
        return false;
    };
    !["127.", "localhost", "[::1]"]
        .iter()
        .any(|local| rest.starts_with(local))
}

async fn store_facts(store: &Store) -> Result<Facts, StoreError> {
    match tokio::time::timeout(LOOK_TIME, store.facts(Location::Staging)).await {
        Ok(facts) => facts,
        Err(late) => Err(StoreError::Unavailable(late.into())),
    }
}

fn does(facts: Result<Facts, StoreError>) -> Found {
    match facts {
        Err(error) => Found::Wrong(sentence(&error)),
        Ok(Facts {
            honours_ranges: false, ..
        }) => Found::Wrong("does not honour ranges: no clip can be played from it; another store is needed".to_owned()),
        Ok(Facts { creates_only: true, .. }) => Found::Well("creates only, where it is asked to; honours ranges".to_owned()),
        Ok(_) => Found::Well(
            "overwrites where creating only is asked for, on which nothing relies, for names are random; honours ranges"
                .to_owned(),
        ),
    }
}

async fn standing(catalog: &Catalog) -> Result<Option<Standing>, CatalogError> {
    match catalog.first_tenant().await? {
        Some(tenant) => catalog.standing(tenant, SystemClock.now_ms()).await.map(Some),
        None => Ok(None),
    }
}

fn tell_attacker(output: Output, attacker: &Attacker) {
    let json = json!({
        "attacker": attacker.holds, "gets": attacker.gets, "weak": attacker.weak, "facts": attacker.so,
    });
    let mut lines = format!("\nWhoever holds {}:\n  gets {}", attacker.holds, attacker.gets);
    for text in &attacker.weak {
        lines.push_str(&format!("\n  WEAK {text}"));
    }
    for text in &attacker.so {
        lines.push_str(&format!("\n  here {text}"));
    }
    output.tell(&json, &lines);
}

/// What a part said when it was asked.
async fn answered<E: std::error::Error + 'static>(asked: impl Future<Output = Result<(), E>>) -> Result<(), String> {
    match tokio::time::timeout(LOOK_TIME, asked).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(sentence(&error)),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

fn looked(answer: Result<(), String>, well: &str) -> Found {
    answer.map_or_else(Found::Wrong, |()| Found::Well(well.to_owned()))
}

fn found<T, E: std::error::Error + 'static>(answer: &Result<T, E>, well: &str) -> Found {
    match answer {
        Ok(_) => Found::Well(well.to_owned()),
        Err(error) => Found::Wrong(sentence(error)),
    }
}

/// How complete the mirror is, and whether anything in the key plane says that the database is an older one.
async fn key_plane(vault: &Vault) -> Found {
    let state = match tokio::time::timeout(LOOK_TIME, vault.mirror_state()).await {
        Ok(Ok(state)) => state,
        Ok(Err(error)) => return Found::Wrong(sentence(&error)),
        Err(_) => return Found::Wrong("no answer in time".to_owned()),
    };
    let (missing, ahead) = (state.missing(), state.ahead());
    match vault.replayed() {
        None => return Found::Wrong("its tombstones cannot be read, and nothing is opened before they are".to_owned()),
        Some(replayed) if replayed.findings > 0 => {
            return Found::Wrong(format!(
                "{} tombstones are damaged or forged and erased nothing: look who can write there, the log names them",
                replayed.findings
            ));
        }
        Some(_) => {}
    }
    if ahead > 0 {
        return Found::Wrong(format!(
            "holds {ahead} wrapped keys that are newer than the database: an older database was put back; \
             `dashvault recover` rebuilds it"
        ));
    }
    if missing > 0 {
        return Found::Wrong(format!(
            "lacks {missing} wrapped keys: a running vault writes them within minutes, so start one and look again"
        ));
    }
    Found::Well(format!(
        "holds every wrapped key, in {} objects; {} things are erased for good",
        state.objects(),
        state.tombstones.records
    ))
}

fn private(folder: &Path) -> Found {
    match std::fs::metadata(folder) {
        Err(error) => Found::Wrong(format!("{}: {error}; `dashvault serve` makes it", folder.display())),
        Ok(about) if about.permissions().mode() & 0o077 != 0 => {
            Found::Wrong(format!("others can look into {}: chmod 700", folder.display()))
        }
        Ok(_) => Found::Well(folder.display().to_string()),
    }
}

fn root_key(config: &ProviderConfig, root: &Result<Arc<dyn RootKey>, OpenError>) -> Found {
    let state = match root {
        Ok(root) => root.state(),
        Err(error) => return Found::Wrong(sentence(error)),
    };
    match state {
        Ok(state) => Found::Well(format!("{config}: epoch {}, version {}", state.epoch, state.version)),
        Err(error) => Found::Wrong(sentence(&error)),
    }
}
