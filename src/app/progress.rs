//! How far a long command is: a bar for people at a terminal, lines of JSON for machines.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::output::{Output, line};

/// How often progress is told to a machine.
const TELL_EVERY: Duration = Duration::from_millis(250);

/// Progress as it is shown; a log file that is no machine's gets none.
pub(super) struct Shown {
    output: Output,
    bar: ProgressBar,
    last: Mutex<Option<(&'static str, Instant)>>,
}

impl Shown {
    pub(super) fn new(output: Output) -> Self {
        let terminal = std::io::stderr().is_terminal() && !output.json;
        let target = if terminal {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) =
            ProgressStyle::with_template("{msg:30.dim} [{wide_bar:.cyan/blue}] {pos}/{len} {per_sec} {eta}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self {
            output,
            bar,
            last: Mutex::new(None),
        }
    }

    /// `phase` is a stable word for machines, `words` says the same to people; a total that nobody knows is none.
    pub(super) fn show(&self, phase: &'static str, words: &'static str, done: u64, total: Option<u64>) {
        self.bar.set_message(words);
        match total {
            Some(total) => self.bar.set_length(total),
            None => self.bar.unset_length(),
        }
        self.bar.set_position(done);
        if !self.output.json {
            return;
        }
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let due = total.is_some_and(|total| done >= total)
            || last.is_none_or(|(told, at)| told != phase || at.elapsed() >= TELL_EVERY);
        if due {
            *last = Some((phase, Instant::now()));
            line(&json!({ "phase": phase, "done": done, "total": total }).to_string());
        }
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
        self.bar.reset();
    }
}
