//! Where the tools that tests drive are: as `make test` says in the environment, else where it puts them.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The Python that has the packages of tests/requirements.txt.
pub fn python() -> PathBuf {
    tool("DASHVAULT_PYTHON", || cache().join("python/bin/python"))
}

/// Debian's Chromium.
pub fn chromium() -> PathBuf {
    tool("DASHVAULT_CHROMIUM", || PathBuf::from("/usr/bin/chromium"))
}

/// Whether the full counts are asked for (`make torture`).
pub fn torture() -> bool {
    std::env::var_os("DASHVAULT_TORTURE").is_some_and(|v| !v.is_empty() && v != "0")
}

/// How many rounds a test makes: fewer in `make test`, the full count in `make torture`. Both end with a table of what was
/// asked for here, by `name`.
pub fn rounds(name: &str, in_test: u32, in_torture: u32) -> u32 {
    let count = if torture() { in_torture } else { in_test };
    if let Some(file) = std::env::var_os("DASHVAULT_COUNTS") {
        let line = format!("{name}\t{count}\n");
        // One write of one line: other test programs append to the same file.
        let written = File::options().create(true).append(true).open(file);
        written
            .and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the file of counts");
    }
    count
}

/// A program of this workspace, `dashvault` or `dashvault-worker`: as the environment says, else the one built beside
/// the running test.
pub fn program(name: &str) -> PathBuf {
    let variable = match name {
        "dashvault-worker" => "DASHVAULT_WORKER",
        _ => "DASHVAULT_BIN",
    };
    tool(variable, || {
        let test = std::env::current_exe().expect("the test program's own path");
        let beside_deps = test.parent().and_then(Path::parent).expect("a folder above deps");
        beside_deps.join(name)
    })
}

/// A small server of files, as stands behind a CDN's name.
pub fn caddy() -> PathBuf {
    python().with_file_name("caddy")
}

/// Debian's nginx, with nothing of the machine's own configuration.
pub fn nginx() -> PathBuf {
    tool("DASHVAULT_NGINX", || PathBuf::from("/usr/sbin/nginx"))
}

/// A server of S3 over a folder.
pub fn rclone() -> PathBuf {
    tool("DASHVAULT_RCLONE", || cache().join("rclone/bin/rclone"))
}

/// Where `.ci/install bench` puts the programs that the benches compare with; whether each is there is the caller's to see.
pub fn peers() -> PathBuf {
    cache().join("peers")
}

pub(crate) fn weed() -> PathBuf {
    tool("DASHVAULT_WEED", || cache().join("python/bin/weed"))
}

/// The folder of `initdb` and `postgres`, which Debian keeps out of the PATH.
pub(crate) fn postgres_programs() -> PathBuf {
    tool("DASHVAULT_PG_BIN", || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        let newest = versions.map(|entry| entry.path()).max();
        newest
            .unwrap_or_else(|| PathBuf::from("/usr/lib/postgresql/missing"))
            .join("bin")
    })
}

fn tool(variable: &str, otherwise: impl FnOnce() -> PathBuf) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(otherwise, PathBuf::from);
    assert!(
        path.exists(),
        "{} is missing: `make test` installs it and sets {variable}; `cargo build --workspace` builds the programs",
        path.display()
    );
    path
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache");
    std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(home, PathBuf::from)
        .join("dashvault")
}
