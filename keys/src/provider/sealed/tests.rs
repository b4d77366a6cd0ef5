//! The keyring under a passphrase: what opens it, what is told apart, and that every change keeps it sealed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use zeroize::Zeroizing;

use super::{COMMITMENT_BYTES, FRONT_BYTES, SUM_BYTES};
use crate::digest::sha256;
use crate::provider::tests::Folder;
use crate::provider::{Keyring, KeyringConfig, KeyringError, RootKey, SecretError, SecretSource};

const PASSPHRASE: &str = "correct horse battery";
const OTHER: &str = "staple battery horse";

fn under(path: &Path, passphrase: &str) -> KeyringConfig {
    KeyringConfig {
        path: path.to_owned(),
        passphrase: Some(SecretSource::given(Zeroizing::new(passphrase.to_owned()))),
    }
}

/// A keyring under [`PASSPHRASE`], and where it lies.
fn sealed() -> (Folder, KeyringConfig, Keyring) {
    let folder = Folder::new();
    let config = under(&folder.keyring(), PASSPHRASE);
    let keyring = Keyring::create_as(&config).expect("a keyring");
    (folder, config, keyring)
}

/// A file that fits its sum, whatever else is wrong with it.
fn summed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - SUM_BYTES;
    let sum = sha256(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum);
    bytes
}

#[test]
fn it_opens_with_its_passphrase_and_shows_none_of_its_keys() {
    let (folder, config, made) = sealed();
    let wrap = made.wrap(b"a kek", b"place").expect("it wraps");
    let opened = Keyring::open_as(&config).expect("it opens");
    assert_eq!(**opened.unwrap(&wrap, b"place").expect("it unwraps"), *b"a kek");
    let file = fs::read(folder.keyring()).expect("it is there");
    Keyring::change_passphrase(&config, None).expect("it is laid open");
    let open = fs::read(folder.keyring()).expect("it is there");
    let key = &open[open.len() - 64..open.len() - 32];
    assert!(open.windows(32).any(|window| window == key));
    assert!(
        !file.windows(32).any(|window| window == key),
        "the root key lies in the sealed file"
    );
    assert_eq!(folder.names(), ["keyring"]);
}

#[test]
fn a_wrong_passphrase_and_none_are_told_apart_and_change_nothing() {
    let (folder, _, _) = sealed();
    let before = fs::read(folder.keyring()).expect("it is there");
    let wrong = under(&folder.keyring(), OTHER);
    for told in [
        Keyring::open_as(&wrong).err(),
        Keyring::change_passphrase(&wrong, None).err(),
        Keyring::change_passphrase(&wrong, Some(OTHER)).err(),
    ] {
        assert!(matches!(told, Some(KeyringError::WrongPassphrase(path)) if path == folder.keyring()));
    }
    let plain = KeyringConfig::plain(folder.keyring());
    for told in [
        Keyring::open_as(&plain).err(),
        Keyring::change_passphrase(&plain, Some(OTHER)).err(),
    ] {
        assert!(matches!(told, Some(KeyringError::PassphraseWanted(path)) if path == folder.keyring()));
    }
    assert_eq!(fs::read(folder.keyring()).expect("it is there"), before);
    assert_eq!(folder.names(), ["keyring"]);
    assert!(Keyring::has_passphrase(&folder.keyring()).expect("it is there"));
}

#[test]
fn a_damaged_file_is_told_from_a_wrong_passphrase() {
    let (folder, config, _) = sealed();
    let good = fs::read(folder.keyring()).expect("it is there");
    let with = |bytes: &[u8]| {
        fs::write(folder.keyring(), bytes).expect("its owner may");
        Keyring::open_as(&config).err()
    };
    for cut in 5..good.len() {
        assert!(
            matches!(with(&good[..cut]), Some(KeyringError::Damaged(_))),
            "cut at {cut}"
        );
    }
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (told, version) = (with(&changed), bit / 8 == 4);
        let damaged = matches!(told, Some(KeyringError::Damaged(_) | KeyringError::NoPassphrase(_)));
        assert!(
            damaged && !version
                || version
                    && matches!(
                        told,
                        Some(KeyringError::UnknownVersion(_) | KeyringError::NoPassphrase(_))
                    ),
            "bit {bit}: {told:?}"
        );
    }
    // Whoever changes it mends the sum too.
    let with_byte = |at: usize, byte: u8| {
        let mut changed = good.clone();
        changed[at] ^= byte;
        with(&summed(changed))
    };
    assert!(
        matches!(with_byte(30, 1), Some(KeyringError::WrongPassphrase(_))),
        "head"
    );
    assert!(
        matches!(with_byte(60, 1), Some(KeyringError::WrongPassphrase(_))),
        "salt"
    );
    assert!(matches!(
        with_byte(FRONT_BYTES, 1),
        Some(KeyringError::WrongPassphrase(_))
    ));
    assert!(matches!(
        with_byte(FRONT_BYTES + COMMITMENT_BYTES, 1),
        Some(KeyringError::Damaged(_))
    ));
    // Costs past the bound, in their highest byte: refused at once, without the work, which would take days.
    for at in [8, 12, 16] {
        let mut changed = good.clone();
        changed[at] = 0xff;
        fs::write(folder.keyring(), summed(changed)).expect("its owner may");
        let (send, told) = std::sync::mpsc::channel();
        let config = config.clone();
        std::thread::spawn(move || send.send(Keyring::open_as(&config).err()));
        let told = told.recv_timeout(Duration::from_secs(20)).expect("an answer at once");
        assert!(matches!(told, Some(KeyringError::Damaged(_))), "byte {at}");
    }
    assert!(with(&good).is_none());
}

