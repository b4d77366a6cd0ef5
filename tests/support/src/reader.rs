//! Somebody else who reads the SQLite file: a backup, a person at a prompt.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A read transaction of another process. Dropping it lets go.
pub struct Reader(Child);

impl Reader {
    /// Begins to read; what is written from now on stays in the log.
    pub fn of(database: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sqlite3");
        let prompt = child.stdin.as_mut().expect("its standard input");
        prompt
            .write_all(b"BEGIN; SELECT count(*) FROM sqlite_master;\n")
            .expect("it reads");
        let mut line = String::new();
        let mut told = BufReader::new(child.stdout.as_mut().expect("its standard output"));
        told.read_line(&mut line).expect("an answer");
        assert!(line.trim().parse::<u32>().is_ok_and(|tables| tables > 0), "{line:?}");
        Self(child)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
