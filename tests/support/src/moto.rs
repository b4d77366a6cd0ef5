//! A private stand-in for AWS: `moto_server`, all services in one process, their state in its memory.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use crate::child::Child;
use crate::http_server::{self, Request};
use crate::scratch::{Scratch, free_port};
use crate::tools;

/// It imports a great deal; on a busy machine that takes a while.
const START: Duration = Duration::from_secs(120);

/// The server.
pub struct Moto {
    port: u16,
    _child: Child,
    // Last, so that the server is gone before its folder.
    _scratch: Scratch,
}

impl Moto {
    /// The server that all tests of one test program share. It takes any credentials; what is in one region is not in another.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Moto> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server of one's own.
    pub fn start() -> Self {
        let scratch = Scratch::new("moto");
        let port = free_port();
        let mut command = Command::new(tools::python());
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        command.current_dir(scratch.path());
        let mut child = Child::spawn("moto", &command, None, &scratch.path().join("log"));
        let ping = Request {
            method: "GET".to_owned(),
            path: "/moto-api/data.json".to_owned(),
            headers: vec![("host".to_owned(), format!("127.0.0.1:{port}"))],
            body: Vec::new(),
        };
        child.wait_until("ready", START, || {
            http_server::ask(port, &ping).is_some_and(|(status, _)| status == 200)
        });
        Self {
            port,
            _child: child,
            _scratch: scratch,
        }
    }

    /// The address, `http://127.0.0.1:port`, of every service.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Sends it a request.
    pub(crate) fn ask(&self, request: &Request) -> Option<(u16, Vec<u8>)> {
        http_server::ask(self.port, request)
    }
}
