//! What the watch looks at: every bucket through every address, folders and the files that hold keys. It needs no key and no
//! credentials, so a machine of its own can be given neither.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::super::cli::{DataArgs, LogFormat, LogLevel, PostArgs, WatchArgs};
use super::super::exposure::InventoryArgs;
use super::secret_text::S3_SECRET;
use super::{ConfigError, DATA, File, REGION, S3File, Variables};
use crate::exposure::judge::Form;
use crate::exposure::rolling::{self, Pace};
use crate::exposure::{self, Watched, address};
use crate::model::Bucket;
use crate::store::Signer;
use crate::{catalog, store};

/// Between two rounds when nobody says how long.
const INTERVAL: Duration = Duration::from_secs(60);
/// An answer that takes longer is none: a score of questions, six at a time, fit into a round.
const PATIENCE: Duration = Duration::from_secs(8);
/// More seldom is no watch: the write gate asks for a verdict of the last day, and people for minutes.
const MOST_INTERVAL_SECS: u64 = 3_600;
/// An address is a line, and each is asked a score of questions a round.
const MOST_ADDRESSES: usize = 16;
/// Two lines.
const MOST_ACCOUNT_BYTES: u64 = 4_096;

/// Clips that a pass of the inventory opens when nobody says how many.
const SAMPLE: u32 = 20;
/// Each is read whole; whoever wants more runs `dashvault verify`.
const MOST_SAMPLE: u32 = 10_000;
/// More than a store answers, and a typing error.
const MOST_PACE: u32 = 1_000_000;

/// The file's table `[inventory]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InventoryFile {
    pace: Option<u32>,
    sample: Option<u32>,
}

/// The file's table `[watch]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WatchFile {
    interval_secs: Option<u64>,
    addresses: Option<Vec<String>>,
    proxy: Option<String>,
    account_file: Option<PathBuf>,
    probe_writes: Option<bool>,
    name: Option<String>,
}

/// For `exposure check` and `exposure watch`.
pub(in super::super) struct AloneConfig {
    pub(in super::super) catalog: catalog::Config,
    pub(in super::super) data: PathBuf,
    pub(in super::super) watch: exposure::Config,
    pub(in super::super) post: crate::post::Config,
}

impl AloneConfig {
    pub(in super::super) fn read(
        data: &DataArgs,
        watch: &WatchArgs,
        post: &PostArgs,
        variables: Variables<'_>,
    ) -> Result<Self, ConfigError> {
        let file = File::read(data)?;
        let folder = data.data.clone().or(file.data.clone()).unwrap_or_else(|| DATA.into());
        let catalog = super::catalog_config(&folder, &file, variables)?;
        Ok(Self {
            watch: compose(data, watch, &file, &folder, &catalog, "watch", variables)?,
            post: super::post::compose(data, post, &file, variables)?,
            catalog,
            data: folder,
        })
    }

    /// How the log of a command is written.
    pub(in super::super) fn log() -> (LogFormat, LogLevel) {
        (LogFormat::Text, LogLevel::Info)
    }
}

