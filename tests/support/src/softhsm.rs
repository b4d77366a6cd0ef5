//! A token of SoftHSM's in a folder of its own, for programs that are told where it is by their environment.

use std::path::PathBuf;
use std::process::Command;

use crate::{Scratch, Setup};

/// What the token is called.
pub const LABEL: &str = "dashvault vault";
/// Its user's PIN.
pub const PIN: &str = "472913";
/// Set in a process that was started for one token.
const OF_THIS_PROCESS: &str = "DASHVAULT_TOKEN_OF_THIS_PROCESS";
/// Where Debian's and others' packages put the library.
const PLACES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// The token. Dropping it removes its keys.
pub struct SoftHsm {
    scratch: Scratch,
}

impl SoftHsm {
    /// A token without keys.
    pub fn new() -> Self {
        let hsm = Self {
            scratch: Scratch::new("softhsm"),
        };
        let tokens = hsm.scratch.path().join("tokens");
        std::fs::create_dir(&tokens).expect("a folder");
        let about = format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display());
        std::fs::write(hsm.configuration(), about).expect("a file");
        let made = Command::new("softhsm2-util")
            .args([
                "--init-token",
                "--free",
                "--label",
                LABEL,
                "--pin",
                PIN,
                "--so-pin",
                "12345678",
            ])
            .env("SOFTHSM2_CONF", hsm.configuration())
            .output()
            .expect("SoftHSM is installed: `.ci/install test` brings it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        hsm
    }

    /// A vault whose root keys are on the token.
    pub fn keeps_root_keys_of(&self, setup: Setup) -> Setup {
        root_keys_on_a_token(setup).env("SOFTHSM2_CONF", self.configuration().to_str().expect("UTF-8"))
    }

    /// Runs a test of this program again, in a process that finds the token: SoftHSM reads where it is once a process.
    pub fn in_its_process(&self, test: &str) {
        self.in_its_process_with(test, []);
    }

    /// The same with more in its environment.
    pub fn in_its_process_with<'a>(&self, test: &str, more: impl IntoIterator<Item = (&'a str, PathBuf)>) {
        let ran = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", test, "--nocapture"])
            .env("SOFTHSM2_CONF", self.configuration())
            .env(OF_THIS_PROCESS, "1")
            .envs(more)
            .output()
            .expect("this program");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(
            ran.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    /// What `SOFTHSM2_CONF` names; the token lies in `tokens` beside it.
    pub fn configuration(&self) -> PathBuf {
        self.scratch.path().join("softhsm2.conf")
    }
}

impl Default for SoftHsm {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether this process was started by [`SoftHsm::in_its_process`].
pub fn is_of_this_process() -> bool {
    std::env::var_os(OF_THIS_PROCESS).is_some()
}

/// A vault whose root keys are on the token of this process, or of whatever `SOFTHSM2_CONF` names.
pub fn root_keys_on_a_token(setup: Setup) -> Setup {
    setup
        .env("DASHVAULT_ROOT_KEY", "pkcs11")
        .env("DASHVAULT_PKCS11_MODULE", module().to_str().expect("UTF-8"))
        .env("DASHVAULT_PKCS11_TOKEN", LABEL)
        .env("DASHVAULT_PKCS11_PIN", PIN)
}

/// SoftHSM's library.
pub fn module() -> PathBuf {
    if let Some(named) = std::env::var_os("DASHVAULT_PKCS11_MODULE") {
        return named.into();
    }
    let found = PLACES.into_iter().map(PathBuf::from).find(|place| place.exists());
    found.expect("SoftHSM is installed: `.ci/install test` brings it")
}
