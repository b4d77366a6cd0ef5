//! `dashvault upload --watch`: a folder's clips to the vault, and what is told of them meanwhile.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashvault_client::{Client, Courier, CourierOptions, Link, LinkSource, News, Progress, Stage};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::CommandError;
use super::cli::{LinkWord, UploadArgs};
use super::output::{Output, line};
use super::vehicle;

/// How often progress is told to a machine.
const TELL_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn watch(
    client: Client,
    folder: &Path,
    args: &UploadArgs,
    output: Output,
) -> Result<(), CommandError> {
    let watch = &args.watch;
    let link = match &watch.link_file {
        Some(file) => LinkSource::File(file.clone()),
        None => LinkSource::Always(match watch.link {
            LinkWord::Wifi => Link::Wifi,
            LinkWord::Cellular => Link::Cellular,
            LinkWord::None => Link::None,
        }),
    };
    let options = CourierOptions {
        folder: folder.to_owned(),
        state: watch.state.clone().unwrap_or_else(|| beside(&args.device)),
        link,
        delete: watch.delete,
        once: watch.once,
        settle: Duration::from_secs(watch.settle_secs),
        look_every: Duration::from_millis(watch.look_millis),
        recorded_at_from_mtime: args.recorded_at_from_mtime,
        camera: args.camera.clone(),
    };
    let shown = Shown {
        json: output.json || !std::io::stdout().is_terminal(),
        bar: vehicle::bar(),
        last: Mutex::new(None),
    };
    let mut courier = Courier::open(client, options)?;
    let refused = AtomicUsize::new(0);
    let tell = |news: News| {
        if matches!(news, News::Refused { .. }) {
            refused.fetch_add(1, Ordering::Relaxed);
        }
        shown.tell(&news);
    };
    let ended = courier.run(&tell).await;
    shown.bar.finish_and_clear();
    ended?;
    match refused.into_inner() {
        0 => Ok(()),
        n => Err(CommandError::Refused(format!("{n} clips were not taken, and are kept"))),
    }
}

fn beside(device: &Path) -> PathBuf {
    let mut name = device.as_os_str().to_owned();
    name.push(".queue");
    PathBuf::from(name)
}

/// A bar and lines for people, or an object a line for programs.
struct Shown {
    json: bool,
    bar: ProgressBar,
    /// What was told of progress last, and when.
    last: Mutex<Option<(PathBuf, Stage, Instant)>>,
}

impl Shown {
    fn tell(&self, news: &News) {
        if let News::Progress { file, progress } = news {
            return self.tell_progress(file, *progress);
        }
        if self.json {
            line(&object(news).to_string());
        } else {
            self.bar.suspend(|| line(&words(news)));
        }
    }

    fn tell_progress(&self, file: &Path, progress: Progress) {
        if !self.json {
            return vehicle::show(&self.bar, &name(file), progress);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_fresh = |told: &(PathBuf, Stage, Instant)| {
            told.0 == file && told.1 == progress.stage && told.2.elapsed() < TELL_EVERY
        };
        if last.as_ref().is_some_and(is_fresh) {
            return;
        }
        *last = Some((file.to_owned(), progress.stage, Instant::now()));
        let stage = match progress.stage {
            Stage::Hashing => "reading",
            Stage::Sending => "sending",
            Stage::Pausing => "pausing",
            Stage::Sealing => "sealing",
        };
        let told = json!({ "event": stage, "file": file, "bytes": progress.bytes, "total": progress.total });
        line(&told.to_string());
    }
}

fn object(news: &News) -> Value {
    match news {
        News::Queued { file, bytes } => json!({ "event": "queued", "file": file, "bytes": bytes }),
        News::Progress { file, progress } => json!({ "event": "progress", "file": file, "bytes": progress.bytes }),
        News::Preempted { file, by } => json!({ "event": "preempted", "file": file, "by": by }),
        News::Halted { file } => json!({ "event": "halted", "file": file }),
        News::Sent { file } => json!({ "event": "sent", "file": file }),
        News::Delivered(done) => json!({
            "event": "delivered", "file": done.file, "clip_id": done.clip_id, "bytes": done.bytes,
            "sha256": done.sha256, "receipt": done.receipt,
        }),
        News::Deleted { file } => json!({ "event": "deleted", "file": file }),
        News::Gone { file } => json!({ "event": "gone", "file": file }),
        News::Refused { file, reason } => json!({ "event": "refused", "file": file, "error": reason }),
        News::Setback { file, reason, pause } => {
            json!({ "event": "setback", "file": file, "error": reason, "pause_ms": pause.as_millis() })
        }
        News::Held { clips } => json!({ "event": "held", "clips": clips }),
    }
}

fn words(news: &News) -> String {
    match news {
        News::Queued { file, bytes } => format!("{}: found ({bytes} bytes)", file.display()),
        News::Progress { file, progress } => format!("{}: {} bytes", file.display(), progress.bytes),
        News::Preempted { file, by } => format!("{}: waits for {}", file.display(), by.display()),
        News::Halted { file } => format!("{}: waits for another link", file.display()),
        News::Sent { file } => format!("{}: arrived; its receipt is to come", file.display()),
        News::Delivered(done) => format!("{}: {} sealed, its receipt verified", done.file.display(), done.clip_id),
        News::Deleted { file } => format!("{}: deleted", file.display()),
        News::Gone { file } => format!("{}: gone, or another file than before", file.display()),
        News::Refused { file, reason } => format!("{}: kept; {reason}", file.display()),
        News::Setback { file, reason, pause } => {
            let what = file
                .as_deref()
                .map(|file| format!("{}: ", file.display()))
                .unwrap_or_default();
            format!("{what}{reason}; tried again after {} s", pause.as_secs())
        }
        News::Held { clips } => format!("{clips} clips wait for another link, or for the next day"),
    }
}

fn name(file: &Path) -> String {
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
        .into_owned()
}
