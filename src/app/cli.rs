//! The command line: commands, flags and the environment variables that stand for them.

mod cellular;
mod post;
mod quotas;
mod upload;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand, ValueEnum};
use serde::Deserialize;

pub(super) use cellular::{CellularArgs, CellularShare};
pub(super) use post::PostArgs;
pub(super) use quotas::QuotaArgs;
pub(super) use upload::{LinkWord, UploadArgs};
pub(super) use watch::WatchArgs;

use super::clips::ClipCommand;
use super::exposure::{ExposureCommand, InventoryArgs};
use crate::http::Cidr;
use crate::model::{DecoyId, DecoyKind};

/// Settings that hold addresses with passwords, or belong to them: no flags, because every user sees a process's flags.
pub(super) const VARIABLES: &str = "\
Environment:
  DASHVAULT_DATABASE_URL           postgres://user:password@host/database (default: SQLite in the data folder)
  DASHVAULT_S3_ENDPOINT            Object store, http://host:port (default: the data folder; AWS if only buckets are given)
  DASHVAULT_S3_REGION              Its region (default: us-east-1)
  DASHVAULT_S3_BUCKET              Bucket of the sealed clips
  DASHVAULT_S3_STAGING_BUCKET      Bucket of what is being uploaded
  DASHVAULT_S3_KEYPLANE_BUCKET     Bucket of wrapped keys
  DASHVAULT_S3_ACCESS_KEY_ID       Access key
  DASHVAULT_S3_SECRET_ACCESS_KEY   Its secret
  DASHVAULT_KEYRING_PASSPHRASE     The keyring's passphrase; a file or the systemd credential dashvault.keyring-passphrase is better
  DASHVAULT_PKCS11_PIN             The token's PIN; a file or the systemd credential dashvault.pkcs11-pin is better
  DASHVAULT_WEBHOOK_URL            Who is told of what the vault finds: https://…, each notice a signed POST (Standard Webhooks)
  DASHVAULT_HEARTBEAT_URL          Asked after each round of the watch: who waits for it outside notices that the watch is gone
  DASHVAULT_DATABASE_URL_FILE, DASHVAULT_S3_SECRET_ACCESS_KEY_FILE, DASHVAULT_WEBHOOK_URL_FILE, DASHVAULT_HEARTBEAT_URL_FILE
                                   Files of mode 0600 whose first line is that setting, so that /proc does not show it; or the
                                   systemd credentials dashvault.database-url, .s3-secret-access-key, .webhook-url, .heartbeat-url
  AWS_REGION, AWS_ACCESS_KEY_ID …  For root keys in AWS KMS: region and credentials, as AWS's own programs read them";

/// An encrypted dashcam video vault.
#[derive(Parser)]
#[command(name = "dashvault", version, max_term_width = 110)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
    /// Print machine-readable lines of JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

#[derive(Subcommand)]
pub(super) enum Command {
    /// Run the vault: API, web pages, and the workers that prepare clips
    #[command(after_help = VARIABLES)]
    Serve(Box<ServeArgs>),
    /// Run workers only, beside a vault on the same database and object store
    #[command(after_help = VARIABLES)]
    Work(WorkArgs),
    /// Owners of clips
    #[command(subcommand, after_help = VARIABLES)]
    Owner(OwnerCommand),
    /// One clip: hold it against trash and erasure, let it go
    #[command(subcommand, after_help = VARIABLES)]
    Clip(ClipCommand),
    /// Credentials that open nothing: plant them, and be told when somebody uses one
    #[command(subcommand, after_help = VARIABLES)]
    Decoy(DecoyCommand),
    /// The vehicle's side: pair, make a token
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Upload files, or a folder's clips, as a paired vehicle; goes on where an earlier try was cut
    #[command(after_help = upload::FOLDERS)]
    Upload(Box<UploadArgs>),
    /// The keyring: what opens everything else
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Look at every part and say what is wrong and what helps
    #[command(after_help = VARIABLES)]
    Doctor(WorkArgs),
    /// The watch over our own buckets: what strangers get of them
    #[command(subcommand, after_help = VARIABLES)]
    Exposure(ExposureCommand),
    /// Open what is stored and compare lengths and hashes; changes nothing
    #[command(after_help = VARIABLES)]
    Verify(VerifyArgs),
    /// Read the clear head of everything in the buckets, without a key, and hold it against the database; changes nothing
    #[command(after_help = VARIABLES)]
    Inventory(DataArgs),
    /// Rebuild a lost database from data bucket, key plane and root key
    #[command(after_help = VARIABLES)]
    Recover(DataArgs),
    /// Bring the database's schema up to date
    #[command(after_help = VARIABLES)]
    Migrate(DataArgs),
}

