//! Folders that are gone when the test is, and ports that nobody listens on.

use std::collections::HashSet;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{LazyLock, Mutex};

use tempfile::TempDir;

/// A folder of its own, removed when dropped. What is left over when the whole test program is killed, or by values
/// that live in a `static`, is removed by a shell that waits for the program's end.
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes the folder. `name` only tells people what it is.
    pub fn new(name: &str) -> Self {
        let dir = tempfile::Builder::new()
            .prefix(&format!("{name}-"))
            .tempdir_in(root())
            .expect("a temporary folder");
        Self { dir }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// A port on loopback that was free a moment ago and that this program has not handed out before.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut taken = TAKEN.lock().unwrap_or_else(|e| e.into_inner());
    let taken = taken.get_or_insert_default();
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if taken.insert(port) {
            return port;
        }
    }
}

/// The one folder of this test program, with its watcher.
fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let dir = tempfile::Builder::new()
            .prefix("dashvault-test-")
            .tempdir()
            .expect("a temporary folder")
            .keep();
        // Servers that run as another user have to reach their own folder beneath.
        std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(0o711)).expect("permissions");
        // `read` returns when the other end of the pipe closes, and that is when this program is gone, however it ends.
        // The servers die at the same moment; a few tries let them.
        let watcher = Command::new("setsid")
            .args([
                "sh",
                "-c",
                "read -r _; for i in 1 2 3 4 5; do sleep 1; rm -rf -- \"$1\" && exit; done",
                "sh",
            ])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        // Keeps the pipe open for as long as the program runs.
        std::mem::forget(watcher);
        dir
    });
    &ROOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_value() {
        let scratch = Scratch::new("goes");
        let path = scratch.path().to_owned();
        assert!(path.is_dir());
        drop(scratch);
        assert!(!path.exists());
    }

    #[test]
    fn ports_are_handed_out_once() {
        let ports: HashSet<u16> = (0..200).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 200);
    }
}
