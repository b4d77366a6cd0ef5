//! The servers of the bench: ours and four others, each started in a new folder, and the count of its syncs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dashvault_test_support::{Child, Vault, free_port, peers, program};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::drive::Target;

/// How long a server may take to listen.
const START: Duration = Duration::from_secs(20);
/// How long strace may take to hold all threads of a server.
const ATTACH: Duration = Duration::from_millis(500);

/// A server that takes uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Ours,
    Rustus,
    RustusSyncing,
    TusServer,
    TusNode,
}

impl Peer {
    /// All of them, ours first.
    pub const ALL: [Self; 5] = [
        Self::Ours,
        Self::Rustus,
        Self::RustusSyncing,
        Self::TusServer,
        Self::TusNode,
    ];

    /// Its name and version as people know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "dashvault",
            Self::Rustus => "rustus",
            Self::RustusSyncing => "rustus --force-fsync",
            Self::TusServer => "tus-server",
            Self::TusNode => "@tus/server",
        }
    }

    /// Whether its program is here. Ours always is.
    pub fn is_installed(self) -> bool {
        self == Self::Ours || self.program().exists()
    }

    fn program(self) -> PathBuf {
        let peers = peers();
        match self {
            Self::Ours => program("dashvault"),
            Self::Rustus | Self::RustusSyncing => peers.join("bin/rustus"),
            Self::TusServer => peers.join("bin/tus-server"),
            Self::TusNode => peers.join("node/node_modules/@tus/server/package.json"),
        }
    }

    fn command(self, port: u16, folder: &Path) -> Command {
        let port = port.to_string();
        let mut command = Command::new(self.program());
        match self {
            Self::Ours => unreachable!("ours starts as a vault"),
            Self::Rustus | Self::RustusSyncing => {
                command.args(["--host", "127.0.0.1", "--port", &port, "--max-body-size", "1000000000"]);
                command.arg("--data-dir").arg(folder.join("data"));
                command.arg("--info-dir").arg(folder.join("info"));
                if self == Self::RustusSyncing {
                    command.args(["--force-fsync", "true"]);
                }
            }
            Self::TusServer => {
                command.args(["serve", "--addr", &format!("127.0.0.1:{port}"), "--base-path", "/files"]);
                command.args(["--storage-uri", &format!("fs://{}", folder.join("data").display())]);
                command.arg("--state-dir").arg(folder.join("info"));
            }
            Self::TusNode => {
                let home = peers().join("node");
                command = Command::new("node");
                command
                    .current_dir(&home)
                    .arg("server.mjs")
                    .arg(&port)
                    .arg(folder.join("data"));
            }
        }
        command
    }

    /// Starts it with nothing stored.
    pub async fn start(self) -> Server {
        if self == Self::Ours {
            let vault = Vault::setup().start();
            let token = vault.owner("bench@example.org").token;
            return Server::Ours {
                vault: Box::new(vault),
                token,
            };
        }
        let folder = tempfile::tempdir().expect("a folder");
        for part in ["data", "info"] {
            std::fs::create_dir(folder.path().join(part)).expect("a folder");
        }
        let port = free_port();
        let command = self.command(port, folder.path());
        let mut child = Child::spawn(self.name(), &command, None, &folder.path().join("log"));
        child.wait_until("listening", START, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Server::Other { child, port, folder }
    }
}

/// A running server; gone with its folder when dropped.
pub enum Server {
    Ours { vault: Box<Vault>, token: String },
    Other { child: Child, port: u16, folder: TempDir },
}

impl Server {
    /// Where to upload.
    pub fn target(&self) -> Target {
        match self {
            Self::Ours { vault, token } => Target {
                create_url: vault.url("/v1/uploads"),
                token: Some(token.clone()),
            },
            Self::Other { port, .. } => Target {
                create_url: format!("http://127.0.0.1:{port}/files"),
                token: None,
            },
        }
    }

    /// Counts its syncs from now on, by strace.
    pub fn count_syncs(&mut self) -> Counter {
        let (pid, folder) = match self {
            Self::Ours { vault, .. } => (vault.process().id(), vault.scratch().to_owned()),
            Self::Other { child, folder, .. } => (child.id(), folder.path().to_owned()),
        };
        let out = folder.join("syncs.txt");
        let mut command = Command::new("strace");
        command.args([
            "-f",
            "-qq",
            "-e",
            "trace=fsync,fdatasync,sync_file_range,syncfs",
            "-p",
            &pid.to_string(),
            "-o",
        ]);
        command.arg(&out);
        let strace = Child::spawn("strace", &command, None, &folder.join("strace.log"));
        std::thread::sleep(ATTACH);
        Counter { strace, out }
    }
}

/// A count under way.
pub struct Counter {
    strace: Child,
    out: PathBuf,
}

impl Counter {
    /// How many calls there were; `None` when strace could not look.
    pub fn stop(mut self) -> Option<u64> {
        let failed = self.strace.ended().is_some();
        self.strace.end_with(Signal::INT);
        let lines = std::fs::read_to_string(&self.out).ok()?;
        // A call that another thread interrupts is written as two lines; the second begins with "<...".
        let calls = lines
            .lines()
            .filter(|line| line.contains("sync") && !line.contains("<... "));
        (!failed).then(|| calls.count() as u64)
    }
}