/// Where the data are.
#[derive(Args, Clone, Default)]
pub(super) struct DataArgs {
    /// Folder of everything that is kept (default: ./data)
    #[arg(long, env = "DASHVAULT_DATA", value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Configuration file (TOML); flags and DASHVAULT_* variables count for more
    #[arg(long, env = "DASHVAULT_CONFIG", value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Keyring file (default: DATA/keyring)
    #[arg(long, env = "DASHVAULT_KEYRING", value_name = "FILE")]
    pub(super) keyring: Option<PathBuf>,
    /// File whose first line is the keyring's passphrase, readable by this user alone (default: the keyring has none)
    #[arg(long, env = "DASHVAULT_KEYRING_PASSPHRASE_FILE", value_name = "FILE")]
    pub(super) keyring_passphrase_file: Option<PathBuf>,
    /// Where the root keys are: in the keyring file, on a token, or in AWS KMS (default: keyring)
    #[arg(long, env = "DASHVAULT_ROOT_KEY", value_name = "PROVIDER")]
    pub(super) root_key: Option<RootKeyProvider>,
    /// The PKCS#11 library of the token's vendor
    #[arg(long, env = "DASHVAULT_PKCS11_MODULE", value_name = "FILE")]
    pub(super) pkcs11_module: Option<PathBuf>,
    /// The token's label
    #[arg(long, env = "DASHVAULT_PKCS11_TOKEN", value_name = "LABEL")]
    pub(super) pkcs11_token: Option<String>,
    /// File whose first line is the PIN of the token's user, readable by this user alone
    #[arg(long, env = "DASHVAULT_PKCS11_PIN_FILE", value_name = "FILE")]
    pub(super) pkcs11_pin_file: Option<PathBuf>,
    /// What the labels of this vault's keys on the token begin with (default: dashvault)
    #[arg(long, env = "DASHVAULT_PKCS11_PREFIX", value_name = "LABEL")]
    pub(super) pkcs11_prefix: Option<String>,
    /// The region of AWS KMS (default: AWS_REGION)
    #[arg(long, env = "DASHVAULT_KMS_REGION", value_name = "REGION")]
    pub(super) kms_region: Option<String>,
    /// What the aliases of this vault's keys begin with, after alias/ (default: dashvault)
    #[arg(long, env = "DASHVAULT_KMS_PREFIX", value_name = "NAME")]
    pub(super) kms_prefix: Option<String>,
    /// Another address of KMS than the region's own, as of a VPC endpoint
    #[arg(long, env = "DASHVAULT_KMS_ENDPOINT", value_name = "URL")]
    pub(super) kms_endpoint: Option<String>,
    /// Days, 7 to 30, that AWS keeps the keys of a destroyed epoch (default: 7)
    #[arg(long, env = "DASHVAULT_KMS_PENDING_DAYS", value_name = "DAYS")]
    pub(super) kms_pending_days: Option<u8>,
    /// Where the vault is reached from outside, for example https://vault.example.org; links are made of it
    #[arg(long, env = "DASHVAULT_PUBLIC_URL", value_name = "URL")]
    pub(super) public_url: Option<String>,
}

/// Where the root keys are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RootKeyProvider {
    /// A file.
    Keyring,
    /// A PKCS#11 token.
    Pkcs11,
    /// AWS KMS.
    #[serde(rename = "aws-kms")]
    AwsKms,
}

