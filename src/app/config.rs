//! Configuration: a file, `DASHVAULT_*` variables and flags, composed into what each room has to know, and checked.
//!
//! Flags count for more than variables, these for more than the file. Every error says what to do.

mod cellular;
mod defaults;
pub(super) mod exposure;
mod post;
mod quotas;
pub(super) mod root_key;
pub(super) mod secret_text;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::cli::{DataArgs, LogFormat, LogLevel, RootKeyProvider, ServeArgs, WorkArgs, WriteGate, flag_variables};
use super::secrets;
use crate::http::{Cidr, PublicUrl, PublicUrlError, TlsFiles};
use crate::{catalog, http, ingest, media, pipeline, store, vault};
use secret_text::{DATABASE_URL, S3_SECRET};

/// A piece of an upload ends after so long when the store is a folder; requests to an object store cost more.
const PIECE_TIME_S3: Duration = Duration::from_secs(5);
/// An outage of a day is a disaster, for which there are other means than keys in memory.
const MOST_GRACE_SECS: u64 = 24 * 3_600;
/// Where things are when nothing is said.
const DATA: &str = "data";
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const ADMIN_LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9090);
const REGION: &str = "us-east-1";

/// Variables that are no flags, because a list of processes shows flags.
pub(super) const HIDDEN_VARIABLES: [&str; 16] = [
    "DASHVAULT_DATABASE_URL",
    "DASHVAULT_S3_ENDPOINT",
    "DASHVAULT_S3_REGION",
    "DASHVAULT_S3_BUCKET",
    "DASHVAULT_S3_STAGING_BUCKET",
    "DASHVAULT_S3_KEYPLANE_BUCKET",
    "DASHVAULT_S3_ACCESS_KEY_ID",
    "DASHVAULT_S3_SECRET_ACCESS_KEY",
    "DASHVAULT_KEYRING_PASSPHRASE",
    "DASHVAULT_PKCS11_PIN",
    "DASHVAULT_WEBHOOK_URL",
    "DASHVAULT_HEARTBEAT_URL",
    "DASHVAULT_DATABASE_URL_FILE",
    "DASHVAULT_S3_SECRET_ACCESS_KEY_FILE",
    "DASHVAULT_WEBHOOK_URL_FILE",
    "DASHVAULT_HEARTBEAT_URL_FILE",
];
/// Variables that this program's tests and scripts read; they may stand beside its own.
const TEST_VARIABLES: [&str; 13] = [
    "DASHVAULT_BIN",
    "DASHVAULT_WORKER",
    "DASHVAULT_PYTHON",
    "DASHVAULT_WEED",
    "DASHVAULT_RCLONE",
    "DASHVAULT_PG_BIN",
    "DASHVAULT_CHROMIUM",
    "DASHVAULT_COUNTS",
    "DASHVAULT_TORTURE",
    "DASHVAULT_OWN_MOUNTS",
    "DASHVAULT_SCREENSHOTS",
    "DASHVAULT_VECTORS",
    "DASHVAULT_URL",
];

