//! KEK records: one or several wraps, and what an attacker who can write the key plane may try.

use super::*;
use crate::provider::Keyring;

const HEAD: KekHead = KekHead {
    id: [1; 16],
    version: 2,
    revision: 3,
    state: KekState::Active,
};

fn keyring() -> (tempfile::TempDir, Keyring) {
    let dir = tempfile::tempdir().expect("a folder");
    let keyring = Keyring::create(&dir.path().join("keyring")).expect("a keyring");
    (dir, keyring)
}

fn profile() -> Profile {
    let vehicle = Vehicle {
        device: [4; 16],
        public_key: [5; 32],
        label: "the red one".into(),
        vin: Some("JT153SB1000000001".into()),
        plate: None,
        revoked: false,
        old_keys: vec![OldKey {
            key: PublicKey([8; 32]),
            since: 1_772_600_767_089,
        }],
        ..Vehicle::default()
    };
    Profile {
        owner: [6; 16],
        field_key: Secret32::from_bytes([7; 32]),
        about: ProfileAbout {
            email: "a@example.com".into(),
            name: None,
            vehicles: vec![vehicle],
            quotas: Some(Quotas {
                bytes: Some(9),
                vehicle_clips: Some(0),
                ..Quotas::default()
            }),
            ..ProfileAbout::default()
        },
    }
}

fn sealed(kek: &Secret32, roots: &[&Keyring]) -> Vec<u8> {
    let wraps: Vec<_> = roots
        .iter()
        .map(|root| wrap(b"tenant", *root, HEAD.id, HEAD.version, kek).expect("it wraps"))
        .collect();
    seal(b"tenant", &HEAD, kek, &wraps, &profile()).expect("it is short enough")
}

fn opened(bytes: &[u8], root: &Keyring) -> Result<Profile, KekError> {
    let record = SealedKek::parse(bytes)?;
    let kek = record.unwrap(b"tenant", root)?;
    record.open_profile(b"tenant", &kek)
}

#[test]
fn a_record_gives_back_head_kek_and_profile() {
    let (_dir, root) = keyring();
    let kek = Secret32::make_random();
    let bytes = sealed(&kek, &[&root]);
    let record = SealedKek::parse(&bytes).expect("a record");
    assert_eq!(record.head(), HEAD);
    assert_eq!(
        record.unwrap(b"tenant", &root).expect("it unwraps").expose(),
        kek.expose()
    );
    let found = record.open_profile(b"tenant", &kek).expect("it opens");
    assert_eq!(found.owner, [6; 16]);
    assert_eq!(found.field_key.expose(), &[7; 32]);
    assert!(found.about == profile().about);
}

#[test]
fn either_of_two_root_keys_opens_it() {
    let ((_a, one), (_b, two), (_c, stranger)) = (keyring(), keyring(), keyring());
    let bytes = sealed(&Secret32::make_random(), &[&one, &two]);
    assert!(opened(&bytes, &one).is_ok());
    assert!(opened(&bytes, &two).is_ok());
    let refused = opened(&bytes, &stranger).err();
    assert!(matches!(
        refused,
        Some(KekError::Provider(ProviderError::NoSuchKey { .. }))
    ));
}

#[test]
fn a_wrap_outlives_a_new_profile() {
    let (_dir, root) = keyring();
    let kek = Secret32::make_random();
    let bytes = sealed(&kek, &[&root]);
    let record = SealedKek::parse(&bytes).expect("a record");
    let head = KekHead {
        revision: 4,
        state: KekState::Retired,
        ..HEAD
    };
    let rewritten = seal(b"tenant", &head, &kek, record.wraps(), &profile()).expect("it is short enough");
    assert!(opened(&rewritten, &root).is_ok());
    assert_eq!(SealedKek::parse(&rewritten).expect("a record").head(), head);
}

