//! A private PostgreSQL server.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::child::Child;
use crate::scratch::{Scratch, free_port};
use crate::tools;

/// Making a cluster and starting it takes two seconds on an idle machine.
const START: Duration = Duration::from_secs(60);
const USER: &str = "vault";
/// Only ever this server's, which listens on loopback for as long as a test runs.
const PASSWORD: &str = "private-to-this-test";

/// A server with a cluster of its own. It does not sync to disk: a test that cuts power cuts the service's, not this.
pub struct Postgres {
    port: u16,
    made: AtomicU32,
    child: Child,
    // Last, so that the server is gone before its folder.
    scratch: Scratch,
}

impl Postgres {
    /// The server that all tests of one test program share; each takes a database of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts a server of one's own, to stop and start again.
    pub fn start() -> Self {
        let scratch = Scratch::new("postgres");
        let user = server_user();
        let data = scratch.path().join("data");
        let password = scratch.path().join("password");
        std::fs::write(&password, PASSWORD).expect("a password file");
        if let Some(user) = user {
            run(Command::new("chown").arg("-R").arg(user).arg(scratch.path()));
        }
        let mut initdb = as_user(user, &tools::postgres_programs().join("initdb"));
        initdb.args([
            "--no-sync",
            "--encoding=UTF8",
            "--locale=C",
            "--auth=scram-sha-256",
            "--username",
            USER,
            "--pwfile",
        ]);
        // Its own folder: the one a test runs in may be closed to the server's user.
        initdb.current_dir(scratch.path());
        run(initdb.arg(&password).arg("--pgdata").arg(&data));
        let port = free_port();
        let child = serve(&data, scratch.path(), port, user);
        let postgres = Self {
            port,
            made: AtomicU32::new(0),
            child,
            scratch,
        };
        postgres.psql("postgres", "SELECT 1");
        postgres
    }

    /// Makes an empty database and returns its address, `postgres://user:password@host:port/name`.
    pub fn database(&self) -> String {
        let name = format!("vault_{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{name}", self.port)
    }

    /// Runs SQL in a database, given by its address or name, and returns the rows, columns split by tabs.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        let mut psql = self.client("psql", database);
        run(psql.args(["-X", "-q", "-A", "-t", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-c", sql]))
    }

    /// All of a database as SQL text, as a thief would have it.
    pub fn dump(&self, database: &str) -> String {
        run(&mut self.client("pg_dump", database))
    }

    /// Stops the server; addresses stay good for [`Postgres::resume`].
    pub fn stop(&mut self) {
        self.child.end_with(Signal::INT);
    }

    /// Starts it again on the same port.
    pub fn resume(&mut self) {
        let data = self.scratch.path().join("data");
        self.child = serve(&data, self.scratch.path(), self.port, server_user());
    }

    fn client(&self, program: &str, database: &str) -> Command {
        let name = database.rsplit('/').next().unwrap_or(database);
        let mut command = Command::new(tools::postgres_programs().join(program));
        command.env("PGPASSWORD", PASSWORD).env("PGCONNECT_TIMEOUT", "10");
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", USER, "-d", name]);
        command
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if self.child.ended().is_none() {
            // Immediate shutdown: its own children go too.
            self.child.signal(Signal::QUIT);
            for _ in 0..100 {
                if self.child.ended().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn serve(data: &Path, sockets: &Path, port: u16, user: Option<&str>) -> Child {
    let mut command = Command::new(tools::postgres_programs().join("postgres"));
    command.current_dir(sockets);
    command.arg("-D").arg(data).arg("-k").arg(sockets);
    command.args([
        "-h",
        "127.0.0.1",
        "-p",
        &port.to_string(),
        "-F",
        "-c",
        "max_connections=200",
    ]);
    command.args(["-c", "full_page_writes=off", "-c", "shared_buffers=32MB"]);
    let mut child = Child::spawn("PostgreSQL", &command, user, &sockets.join("log"));
    let mut asks = Command::new(tools::postgres_programs().join("pg_isready"));
    asks.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    child.wait_until("ready", START, || asks.status().expect("pg_isready").success());
    child
}

/// PostgreSQL refuses to run as root.
fn server_user() -> Option<&'static str> {
    rustix::process::geteuid().is_root().then_some("postgres")
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else {
        return Command::new(program);
    };
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid", user, "--clear-groups", "--"])
        .arg(program);
    command
}

fn run(command: &mut Command) -> String {
    let out = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
    assert!(
        out.status.success(),
        "{}: {}\n{}",
        command.get_program().display(),
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    String::from_utf8_lossy(&out.stdout).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn databases_are_apart_and_survive_a_stop() {
        let mut postgres = Postgres::start();
        let one = postgres.database();
        let two = postgres.database();
        postgres.psql(&one, "CREATE TABLE t (a text); INSERT INTO t VALUES ('planted')");
        assert!(postgres.dump(&one).contains("planted"));
        assert!(!postgres.dump(&two).contains("planted"));
        postgres.stop();
        postgres.resume();
        assert_eq!(postgres.psql(&one, "SELECT a FROM t"), "planted");
    }
}
