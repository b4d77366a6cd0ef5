//! Configuration, wiring, commands and telemetry.

mod attestations;
mod cli;
mod clips;
mod config;
mod courier;
mod decoys;
mod doctor;
mod exposure;
mod exposure_report;
mod folder_lock;
mod ingest_note;
mod inventory;
mod keys;
mod output;
mod owners;
mod passphrase;
mod process;
mod progress;
mod readings;
mod recovery;
mod rooms;
mod rotate;
mod secrets;
mod serve;
mod telemetry;
mod time;
mod vehicle;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use config::{ConfigError, DataConfig, ServeConfig, WorkConfig, environment};
use output::Output;

/// Why a command failed. Its sentence is what a person reads; each says what to do where something helps.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Rooms(#[from] rooms::RoomsError),
    #[error(transparent)]
    Http(#[from] crate::http::HttpError),
    #[error(transparent)]
    Access(#[from] crate::access::AccessError),
    #[error(transparent)]
    Catalog(#[from] crate::catalog::CatalogError),
    #[error(transparent)]
    Vault(#[from] crate::vault::VaultError),
    #[error(transparent)]
    Library(#[from] crate::library::LibraryError),
    #[error(transparent)]
    Client(#[from] dashvault_client::ClientError),
    #[error(transparent)]
    Keyring(#[from] dashvault_keys::provider::KeyringError),
    #[error(transparent)]
    RootKey(#[from] dashvault_keys::provider::OpenError),
    #[error("the root key does not answer as it should")]
    Provider(#[from] dashvault_keys::provider::ProviderError),
    #[error("{what}")]
    File {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Exposure(#[from] crate::exposure::ExposureError),
    /// Strangers get at a bucket.
    #[error("strangers get at what is listed as EXPOSED: shut it; nothing of it was deleted")]
    Open,
    #[error(transparent)]
    Post(#[from] crate::post::SettingError),
    /// Neither yes nor no: what was asked could not be found out.
    #[error("what strangers get could not be told for every bucket")]
    CannotTell,
    /// What the person asked for is not to be had; the sentence says why.
    #[error("{0}")]
    Refused(String),
}

/// Runs the command line.
pub fn run() -> ExitCode {
    secrets::take_from_environment();
    let cli = Cli::parse();
    process::harden();
    let output = Output { json: cli.json };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("dashvault: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(carry_out(cli.command, output));
    // Whatever still runs has had its time.
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.tell_failure(&output::sentence(&error));
            match error {
                // Beside clap's 2 for a command line that is none, and 1 for a command that could not do its work.
                CommandError::CannotTell => ExitCode::from(3),
                CommandError::Open => ExitCode::from(4),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

async fn carry_out(command: Command, output: Output) -> Result<(), CommandError> {
    let variables = &environment;
    match command {
        Command::Serve(args) => serve::serve(ServeConfig::read(&args, variables)?, output).await,
        Command::Work(args) => serve::work(WorkConfig::read(&args, variables)?, output).await,
        Command::Owner(command) => owners::run(command, output).await,
        Command::Clip(command) => clips::run(command, output).await,
        Command::Decoy(command) => decoys::run(command, output).await,
        Command::Device(command) => vehicle::device(command, output).await,
        Command::Upload(args) => vehicle::upload(*args, output).await,
        Command::Keys(command) => keys::run(command, output).await,
        Command::Doctor(args) => doctor::run(WorkConfig::read(&args, variables)?, output).await,
        Command::Exposure(command) => exposure::run(command, output).await,
        Command::Verify(args) => {
            let config = DataConfig::read(&args.data, variables)?;
            recovery::verify(args, config, output).await
        }
        Command::Inventory(args) => inventory::run(DataConfig::read(&args, variables)?, output).await,
        Command::Recover(args) => recovery::recover(DataConfig::read(&args, variables)?, output).await,
        Command::Migrate(args) => {
            rooms::connect(&DataConfig::read(&args, variables)?, rooms::NewVault::Refuse)
                .await?
                .close()
                .await;
            output.tell(
                &serde_json::json!({ "migrated": true }),
                "The database's schema is up to date.",
            );
            Ok(())
        }
    }
}
