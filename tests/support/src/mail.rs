//! A private mail server: aiosmtpd, which keeps what it is given.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::child::Child;
use crate::scratch::{Scratch, free_port};
use crate::tools;

const START: Duration = Duration::from_secs(60);
const USER: &str = "vault";
/// Only ever this server's, which listens on loopback for as long as a test runs.
const PASSWORD: &str = "private-to-this-test";

const SERVER: &str = r#"
import json, pathlib, ssl, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, folder, certificate, key, user, password = sys.argv[1:]

class Kept:
    count = 0
    async def handle_DATA(self, server, session, envelope):
        Kept.count += 1
        told = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.content.decode(),
                "tls": session.ssl is not None, "user": bool(session.authenticated)}
        name = pathlib.Path(folder) / f"{Kept.count:04}"
        name.with_suffix(".new").write_text(json.dumps(told))
        name.with_suffix(".new").rename(name.with_suffix(".json"))
        return "250 kept"

def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=data.login == user.encode() and data.password == password.encode())

options = {}
if certificate:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    options = dict(tls_context=context, require_starttls=True, authenticator=authenticate, auth_required=True)
Controller(Kept(), hostname="127.0.0.1", port=int(port), **options).start()
threading.Event().wait()
"#;

/// The server.
pub struct Mail {
    port: u16,
    child: Child,
    folder: PathBuf,
    // Last, so that the server is gone before its folder.
    scratch: Scratch,
}

impl Mail {
    /// One that takes everything, in the clear.
    pub fn start() -> Self {
        Self::start_with("", "")
    }

    /// One that takes nothing before STARTTLS and a sign-in; certificate and key are PEM.
    pub fn start_secret(certificate: &str, key: &str) -> Self {
        Self::start_with(certificate, key)
    }

    fn start_with(certificate: &str, key: &str) -> Self {
        let scratch = Scratch::new("mail");
        let folder = scratch.path().join("kept");
        std::fs::create_dir_all(&folder).expect("a folder for mail");
        let file = |name: &str, text: &str| {
            let file = scratch.path().join(name);
            std::fs::write(&file, text).expect("a file");
            if text.is_empty() { PathBuf::new() } else { file }
        };
        let port = free_port();
        let mut command = Command::new(tools::python());
        command.args(["-c", SERVER, &port.to_string()]).arg(&folder);
        command
            .arg(file("certificate.pem", certificate))
            .arg(file("key.pem", key))
            .args([USER, PASSWORD]);
        let mut child = Child::spawn("aiosmtpd", &command, None, &scratch.path().join("log"));
        child.wait_until("ready", START, || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            port,
            child,
            folder,
            scratch,
        }
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Who may sign in at a secret one.
    pub fn user(&self) -> &'static str {
        USER
    }

    /// And by what.
    pub fn password(&self) -> &'static str {
        PASSWORD
    }

    /// A folder for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// What came, in its order: `from`, `to`, `text`, `tls`, `user`.
    pub fn kept(&self) -> Vec<Value> {
        let entries = std::fs::read_dir(&self.folder).expect("the folder of mail").flatten();
        let mut files: Vec<_> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "json"))
            .collect();
        files.sort();
        let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).expect("a mail")).expect("JSON");
        files.iter().map(read).collect()
    }

    /// Waits for so many mails; panics with the server's log when they do not come.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let kept = self.kept();
            if kept.len() >= count {
                return kept;
            }
            assert!(
                began.elapsed() < limit,
                "{} of {count} mails after {limit:?}\n{}",
                kept.len(),
                self.child.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
