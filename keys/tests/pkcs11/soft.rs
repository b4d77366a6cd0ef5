//! A SoftHSM with one token, in a folder that ends with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Library};
use cryptoki::slot::Slot;
use dashvault_keys::Zeroizing;
use dashvault_keys::provider::{Pkcs11Config, SecretSource};
use dashvault_test_support::softhsm::{LABEL, PIN, SoftHsm, module};

pub struct Soft {
    dir: PathBuf,
}

impl Soft {
    /// Runs a test in a process that has a token of its own; there it is called again.
    pub fn run(name: &str, test: impl FnOnce(&Self)) {
        if let Some(configuration) =
            std::env::var_os("SOFTHSM2_CONF").filter(|_| std::env::var_os("SOFT_TEST").is_some())
        {
            let dir = Path::new(&configuration).parent().expect("a folder").to_owned();
            return test(&Self { dir });
        }
        let token = SoftHsm::new();
        let ran = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture"])
            .env("SOFTHSM2_CONF", token.configuration())
            .env("SOFT_TEST", "1")
            .output()
            .expect("this program");
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(
            ran.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }

    pub fn path(&self) -> &Path {
        &self.dir
    }

    pub fn config(&self, prefix: &str) -> Pkcs11Config {
        Pkcs11Config {
            module: module(),
            token: LABEL.to_owned(),
            pin: Self::pin(PIN),
            prefix: prefix.to_owned(),
        }
    }

    pub fn pin(pin: &str) -> SecretSource {
        SecretSource::given(Zeroizing::new(pin.to_owned()))
    }

    /// The library that the provider has begun already, and the token's slot.
    pub fn library(&self) -> (Library, Slot) {
        let library = Library::new(module()).expect("SoftHSM");
        let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = library.get_slots_with_initialized_token().expect("slots");
        (library, *slots.first().expect("a token"))
    }

    /// Takes the token out of its slot.
    pub fn pull(&self) {
        std::fs::rename(self.dir.join("tokens"), self.dir.join("pulled")).expect("the token");
    }

    pub fn put_back(&self) {
        std::fs::rename(self.dir.join("pulled"), self.dir.join("tokens")).expect("the token");
    }
}
