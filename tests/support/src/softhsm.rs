//! A token of SoftHSM's in a folder of its own, for programs that are told where it is by their environment.

use std::path::PathBuf;
use std::process::Command;

use crate::{Scratch, Setup};

/// What the token is called.
pub const LABEL: &str = "dashvault vault";
/// Its user's PIN.
pub const PIN: &str = "472913";
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
        setup
            .env("SOFTHSM2_CONF", self.configuration().to_str().expect("UTF-8"))
            .env("DASHVAULT_ROOT_KEY", "pkcs11")
            .env("DASHVAULT_PKCS11_MODULE", module().to_str().expect("UTF-8"))
            .env("DASHVAULT_PKCS11_TOKEN", LABEL)
            .env("DASHVAULT_PKCS11_PIN", PIN)
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

/// SoftHSM's library.
pub fn module() -> PathBuf {
    if let Some(named) = std::env::var_os("DASHVAULT_PKCS11_MODULE") {
        return named.into();
    }
    let found = PLACES.into_iter().map(PathBuf::from).find(|place| place.exists());
    found.expect("SoftHSM is installed: `.ci/install test` brings it")
}
