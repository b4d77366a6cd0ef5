//! The keyring file: who may read it, what is told apart when it cannot be read, and that nothing is ever overwritten.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::*;

pub(super) struct Folder {
    pub dir: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a folder"),
        }
    }

    pub fn keyring(&self) -> PathBuf {
        self.dir.path().join("keyring")
    }

    pub fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).expect("a folder");
        let mut names: Vec<_> = entries
            .map(|e| e.expect("an entry").file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        names
    }
}

const PASSPHRASE: &str = "correct horse battery";

#[test]
fn a_wrap_comes_off_with_the_same_place_and_after_a_restart() {
    let folder = Folder::new();
    let made = Keyring::create(&folder.keyring()).expect("a keyring");
    let wrap = made.wrap(b"a kek", b"place").expect("it wraps");
    let opened = Keyring::open(&folder.keyring()).expect("it is there");
    assert_eq!(**opened.unwrap(&wrap, b"place").expect("it unwraps"), *b"a kek");
    assert_eq!(
        opened.unwrap(&wrap, b"another place").err(),
        Some(ProviderError::Refused)
    );
    for at in 0..wrap.blob.len() {
        let mut changed = wrap.clone();
        changed.blob[at] ^= 1;
        assert_eq!(
            opened.unwrap(&changed, b"place").err(),
            Some(ProviderError::Refused),
            "byte {at}"
        );
        changed.blob.truncate(at);
        assert_eq!(opened.unwrap(&changed, b"place").err(), Some(ProviderError::Refused));
    }
    assert_eq!(
        made.wrap(&[0; MAX_WRAPPED_BYTES + 1], b"").err(),
        Some(ProviderError::Refused)
    );
}

#[test]
fn the_file_is_its_owner_s_alone_and_no_half_file_stays() {
    let folder = Folder::new();
    let keyring = Keyring::create(&folder.keyring()).expect("a keyring");
    let mode = || {
        fs::metadata(folder.keyring())
            .expect("it is there")
            .permissions()
            .mode()
    };
    assert_eq!(mode() & 0o7777, 0o600);
    keyring.add_version().expect("it is added");
    assert_eq!(mode() & 0o7777, 0o600);
    assert_eq!(folder.names(), ["keyring"]);
}

#[test]
fn a_keyring_is_never_overwritten() {
    let folder = Folder::new();
    let keyring = Keyring::create(&folder.keyring()).expect("a keyring");
    let before = fs::read(folder.keyring()).expect("it is there");
    assert!(matches!(
        Keyring::create(&folder.keyring()).err(),
        Some(KeyringError::Exists(_))
    ));
    let backup = keyring.backup(PASSPHRASE).expect("a backup");
    let refused = Keyring::restore(&backup, PASSPHRASE, &KeyringConfig::plain(folder.keyring())).err();
    assert!(matches!(refused, Some(KeyringError::Exists(_))));
    assert_eq!(fs::read(folder.keyring()).expect("it is there"), before);
    assert_eq!(folder.names(), ["keyring"]);
}

#[test]
fn a_keyring_that_others_may_read_is_refused() {
    let folder = Folder::new();
    Keyring::create(&folder.keyring()).expect("a keyring");
    let with_mode = |mode| {
        fs::set_permissions(folder.keyring(), fs::Permissions::from_mode(mode)).expect("its owner may");
        Keyring::open(&folder.keyring()).err()
    };
    for mode in [0o644, 0o640, 0o660, 0o601, 0o700, 0o4600] {
        let refused = with_mode(mode);
        assert!(
            matches!(refused, Some(KeyringError::Permissions { mode: found, .. }) if found == mode),
            "{mode:o}"
        );
    }
    assert!(with_mode(0o600).is_none());
    assert!(with_mode(0o400).is_none());
    assert!(matches!(
        Keyring::open(folder.dir.path()).err(),
        Some(KeyringError::Permissions { .. })
    ));
}

#[test]
fn missing_damaged_and_newer_are_told_apart() {
    let folder = Folder::new();
    assert!(matches!(
        Keyring::open(&folder.keyring()).err(),
        Some(KeyringError::Missing(_))
    ));
    Keyring::create(&folder.keyring()).expect("a keyring");
    let good = fs::read(folder.keyring()).expect("it is there");
    let with = |bytes: &[u8]| {
        fs::write(folder.keyring(), bytes).expect("its owner may");
        Keyring::open(&folder.keyring()).err()
    };
    for cut in 0..good.len() {
        assert!(
            matches!(with(&good[..cut]), Some(KeyringError::Damaged(_))),
            "cut at {cut}"
        );
    }
    for bit in 0..good.len() * 8 {
        let mut changed = good.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let version = bit / 8 == 4;
        let told = with(&changed);
        assert!(
            matches!(told, Some(KeyringError::Damaged(_)) if !version)
                || matches!(told, Some(KeyringError::UnknownVersion(_)) if version),
            "bit {bit}"
        );
    }
    assert!(matches!(
        with(&[good.as_slice(), &[0]].concat()),
        Some(KeyringError::Damaged(_))
    ));
    assert!(matches!(with(&vec![0; 1 << 20]), Some(KeyringError::Damaged(_))));
    assert!(with(&good).is_none());
}

