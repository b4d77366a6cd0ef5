//! One worker process: started with a control socket, a pipe for each output, and nothing else; ended with its whole group.

use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt as _, FdMapping};
use dashvault_worker_protocol::{CONTROL_FD, FIRST_OUTPUT_FD, FromWorker, ToWorker, frame_length};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::MediaError;

/// What a worker may say on its standard error; the rest is thrown away. libav once wrote 20 GB in ten minutes.
const MAX_STDERR_BYTES: usize = 64 << 10;
/// Of that, so much travels with an error.
const STDERR_TAIL_CHARS: usize = 600;
/// From the final frame to the end of the process.
const END: Duration = Duration::from_secs(5);
/// Signals that a worker neither gets from its own limits (SIGXCPU, SIGSYS) nor earns by a fault of its own.
const FROM_OUTSIDE: [Signal; 5] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::KILL];
/// The words of Rust's allocator when it gives up.
const ALLOCATION_FAILED: &str = "memory allocation of";

/// A worker that runs. Dropping it kills it.
pub(super) struct Worker {
    child: Child,
    group: Option<Pid>,
    stderr: JoinHandle<Vec<u8>>,
    pub(super) control: Control,
    /// One for each output, in the order of the plan.
    pub(super) pipes: Vec<pipe::Receiver>,
}

/// The vault's end of the control socket.
pub(super) struct Control {
    socket: UnixStream,
    frame: Vec<u8>,
}

impl Worker {
    /// Starts `program` with pipes for `outputs`.
    pub(super) fn spawn(program: &Path, outputs: usize) -> Result<Self, MediaError> {
        spawn(program, outputs)
            .map_err(|error| MediaError::Unavailable(format!("{} does not start: {error}", program.display())))
    }

    /// Waits for the process to end by itself, and says whether it did so in order.
    pub(super) async fn end(mut self) -> Result<(), MediaError> {
        let Ok(status) = tokio::time::timeout(END, self.child.wait()).await else {
            return Err(MediaError::Crashed("it did not end after its report".to_owned()));
        };
        let status = status.map_err(|error| MediaError::Unavailable(error.to_string()))?;
        if status.success() {
            return Ok(());
        }
        Err(self.autopsy(status).await)
    }

    /// Why the process ended without a report.
    pub(super) async fn cause_of_death(mut self) -> MediaError {
        match tokio::time::timeout(END, self.child.wait()).await {
            Ok(Ok(status)) => self.autopsy(status).await,
            _ => MediaError::Crashed("it closed its control socket and went on".to_owned()),
        }
    }

    /// Whether the process ended the way the sandbox ends those that break its rules.
    pub(super) async fn was_killed_by_its_sandbox(mut self) -> bool {
        let status = tokio::time::timeout(END, self.child.wait()).await;
        matches!(status, Ok(Ok(status)) if status.signal() == Some(Signal::SYS.as_raw()))
    }

    async fn autopsy(&mut self, status: ExitStatus) -> MediaError {
        let stderr = tokio::time::timeout(END, &mut self.stderr).await;
        let stderr = stderr.ok().and_then(Result::ok).unwrap_or_default();
        let said = readable(&String::from_utf8_lossy(&stderr));
        let signal = status.signal().and_then(Signal::from_named_raw);
        match signal {
            Some(Signal::XCPU) => MediaError::TimedOut("its CPU time was used up"),
            // Nobody here sends one while the worker is waited for. A worker can send one to itself, and the kernel follows
            // SIGXCPU up with SIGKILL where it was blocked; that is why attempts that end so are counted.
            Some(signal) if FROM_OUTSIDE.contains(&signal) => MediaError::Killed(format!("{status} {said}")),
            Some(Signal::ABORT) if said.contains(ALLOCATION_FAILED) => MediaError::OutOfMemory,
            Some(Signal::SYS) => MediaError::Crashed(format!("its sandbox ended it {said}")),
            _ => MediaError::Crashed(format!("{status} {said}")),
        }
    }

    fn kill(&self) {
        if let Some(group) = self.group {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // A process that was waited for has no number any more; the number may be another's by now.
        if self.child.id().is_some() {
            self.kill();
        }
        self.stderr.abort();
    }
}

impl Control {
    /// The next frame; `None` when the worker has closed the socket.
    pub(super) async fn receive(&mut self) -> Result<Option<FromWorker>, MediaError> {
        let mut header = [0; 4];
        if self.socket.read_exact(&mut header).await.is_err() {
            return Ok(None);
        }
        let nonsense = |error: dashvault_worker_protocol::FrameError| MediaError::Crashed(error.to_string());
        let length = frame_length(header).map_err(nonsense)?;
        self.frame.resize(length, 0);
        if self.socket.read_exact(&mut self.frame).await.is_err() {
            return Ok(None);
        }
        FromWorker::decode(&self.frame).map(Some).map_err(nonsense)
    }

    /// Sends a frame. That the worker is gone shows at the next [`receive`](Self::receive).
    pub(super) async fn send(&mut self, frame: &ToWorker<'_>) {
        let _ = self.socket.write_all(&frame.encode()).await;
    }
}

fn spawn(program: &Path, outputs: usize) -> std::io::Result<Worker> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut mappings = vec![FdMapping {
        parent_fd: theirs.into(),
        child_fd: CONTROL_FD,
    }];
    let mut pipes = Vec::new();
    for child_fd in (FIRST_OUTPUT_FD..).take(outputs) {
        let (reader, writer) = std::io::pipe()?;
        pipes.push(pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?);
        mappings.push(FdMapping {
            parent_fd: writer.into(),
            child_fd,
        });
    }
    let mut command = Command::new(program);
    command
        .arg("serve-vault")
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .fd_mappings(mappings)
        .map_err(std::io::Error::other)?;
    let mut child = command.spawn()?;
    // The command holds the worker's ends; while it does, no end of file is seen here.
    drop(command);
    let stderr = child
        .stderr
        .take()
        .ok_or_else(|| std::io::Error::other("no standard error"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    Ok(Worker {
        group,
        child,
        stderr: tokio::spawn(keep_first(stderr)),
        control: Control {
            socket: UnixStream::from_std(ours)?,
            frame: Vec::new(),
        },
        pipes,
    })
}

/// The first bytes of a stream, which is then read to its end, so that its writer never waits.
async fn keep_first(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        let room = MAX_STDERR_BYTES - kept.len();
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    kept
}

/// The end of a hostile program's words, fit for a log line.
pub(super) fn readable(text: &str) -> String {
    let clean: Vec<char> = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let tail = clean.len().saturating_sub(STDERR_TAIL_CHARS);
    clean[tail..].iter().collect::<String>().trim().to_owned()
}
