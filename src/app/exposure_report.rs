//! `dashvault exposure report`: what strangers could reach in a window of time.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::cli::DataArgs;
use super::config::{DataConfig, environment};
use super::output::{Output, line};
use super::rooms::{self, NewVault};
use super::{CommandError, time};
use crate::exposure::report::Report;
use crate::model::UnixMs;

/// Which window, and where the report goes.
#[derive(Args)]
pub(super) struct ReportArgs {
    /// Where the window begins: 2026-11-28 or 2026-11-28T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: UnixMs,
    /// Where it ends, likewise; a day alone is its beginning (default: now)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    to: Option<UnixMs>,
    /// Write it to this new file: with --json the facts, else the text for people
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    data: DataArgs,
}

/// Needs the database alone.
pub(super) async fn run(args: ReportArgs, output: Output) -> Result<(), CommandError> {
    let config = DataConfig::read(&args.data, &environment)?;
    let catalog = rooms::connect(&config, NewVault::Refuse).await?;
    let now = time::clock(&catalog).await?.now_ms();
    let to = args.to.unwrap_or(now.saturating_add(1));
    if to <= args.from {
        return Err(CommandError::Refused("--from is before --to".to_owned()));
    }
    let report = Report::make(&catalog, args.from, to, now).await;
    catalog.close().await;
    let report = report?;
    let text = match output.json {
        true => json!(report).to_string(),
        false => report.markdown(),
    };
    match &args.out {
        None => line(&text),
        Some(file) => std::fs::File::create_new(file)
            .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
            .map_err(|source| CommandError::File {
                what: format!("the report cannot be written to {}: give a new file", file.display()),
                source,
            })?,
    }
    Ok(())
}

/// A day or a moment; both in UTC when nothing else is said.
fn moment(text: &str) -> Result<UnixMs, String> {
    let whole = if text.contains('T') {
        text.to_owned()
    } else {
        format!("{text}T00:00:00Z")
    };
    let moment: Result<jiff::Timestamp, _> = whole.parse();
    moment
        .map(|at| at.as_millisecond())
        .map_err(|_| "a time is 2026-11-28 or 2026-11-28T10:00:00Z".to_owned())
}
