//! What every provider of root keys does: functions over the trait, run by each provider's tests.

use dashvault_keys::provider::{MAX_WRAPPED_BYTES, ProviderError, RootKey};

/// `made` and `opened` stand for two processes with one set of root keys.
pub fn a_wrap_comes_off_with_the_same_place_alone(made: &dyn RootKey, opened: &dyn RootKey) {
    let wrap = made.wrap(b"a kek", b"place").expect("it wraps");
    assert_eq!(**opened.unwrap(&wrap, b"place").expect("it unwraps"), *b"a kek");
    assert_eq!(opened.unwrap(&wrap, b"other").err(), Some(ProviderError::Refused));
    for at in 0..wrap.blob.len() {
        let mut changed = wrap.clone();
        changed.blob[at] ^= 1;
        let refused = opened.unwrap(&changed, b"place").err();
        assert_eq!(refused, Some(ProviderError::Refused), "byte {at}");
        changed.blob.truncate(at);
        let refused = opened.unwrap(&changed, b"place").err();
        assert_eq!(refused, Some(ProviderError::Refused), "{at} bytes");
    }
    let long = vec![0; MAX_WRAPPED_BYTES + 1];
    assert_eq!(opened.wrap(&long, b"place").err(), Some(ProviderError::Refused));
    let most = opened.wrap(&long[1..], b"place").expect("as long as may be");
    let plain = opened.unwrap(&most, b"place").expect("it unwraps");
    assert_eq!(plain.len(), MAX_WRAPPED_BYTES);
    let again = made.wrap(b"a kek", b"place").expect("it wraps");
    assert_ne!(again.blob, wrap.blob, "no two wraps are alike");
}

/// As before; both have epoch 1, version 1 alone.
pub fn what_another_process_changes_counts_from_the_next_call(one: &dyn RootKey, other: &dyn RootKey) {
    let first = one.wrap(b"kek", b"place").expect("it wraps");
    assert_eq!(other.add_version().expect("a key"), 2);
    let second = one.wrap(b"kek", b"place").expect("it wraps");
    assert_ne!(second.reference, first.reference);
    assert_eq!((first.epoch, second.epoch), (1, 1));
    assert_eq!(one.state().expect("a state").reference, second.reference);
    assert_eq!(other.add_epoch(1).expect("a key"), 2);
    assert_eq!(one.add_epoch(1).expect("the one there is"), 2, "two at once add one");
    assert_eq!(one.epoch().expect("an epoch"), 2);
    let third = one.wrap(b"kek", b"place").expect("it wraps");
    let state = one.state().expect("a state");
    assert_eq!((third.epoch, state.epoch, state.version), (2, 2, 1));
    assert_eq!((state.epochs, state.reference), (vec![1, 2], third.reference.clone()));
    for wrap in [&first, &second, &third] {
        assert_eq!(**other.unwrap(wrap, b"place").expect("it unwraps"), *b"kek");
    }
    // A wrap is of one key and one epoch.
    for (reference, epoch) in [(&first.reference, 2), (&second.reference, 2), (&third.reference, 1)] {
        let mut moved = first.clone();
        (moved.reference, moved.epoch) = (reference.clone(), epoch);
        let refused = one.unwrap(&moved, b"place").err();
        assert!(matches!(refused, Some(ProviderError::NoSuchKey { .. })), "{refused:?}");
    }
    let mut moved = first.clone();
    moved.reference.clone_from(&second.reference);
    assert_eq!(one.unwrap(&moved, b"place").err(), Some(ProviderError::Refused));
    let mut moved = first.clone();
    moved.provider ^= 0x40;
    let refused = one.unwrap(&moved, b"place").err();
    assert!(matches!(refused, Some(ProviderError::NoSuchKey { .. })), "{refused:?}");

    let refused = other.destroy_epoch(2).err();
    assert!(
        matches!(refused, Some(ProviderError::NotChanged(_))),
        "it wraps: {refused:?}"
    );
    other.destroy_epoch(1).expect("it is destroyed");
    other.destroy_epoch(1).expect("done is done");
    for root in [one, other] {
        for wrap in [&first, &second] {
            let gone = root.unwrap(wrap, b"place").err();
            assert!(
                matches!(
                    gone,
                    Some(ProviderError::NoSuchKey { epoch: 1, .. } | ProviderError::Disabled { .. })
                ),
                "{gone:?}"
            );
        }
        assert_eq!(**root.unwrap(&third, b"place").expect("it unwraps"), *b"kek");
        assert_eq!(root.state().expect("a state").epochs, [2]);
    }
}