#[test]
fn any_changed_bit_and_any_cut_is_refused() {
    let (_dir, root) = keyring();
    let bytes = sealed(&Secret32::make_random(), &[&root]);
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(opened(&changed, &root).is_err(), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(SealedKek::parse(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(SealedKek::parse(&[bytes.as_slice(), &[0]].concat()).is_err());
    let mut newer = bytes;
    newer[4] = 2;
    assert!(matches!(
        SealedKek::parse(&newer).err(),
        Some(KekError::UnknownVersion(2))
    ));
}

#[test]
fn another_tenant_s_record_and_another_s_wrap_are_refused() {
    let (_dir, root) = keyring();
    let kek = Secret32::make_random();
    let bytes = sealed(&kek, &[&root]);
    let record = SealedKek::parse(&bytes).expect("a record");
    assert!(record.unwrap(b"other", &root).is_err());
    assert!(record.open_profile(b"other", &kek).is_err());
    // The wrap of one record in another: bound to id and version.
    let strange = KekHead { id: [9; 16], ..HEAD };
    let mixed = seal(b"tenant", &strange, &kek, record.wraps(), &profile()).expect("it is short enough");
    assert!(opened(&mixed, &root).is_err());
}

#[test]
fn a_wrapped_key_that_is_not_the_record_s_is_refused() {
    let (_dir, root) = keyring();
    let (kek, other) = (Secret32::make_random(), Secret32::make_random());
    // A well-made wrap of another KEK for the same place.
    let wraps = [wrap(b"tenant", &root, HEAD.id, HEAD.version, &other).expect("it wraps")];
    let bytes = seal(b"tenant", &HEAD, &kek, &wraps, &profile()).expect("it is short enough");
    let record = SealedKek::parse(&bytes).expect("a record");
    assert!(matches!(record.unwrap(b"tenant", &root).err(), Some(KekError::Refused)));
}

#[test]
fn no_record_without_a_wrap_or_with_too_many_or_too_long() {
    let (_dir, root) = keyring();
    let kek = Secret32::make_random();
    let one = wrap(b"tenant", &root, HEAD.id, HEAD.version, &kek).expect("it wraps");
    let refused = |wraps: &[Wrap], profile: &Profile| seal(b"tenant", &HEAD, &kek, wraps, profile).err();
    assert!(matches!(refused(&[], &profile()), Some(KekError::TooLong)));
    let many = vec![one.clone(); MAX_WRAPS + 1];
    assert!(matches!(refused(&many, &profile()), Some(KekError::TooLong)));
    let mut long = profile();
    long.about.email = "x".repeat(MAX_PROFILE_BYTES);
    assert!(matches!(refused(&[one], &long), Some(KekError::TooLong)));
}

#[test]
fn nothing_of_the_owner_is_readable() {
    let (_dir, root) = keyring();
    let bytes = sealed(&Secret32::make_random(), &[&root]);
    for secret in [b"example.com".as_slice(), &[6; 16], &[7; 16], &[5; 16], b"JT153"] {
        assert!(!bytes.windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn a_record_tells_whose_its_only_wrap_is() {
    let (kek, (_dir, one), (_other, two)) = (Secret32::make_random(), keyring(), keyring());
    let by = |root: &Keyring| {
        let state = root.state().expect("a state");
        SoleWrap::by(&state.reference, state.epoch)
    };
    let record = sealed(&kek, &[&one]);
    assert!(by(&one).is_in(&record) && !by(&two).is_in(&record));
    assert_eq!(record[SoleWrap::COUNT_AT], 1);
    let named = by(&one).named().len();
    assert_eq!(
        record[SoleWrap::NAMED_AT..][..named],
        *by(&one).named(),
        "as a catalogue looks for it"
    );
    let state = one.state().expect("a state");
    assert!(!SoleWrap::by(&state.reference, state.epoch + 1).is_in(&record));
    let both = sealed(&kek, &[&one, &two]);
    assert!(
        !by(&one).is_in(&both) && !by(&two).is_in(&both),
        "one of two is not the only one"
    );
    assert!(!by(&one).is_in(&record[..SoleWrap::NAMED_AT]));
}