/// What is wrong with a configuration, and what to do.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("the configuration file {} cannot be read: {source}", file.display())]
    File { file: PathBuf, source: std::io::Error },
    #[error("the configuration file {} is not right: {reason}", file.display())]
    Format { file: PathBuf, reason: String },
    #[error("{missing} is missing: an S3 store needs it; set the variable, or s3.{key} in the configuration file")]
    S3 { missing: &'static str, key: &'static str },
    #[error(
        "DASHVAULT_DATABASE_URL is no PostgreSQL address: postgres://user:password@host/database is expected; leave it away for SQLite"
    )]
    Database,
    #[error(
        "{what} ({setting}) is one that everybody knows, from a server's defaults or from instructions, and nothing was started: \
         make one of your own, for example with `head -c 32 /dev/urandom | base64 | tr -d '/+='`, set it in the server too, \
         and look who may have used the old one"
    )]
    KnownSecret { what: &'static str, setting: &'static str },
    #[error("give both --tls-cert and --tls-key, or neither")]
    HalfTls,
    #[error("give --tls-cert and --tls-key, or --behind-proxy: not both")]
    TlsAndProxy,
    #[error(
        "--behind-proxy {network} is wider than any proxy's network: everybody in it could say whose request it is; name \
         the proxy's own address, or its network (at least /8, in IPv6 /16)"
    )]
    WideProxy { network: Cidr },
    #[error(
        "the keyring {} lies beneath the data {}, and one backup of that folder would hold both locks and keys: put it \
         elsewhere with --keyring FILE, or say --keyring-beside-data",
        keyring.display(), data.display()
    )]
    KeyringBesideData { keyring: PathBuf, data: PathBuf },
    #[error(
        "{what} is given twice, as {first} and as {second}: leave one of them away, so that it is clear which counts"
    )]
    TwoSecrets {
        what: &'static str,
        first: &'static str,
        second: &'static str,
    },
    #[cfg(feature = "pkcs11")]
    #[error(
        "{missing} is missing: root keys on a PKCS#11 token need it; set the flag, or pkcs11.{key} in the configuration file"
    )]
    Pkcs11 { missing: &'static str, key: &'static str },
    #[cfg(feature = "pkcs11")]
    #[error(
        "the token's PIN is missing: name a file with --pkcs11-pin-file, or give it as the systemd credential dashvault.pkcs11-pin"
    )]
    NoPin,
    #[cfg(feature = "pkcs11")]
    #[error("--pkcs11-prefix is 1 to 64 letters, digits, dots, dashes and underscores")]
    Pkcs11Prefix,
    #[cfg(not(feature = "pkcs11"))]
    #[error("this program was built without PKCS#11: take one that has it")]
    WithoutPkcs11,
    #[cfg(feature = "aws-kms")]
    #[error(
        "the region of AWS KMS is missing: set --kms-region, AWS_REGION, or aws_kms.region in the configuration file"
    )]
    NoRegion,
    #[cfg(feature = "aws-kms")]
    #[error(transparent)]
    AwsKms(#[from] dashvault_keys::provider::KmsError),
    #[cfg(not(feature = "aws-kms"))]
    #[error("this program was built without AWS KMS: take one that has it")]
    WithoutAwsKms,
    #[error("at most 64 GiB an upload: lower --max-upload-bytes")]
    UploadTooLong,
    #[error("--quota-open-uploads and --quota-vehicle-open-uploads are 1 at least: no upload could begin")]
    NoOpenUploads,
    #[error("--disk-routine-percent is at most --disk-events-percent, and that at most 100")]
    DiskMarks,
    #[error("--transcodes is at least 1")]
    NoTranscodes,
    #[error("--key-life-secs is 1 to {most}")]
    KeyLife { most: u64 },
    #[error("--key-grace-secs is at most {most}: keys would outlive a day in memory")]
    LongGrace { most: u64 },
    #[error("--watch-interval-secs is at least 1 and at most {most}")]
    WatchInterval { most: u64 },
    #[error(
        "--watch-address is a bucket and its address, at most 16 of them: data=https://…, staging=https://… or keyplane=https://…"
    )]
    WatchAddress,
    #[error(
        "--watch-proxy is http://HOST:PORT without a password, and what --watch-address names is https:// then: a proxy that \
         refuses must not pass for a bucket that does"
    )]
    WatchProxy,
    #[error(
        "{file} holds no key pair: two lines, the access key id and its secret, in a file that nobody else may read (chmod 600)"
    )]
    WatchAccount { file: PathBuf },
    #[error("--watch-account-file holds the store's own key: give that of an account that has nothing to do with it")]
    WatchAccountIsOwn,
    #[error(
        "a webhook needs both its address and its secret: set DASHVAULT_WEBHOOK_URL (or post.webhook_url in the configuration \
         file) and --webhook-secret-file"
    )]
    HalfWebhook,
    #[error("mail needs --smtp, --mail-from and at least one --mail-to: give all three, or none of them")]
    HalfMail,
    #[error("give both --smtp-user and --smtp-password-file, or neither")]
    HalfLogin,
    #[error("{what} cannot be read")]
    SecretFile {
        what: &'static str,
        #[source]
        source: dashvault_keys::provider::SecretError,
    },
    #[error(transparent)]
    Post(crate::post::SettingError),
    #[error("--inventory-pace is at most {pace}, and --inventory-sample at most {sample}")]
    Inventory { pace: u32, sample: u32 },
    #[error("--cellular-reserve-percent is at most 100")]
    CellularReserve,
    #[error("--clips-an-hour is at least 1")]
    NoClips,
    #[error(transparent)]
    PublicUrl(#[from] PublicUrlError),
}

