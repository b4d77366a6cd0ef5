//! Child processes that cannot outlive the test.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How much of a log a failure shows: enough for the cause, little enough to read.
const LOG_TAIL_BYTES: u64 = 4000;
/// How long a process may take to end after it was asked to.
const END: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A running process with its output in a file. Dropping it kills it; so does the end of the test program.
pub struct Child {
    name: String,
    inner: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command`, appending what it prints to `log`. `user` runs it as another user (needs root).
    pub fn spawn(name: &str, command: &Command, user: Option<&str>, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("a log file");
        // The kernel ends the child with the thread that made it, so one thread that never ends makes them all.
        let mut held = Command::new("setpriv");
        held.args(["--pdeathsig", "KILL"]);
        if let Some(user) = user {
            held.args(["--reuid", user, "--regid", user, "--clear-groups"]);
        }
        held.arg("--").arg(command.get_program()).args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => held.env(key, value),
                None => held.env_remove(key),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            held.current_dir(dir);
        }
        held.stdin(Stdio::null())
            .stdout(out.try_clone().expect("a second handle"))
            .stderr(out);
        let inner = spawn_from_keeper(held).unwrap_or_else(|e| panic!("{name} does not start: {e}"));
        Self {
            name: name.to_owned(),
            inner,
            log: log.to_owned(),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.inner.id()
    }

    /// Waits until `ready` says so; panics with the end of the log when the process ends first or the time is up.
    pub fn wait_until(&mut self, what: &str, limit: Duration, mut ready: impl FnMut() -> bool) {
        let started = Instant::now();
        while !ready() {
            if let Some(status) = self.ended() {
                panic!(
                    "{} ended before it was {what}: {status}\n{}",
                    self.name,
                    self.log_tail()
                );
            }
            assert!(
                started.elapsed() < limit,
                "{} was not {what} after {limit:?}\n{}",
                self.name,
                self.log_tail()
            );
            std::thread::sleep(POLL);
        }
    }

    /// The exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.inner.try_wait().expect("the state of a child")
    }

    /// Ends it at once, as a power cut would (SIGKILL).
    pub fn kill(&mut self) {
        // Already ended is as good.
        let _ = self.inner.kill();
        let _ = self.inner.wait();
    }

    /// Sends a signal, SIGTERM by habit, and waits for the end.
    pub fn end_with(&mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        let started = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(
                started.elapsed() < END,
                "{} did not end within {END:?} of {signal:?}\n{}",
                self.name,
                self.log_tail()
            );
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal and returns at once (SIGSTOP and SIGCONT freeze and thaw).
    pub fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.inner.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("a process id");
        kill_process(id, signal).unwrap_or_else(|e| panic!("{} cannot be signalled: {e}", self.name));
    }

    /// All it printed.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn log_tail(&self) -> String {
        let mut tail = Vec::new();
        if let Ok(mut file) = File::open(&self.log) {
            let length = file.metadata().map_or(0, |m| m.len());
            // A log that cannot be read is an empty one: the failure is told either way.
            let _ = file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)));
            let _ = file.read_to_end(&mut tail);
        }
        String::from_utf8_lossy(&tail).into_owned()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

type Order = (Command, Sender<std::io::Result<std::process::Child>>);

fn spawn_from_keeper(command: Command) -> std::io::Result<std::process::Child> {
    static KEEPER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (orders, incoming) = channel::<Order>();
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(move || {
                for (mut command, answer) in incoming {
                    // The asker waits; if it is gone, so is the need.
                    let _ = answer.send(command.spawn());
                }
            })
            .expect("a thread");
        orders
    });
    let (answer, spawned) = channel();
    KEEPER.send((command, answer)).expect("the keeper never ends");
    spawned.recv().expect("the keeper answers")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scratch;

    #[test]
    fn a_dropped_child_is_gone() {
        let scratch = Scratch::new("child");
        let mut command = Command::new("sleep");
        command.arg("60");
        let child = Child::spawn("sleep", &command, None, &scratch.path().join("log"));
        let proc = PathBuf::from(format!("/proc/{}", child.id()));
        assert!(proc.exists());
        drop(child);
        assert!(!proc.exists());
    }

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let scratch = Scratch::new("child");
        let log = scratch.path().join("log");
        let mut child = std::thread::spawn(move || {
            let mut command = Command::new("sleep");
            command.arg("60");
            Child::spawn("sleep", &command, None, &log)
        })
        .join()
        .unwrap();
        std::thread::sleep(Duration::from_millis(200));
        assert!(child.ended().is_none());
    }

    #[test]
    #[should_panic(expected = "no such luck")]
    fn an_early_end_shows_the_log() {
        let scratch = Scratch::new("child");
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such luck; exit 3"]);
        let mut child = Child::spawn("sh", &command, None, &scratch.path().join("log"));
        child.wait_until("ready", Duration::from_secs(10), || false);
    }
}
