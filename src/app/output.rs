//! What commands print: lines for people, or one JSON object a line.

use std::error::Error;
use std::io::Write as _;

use serde_json::Value;

/// How to print.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints an object, or the lines that say the same to a person.
    pub(super) fn tell(self, object: &Value, lines: &str) {
        if self.json {
            line(&object.to_string());
        } else {
            line(lines);
        }
    }

    /// Prints on standard error why a command failed.
    pub(super) fn tell_failure(self, sentence: &str) {
        if self.json {
            eprintln!("{}", serde_json::json!({ "error": sentence }));
        } else {
            eprintln!("dashvault: {sentence}");
        }
    }
}

/// A line of standard output. A reader that has gone needs no more of them.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A failure in one sentence: what went wrong, and why it did.
pub(super) fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // Some errors repeat what is beneath them.
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