/// The configuration file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    data: Option<PathBuf>,
    keyring: Option<PathBuf>,
    keyring_passphrase_file: Option<PathBuf>,
    root_key: Option<RootKeyProvider>,
    #[cfg(feature = "pkcs11")]
    pkcs11: Option<Pkcs11File>,
    #[cfg(feature = "aws-kms")]
    aws_kms: Option<AwsKmsFile>,
    public_url: Option<String>,
    database_url: Option<String>,
    s3: Option<S3File>,
    worker: Option<PathBuf>,
    allow_unsandboxed_worker: Option<bool>,
    transcodes: Option<usize>,
    log_format: Option<LogFormat>,
    log: Option<LogLevel>,
    listen: Option<SocketAddr>,
    admin_listen: Option<SocketAddr>,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    behind_proxy: Option<Vec<String>>,
    keyring_beside_data: Option<bool>,
    max_upload_bytes: Option<u64>,
    disk_routine_percent: Option<u32>,
    disk_events_percent: Option<u32>,
    key_life_secs: Option<u64>,
    key_grace_secs: Option<u64>,
    clips_an_hour: Option<u32>,
    watch: Option<exposure::WatchFile>,
    post: Option<post::PostFile>,
    inventory: Option<exposure::InventoryFile>,
    cellular: Option<cellular::CellularFile>,
    quotas: Option<quotas::QuotasFile>,
    write_gate: Option<WriteGate>,
}

#[cfg(feature = "pkcs11")]
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pkcs11File {
    module: Option<PathBuf>,
    token: Option<String>,
    pin_file: Option<PathBuf>,
    prefix: Option<String>,
}

#[cfg(feature = "aws-kms")]
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AwsKmsFile {
    region: Option<String>,
    prefix: Option<String>,
    endpoint: Option<String>,
    pending_days: Option<u8>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct S3File {
    endpoint: Option<String>,
    region: Option<String>,
    bucket: Option<String>,
    staging_bucket: Option<String>,
    keyplane_bucket: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
}

/// Where the data are, for every command that needs them.
pub(super) struct DataConfig {
    pub(super) data: PathBuf,
    pub(super) vault: vault::Config,
    pub(super) catalog: catalog::Config,
    pub(super) store: store::Config,
    /// Only if it was configured.
    pub(super) public_url: Option<PublicUrl>,
}

/// For the commands that run workers.
pub(super) struct WorkConfig {
    pub(super) data: DataConfig,
    pub(super) gate: vault::GateRule,
    pub(super) media: media::Config,
    pub(super) pipeline: pipeline::Config,
    pub(super) log_format: LogFormat,
    pub(super) log: LogLevel,
}

/// For the service.
pub(super) struct ServeConfig {
    pub(super) work: WorkConfig,
    pub(super) http: http::Config,
    pub(super) ingest: ingest::Config,
    pub(super) custody: vault::Custody,
    pub(super) watch: crate::exposure::Config,
    pub(super) post: crate::post::Config,
    pub(super) inventory: crate::exposure::rolling::Config,
    pub(super) vehicle_policy: http::VehiclePolicy,
}

/// Reads what a command needs of the variables that are no flags, because a list of processes shows flags.
type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The process's variables. A secret one is told once: it was taken out of the environment when the program started.
pub(super) fn environment(name: &str) -> Option<String> {
    let value = secrets::take(name).or_else(|| std::env::var(name).ok());
    value.filter(|value| !value.is_empty())
}

/// Names among the process's variables that look like settings and are none: mistyped, most likely.
pub(super) fn unknown_variables() -> Vec<String> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    unknown_among(names)
}

fn unknown_among(names: impl Iterator<Item = String>) -> Vec<String> {
    let flags = flag_variables();
    let known = |name: &str| {
        HIDDEN_VARIABLES.contains(&name) || TEST_VARIABLES.contains(&name) || flags.iter().any(|flag| flag == name)
    };
    let mut unknown: Vec<_> = names
        .filter(|name| name.starts_with("DASHVAULT_") && !known(name))
        .collect();
    unknown.sort();
    unknown
}

impl DataConfig {
    pub(super) fn read(args: &DataArgs, variables: Variables<'_>) -> Result<Self, ConfigError> {
        Self::compose(args, &File::read(args)?, variables)
    }

    fn compose(args: &DataArgs, file: &File, variables: Variables<'_>) -> Result<Self, ConfigError> {
        let data = args.data.clone().or(file.data.clone()).unwrap_or_else(|| DATA.into());
        let catalog = catalog_config(&data, file, variables)?;
        let public_url = args.public_url.clone().or(file.public_url.clone());
        Ok(Self {
            store: store_config(&data, file.s3.as_ref(), variables)?,
            vault: vault::Config {
                root: root_key::compose(args, file, &data, variables)?,
            },
            catalog,
            public_url: public_url.as_deref().map(PublicUrl::parse).transpose()?,
            data,
        })
    }
}