#[test]
fn every_change_keeps_it_sealed_and_running_keyrings_follow_without_the_passphrase() {
    let (folder, config, running) = sealed();
    let old = running.wrap(b"old", b"").expect("it wraps");
    let other = Keyring::open_as(&config).expect("it opens");
    // Both have what the passphrase became.
    config.passphrase.as_ref().expect("one").forget();
    assert_eq!(other.add_version().expect("it is added"), 2);
    assert_eq!(**running.unwrap(&old, b"").expect("it unwraps"), *b"old");
    assert_eq!(running.add_epoch(1).expect("it is added"), 2);
    let new = other.wrap(b"new", b"").expect("it wraps");
    assert_eq!(new.epoch, 2);
    other.destroy_epoch(1).expect("it is an older one");
    assert!(running.unwrap(&old, b"").is_err());
    assert!(Keyring::has_passphrase(&folder.keyring()).expect("it is there"));
    let again = Keyring::open_as(&under(&folder.keyring(), PASSPHRASE)).expect("it opens");
    assert_eq!(**again.unwrap(&new, b"").expect("it unwraps"), *b"new");
    assert_eq!(again.state().expect("it is read").epochs, [2]);
    assert_eq!(folder.names(), ["keyring"]);
}

#[test]
fn a_running_keyring_takes_a_new_passphrase_from_its_file_and_waits_when_it_was_only_told_one() {
    let folder = Folder::new();
    let secret = folder.dir.path().join("passphrase");
    let write = |passphrase: &str| {
        fs::write(&secret, passphrase).expect("a file");
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("its owner may");
    };
    write(PASSPHRASE);
    let from_file = KeyringConfig {
        path: folder.keyring(),
        passphrase: Some(SecretSource::File(secret.clone())),
    };
    let follows = Keyring::create_as(&from_file).expect("a keyring");
    let told = under(&folder.keyring(), PASSPHRASE);
    let waits = Keyring::open_as(&told).expect("it opens");
    told.passphrase.as_ref().expect("one").forget();
    let wrap = follows.wrap(b"x", b"").expect("it wraps");
    Keyring::change_passphrase(&from_file, Some(OTHER)).expect("it is changed");
    let early = follows
        .unwrap(&wrap, b"")
        .expect_err("its file has the old passphrase still");
    assert!(
        early.is_passing() && early.to_string().contains("passphrase"),
        "{early}"
    );
    write(OTHER);
    assert_eq!(**follows.unwrap(&wrap, b"").expect("it unwraps"), *b"x");
    let late = waits.unwrap(&wrap, b"").expect_err("nobody tells it the new one");
    assert!(late.is_passing() && late.to_string().contains("forgotten"), "{late}");
    assert!(matches!(
        Keyring::open_as(&told).err(),
        Some(KeyringError::Secret(SecretError::Forgotten))
    ));
}

#[test]
fn a_passphrase_that_is_expected_and_missing_is_told_until_it_is_set() {
    let folder = Folder::new();
    let plain = Keyring::create(&folder.keyring()).expect("a keyring");
    let wrap = plain.wrap(b"x", b"").expect("it wraps");
    let config = under(&folder.keyring(), PASSPHRASE);
    assert!(matches!(
        Keyring::open_as(&config).err(),
        Some(KeyringError::NoPassphrase(_))
    ));
    Keyring::change_passphrase(&config, Some(PASSPHRASE)).expect("it needs none yet");
    let opened = Keyring::open_as(&config).expect("it opens");
    assert_eq!(**opened.unwrap(&wrap, b"").expect("it unwraps"), *b"x");
    assert!(plain.unwrap(&wrap, b"").expect_err("it has none").is_passing());
}

#[test]
fn a_short_passphrase_makes_and_changes_nothing() {
    let (folder, config, _) = sealed();
    let elsewhere = folder.dir.path().join("elsewhere");
    let weak = |told| matches!(told, Some(KeyringError::WeakPassphrase { least: 12 }));
    assert!(weak(Keyring::create_as(&under(&elsewhere, "eleven char")).err()));
    assert!(weak(Keyring::change_passphrase(&config, Some("eleven char")).err()));
    assert!(Keyring::open_as(&config).is_ok());
    assert_eq!(folder.names(), ["keyring"]);
}

#[test]
fn it_is_never_overwritten_and_its_backup_comes_back_under_a_passphrase() {
    let (folder, config, keyring) = sealed();
    let before = fs::read(folder.keyring()).expect("it is there");
    assert!(matches!(
        Keyring::create_as(&config).err(),
        Some(KeyringError::Exists(_))
    ));
    let wrap = keyring.wrap(b"x", b"").expect("it wraps");
    let backup = keyring.backup(OTHER).expect("a backup");
    assert!(matches!(
        Keyring::restore(&backup, OTHER, &config).err(),
        Some(KeyringError::Exists(_))
    ));
    assert_eq!(fs::read(folder.keyring()).expect("it is there"), before);
    let again = under(&folder.dir.path().join("again"), PASSPHRASE);
    let restored = Keyring::restore(&backup, OTHER, &again).expect("it is restored");
    assert_eq!(**restored.unwrap(&wrap, b"").expect("it unwraps"), *b"x");
    assert!(Keyring::has_passphrase(&again.path).expect("it is there"));
}
