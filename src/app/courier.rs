//! `dashvault upload`: files or a folder's clips to the vault, and what is told of them meanwhile.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashvault_client::{Client, Clips, Courier, CourierOptions, Link, LinkSource, News, Progress, Stage, Uploaded};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::CommandError;
use super::cli::{LinkWord, UploadArgs};
use super::output::{Output, line};
use super::vehicle;

/// How often progress is told to a machine.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What has become of a clip, as far as its owner has to know at the end.
enum End {
    /// It is in the vault; with the receipt if that was waited for.
    Taken,
    /// It is not, and is kept.
    Kept(String),
}

pub(super) async fn upload(client: Client, args: &UploadArgs, output: Output) -> Result<(), CommandError> {
    let watch = &args.watch;
    let link = match &watch.link_file {
        Some(file) => LinkSource::File(file.clone()),
        None => LinkSource::Always(match watch.link {
            LinkWord::Wifi => Link::Wifi,
            LinkWord::Cellular => Link::Cellular,
            LinkWord::None => Link::None,
        }),
    };
    let clips = match &watch.watch {
        Some(folder) => Clips::Folder(folder.clone()),
        None => Clips::Files(args.files.clone()),
    };
    let shown = Shown {
        json: output.json || !std::io::stdout().is_terminal(),
        is_folder: watch.watch.is_some(),
        bar: vehicle::bar(),
        last: Mutex::new(None),
    };
    let options = CourierOptions {
        clips,
        state: watch.state.clone().unwrap_or_else(|| beside(&args.device)),
        link,
        delete: watch.delete,
        once: watch.once,
        settle: Duration::from_secs(watch.settle_secs),
        look_every: Duration::from_millis(watch.look_millis),
        recorded_at_from_mtime: args.recorded_at_from_mtime,
        camera: args.camera.clone(),
        kind: args.kind.clone(),
        wait: args.wait,
        give_up_after: args.give_up_after.map(Duration::from_secs),
        take_over: watch.take_over,
    };
    let mut courier = Courier::open(client, options)?;
    let ends = Mutex::new(BTreeMap::new());
    let foreign = Mutex::new(None);
    let tell = |news: News| {
        let end = match &news {
            News::Sent(done) if shown.is_folder || !args.wait => Some((done.file.clone(), End::Taken)),
            News::Delivered(done) => Some((done.file.clone(), End::Taken)),
            News::Refused { file, reason } => Some((file.clone(), End::Kept(reason.clone()))),
            _ => None,
        };
        if let News::Foreign { folder, clips } = &news {
            let told = (*clips > 0).then(|| of_another(folder, *clips));
            *foreign.lock().unwrap_or_else(PoisonError::into_inner) = told;
        }
        if let Some((file, end)) = end {
            ends.lock().unwrap_or_else(PoisonError::into_inner).insert(file, end);
        }
        shown.tell(&news);
    };
    let ended = courier.run(&tell).await;
    shown.bar.finish_and_clear();
    ended?;
    if let Some(sentence) = foreign.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(CommandError::Refused(sentence));
    }
    let ends = ends.into_inner().unwrap_or_else(PoisonError::into_inner);
    match shown.is_folder {
        true => of_folder(&ends),
        false => of_files(&args.files, &ends),
    }
}

fn of_folder(ends: &BTreeMap<PathBuf, End>) -> Result<(), CommandError> {
    match ends.values().filter(|end| matches!(end, End::Kept(_))).count() {
        0 => Ok(()),
        n => Err(CommandError::Refused(format!("{n} clips were not taken, and are kept"))),
    }
}

fn of_files(files: &[PathBuf], ends: &BTreeMap<PathBuf, End>) -> Result<(), CommandError> {
    let waits = "it waits for another link, or for the next day's budget; keep it, and name it again then";
    let left = files.iter().filter_map(|file| match ends.get(file) {
        Some(End::Taken) => None,
        Some(End::Kept(reason)) => Some(reason.clone()),
        None => Some(format!("{} was not uploaded: {waits}", file.display())),
    });
    let left: Vec<_> = left.collect();
    match (&left[..], files.len()) {
        ([], _) => Ok(()),
        ([reason], 1) => Err(CommandError::Refused(reason.clone())),
        (left, all) => Err(CommandError::Refused(format!(
            "{} of {all} were not uploaded: keep them",
            left.len()
        ))),
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
    /// Whoever named the files knows which they are.
    is_folder: bool,
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
        } else if self.is_folder || !matches!(news, News::Queued { .. }) {
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
        News::Sent(done) => uploaded("sent", done),
        News::Delivered(done) => uploaded("delivered", done),
        News::Deleted { file } => json!({ "event": "deleted", "file": file }),
        News::Gone { file } => json!({ "event": "gone", "file": file }),
        News::Refused { file, reason } => json!({ "event": "refused", "file": file, "error": reason }),
        News::Setback { file, reason, pause } => {
            json!({ "event": "setback", "file": file, "error": reason, "pause_ms": pause.as_millis() })
        }
        News::Foreign { folder, clips } => {
            json!({ "event": "foreign", "folder": folder, "clips": clips, "error": of_another(folder, *clips) })
        }
        News::Held { clips } => json!({ "event": "held", "clips": clips }),
    }
}

fn uploaded(event: &str, done: &Uploaded) -> Value {
    json!({
        "event": event, "file": done.file, "clip_id": done.clip_id, "bytes": done.bytes,
        "sha256": done.sha256, "receipt": done.receipt,
    })
}

fn words(news: &News) -> String {
    match news {
        News::Queued { file, bytes } => format!("{}: found ({bytes} bytes)", file.display()),
        News::Progress { file, progress } => format!("{}: {} bytes", file.display(), progress.bytes),
        News::Preempted { file, by } => format!("{}: waits for {}", file.display(), by.display()),
        News::Halted { file } => format!("{}: waits for another link", file.display()),
        News::Sent(done) => format!(
            "{}: {} ({} bytes, arrived; keep the file until its receipt)",
            done.file.display(),
            done.clip_id,
            done.bytes
        ),
        News::Delivered(done) => format!(
            "{}: {} ({} bytes, sealed, its receipt verified)",
            done.file.display(),
            done.clip_id,
            done.bytes
        ),
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
        News::Foreign { folder, clips } => of_another(folder, *clips),
        News::Held { clips } => format!("{clips} clips wait for another link, or for the next day"),
    }
}

fn of_another(folder: &Path, clips: usize) -> String {
    format!(
        "{clips} clips in {} were there before this vehicle and are another's: they were not uploaded and are untouched. Upload them \
         with that vehicle's device file, or move them away; if their owner is yours, start once with --take-over",
        folder.display()
    )
}

fn name(file: &Path) -> String {
    file.file_name()
        .unwrap_or(file.as_os_str())
        .to_string_lossy()
        .into_owned()
}
