//! Root keys on a token, against SoftHSM. SoftHSM reads its configuration once a process, so each test runs in a process and on
//! a token of its own.

#![cfg(feature = "pkcs11")]

mod soft;

use std::time::{Duration, Instant};

use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use dashvault_keys::provider::{
    MAX_WRAPPED_BYTES, Pkcs11, Pkcs11Config, Pkcs11Error, ProviderConfig, ProviderError, RootKey, create, open,
};

use dashvault_test_support::softhsm::PIN;
use soft::Soft;

/// A token that is away answers within so long, its retries included.
const AWAY: Duration = Duration::from_secs(5);

#[test]
fn a_wrap_comes_off_with_the_same_place_alone() {
    Soft::run("a_wrap_comes_off_with_the_same_place_alone", |soft| {
        let made = Pkcs11::create(&soft.config("vault")).expect("a key");
        let wrap = made.wrap(b"a kek", b"place").expect("it wraps");
        let opened = Pkcs11::open(&soft.config("vault")).expect("it is there");
        assert_eq!(**opened.unwrap(&wrap, b"place").expect("it unwraps"), *b"a kek");
        assert_eq!(opened.unwrap(&wrap, b"other").err(), Some(ProviderError::Refused));
        for at in 0..wrap.blob.len() {
            let mut changed = wrap.clone();
            changed.blob[at] ^= 1;
            assert_eq!(
                opened.unwrap(&changed, b"place").err(),
                Some(ProviderError::Refused),
                "byte {at}"
            );
            changed.blob.truncate(at);
            assert_eq!(
                opened.unwrap(&changed, b"place").err(),
                Some(ProviderError::Refused),
                "{at} bytes"
            );
        }
        let long = vec![0; MAX_WRAPPED_BYTES + 1];
        assert_eq!(opened.wrap(&long, b"").err(), Some(ProviderError::Refused));
        let most = opened.wrap(&long[1..], b"").expect("as long as may be");
        assert_eq!(opened.unwrap(&most, b"").expect("it unwraps").len(), MAX_WRAPPED_BYTES);
        assert_ne!(
            made.wrap(b"a kek", b"place").expect("it wraps").blob,
            wrap.blob,
            "nonces are random"
        );
    });
}

#[test]
fn what_another_service_adds_or_destroys_counts_from_the_next_call() {
    Soft::run(
        "what_another_service_adds_or_destroys_counts_from_the_next_call",
        |soft| {
            let one = Pkcs11::create(&soft.config("vault")).expect("a key");
            let other = Pkcs11::open(&soft.config("vault")).expect("it is there");
            let first = one.wrap(b"kek", b"place").expect("it wraps");
            assert_eq!(other.add_version().expect("a key"), 2);
            let second = one.wrap(b"kek", b"place").expect("it wraps");
            assert_ne!(second.reference, first.reference);
            assert_eq!(other.add_epoch().expect("a key"), 2);
            assert_eq!(one.epoch().expect("an epoch"), 2);
            let third = one.wrap(b"kek", b"place").expect("it wraps");
            assert_eq!((third.epoch, one.state().expect("a state").epochs), (2, vec![1, 2]));
            for wrap in [&first, &second, &third] {
                assert_eq!(**other.unwrap(wrap, b"place").expect("it unwraps"), *b"kek");
            }
            assert!(
                matches!(other.destroy_epoch(2), Err(ProviderError::NotChanged(_))),
                "it wraps"
            );
            other.destroy_epoch(1).expect("it is destroyed");
            other.destroy_epoch(1).expect("done is done");
            for wrap in [&first, &second] {
                let gone = one.unwrap(wrap, b"place").err();
                assert!(
                    matches!(gone, Some(ProviderError::NoSuchKey { epoch: 1, .. })),
                    "{gone:?}"
                );
            }
            assert_eq!(**one.unwrap(&third, b"place").expect("it unwraps"), *b"kek");
            assert_eq!(one.state().expect("a state").keys.len(), 1);
        },
    );
}

#[test]
fn a_key_never_leaves_the_token() {
    Soft::run("a_key_never_leaves_the_token", |soft| {
        Pkcs11::create(&soft.config("vault")).expect("a key");
        let (library, slot) = soft.library();
        let session = library.open_ro_session(slot).expect("a session");
        let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
        let keys = session.find_objects(&[
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
        ]);
        let keys = keys.expect("objects");
        let [key] = keys.as_slice() else { panic!("one key") };
        let shown = session
            .get_attributes(*key, &[AttributeType::Value])
            .expect("an answer");
        assert!(shown.is_empty(), "the key's bytes can be read");
        let asked = [
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::NeverExtractable,
        ];
        let said = session.get_attributes(*key, &asked).expect("attributes");
        for expected in [
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::NeverExtractable(true),
        ] {
            assert!(said.contains(&expected), "{expected:?} in {said:?}");
        }
    });
}

