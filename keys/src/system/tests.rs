//! The system record: what comes back, which versions sign and verify, and what is refused.

use super::*;
use crate::provider::Keyring;

fn keyring() -> (tempfile::TempDir, Keyring) {
    let dir = tempfile::tempdir().expect("a folder");
    let keyring = Keyring::create(&dir.path().join("keyring")).expect("a keyring");
    (dir, keyring)
}

fn sets(record: &SystemRecord) -> [&KeySet; 4] {
    [&record.index, &record.token, &record.link, &record.receipt]
}

/// Version, since, until, key.
type Told = (u32, i64, Option<i64>, [u8; 32]);

fn versions(record: &SystemRecord) -> Vec<Vec<Told>> {
    let told = |set: &&KeySet| {
        let mut all: Vec<_> = set.verifying(i64::MIN).collect();
        all.reverse();
        let told = all
            .iter()
            .map(|key| (key.version, key.since_ms, key.until_ms, *key.key.expose()));
        told.collect()
    };
    sets(record).iter().map(told).collect()
}

#[test]
fn a_system_record_gives_its_keys_back_old_versions_too() {
    let (_dir, keyring) = keyring();
    let mut record = SystemRecord::make();
    assert!(record.link.rotate(Secret32::make_random(), 100, 5_000));
    assert!(record.rotate_receipts(200));
    let (epoch, bytes) = record.seal(b"tenant", 1, &keyring).expect("it is wrapped");
    assert_eq!((epoch, SystemRecord::revision_of(&bytes)), (1, Some(1)));
    let opened = SystemRecord::open(b"tenant", &bytes, &keyring).expect("it opens");
    assert_eq!(record.locator.expose(), opened.locator.expose());
    assert_eq!(record.ingest.public(), opened.ingest.public());
    assert_eq!(versions(&record), versions(&opened));
    assert_eq!(record.receipt_keys, opened.receipt_keys);
    let mut all: Vec<_> = versions(&record).into_iter().flatten().map(|key| key.3).collect();
    all.push(*record.locator.expose());
    all.push(*record.ingest.secret().expose());
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), count), (8, 8), "every key is another");
}

#[test]
fn an_old_version_signs_until_the_new_one_is_known_and_verifies_until_its_end() {
    let mut set = KeySet::first(Secret32::make_random());
    assert!(set.rotate(Secret32::make_random(), 100, 1_000));
    for (now, signs, verifies) in [
        (99, 1, &[2, 1][..]),
        (100, 2, &[2, 1]),
        (999, 2, &[2, 1]),
        (1_000, 2, &[2]),
    ] {
        assert_eq!(set.signing(now).version, signs, "at {now}");
        let found: Vec<_> = set.verifying(now).map(|key| key.version).collect();
        assert_eq!(found, verifies, "at {now}");
    }
    set.forget_ended(1_000);
    assert_eq!(set.len_bytes(), KeySet::first(Secret32::make_random()).len_bytes());
    for _ in 1..versioned::MAX_VERSIONS {
        assert!(set.rotate(Secret32::make_random(), 100, 9_000));
    }
    assert!(!set.rotate(Secret32::make_random(), 100, 9_000), "a set is bounded");
    set.forget_older();
    assert_eq!((set.newest().version, set.verifying(0).count()), (65, 1));
}

#[test]
fn receipt_keys_follow_from_the_first_one_and_nobody_slips_one_in() {
    let mut record = SystemRecord::make();
    let first = record.receipt_keys[0].public_key;
    for since in [10, 20] {
        assert!(record.rotate_receipts(since));
        record.forget_ended(since);
    }
    assert_eq!(record.receipt.verifying(i64::MIN).count(), 1, "old seeds are gone");
    assert_eq!(record.receipt_keys.len(), 3, "their public halves stay");
    let all: Vec<_> = record.receipt_keys.iter().map(|key| key.public_key).collect();
    assert_eq!(trusted_from(&first, &record.receipt_keys), all);
    assert_eq!(trusted_from(&all[1], &record.receipt_keys), all[1..]);
    let mut forged = record.receipt_keys.clone();
    let other = Secret32::make_random();
    forged[2] = ReceiptKey::endorsed(&other, 20, KeySet::first(other.duplicate()).newest());
    forged[2].version = 3;
    assert_eq!(trusted_from(&first, &forged), all[..2]);
}

#[test]
fn any_changed_bit_any_cut_another_tenant_and_another_root_key_are_refused() {
    let (_dir, keyring) = keyring();
    let (_, bytes) = SystemRecord::make()
        .seal(b"tenant", 1, &keyring)
        .expect("it is wrapped");
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(SystemRecord::open(b"tenant", &changed, &keyring).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(
            SystemRecord::open(b"tenant", &bytes[..cut], &keyring).is_err(),
            "cut at {cut}"
        );
    }
    let refused = SystemRecord::open(b"other", &bytes, &keyring).err();
    assert!(matches!(refused, Some(SystemError::Provider(ProviderError::Refused))));
    let (_other_dir, other) = self::keyring();
    let refused = SystemRecord::open(b"tenant", &bytes, &other).err();
    assert!(matches!(
        refused,
        Some(SystemError::Provider(ProviderError::NoSuchKey { .. }))
    ));
    let mut newer = bytes;
    newer[4] = 9;
    assert!(matches!(
        SystemRecord::open(b"tenant", &newer, &keyring).err(),
        Some(SystemError::UnknownVersion(9))
    ));
}