/// What is watched. `name` is who looks when nobody gives it another.
pub(super) fn compose(
    data: &DataArgs,
    args: &WatchArgs,
    file: &File,
    folder: &Path,
    catalog: &catalog::Config,
    name: &str,
    variables: Variables<'_>,
) -> Result<exposure::Config, ConfigError> {
    let none = WatchFile::default();
    let in_file = file.watch.as_ref().unwrap_or(&none);
    let secs = args.watch_interval_secs.or(in_file.interval_secs);
    let interval = secs.map_or(INTERVAL, Duration::from_secs);
    if !(1..=MOST_INTERVAL_SECS).contains(&interval.as_secs()) {
        return Err(ConfigError::WatchInterval {
            most: MOST_INTERVAL_SECS,
        });
    }
    let mut watched = buckets(file.s3.as_ref(), folder, variables);
    // What opens the wraps belongs to what holds them.
    if let Some(keyplane) = watched.iter_mut().find(|one| one.bucket == Bucket::KeyPlane) {
        let keyring = data.keyring.clone().or(file.keyring.clone());
        keyplane.keyring = Some(keyring.unwrap_or_else(|| folder.join("keyring")));
        if let catalog::Config::Sqlite { dir } = catalog {
            keyplane.files = vec![dir.join("vault.db")];
        }
    }
    let named = match args.watch_address.is_empty() {
        true => in_file.addresses.clone().unwrap_or_default(),
        false => args.watch_address.clone(),
    };
    if named.len() > MOST_ADDRESSES {
        return Err(ConfigError::WatchAddress);
    }
    for text in named {
        let (bucket, base) = text.split_once('=').ok_or(ConfigError::WatchAddress)?;
        let bucket: Bucket = bucket.parse().map_err(|_| ConfigError::WatchAddress)?;
        if !base.starts_with("http://") && !base.starts_with("https://") {
            return Err(ConfigError::WatchAddress);
        }
        let place = watched.iter_mut().find(|one| one.bucket == bucket);
        place
            .ok_or(ConfigError::WatchAddress)?
            .addresses
            .push(address::configured(base));
    }
    let proxy = args.watch_proxy.clone().or(in_file.proxy.clone());
    if let Some(proxy) = &proxy {
        may_be_asked_by_proxy(proxy, &watched)?;
    }
    let (own, region) = own_account(file.s3.as_ref(), variables)?;
    let named = args.watch_account_file.clone().or(in_file.account_file.clone());
    let account = named.map(|path| account(&path, &region)).transpose()?;
    if let (Some(own), Some(account)) = (&own, &account)
        && own.is_same_as(account)
    {
        return Err(ConfigError::WatchAccountIsOwn);
    }
    Ok(exposure::Config {
        watched,
        interval,
        proxy,
        account,
        own,
        seldom: exposure::SELDOM,
        patience: PATIENCE,
        tries_writes: args.probe_writes.or(in_file.probe_writes).unwrap_or(true),
        watcher: args
            .watch_name
            .clone()
            .or(in_file.name.clone())
            .unwrap_or_else(|| name.to_owned()),
    })
}

/// The store's own key pair, where it is given, and the region.
fn own_account(file: Option<&S3File>, variables: Variables<'_>) -> Result<(Option<Signer>, String), ConfigError> {
    let none = S3File::default();
    let file = file.unwrap_or(&none);
    let either = |name: &str, in_file: &Option<String>| variables(name).or(in_file.clone());
    let region = either("DASHVAULT_S3_REGION", &file.region).unwrap_or_else(|| REGION.to_owned());
    let id = either("DASHVAULT_S3_ACCESS_KEY_ID", &file.access_key_id);
    let secret = S3_SECRET.find(file.secret_access_key.as_ref(), variables)?;
    let own = id.zip(secret).map(|(id, secret)| Signer::new(&region, &id, &secret));
    Ok((own, region))
}

/// Reads a key pair, a line each.
fn account(path: &Path, region: &str) -> Result<Signer, ConfigError> {
    let unusable = || ConfigError::WatchAccount { file: path.to_owned() };
    let about = std::fs::metadata(path).map_err(|_| unusable())?;
    if about.permissions().mode() & 0o077 != 0 || about.len() > MOST_ACCOUNT_BYTES {
        return Err(unusable());
    }
    let text = std::fs::read_to_string(path).map_err(|_| unusable())?;
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines[..] {
        [id, secret] => Ok(Signer::new(region, id, secret)),
        _ => Err(unusable()),
    }
}

/// An S3 service says in its own words that it refuses, and a name that is asked over TLS is asked itself. What else is
/// refused could have been refused by the proxy, which proves nothing.
fn may_be_asked_by_proxy(proxy: &str, watched: &[Watched]) -> Result<(), ConfigError> {
    let is_http = proxy.starts_with("http://") || proxy.starts_with("https://");
    let mut addresses = watched.iter().flat_map(|one| &one.addresses);
    let is_provable = addresses.all(|a| a.form != Form::Configured || a.base.starts_with("https://"));
    match is_http && !proxy.contains('@') && is_provable {
        true => Ok(()),
        false => Err(ConfigError::WatchProxy),
    }
}

/// How the rolling inventory walks.
pub(super) fn inventory(args: &InventoryArgs, file: &File) -> Result<rolling::Config, ConfigError> {
    let in_file = file.inventory.as_ref();
    let pace = match args.inventory_pace.or(in_file.and_then(|file| file.pace)) {
        None => Pace::Daily,
        Some(0) => Pace::Off,
        Some(objects) => Pace::AMinute(objects),
    };
    let sample = args
        .inventory_sample
        .or(in_file.and_then(|file| file.sample))
        .unwrap_or(SAMPLE);
    let is_too_fast = matches!(pace, Pace::AMinute(objects) if objects > MOST_PACE);
    if is_too_fast || sample > MOST_SAMPLE {
        return Err(ConfigError::Inventory {
            pace: MOST_PACE,
            sample: MOST_SAMPLE,
        });
    }
    Ok(rolling::Config { pace, sample })
}

