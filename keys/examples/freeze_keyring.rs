//! Writes a keyring under a passphrase, with a wrap that it opens, as JSON.
//!
//! `cargo run -p dashvault-keys --example freeze_keyring > keys/tests/vectors/keyring-vN.json`, once for each version of the
//! file. All keys in it are made for it and protect nothing.

use dashvault_keys::Zeroizing;
use dashvault_keys::provider::{Keyring, KeyringConfig, RootKey, SecretSource};
use data_encoding::HEXLOWER;
use serde_json::json;

const PASSPHRASE: &str = "correct horse battery";

fn hex(bytes: impl AsRef<[u8]>) -> String {
    HEXLOWER.encode(bytes.as_ref())
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let config = KeyringConfig {
        path: dir.path().join("keyring"),
        passphrase: Some(SecretSource::given(Zeroizing::new(PASSPHRASE.to_owned()))),
    };
    let root = Keyring::create_as(&config).expect("a keyring");
    let wrap = root.wrap(b"what is wrapped", b"where it is").expect("it wraps");
    root.add_version().expect("it is added");
    root.add_epoch(1).expect("it is added");
    let set = json!({
        "format": "dashvault keyring, version 2",
        "passphrase": PASSPHRASE,
        "keyring": hex(std::fs::read(&config.path).expect("it is there")),
        "wrap": {
            "provider": wrap.provider, "reference": wrap.reference, "epoch": wrap.epoch, "blob": hex(&wrap.blob),
            "aad": hex("where it is"), "plain": hex("what is wrapped"),
        },
    });
    println!("{set:#}");
}