impl DataConfig {
    /// Refuses where a secret is none.
    pub(super) fn require_secrets(&self) -> Result<(), ConfigError> {
        defaults::refuse(&self.store, &self.catalog)
    }
}

impl WorkConfig {
    pub(super) fn read(args: &WorkArgs, variables: Variables<'_>) -> Result<Self, ConfigError> {
        Self::compose(args, &File::read(&args.data)?, variables)
    }

    fn compose(args: &WorkArgs, file: &File, variables: Variables<'_>) -> Result<Self, ConfigError> {
        let mut pipeline = pipeline::Config::default();
        if let Some(transcodes) = args.transcodes.or(file.transcodes) {
            if transcodes == 0 {
                return Err(ConfigError::NoTranscodes);
            }
            pipeline.transcodes = transcodes;
        }
        let gate = match args.write_gate.or(file.write_gate).unwrap_or(WriteGate::Enforce) {
            WriteGate::Enforce => vault::GateRule::Enforce,
            WriteGate::AlertOnly => vault::GateRule::AlertOnly,
        };
        Ok(Self {
            gate,
            data: DataConfig::compose(&args.data, file, variables)?,
            media: media::Config {
                worker: args.worker.clone().or(file.worker.clone()),
                allow_unsandboxed: args
                    .allow_unsandboxed_worker
                    .or(file.allow_unsandboxed_worker)
                    .unwrap_or(false),
            },
            pipeline,
            log_format: args.log_format.or(file.log_format).unwrap_or(LogFormat::Text),
            log: args.log.or(file.log).unwrap_or(LogLevel::Info),
        })
    }
}

impl ServeConfig {
    pub(super) fn read(args: &ServeArgs, variables: Variables<'_>) -> Result<Self, ConfigError> {
        Self::compose(args, &File::read(&args.work.data)?, variables)
    }

    fn compose(args: &ServeArgs, file: &File, variables: Variables<'_>) -> Result<Self, ConfigError> {
        let work = WorkConfig::compose(&args.work, file, variables)?;
        work.data.require_secrets()?;
        let listen = args.listen.or(file.listen).unwrap_or(LISTEN);
        let certificate = args.tls_cert.clone().or(file.tls_cert.clone());
        let key = args.tls_key.clone().or(file.tls_key.clone());
        let tls = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            _ => return Err(ConfigError::HalfTls),
        };
        let proxies = if args.behind_proxy.is_empty() {
            file.proxies(args)?
        } else {
            args.behind_proxy.clone()
        };
        if tls.is_some() && !proxies.is_empty() {
            return Err(ConfigError::TlsAndProxy);
        }
        let beside = args.keyring_beside_data.or(file.keyring_beside_data).unwrap_or(false);
        // Reached from elsewhere by itself, or through what stands before it.
        let public = work.data.public_url.as_ref();
        let reached = !listen.ip().is_loopback() || !proxies.is_empty() || public.is_some_and(|url| !url.is_loopback());
        if let Some(wide) = proxies.iter().find(|network| network.is_too_wide()) {
            return Err(ConfigError::WideProxy { network: *wide });
        }
        if reached && !beside {
            root_key::require_elsewhere(&work.data.vault.root, &work.data.data)?;
        }
        let mut ingest = ingest::Config::default();
        quotas::compose(&mut ingest, &args.quotas, file)?;
        if let Some(most) = args.max_upload_bytes.or(file.max_upload_bytes) {
            if most > ingest.max_upload_bytes {
                return Err(ConfigError::UploadTooLong);
            }
            ingest.max_upload_bytes = most;
        }
        let (routine, events) = (&mut ingest.routine_below_percent, &mut ingest.events_only_percent);
        *routine = args
            .disk_routine_percent
            .or(file.disk_routine_percent)
            .unwrap_or(*routine);
        *events = args.disk_events_percent.or(file.disk_events_percent).unwrap_or(*events);
        if routine > events || *events > 100 {
            return Err(ConfigError::DiskMarks);
        }
        if matches!(work.data.store, store::Config::S3(_)) {
            ingest.piece_time = PIECE_TIME_S3;
        }
        let http = http::Config {
            listen,
            admin_listen: Some(args.admin_listen.or(file.admin_listen).unwrap_or(ADMIN_LISTEN)),
            public_url: work.data.public_url.clone(),
            tls,
            proxies,
        };
        let custody = custody(args, file)?;
        let (data, args) = (&work.data, &args);
        let named = &args.work.data;
        let watch = exposure::compose(named, &args.watch, file, &data.data, &data.catalog, "serve", variables)?;
        let post = post::compose(named, &args.post, file, variables)?;
        Ok(Self {
            watch,
            post,
            inventory: exposure::inventory(&args.inventory, file)?,
            vehicle_policy: cellular::compose(&args.cellular, file)?,
            work,
            http,
            ingest,
            custody,
        })
    }
}

