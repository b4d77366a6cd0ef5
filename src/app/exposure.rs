//! `dashvault exposure`: one look at our own buckets as a stranger, or the watch alone.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::attestations::{self, AttestationsArgs, ChainArgs};
use super::cli::{DataArgs, PostArgs, WatchArgs};
use super::config::exposure::AloneConfig;
use super::config::{ConfigError, environment};
use super::exposure_report::{self, ReportArgs};
use super::output::{Output, sentence};
use super::rooms::RoomsError;
use super::{CommandError, serve, telemetry, time};
use crate::app::cli::LogFormat;
use crate::catalog::{self, Catalog};
use crate::exposure::{self, ExposureError, Told, Watch};
use crate::model::{Clock, Verdict};
use crate::post::Post;
use crate::vault::Vault;

/// A round ends before; a start does not wait longer for a database either.
const FIRST_ROUND: Duration = Duration::from_secs(20);

/// Commands of the watch over our own buckets.
#[derive(Subcommand)]
pub(super) enum ExposureCommand {
    /// Look once at every bucket as a stranger; ends with 0 if all are private, 4 if one is open, 3 if it cannot be told
    Check(Box<ExposureArgs>),
    /// Look again and again, also on a machine of its own: it needs no key and no credentials
    Watch(Box<WatchAloneArgs>),
    /// Write the signed statements about the buckets, each chained to the one before, to a file
    Attestations(AttestationsArgs),
    /// Check such a file offline: each line signed and following from the one before; needs no vault
    Verify(ChainArgs),
    /// Say which objects strangers could reach in a window of time, and what shows that they were ciphertext
    Report(ReportArgs),
}

/// What to look at.
#[derive(Args)]
pub(super) struct ExposureArgs {
    #[command(flatten)]
    pub(super) data: DataArgs,
    #[command(flatten)]
    pub(super) watch: WatchArgs,
}

/// What to look at, and whom to tell.
#[derive(Args)]
pub(super) struct WatchAloneArgs {
    #[command(flatten)]
    pub(super) look: ExposureArgs,
    #[command(flatten)]
    pub(super) post: PostArgs,
}

/// How the rolling inventory walks.
#[derive(Args, Clone, Default)]
pub(super) struct InventoryArgs {
    /// Objects that the rolling inventory looks at in a minute; 0: it does not run (default: what a pass a day needs)
    #[arg(long, env = "DASHVAULT_INVENTORY_PACE", value_name = "OBJECTS")]
    pub(super) inventory_pace: Option<u32>,
    /// Clips, chosen by chance, that it opens with their keys in each pass (default: 20)
    #[arg(long, env = "DASHVAULT_INVENTORY_SAMPLE", value_name = "CLIPS")]
    pub(super) inventory_sample: Option<u32>,
}

pub(super) async fn run(command: ExposureCommand, output: Output) -> Result<(), CommandError> {
    let read = |args: &ExposureArgs, post: &PostArgs| -> Result<AloneConfig, ConfigError> {
        AloneConfig::read(&args.data, &args.watch, post, &environment)
    };
    match command {
        ExposureCommand::Check(args) => check(read(&args, &PostArgs::default())?, output).await,
        ExposureCommand::Watch(args) => alone(read(&args.look, &args.post)?, output).await,
        ExposureCommand::Attestations(args) => attestations::give(args, output).await,
        ExposureCommand::Verify(args) => attestations::verify(&args, output),
        ExposureCommand::Report(args) => exposure_report::run(args, output).await,
    }
}

async fn check(config: AloneConfig, output: Output) -> Result<(), CommandError> {
    let (catalog, watch, _) = open(config.catalog, config.watch, &config.data).await?;
    let told = watch.round().await;
    catalog.close().await;
    let told = told?;
    for one in &told {
        tell(one, output);
    }
    let has = |verdict| told.iter().any(|one| one.set.verdict == verdict);
    match () {
        () if has(Verdict::Exposed) => Err(CommandError::Open),
        () if has(Verdict::Unknown) => Err(CommandError::CannotTell),
        () => Ok(()),
    }
}

async fn alone(mut config: AloneConfig, output: Output) -> Result<(), CommandError> {
    if config.post.origin.is_empty() {
        // On the service's own machine it is noted there; elsewhere a notice says which vault only if it is told.
        config.post.origin = serve::noted_url(&config.data).unwrap_or_default();
    }
    let (format, level) = AloneConfig::log();
    telemetry::start(if output.json { LogFormat::Json } else { format }, level);
    let watcher = config.watch.watcher.clone();
    let (catalog, watch, clock) = open(config.catalog, config.watch, &config.data).await?;
    let post = Post::new(&config.post, catalog.clone(), clock)?;
    let ending = CancellationToken::new();
    tokio::spawn(serve::end_on_signal(ending.clone()));
    let telling = tokio::spawn(post.run(Some(watcher), ending.clone()));
    begin(&watch).await;
    watch.run(ending).await;
    if tokio::time::timeout(serve::DRAIN, telling).await.is_err() {
        tracing::warn!("a notice under way did not end in time; it is delivered again by whoever runs next");
    }
    catalog.close().await;
    info!("the watch has ended");
    Ok(())
}

/// The watch inside the service: its first round is made before anybody is served, so that the write gate has a verdict.
pub(super) async fn beside(
    config: exposure::Config,
    catalog: Catalog,
    vault: Vault,
    clock: Arc<dyn Clock>,
    ending: &CancellationToken,
) -> Result<(), ExposureError> {
    let watch = Watch::new(config, catalog, Some(vault), clock)?;
    begin(&watch).await;
    let ending = ending.clone();
    tokio::spawn(async move { watch.run(ending).await });
    Ok(())
}

async fn begin(watch: &Watch) {
    if let Err(error) = watch.expect().await {
        tracing::error!(
            causes = sentence(&error),
            "nobody will notice if the first rounds of the watch fail"
        );
    }
    match tokio::time::timeout(FIRST_ROUND, watch.noted_round()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(
            causes = sentence(&error),
            "the first round of the watch could not be made; it is made again in time"
        ),
        Err(_) => tracing::error!("the first round of the watch took too long; it is made again in time"),
    }
}

async fn open(
    config: catalog::Config,
    watch: exposure::Config,
    data: &Path,
) -> Result<(Catalog, Watch, Arc<dyn Clock>), CommandError> {
    if !config.may_be_there() {
        return Err(RoomsError::NoVault(data.display().to_string()).into());
    }
    let catalog = Catalog::connect(&config).await?;
    let clock = time::clock(&catalog).await?;
    let watch = Watch::new(watch, catalog.clone(), None, clock.clone())?;
    Ok((catalog, watch, clock))
}

fn tell(told: &Told, output: Output) {
    let (bucket, verdict) = (told.bucket.as_str(), told.set.verdict);
    let word = match verdict {
        Verdict::Private => "private",
        Verdict::Exposed => "EXPOSED",
        Verdict::Unknown => "unknown",
    };
    output.tell(
        &json!({
            "bucket": bucket, "verdict": verdict.as_str(), "reason": told.reason, "asked_as_account": told.asked_as_account,
        }),
        &format!("{bucket:<9} {word:<8} {}", told.reason),
    );
    for read in &told.settings {
        let (setting, grade, state) = (&read.setting, read.grade.as_str(), &read.state);
        output.tell(
            &json!({ "bucket": bucket, "setting": setting, "grade": grade, "state": state }),
            &format!("{bucket:<9} {setting:<19} {grade:<13} {state}"),
        );
    }
}
