//! `dashvault clip`: holds a clip and lets it go, beside a running service.

use clap::{Args, Subcommand};
use serde_json::json;

use super::CommandError;
use super::cli::{DataArgs, VARIABLES};
use super::config::{DataConfig, environment};
use super::output::Output;
use super::rooms::{self, NewVault};
use crate::model::ClipId;

/// Commands about one clip.
#[derive(Subcommand)]
pub(super) enum ClipCommand {
    /// Hold a clip, as for a dispute: nobody can trash or erase it, and its owner is told
    #[command(after_help = VARIABLES)]
    Hold(ClipArgs),
    /// Let a held clip go
    #[command(after_help = VARIABLES)]
    Release(ClipArgs),
}

/// Which clip.
#[derive(Args)]
pub(super) struct ClipArgs {
    /// The clip's id
    #[arg(value_name = "CLIP")]
    pub(super) clip: String,
    #[command(flatten)]
    pub(super) data: DataArgs,
}

pub(super) async fn run(command: ClipCommand, output: Output) -> Result<(), CommandError> {
    match command {
        ClipCommand::Hold(args) => hold(args, true, output).await,
        ClipCommand::Release(args) => hold(args, false, output).await,
    }
}

async fn hold(args: ClipArgs, held: bool, output: Output) -> Result<(), CommandError> {
    let clip: ClipId = args
        .clip
        .parse()
        .map_err(|error| CommandError::Refused(format!("{} is {error}", args.clip)))?;
    let config = DataConfig::read(&args.data, &environment)?;
    let rooms = rooms::open(&config, NewVault::Refuse).await?;
    let done = rooms.library.hold(clip, held).await?;
    rooms.catalog.close().await;
    if !done {
        return Err(CommandError::Refused(format!(
            "nothing was changed: there is no clip {clip}, or it is still arriving, or is being erased"
        )));
    }
    let sentence = if held {
        format!("The clip {clip} is held: it can be neither trashed nor erased until `dashvault clip release {clip}`.")
    } else {
        format!("The clip {clip} is held no longer.")
    };
    output.tell(&json!({ "clip_id": clip, "held": held }), &sentence);
    Ok(())
}
