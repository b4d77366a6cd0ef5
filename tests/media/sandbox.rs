//! Attempts to get out of the worker's sandbox from inside, each of which works with the door open.

use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output};

use dashvault::media::{Config, Media};
use dashvault_test_support::program;

use crate::media;

/// The worker's exit code for an attempt that was answered with an error.
const REFUSED: i32 = 7;
/// Writes to a file end it with this signal, as RLIMIT_FSIZE is 0; forbidden calls with the other.
const SIGXFSZ: i32 = 25;
const SIGSYS: i32 = 31;

const ATTEMPTS: [&str; 14] = [
    "open",
    "create",
    "write",
    "connect",
    "resolve",
    "exec",
    "fork",
    "code",
    "make code",
    "kill the parent",
    "kill the parent's thread",
    "trace the parent",
    "dump",
    "6 GiB",
];

fn attempt(name: &str, more: &[&str]) -> Output {
    let mut command = Command::new(program("dashvault-worker"));
    // Its own parent, so that nothing happens to the tests should an attempt succeed.
    command.args(["escape", name]).args(more).output().expect("the worker")
}

#[test]
fn nothing_gets_out() {
    for name in ATTEMPTS {
        let out = attempt(name, &[]);
        let ended = matches!(out.status.signal(), Some(SIGSYS | SIGXFSZ));
        assert!(
            ended || out.status.code() == Some(REFUSED),
            "`{name}` was not stopped: {} {}",
            out.status,
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

#[test]
fn each_attempt_would_work_without_the_sandbox() {
    // A debugger needs rights that a container may lack, and its parent would be stopped by it.
    for name in ATTEMPTS.iter().filter(|name| **name != "trace the parent") {
        let out = attempt(name, &["--open-door"]);
        assert_eq!(
            out.status.code(),
            Some(0),
            "`{name}`: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
    let _ = std::fs::remove_file("/tmp/dashvault-escaped");
}

#[test]
fn computing_goes_on_inside() {
    assert_eq!(attempt("compute", &[]).status.code(), Some(0));
}

#[tokio::test]
async fn the_self_test_passes_here_and_says_what_is_missing() {
    media().self_test().await.expect("a sandbox");
    let missing = Media::new(Config {
        worker: Some("/nowhere/dashvault-worker".into()),
        allow_unsandboxed: false,
    });
    let error = missing.self_test().await.expect_err("no worker");
    assert_eq!(error.code(), "worker_unavailable");
    assert!(error.is_passing() && error.to_string().contains("/nowhere"), "{error}");
    let tame = Media::new(Config {
        worker: Some("/bin/true".into()),
        allow_unsandboxed: false,
    });
    tame.self_test().await.expect_err("a program that tests nothing");
}
