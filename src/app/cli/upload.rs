//! The command line of a vehicle's uploads.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How a watched folder is read, and what is told; below the flags.
pub(super) const FOLDERS: &str = "\
Files:
  They go as a watched folder's clips do, the best first; folders in their paths and files beside them say what they are. The
  program ends when all have arrived, with --wait when their receipts are there. What may not go over this link now, or is not
  taken, is told and kept, and the exit code is 1; named again, a file goes on from where it was.
A watched folder:
  A clip is taken when it stood still for --settle-secs, or at once when it is renamed from a name ending in .part or .tmp.
  Names of sub-folders say what is in them, at any depth: event, routine; small, full; first (the owner asked for it).
  So does a file CLIP.json beside a clip: {\"kind\":\"event\",\"rendition\":\"small\",\"camera\":\"front\",\"first\":true}.
  What was asked for goes first, then events, then the rest; of each the small renditions before the full ones. A clip that
  goes first takes the place of one that is on its way, which goes on later from where it was.
  A folder says whose clips it holds (.dashvault-vehicle.json). A vehicle that comes after another, as with another owner, leaves
  alone what was there before it.
Both:
  What may go over cellular, and how much within a day and a month, is the vault's policy (GET /v1/vehicle/policy).
  A bar on a terminal; otherwise one JSON line for each event: queued, reading, sending, preempted, halted, held, setback, sent,
  delivered, deleted, gone, refused, foreign.";

#[derive(Args)]
pub(in crate::app) struct UploadArgs {
    /// Where the vault is reached (default: where the vehicle was paired)
    #[arg(long, value_name = "URL")]
    pub(in crate::app) server: Option<String>,
    /// The device file
    #[arg(long, value_name = "FILE")]
    pub(in crate::app) device: PathBuf,
    /// Wait for the signed receipt, without which a file must be kept
    #[arg(long)]
    pub(in crate::app) wait: bool,
    /// Tell a file's modification time as the time of recording
    #[arg(long)]
    pub(in crate::app) recorded_at_from_mtime: bool,
    /// The camera's name, such as front
    #[arg(long)]
    pub(in crate::app) camera: Option<String>,
    /// The kind of clip, such as event or routine
    #[arg(long)]
    pub(in crate::app) kind: Option<String>,
    /// Give up after the vault was not reached for so many seconds (default: never)
    #[arg(long, value_name = "SECONDS")]
    pub(in crate::app) give_up_after: Option<u64>,
    #[command(flatten)]
    pub(in crate::app) watch: FolderArgs,
    /// What to upload
    #[arg(required_unless_present = "watch", conflicts_with = "watch", value_name = "FILE")]
    pub(in crate::app) files: Vec<PathBuf>,
}

/// How a folder is watched, and which link everything goes over.
#[derive(Args)]
pub(in crate::app) struct FolderArgs {
    /// Upload the clips of this folder and those that come into it, until the receipts are there, over any number of starts
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["wait", "kind", "give_up_after"])]
    pub(in crate::app) watch: Option<PathBuf>,
    /// End when all was uploaded that may go over this link now
    #[arg(long, requires = "watch")]
    pub(in crate::app) once: bool,
    /// Delete each clip once its signed receipt was verified and kept, never before
    #[arg(long, requires = "watch")]
    pub(in crate::app) delete: bool,
    /// Upload also what another vehicle left in this folder: only when it was this vehicle's owner's
    #[arg(long, requires = "watch")]
    pub(in crate::app) take_over: bool,
    /// Where the queue of a folder is kept, and what was sent over cellular (default: the device file's name with .queue)
    #[arg(long, value_name = "FOLDER")]
    pub(in crate::app) state: Option<PathBuf>,
    /// A file that stood still for so long is finished; 0 when all are renamed into place
    #[arg(long, value_name = "SECONDS", default_value_t = 10, requires = "watch")]
    pub(in crate::app) settle_secs: u64,
    /// Milliseconds from one look at the folder and the link to the next
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1000,
          value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub(in crate::app) look_millis: u64,
    /// The link that the vehicle is on
    #[arg(long, value_name = "LINK", default_value = "wifi", conflicts_with = "link_file")]
    pub(in crate::app) link: LinkWord,
    /// A file that says so in a word, and is looked at again and again; cellular while it says none of these
    #[arg(long, value_name = "FILE")]
    pub(in crate::app) link_file: Option<PathBuf>,
}

/// A kind of link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::app) enum LinkWord {
    /// Costs nothing
    Wifi,
    /// Paid for by the byte
    Cellular,
    /// Nothing is sent
    None,
}