impl File {
    fn read(args: &DataArgs) -> Result<Self, ConfigError> {
        let Some(path) = &args.config else {
            return Ok(Self::default());
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::File {
            file: path.clone(),
            source,
        })?;
        toml::from_str(&text).map_err(|error| ConfigError::Format {
            file: path.clone(),
            // The whole error shows the line that is wrong, which may hold a password.
            reason: match error.span() {
                Some(span) => {
                    let line = text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1;
                    format!("line {line}: {}", error.message())
                }
                None => error.message().to_owned(),
            },
        })
    }

    fn proxies(&self, args: &ServeArgs) -> Result<Vec<Cidr>, ConfigError> {
        let texts = self.behind_proxy.iter().flatten();
        texts
            .map(|text| {
                text.parse()
                    .map_err(|error: crate::http::CidrError| ConfigError::Format {
                        file: args.work.data.config.clone().unwrap_or_default(),
                        reason: format!("behind_proxy: {error}"),
                    })
            })
            .collect()
    }
}

fn custody(args: &ServeArgs, file: &File) -> Result<vault::Custody, ConfigError> {
    let mut custody = vault::Custody::default();
    if let Some(secs) = args.key_life_secs.or(file.key_life_secs) {
        let most = vault::LONGEST_LIFE.as_secs();
        if !(1..=most).contains(&secs) {
            return Err(ConfigError::KeyLife { most });
        }
        custody.life = Duration::from_secs(secs);
    }
    if let Some(secs) = args.key_grace_secs.or(file.key_grace_secs) {
        if secs > MOST_GRACE_SECS {
            return Err(ConfigError::LongGrace { most: MOST_GRACE_SECS });
        }
        custody.grace = Duration::from_secs(secs);
    }
    if let Some(clips) = args.clips_an_hour.or(file.clips_an_hour) {
        if clips == 0 {
            return Err(ConfigError::NoClips);
        }
        custody.clips_an_hour = clips;
    }
    Ok(custody)
}

fn catalog_config(data: &Path, file: &File, variables: Variables<'_>) -> Result<catalog::Config, ConfigError> {
    match DATABASE_URL.find(file.database_url.as_ref(), variables)? {
        None => Ok(catalog::Config::Sqlite {
            dir: data.join("catalogue"),
        }),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Ok(catalog::Config::Postgres { url })
        }
        Some(_) => Err(ConfigError::Database),
    }
}

fn store_config(data: &Path, file: Option<&S3File>, variables: Variables<'_>) -> Result<store::Config, ConfigError> {
    let none = S3File::default();
    let in_file = file.unwrap_or(&none);
    let endpoint = variables("DASHVAULT_S3_ENDPOINT").or(in_file.endpoint.clone());
    let bucket = variables("DASHVAULT_S3_BUCKET").or(in_file.bucket.clone());
    if endpoint.is_none() && bucket.is_none() {
        return Ok(store::Config::Folder { dir: data.to_owned() });
    }
    let need = |value: Option<String>, missing, key| value.ok_or(ConfigError::S3 { missing, key });
    let either = |name: &str, in_file: &Option<String>| variables(name).or(in_file.clone());
    Ok(store::Config::S3(store::S3 {
        endpoint,
        region: either("DASHVAULT_S3_REGION", &in_file.region).unwrap_or_else(|| REGION.to_owned()),
        data_bucket: need(bucket, "DASHVAULT_S3_BUCKET", "bucket")?,
        staging_bucket: need(
            either("DASHVAULT_S3_STAGING_BUCKET", &in_file.staging_bucket),
            "DASHVAULT_S3_STAGING_BUCKET",
            "staging_bucket",
        )?,
        keyplane_bucket: need(
            either("DASHVAULT_S3_KEYPLANE_BUCKET", &in_file.keyplane_bucket),
            "DASHVAULT_S3_KEYPLANE_BUCKET",
            "keyplane_bucket",
        )?,
        access_key_id: need(
            either("DASHVAULT_S3_ACCESS_KEY_ID", &in_file.access_key_id),
            "DASHVAULT_S3_ACCESS_KEY_ID",
            "access_key_id",
        )?,
        secret_access_key: need(
            S3_SECRET.find(in_file.secret_access_key.as_ref(), variables)?,
            "DASHVAULT_S3_SECRET_ACCESS_KEY",
            "secret_access_key",
        )?,
    }))
}