#[derive(Subcommand)]
pub(super) enum DecoyCommand {
    /// Make a decoy and print it once
    #[command(after_help = VARIABLES)]
    Add {
        /// What it looks like: owner-token, sign-in, link, device, pairing-code, or file (of variables, with a token in it)
        #[arg(long, value_name = "KIND")]
        kind: DecoyKind,
        /// Where it is going to be planted, such as "wiki page on backups"; the alarm says so
        #[arg(long = "where", value_name = "PLACE")]
        place: String,
        /// Write it to this new file instead of printing it
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List decoys, where they were planted and how often they were used
    #[command(after_help = VARIABLES)]
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Forget a decoy: its use raises no alarm any more
    #[command(after_help = VARIABLES)]
    Remove {
        /// The decoy's id
        #[arg(value_name = "DECOY")]
        id: DecoyId,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// What is opened.
#[derive(Args, Clone, Default)]
pub(super) struct VerifyArgs {
    /// Every clip, and every object in the bucket; without it a sample
    #[arg(long)]
    pub(super) all: bool,
    /// So many clips, chosen by chance (default: 100)
    #[arg(long, value_name = "N", conflicts_with = "all")]
    pub(super) sample: Option<u64>,
    /// The clips of one owner: an id or an e-mail address
    #[arg(long, value_name = "OWNER")]
    pub(super) owner: Option<String>,
    #[command(flatten)]
    pub(super) data: DataArgs,
}

/// How workers run and what is logged.
#[derive(Args, Clone, Default)]
pub(super) struct WorkArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    /// The media worker (default: dashvault-worker beside this program)
    #[arg(long, env = "DASHVAULT_WORKER", value_name = "FILE")]
    pub(super) worker: Option<PathBuf>,
    /// Run the media worker although this kernel cannot lock it in: a hostile clip then has this service's rights
    #[arg(long, env = "DASHVAULT_ALLOW_UNSANDBOXED_WORKER", num_args = 0..=1, default_missing_value = "true")]
    pub(super) allow_unsandboxed_worker: Option<bool>,
    /// Clips prepared at the same time (default: by the number of cores)
    #[arg(long, env = "DASHVAULT_TRANSCODES", value_name = "N")]
    pub(super) transcodes: Option<usize>,
    /// What happens to new clips while a bucket is open, or was not proven private for a day (default: enforce)
    #[arg(long, env = "DASHVAULT_WRITE_GATE", value_name = "RULE")]
    pub(super) write_gate: Option<WriteGate>,
    /// How the log is written
    #[arg(long, env = "DASHVAULT_LOG_FORMAT", value_name = "FORMAT")]
    pub(super) log_format: Option<LogFormat>,
    /// How much is logged of this service; dependencies tell warnings only
    #[arg(long, env = "DASHVAULT_LOG", value_name = "LEVEL")]
    pub(super) log: Option<LogLevel>,
}

/// What the watch's verdict does to new clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WriteGate {
    /// They wait with the vehicle
    Enforce,
    /// They are taken, and each is logged
    AlertOnly,
}

#[derive(Args, Clone, Default)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    pub(super) work: WorkArgs,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
    #[command(flatten)]
    pub(super) post: PostArgs,
    #[command(flatten)]
    pub(super) inventory: InventoryArgs,
    #[command(flatten)]
    pub(super) cellular: CellularArgs,
    #[command(flatten)]
    pub(super) quotas: QuotaArgs,
    /// Address of the API and the pages (default: 127.0.0.1:8080)
    #[arg(long, env = "DASHVAULT_LISTEN", value_name = "ADDRESS")]
    pub(super) listen: Option<SocketAddr>,
    /// Address of /metrics, for the operator (default: 127.0.0.1:9090)
    #[arg(long, env = "DASHVAULT_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub(super) admin_listen: Option<SocketAddr>,
    /// Certificate chain (PEM), for TLS of the service's own
    #[arg(long, env = "DASHVAULT_TLS_CERT", value_name = "FILE")]
    pub(super) tls_cert: Option<PathBuf>,
    /// Private key of the certificate (PEM)
    #[arg(long, env = "DASHVAULT_TLS_KEY", value_name = "FILE")]
    pub(super) tls_key: Option<PathBuf>,
    /// Network of the proxy that ends TLS; only its Forwarded and X-Forwarded-For are believed. May be given again
    #[arg(long, env = "DASHVAULT_BEHIND_PROXY", value_name = "CIDR", value_delimiter = ',')]
    pub(super) behind_proxy: Vec<Cidr>,
    /// Keep the keyring beneath the data although the vault is reached from outside
    #[arg(long, env = "DASHVAULT_KEYRING_BESIDE_DATA", num_args = 0..=1, default_missing_value = "true")]
    pub(super) keyring_beside_data: Option<bool>,
    /// The longest upload that is taken, in bytes (default and most: 64 GiB)
    #[arg(long, env = "DASHVAULT_MAX_UPLOAD_BYTES", value_name = "BYTES")]
    pub(super) max_upload_bytes: Option<u64>,
    /// From so much of the disk of a folder of clips on, routine clips are asked to come later (default: 85)
    #[arg(long, env = "DASHVAULT_DISK_ROUTINE_PERCENT", value_name = "PERCENT")]
    pub(super) disk_routine_percent: Option<u32>,
    /// From so much on, everything but events (default: 95)
    #[arg(long, env = "DASHVAULT_DISK_EVENTS_PERCENT", value_name = "PERCENT")]
    pub(super) disk_events_percent: Option<u32>,
    /// How long an owner's opened key stays in memory (default and most: 300)
    #[arg(long, env = "DASHVAULT_KEY_LIFE_SECS", value_name = "SECONDS")]
    pub(super) key_life_secs: Option<u64>,
    /// How long owners whose keys are in memory are served while the root key's provider does not answer (default: 3600)
    #[arg(long, env = "DASHVAULT_KEY_GRACE_SECS", value_name = "SECONDS")]
    pub(super) key_grace_secs: Option<u64>,
    /// How many clips one sign-in or token may open within an hour (default: 600)
    #[arg(long, env = "DASHVAULT_CLIPS_AN_HOUR", value_name = "N")]
    pub(super) clips_an_hour: Option<u32>,
}