fn buckets(file: Option<&S3File>, folder: &Path, variables: Variables<'_>) -> Vec<Watched> {
    let none = S3File::default();
    let file = file.unwrap_or(&none);
    let either = |name: &str, in_file: &Option<String>| variables(name).or(in_file.clone());
    let endpoint = either("DASHVAULT_S3_ENDPOINT", &file.endpoint);
    let region = either("DASHVAULT_S3_REGION", &file.region).unwrap_or_else(|| REGION.to_owned());
    let names = [
        (Bucket::Data, either("DASHVAULT_S3_BUCKET", &file.bucket)),
        (
            Bucket::Staging,
            either("DASHVAULT_S3_STAGING_BUCKET", &file.staging_bucket),
        ),
        (
            Bucket::KeyPlane,
            either("DASHVAULT_S3_KEYPLANE_BUCKET", &file.keyplane_bucket),
        ),
    ];
    let is_s3 = endpoint.is_some() || names[0].1.is_some();
    let watched = names.into_iter().map(|(bucket, name)| Watched {
        bucket,
        addresses: name
            .map(|name| address::of_bucket(endpoint.as_deref(), &region, &name))
            .unwrap_or_default(),
        folder: (!is_s3).then(|| store::folder_of(folder, bucket)),
        files: Vec::new(),
        keyring: None,
    });
    watched.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &WatchArgs) -> Result<exposure::Config, ConfigError> {
        let known = |name: &str| {
            let value = match name {
                "DASHVAULT_S3_ENDPOINT" => "http://store.example.org",
                "DASHVAULT_S3_BUCKET" => "clips",
                "DASHVAULT_S3_ACCESS_KEY_ID" => "OWN",
                "DASHVAULT_S3_SECRET_ACCESS_KEY" => "own secret",
                _ => return None,
            };
            Some(value.to_owned())
        };
        AloneConfig::read(&DataArgs::default(), args, &PostArgs::default(), &known).map(|alone| alone.watch)
    }

    #[test]
    fn another_account_comes_from_a_file_of_ones_own_and_is_not_the_store_s() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("account");
        let args = WatchArgs {
            watch_account_file: Some(file.clone()),
            ..WatchArgs::default()
        };
        let given = |text: &str, mode: u32| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&args)
        };
        let config = given("OTHER\nsecret\n", 0o600).unwrap();
        assert!(config.account.is_some() && config.own.is_some());
        assert!(!format!("{config:?}").contains("secret"));
        for (text, mode) in [
            ("OTHER\nsecret\n", 0o640),
            ("OTHER\n", 0o600),
            ("a\nb\nc\n", 0o600),
            ("", 0o600),
        ] {
            let refused = given(text, mode);
            assert!(
                matches!(refused, Err(ConfigError::WatchAccount { .. })),
                "{text:?} {mode:o}"
            );
        }
        let own = given("OWN\nsecret\n", 0o600);
        assert!(matches!(own, Err(ConfigError::WatchAccountIsOwn)));
        std::fs::remove_file(&file).unwrap();
        assert!(matches!(read(&args), Err(ConfigError::WatchAccount { .. })));
        assert!(read(&WatchArgs::default()).unwrap().account.is_none());
    }

    #[test]
    fn a_proxy_may_not_stand_before_what_would_refuse_in_clear() {
        let through = |proxy: &str, address: &[&str]| {
            read(&WatchArgs {
                watch_proxy: Some(proxy.to_owned()),
                watch_address: address.iter().map(|a| (*a).to_owned()).collect(),
                ..WatchArgs::default()
            })
        };
        let config = through("http://proxy:3128", &["data=https://cdn.example.org"]).unwrap();
        assert_eq!(config.proxy.as_deref(), Some("http://proxy:3128"));
        for (proxy, address) in [
            ("proxy:3128", &[][..]),
            ("http://user:password@proxy:3128", &[]),
            ("http://proxy:3128", &["data=http://cdn.example.org"]),
        ] {
            assert!(
                matches!(through(proxy, address), Err(ConfigError::WatchProxy)),
                "{proxy} {address:?}"
            );
        }
    }
}
