//! A SoftHSM with one token, in a folder that ends with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Library};
use cryptoki::slot::Slot;
use dashvault_keys::Zeroizing;
use dashvault_keys::provider::{Pkcs11Config, SecretSource};

pub const PIN: &str = "472913";
const LABEL: &str = "dashvault test";
/// Where Debian's and others' packages put it.
const PLACES: [&str; 4] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

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
        let folder = tempfile::tempdir().expect("a folder");
        let configuration = folder.path().join("softhsm2.conf");
        let tokens = folder.path().join("tokens");
        std::fs::create_dir(&tokens).expect("a folder");
        std::fs::write(
            &configuration,
            format!("directories.tokendir = {}\nlog.level = ERROR\n", tokens.display()),
        )
        .expect("a file");
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
            .env("SOFTHSM2_CONF", &configuration)
            .output()
            .expect("SoftHSM is installed: `.ci/install test` brings it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let ran = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", name, "--nocapture"])
            .env("SOFTHSM2_CONF", &configuration)
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

fn module() -> PathBuf {
    if let Some(named) = std::env::var_os("DASHVAULT_PKCS11_MODULE") {
        return named.into();
    }
    let found = PLACES.into_iter().map(PathBuf::from).find(|place| place.exists());
    found.expect("SoftHSM is installed: `.ci/install test` brings it")
}