#[test]
fn older_versions_and_epochs_unwrap_until_their_epoch_is_destroyed() {
    let folder = Folder::new();
    let keyring = Keyring::create(&folder.keyring()).expect("a keyring");
    let first = keyring.wrap(b"one", b"").expect("it wraps");
    keyring.add_version().expect("it is added");
    let second = keyring.wrap(b"two", b"").expect("it wraps");
    keyring.add_epoch(1).expect("it is added");
    let third = keyring.wrap(b"three", b"").expect("it wraps");
    assert_eq!((first.epoch, second.epoch, third.epoch), (1, 1, 2));
    assert_ne!(first.reference, second.reference);
    let state = Keyring::open(&folder.keyring())
        .expect("it is there")
        .state()
        .expect("it is read");
    assert_eq!((state.epoch, state.version), (2, 1));
    assert_eq!(state.epochs, [1, 2]);
    for (wrap, plain) in [(&first, "one"), (&second, "two"), (&third, "three")] {
        assert_eq!(**keyring.unwrap(wrap, b"").expect("it unwraps"), *plain.as_bytes());
    }
    assert!(matches!(
        keyring.destroy_epoch(2).err(),
        Some(KeyringError::EpochInUse(2))
    ));
    assert!(matches!(
        keyring.destroy_epoch(9).err(),
        Some(KeyringError::EpochInUse(9))
    ));
    keyring.destroy_epoch(1).expect("it is an older one");
    for keyring in [keyring, Keyring::open(&folder.keyring()).expect("it is there")] {
        assert!(matches!(
            keyring.unwrap(&first, b"").err(),
            Some(ProviderError::NoSuchKey { epoch: 1, .. })
        ));
        assert!(matches!(
            keyring.unwrap(&second, b"").err(),
            Some(ProviderError::NoSuchKey { epoch: 1, .. })
        ));
        assert!(keyring.unwrap(&third, b"").is_ok());
    }
}

#[test]
fn a_wrap_of_another_provider_or_epoch_is_not_tried() {
    let folder = Folder::new();
    let keyring = Keyring::create(&folder.keyring()).expect("a keyring");
    let wrap = keyring.wrap(b"x", b"").expect("it wraps");
    for changed in [
        Wrap {
            provider: 2,
            ..wrap.clone()
        },
        Wrap {
            epoch: 2,
            ..wrap.clone()
        },
        Wrap {
            reference: "00".into(),
            ..wrap
        },
    ] {
        assert!(matches!(
            keyring.unwrap(&changed, b"").err(),
            Some(ProviderError::NoSuchKey { .. })
        ));
    }
}

#[test]
fn two_who_change_it_do_not_lose_each_other_s_keys() {
    let folder = Folder::new();
    let one = Keyring::create(&folder.keyring()).expect("a keyring");
    let other = Keyring::open(&folder.keyring()).expect("it is there");
    one.add_version().expect("it is added");
    other.add_version().expect("it is added");
    assert_eq!(other.state().expect("it is read").version, 3);
    let held = folder.dir.path().join(".keyring.change");
    let lock = fs::File::create(&held).expect("a file");
    lock.lock().expect("it is free");
    assert!(matches!(one.add_version().err(), Some(KeyringError::Busy(path)) if path == held));
    assert!(held.exists(), "another's lock stays");
    // Its process dies in the middle of a change, and leaves what it had written.
    fs::write(&held, b"half a keyring").expect("a file");
    drop(lock);
    one.add_version().expect("the next change goes on");
    assert_eq!(other.state().expect("it is read").version, 4);
    assert_eq!(folder.names(), ["keyring"]);
}

