//! A SoftHSM with one token, in a folder that ends with the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11 as Library};
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;
use dashvault_keys::Zeroizing;
use dashvault_keys::provider::{Pkcs11, Pkcs11Config, SecretSource};
use dashvault_test_support::softhsm::{LABEL, PIN, SoftHsm, is_of_this_process, module};

/// Where Debian's package puts it, by machine, and others.
const SPIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so",
    "/usr/lib/aarch64-linux-gnu/pkcs11-spy.so",
    "/usr/lib64/pkcs11-spy.so",
    "/usr/lib/pkcs11-spy.so",
];
/// What the spy wrote, beside the token.
const SPIED: &str = "calls";
/// While this file lies beside the token, it is broken: see `broken.c`.
const BROKEN: &str = "broken";

pub struct Soft {
    dir: PathBuf,
}

impl Soft {
    /// Runs a test in a process that has a token of its own; there it is called again.
    pub fn run(name: &str, test: impl FnOnce(&Self)) {
        if is_of_this_process() {
            let configuration = std::env::var_os("SOFTHSM2_CONF").expect("where the token is");
            let dir = Path::new(&configuration).parent().expect("a folder").to_owned();
            return test(&Self { dir });
        }
        let token = SoftHsm::new();
        let spied = token.configuration().with_file_name(SPIED);
        token.in_its_process_with(name, [("PKCS11SPY", module()), ("PKCS11SPY_OUTPUT", spied)]);
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

    /// The first opening of the vault's keys.
    pub fn create(&self) -> Pkcs11 {
        Pkcs11::create(&self.config("vault")).expect("a key")
    }

    /// A later one.
    pub fn open(&self) -> Pkcs11 {
        Pkcs11::open(&self.config("vault")).expect("it is there")
    }

    /// SoftHSM through OpenSC's spy, which writes down every call.
    pub fn spied_module(&self) -> PathBuf {
        let found = SPIES.into_iter().map(PathBuf::from).find(|place| place.exists());
        found.expect("OpenSC's spy is installed: `.ci/install test` brings it")
    }

    /// SoftHSM behind a layer that opens nothing while the token is [`Self::break_it`].
    pub fn breakable_module(&self) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pkcs11/broken.c");
        let built = self.dir.join("broken.so");
        let text = |what: &str, path: &Path| format!("-D{what}=\"{}\"", path.display());
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-o"])
            .args([&built, &source])
            .args([text("BEHIND", &module()), text("BROKEN", &self.dir.join(BROKEN))])
            .arg("-ldl")
            .output()
            .expect("a C compiler: `.ci/install build` brings it");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        built
    }

    /// From now on the token of [`Self::breakable_module`] answers whatever it shall decrypt with a general error, and shows its
    /// keys.
    pub fn break_it(&self) {
        std::fs::write(self.dir.join(BROKEN), "").expect("a file");
    }

    pub fn mend(&self) {
        std::fs::remove_file(self.dir.join(BROKEN)).expect("it was broken");
    }

    /// How often a function was called through the spy.
    pub fn calls(&self, function: &str) -> usize {
        let told = std::fs::read_to_string(self.dir.join(SPIED)).expect("what the spy wrote");
        let begins = |line: &&str| line.split_once(": ").is_some_and(|(_, name)| name == function);
        told.lines().filter(begins).count()
    }

    /// The vault's keys, by a session of the test's own beside the provider's.
    pub fn keys(&self) -> (Session, Vec<ObjectHandle>) {
        let library = Library::new(module()).expect("SoftHSM");
        let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        let slots = library.get_slots_with_initialized_token().expect("slots");
        let session = library.open_rw_session(*slots.first().expect("a token"));
        let session = session.expect("a session");
        let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
        let keys = session.find_objects(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
        ]);
        let keys = keys.expect("objects");
        (session, keys)
    }

    /// Changes what the keys may be used for, as an administrator of the token does.
    pub fn change_keys(&self, to: &[Attribute]) {
        let (session, keys) = self.keys();
        for key in keys {
            session.update_attributes(key, to).expect("they change");
        }
    }

    /// Takes the token out of its slot.
    pub fn pull(&self) {
        std::fs::rename(self.dir.join("tokens"), self.dir.join("pulled")).expect("the token");
    }

    pub fn put_back(&self) {
        std::fs::rename(self.dir.join("pulled"), self.dir.join("tokens")).expect("the token");
    }
}