#[derive(Subcommand)]
pub(super) enum OwnerCommand {
    /// Add an owner; prints an API token and a one-time sign-in link
    #[command(after_help = VARIABLES)]
    Add {
        /// The owner's address
        #[arg(long)]
        email: String,
        /// The owner's name
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List owners
    #[command(after_help = VARIABLES)]
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Print a new one-time sign-in link
    #[command(after_help = VARIABLES)]
    SignIn {
        /// The owner's address
        #[arg(long)]
        email: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Say how much an owner may keep, instead of what everybody may; without a number, what everybody may
    #[command(after_help = VARIABLES)]
    Quota {
        /// The owner's address
        #[arg(long)]
        email: String,
        /// Bytes of the owner; 0 for nothing more
        #[arg(long, value_name = "BYTES")]
        bytes: Option<u64>,
        /// Clips of the owner
        #[arg(long, value_name = "CLIPS")]
        clips: Option<u64>,
        /// Bytes of each of the owner's vehicles
        #[arg(long, value_name = "BYTES")]
        vehicle_bytes: Option<u64>,
        /// Clips of each of the owner's vehicles
        #[arg(long, value_name = "CLIPS")]
        vehicle_clips: Option<u64>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Erase an owner and everything the owner keeps; cannot be undone
    #[command(after_help = VARIABLES)]
    Erase {
        /// The owner's address
        #[arg(long)]
        email: String,
        /// Really do it
        #[arg(long)]
        yes: bool,
        /// Wait until a running vault has erased everything, and print the signed receipt
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Subcommand)]
pub(super) enum DeviceCommand {
    /// Pair this vehicle with the code its owner was shown
    Pair {
        /// Where the vault is reached
        #[arg(long, value_name = "URL")]
        server: String,
        /// The pairing code
        #[arg(long)]
        code: String,
        /// The device file to be made; it holds the vehicle's key
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Give this vehicle another key; every 90 days it gets one by itself when it uploads
    RotateKey {
        /// Where the vault is reached (default: where the vehicle was paired)
        #[arg(long, value_name = "URL")]
        server: Option<String>,
        /// The device file
        #[arg(long, value_name = "FILE")]
        device: PathBuf,
    },
    /// Print a fresh short-lived token
    Token {
        /// The device file
        #[arg(long, value_name = "FILE")]
        device: PathBuf,
    },
}

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make the root key of a new vault; never overwrites one
    Init {
        /// Seal the keyring under the first line of this file; `-` is standard input
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Say which root keys there are, how each is, and how much each epoch wraps
    #[command(after_help = VARIABLES)]
    Status {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Write the keyring, sealed under a passphrase, to a file
    Backup {
        /// The backup to be made; keep it apart from the data
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseArgs,
        #[command(flatten)]
        data: DataArgs,
    },
    /// The passphrase that the keyring is sealed under
    #[command(subcommand)]
    Passphrase(PassphraseCommand),
    /// Make new keys and re-wrap what the old ones wrap; beside running services, and again after a crash
    #[command(after_help = VARIABLES)]
    Rotate(RotateArgs),
    /// Move the living under a new root epoch and destroy the old one, so that no backup brings the erased back
    #[command(after_help = VARIABLES)]
    RollEpoch(RollArgs),
    /// Bring a keyring back from a backup; never overwrites one
    Restore {
        /// The backup
        #[arg(long = "in", value_name = "FILE")]
        from: PathBuf,
        #[command(flatten)]
        passphrase: PassphraseArgs,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Subcommand)]
pub(super) enum PassphraseCommand {
    /// Seal the keyring under a passphrase, or under another one
    #[command(after_help = VARIABLES)]
    Set {
        /// File whose first line is the new passphrase; `-` is standard input. Without it the passphrase is asked for
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Lay the keyring open
    #[command(after_help = VARIABLES)]
    Remove {
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Args)]
pub(super) struct RotateArgs {
    /// A new root key in the same epoch; every owner's key is re-wrapped
    #[arg(long)]
    pub(super) root: bool,
    /// A new key for this owner (id or address); clips are re-wrapped, not read. May be given again
    #[arg(long, value_name = "ID|EMAIL")]
    pub(super) owner: Vec<String>,
    /// A new key for every owner
    #[arg(long)]
    pub(super) all_owners: bool,
    /// The key that signs links; old links stay valid until they end
    #[arg(long)]
    pub(super) links: bool,
    /// The key behind pairing codes; those under way stay valid
    #[arg(long)]
    pub(super) tokens: bool,
    /// The key that signs receipts; old receipts stay valid for ever
    #[arg(long)]
    pub(super) receipts: bool,
    /// The key behind the look-up by address
    #[arg(long)]
    pub(super) index: bool,
    /// Root, links, tokens, receipts and index
    #[arg(long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) data: DataArgs,
}

#[derive(Args)]
pub(super) struct RollArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
}

#[derive(Args)]
pub(super) struct PassphraseArgs {
    /// File whose first line is the passphrase; `-` is standard input. Without it the passphrase is asked for
    #[arg(long, env = "DASHVAULT_PASSPHRASE_FILE", value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogLevel {
    /// Somebody must look
    Error,
    /// And what may become so
    Warn,
    /// And every request and job
    Info,
    /// And what helps to find a defect
    Debug,
}

/// Every variable that stands for a flag.
pub(super) fn flag_variables() -> Vec<String> {
    fn walk(command: &clap::Command, found: &mut Vec<String>) {
        let named = command.get_arguments().filter_map(clap::Arg::get_env);
        found.extend(named.map(|name| name.to_string_lossy().into_owned()));
        command.get_subcommands().for_each(|command| walk(command, found));
    }
    let mut found = Vec::new();
    walk(&Cli::command(), &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_says_what_it_is() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            for flag in command.get_arguments() {
                let known = ["help", "version"].contains(&flag.get_id().as_str());
                assert!(
                    known || flag.get_help().is_some(),
                    "{} {}",
                    command.get_name(),
                    flag.get_id()
                );
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Cli::command());
    }

    #[test]
    fn commands_that_open_the_data_list_the_variables_that_are_no_flags() {
        let mut cli = Cli::command();
        for path in [
            &["serve"][..],
            &["work"],
            &["doctor"],
            &["migrate"],
            &["owner"],
            &["owner", "add"],
            &["owner", "list"],
            &["owner", "sign-in"],
            &["owner", "erase"],
        ] {
            let command = path.iter().fold(&mut cli, |command, name| {
                command.find_subcommand_mut(name).expect("a command")
            });
            let help = command.render_long_help().to_string();
            for name in crate::app::config::HIDDEN_VARIABLES {
                assert!(help.contains(name), "{path:?} {name}");
            }
        }
    }
}