#[test]
fn a_backup_restores_every_key_with_the_right_passphrase_only() {
    let folder = Folder::new();
    let keyring = Keyring::create(&folder.keyring()).expect("a keyring");
    let old = keyring.wrap(b"old", b"").expect("it wraps");
    keyring.add_epoch(1).expect("it is added");
    let new = keyring.wrap(b"new", b"").expect("it wraps");
    let backup = keyring.backup(PASSPHRASE).expect("a backup");
    let again = folder.dir.path().join("again");
    let refused = Keyring::restore(&backup, "correct horse batterz", &KeyringConfig::plain(&again)).err();
    assert!(matches!(refused, Some(KeyringError::BackupRefused)));
    assert!(!again.exists());
    let restored = Keyring::restore(&backup, PASSPHRASE, &KeyringConfig::plain(&again)).expect("it is restored");
    assert_eq!(**restored.unwrap(&old, b"").expect("it unwraps"), *b"old");
    assert_eq!(**restored.unwrap(&new, b"").expect("it unwraps"), *b"new");
    assert_eq!(
        fs::read(&again).expect("it is there"),
        fs::read(folder.keyring()).expect("it is there")
    );
    assert!(matches!(
        keyring.backup("eleven char").err(),
        Some(KeyringError::WeakPassphrase { least: 12 })
    ));
}

#[test]
fn a_changed_backup_is_refused_and_asks_for_no_unbounded_work() {
    let folder = Folder::new();
    let keyring = Keyring::create(&folder.keyring()).expect("a keyring");
    let backup = keyring.backup(PASSPHRASE).expect("a backup");
    let again = folder.dir.path().join("again");
    let restore = |bytes: &[u8]| Keyring::restore(bytes, PASSPHRASE, &KeyringConfig::plain(&again)).err();
    // One byte of each part: magic, suite, kdf, zero, salt, commitment, ciphertext, tag. Each costs a run of Argon2id.
    for at in [0, 5, 6, 7, 30, 60, 90, backup.len() - 1] {
        let mut changed = backup.clone();
        changed[at] ^= 1;
        assert!(
            matches!(restore(&changed), Some(KeyringError::BackupRefused)),
            "byte {at}"
        );
    }
    // Costs past the bound, in their highest byte: refused at once, without the work, which would take days.
    for at in [8, 12, 16] {
        let (mut changed, path) = (backup.clone(), again.clone());
        changed[at] = 0xff;
        let (send, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            send.send(Keyring::restore(&changed, PASSPHRASE, &KeyringConfig::plain(&path)).err())
        });
        let told = told.recv_timeout(std::time::Duration::from_secs(20));
        assert!(
            matches!(told.expect("an answer at once"), Some(KeyringError::BackupRefused)),
            "byte {at}"
        );
    }
    for cut in [0, 4, 8, 19, 51, 52, 83] {
        assert!(matches!(restore(&backup[..cut]), Some(KeyringError::BackupRefused)));
    }
    let mut newer = backup;
    newer[4] = 2;
    assert!(matches!(restore(&newer), Some(KeyringError::UnknownVersion(2))));
    assert!(!again.exists());
}

#[test]
fn a_running_keyring_uses_what_another_process_made_and_nothing_that_it_destroyed() {
    let folder = Folder::new();
    let running = Keyring::create(&folder.keyring()).expect("a keyring");
    let old = running.wrap(b"old", b"").expect("it wraps");
    let other = Keyring::open(&folder.keyring()).expect("it is there");
    assert_eq!(other.add_version().expect("it is added"), 2);
    let rotated = running.wrap(b"x", b"").expect("it wraps");
    assert_ne!(rotated.reference, old.reference);
    assert_eq!(other.add_epoch(1).expect("it is added"), 2);
    assert_eq!(running.epoch(), Ok(2));
    other.destroy_epoch(1).expect("it is an older one");
    other.destroy_epoch(1).expect("done already is done");
    assert!(matches!(
        running.unwrap(&old, b"").err(),
        Some(ProviderError::NoSuchKey { epoch: 1, .. })
    ));
    let root: &dyn RootKey = &running;
    assert!(matches!(root.destroy_epoch(2), Err(ProviderError::NotChanged(_))));
}

#[test]
fn a_running_keyring_whose_file_is_gone_is_unavailable_until_it_is_back() {
    let folder = Folder::new();
    let running = Keyring::create(&folder.keyring()).expect("a keyring");
    let wrap = running.wrap(b"x", b"").expect("it wraps");
    let away = folder.dir.path().join("away");
    fs::rename(folder.keyring(), &away).expect("its owner may");
    let told = running.unwrap(&wrap, b"").expect_err("there is no file");
    assert!(told.is_passing(), "{told}");
    fs::write(folder.keyring(), b"not a keyring").expect("its owner may");
    fs::set_permissions(folder.keyring(), fs::Permissions::from_mode(0o600)).expect("its owner may");
    assert!(running.wrap(b"y", b"").expect_err("no keyring").is_passing());
    fs::rename(&away, folder.keyring()).expect("its owner may");
    assert_eq!(**running.unwrap(&wrap, b"").expect("it is back"), *b"x");
}
