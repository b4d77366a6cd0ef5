//! The log: sentences with fields, as text or JSON, on standard error. Never an owner's data, a token, a query.

use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::error;
use tracing_subscriber::EnvFilter;

use super::cli::{LogFormat, LogLevel};

/// Begins the log.
pub(super) fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
    };
    // Dependencies log what they were given: addresses, statements, headers. That an answer ends early is told by whoever ends it.
    let filter = EnvFilter::new(format!(
        "warn,sqlx=error,hyper=error,reqwest=error,object_store=error,actix_http::h1::dispatcher=off,dashvault={level}"
    ));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // A second start, in a test, keeps the first log.
    let _ = match format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => log
            .json()
            .flatten_event(true)
            .with_current_span(true)
            .with_span_list(false)
            .try_init(),
    };
    tell_panics();
}

/// A panic is told by its place. Its words may hold what was being worked on, and stay out of the log.
fn tell_panics() {
    static TOLD: AtomicBool = AtomicBool::new(false);
    if TOLD.swap(true, Ordering::SeqCst) {
        return;
    }
    std::panic::set_hook(Box::new(|panic| {
        let (file, line) = panic.location().map_or(("unknown", 0), |at| (at.file(), at.line()));
        error!(file, line, "a task panicked: this is a defect");
    }));
}