#[test]
fn vaults_on_one_token_do_not_see_each_others_keys() {
    Soft::run("vaults_on_one_token_do_not_see_each_others_keys", |soft| {
        let one = Pkcs11::create(&soft.config("vault")).expect("a key");
        let missing = Pkcs11::open(&soft.config("vault-b")).err();
        assert!(matches!(missing, Some(Pkcs11Error::NoKey { .. })), "{missing:?}");
        let other = Pkcs11::create(&soft.config("vault-b")).expect("a key");
        let wrap = one.wrap(b"kek", b"place").expect("it wraps");
        let refused = other.unwrap(&wrap, b"place").err();
        assert!(matches!(refused, Some(ProviderError::NoSuchKey { .. })), "{refused:?}");
        let again = Pkcs11::create(&soft.config("vault")).err();
        assert!(matches!(again, Some(Pkcs11Error::Exists { .. })), "{again:?}");
        let by_choice = ProviderConfig::Pkcs11(soft.config("vault"));
        assert!(create(&by_choice).err().is_some_and(|error| error.is_there_already()));
        assert_eq!(
            **open(&by_choice)
                .expect("it opens")
                .unwrap(&wrap, b"place")
                .expect("it unwraps"),
            *b"kek"
        );
        let nobody = ProviderConfig::Pkcs11(soft.config("nobody"));
        assert!(open(&nobody).err().is_some_and(|error| error.is_missing()));
    });
}

#[test]
fn what_is_wrong_with_library_token_or_pin_is_told_apart() {
    Soft::run("what_is_wrong_with_library_token_or_pin_is_told_apart", |soft| {
        Pkcs11::create(&soft.config("vault")).expect("a key");
        let wrong = Pkcs11Config {
            module: soft.path().join("no-library.so"),
            ..soft.config("vault")
        };
        assert!(matches!(Pkcs11::open(&wrong), Err(Pkcs11Error::Module { .. })));
        let wrong = Pkcs11Config {
            token: "no such token".to_owned(),
            ..soft.config("vault")
        };
        assert!(matches!(Pkcs11::open(&wrong), Err(Pkcs11Error::NoToken(_))));
    });
}

#[test]
fn a_wrong_pin_is_tried_once_and_told() {
    Soft::run("a_wrong_pin_is_tried_once_and_told", |soft| {
        let wrong = Pkcs11Config {
            pin: Soft::pin("99999999"),
            ..soft.config("vault")
        };
        let refused = Pkcs11::open(&wrong).err();
        assert!(matches!(refused, Some(Pkcs11Error::WrongPin { .. })), "{refused:?}");
        let said = refused.expect("an error").to_string();
        assert!(!said.contains("99999999") && said.contains("start again"), "{said}");
    });
}

#[test]
fn a_token_that_is_pulled_is_unavailable_and_back_again_goes_on() {
    Soft::run("a_token_that_is_pulled_is_unavailable_and_back_again_goes_on", |soft| {
        let root = Pkcs11::create(&soft.config("vault")).expect("a key");
        let wrap = root.wrap(b"kek", b"place").expect("it wraps");
        soft.pull();
        let began = Instant::now();
        for refused in [root.wrap(b"kek", b"place").err(), root.unwrap(&wrap, b"place").err()] {
            let refused = refused.expect("an error");
            assert!(refused.is_passing(), "{refused:?}");
        }
        assert!(began.elapsed() < AWAY, "{:?}", began.elapsed());
        soft.put_back();
        assert_eq!(**root.unwrap(&wrap, b"place").expect("it unwraps"), *b"kek");
    });
}

#[test]
fn many_threads_share_eight_sessions() {
    Soft::run("many_threads_share_eight_sessions", |soft| {
        let root = Pkcs11::create(&soft.config("vault")).expect("a key");
        std::thread::scope(|scope| {
            for thread in 0..24_u8 {
                let root = &root;
                scope.spawn(move || {
                    for round in 0..20_u8 {
                        let (plain, place) = ([thread; 32], [thread, round]);
                        let wrap = root.wrap(&plain, &place).expect("it wraps");
                        assert_eq!(**root.unwrap(&wrap, &place).expect("it unwraps"), plain);
                    }
                });
            }
        });
    });
}
