//! `dashvault doctor`: looks at every part and says what is wrong and what helps.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dashvault_keys::provider::{OpenError, ProviderConfig, RootKey};
use serde_json::json;

use super::CommandError;
use super::config::WorkConfig;
use super::output::{Output, sentence};
use super::rooms::{self, NewVault};
use crate::media::Media;
use crate::store::Store;
use crate::vault::Vault;

/// A part that does not answer by then is wrong.
const LOOK_TIME: Duration = Duration::from_secs(15);

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
    tell("folder", private(&config.data.data));
    let root = rooms::open_root(&config.data.vault.root).await;
    tell("root key", root_key(&config.data.vault.root, &root));
    let catalog = rooms::connect(&config.data, NewVault::Refuse).await;
    tell("catalogue", found(&catalog, "answers, its schema is up to date"));
    let store = Store::open(&config.data.store).await;
    let pinged = match &store {
        Ok(store) => answered(store.ping()).await,
        Err(error) => Err(sentence(error)),
    };
    tell("store", looked(pinged, "answers"));
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
    let media = Media::new(config.media);
    tell("worker", found(&media.self_test().await, "runs, locked in"));
    match wrong {
        0 => Ok(()),
        n => Err(CommandError::Refused(format!(
            "{n} of the parts above need somebody to look"
        ))),
    }
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
