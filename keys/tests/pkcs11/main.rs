//! Root keys on a token, against SoftHSM. SoftHSM reads its configuration once a process, so each test runs in a process and on
//! a token of its own.

#![cfg(feature = "pkcs11")]

#[path = "../contract/mod.rs"]
mod contract;
mod soft;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use cryptoki::object::{Attribute, AttributeType};
use dashvault_keys::provider::{
    KeyCondition, Pkcs11, Pkcs11Config, Pkcs11Error, ProviderConfig, ProviderError, RootKey, create, open,
};

use dashvault_test_support::rounds;
use dashvault_test_support::softhsm::PIN;
use soft::Soft;

/// A token that is away answers within so long, its retries included.
const AWAY: Duration = Duration::from_secs(5);

#[test]
fn a_wrap_comes_off_with_the_same_place_alone() {
    Soft::run("a_wrap_comes_off_with_the_same_place_alone", |soft| {
        contract::a_wrap_comes_off_with_the_same_place_alone(&soft.create(), &soft.open());
    });
}

#[test]
fn what_another_service_adds_or_destroys_counts_from_the_next_call() {
    Soft::run(
        "what_another_service_adds_or_destroys_counts_from_the_next_call",
        |soft| contract::what_another_process_changes_counts_from_the_next_call(&soft.create(), &soft.open()),
    );
}

#[test]
fn a_key_that_is_switched_off_is_refused_and_on_again_goes_on() {
    Soft::run("a_key_that_is_switched_off_is_refused_and_on_again_goes_on", |soft| {
        let root = soft.create();
        let wrap = root.wrap(b"kek", b"place").expect("it wraps");
        let condition = || root.state().expect("a state").keys[0].condition;
        // Switched off after it was used, and before this opening ever saw it.
        for root in [&root, &soft.open()] {
            for (what, off, on) in [
                (
                    "both",
                    vec![Attribute::Encrypt(false), Attribute::Decrypt(false)],
                    vec![Attribute::Encrypt(true), Attribute::Decrypt(true)],
                ),
                (
                    "decrypt",
                    vec![Attribute::Decrypt(false)],
                    vec![Attribute::Decrypt(true)],
                ),
            ] {
                soft.change_keys(&off);
                for _ in 0..2 {
                    let refused = root.unwrap(&wrap, b"place").err();
                    assert!(
                        matches!(refused, Some(ProviderError::Disabled { .. })),
                        "{what} off: {refused:?}"
                    );
                }
                assert_eq!(condition(), KeyCondition::Disabled, "{what} off");
                let refused = root.wrap(b"kek", b"place").err();
                assert!(
                    matches!(refused, Some(ProviderError::Disabled { .. })),
                    "{what} off: {refused:?}"
                );
                soft.change_keys(&on);
                assert_eq!(**root.unwrap(&wrap, b"place").expect("it is on again"), *b"kek");
                root.wrap(b"kek", b"place").expect("it is on again");
                assert_eq!(condition(), KeyCondition::Enabled);
            }
        }
        // Nothing used it meanwhile: the state is read and not remembered.
        assert_eq!(condition(), KeyCondition::Enabled);
        soft.change_keys(&[Attribute::Encrypt(false)]);
        assert_eq!(condition(), KeyCondition::Disabled);
    });
}

#[test]
fn a_key_never_leaves_the_token() {
    Soft::run("a_key_never_leaves_the_token", |soft| {
        soft.create();
        let (session, keys) = soft.keys();
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
        let one = soft.create();
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
        soft.create();
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
fn a_wrong_pin_is_tried_once_by_a_process_however_often_and_by_whom_the_token_is_opened() {
    Soft::run(
        "a_wrong_pin_is_tried_once_by_a_process_however_often_and_by_whom_the_token_is_opened",
        |soft| {
            let wrong = Pkcs11Config {
                module: soft.spied_module(),
                pin: Soft::pin("99999999"),
                ..soft.config("vault")
            };
            let refused = || {
                let refused = Pkcs11::open(&wrong).err();
                assert!(matches!(refused, Some(Pkcs11Error::WrongPin { .. })), "{refused:?}");
                refused.expect("an error").to_string()
            };
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(refused);
                }
            });
            let said = refused();
            assert!(!said.contains("99999999") && said.contains("start again"), "{said}");
            let right = Pkcs11Config {
                pin: Soft::pin(PIN),
                ..wrong.clone()
            };
            let again = Pkcs11::open(&right).err();
            assert!(
                matches!(again, Some(Pkcs11Error::WrongPin { .. })),
                "nobody tries it again: {again:?}"
            );
            assert_eq!(soft.calls("C_Login"), 1);
        },
    );
}

#[test]
fn a_token_that_is_pulled_is_unavailable_and_back_again_goes_on() {
    Soft::run("a_token_that_is_pulled_is_unavailable_and_back_again_goes_on", |soft| {
        let root = soft.create();
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
fn a_broken_token_that_shows_its_keys_is_unavailable_and_no_wrap_is_told_to_be_wrong() {
    Soft::run(
        "a_broken_token_that_shows_its_keys_is_unavailable_and_no_wrap_is_told_to_be_wrong",
        |soft| {
            drop(soft.create());
            let breakable = Pkcs11Config {
                module: soft.breakable_module(),
                ..soft.config("vault")
            };
            // Broken before it ever opened anything, and after it had refused something.
            for first in [true, false] {
                let root = Pkcs11::open(&breakable).expect("it is there");
                let wrap = root.wrap(b"kek", b"place").expect("it wraps");
                if !first {
                    assert_eq!(root.unwrap(&wrap, b"other").err(), Some(ProviderError::Refused));
                }
                soft.break_it();
                assert_eq!(
                    root.state().expect("it shows them").keys[0].condition,
                    KeyCondition::Enabled
                );
                for place in [&b"place"[..], b"other"] {
                    let began = Instant::now();
                    let broken = root.unwrap(&wrap, place).expect_err("it opens nothing");
                    assert!(broken.is_passing(), "{broken:?}");
                    assert!(broken.to_string().contains("look at the token"), "{broken}");
                    assert!(began.elapsed() < AWAY, "{:?}", began.elapsed());
                }
                // Broken for a moment: it is tried again.
                std::thread::scope(|scope| {
                    let unwrapping = scope.spawn(|| root.unwrap(&wrap, b"place"));
                    std::thread::sleep(Duration::from_millis(50));
                    soft.mend();
                    let key = unwrapping.join().expect("no panic").expect("it is mended in time");
                    assert_eq!(**key, *b"kek");
                });
                assert_eq!(root.unwrap(&wrap, b"other").err(), Some(ProviderError::Refused));
            }
        },
    );
}

#[test]
fn a_token_that_is_pulled_while_many_threads_use_it_gives_no_false_answer() {
    Soft::run(
        "a_token_that_is_pulled_while_many_threads_use_it_gives_no_false_answer",
        |soft| {
            let root = soft.create();
            let wrap = root.wrap(b"kek", b"place").expect("it wraps");
            let (over, passed, good) = (AtomicBool::new(false), AtomicU32::new(0), AtomicU32::new(0));
            let judge = |answer: Result<(), ProviderError>| match answer {
                Ok(()) => good.fetch_add(1, Ordering::Relaxed),
                Err(error) if error.is_passing() => passed.fetch_add(1, Ordering::Relaxed),
                Err(error) => panic!("a token that is away is no other failure: {error:?}"),
            };
            std::thread::scope(|scope| {
                for thread in 0..6_u8 {
                    let (root, wrap, over, judge) = (&root, &wrap, &over, &judge);
                    scope.spawn(move || {
                        while !over.load(Ordering::Relaxed) {
                            judge(root.wrap(&[thread; 32], b"mine").map(drop));
                            judge(root.unwrap(wrap, b"place").map(|key| assert_eq!(**key, *b"kek")));
                        }
                    });
                }
                for _ in 0..rounds("times a token is pulled under use", 3, 30) {
                    std::thread::sleep(Duration::from_millis(150));
                    soft.pull();
                    std::thread::sleep(Duration::from_millis(900));
                    soft.put_back();
                }
                std::thread::sleep(Duration::from_millis(150));
                over.store(true, Ordering::Relaxed);
            });
            assert!(passed.into_inner() > 0, "it was pulled while it was used");
            assert!(good.into_inner() > 100, "it was used");
            assert_eq!(**root.unwrap(&wrap, b"place").expect("it is back"), *b"kek");
            root.wrap(b"kek", b"place").expect("it is back");
        },
    );
}

#[test]
fn a_token_that_is_not_there_when_it_is_opened_is_unavailable_and_another_label_is_none() {
    Soft::run(
        "a_token_that_is_not_there_when_it_is_opened_is_unavailable_and_another_label_is_none",
        |soft| {
            drop(soft.create());
            soft.pull();
            // Whatever the library found when it began.
            let away = open(&ProviderConfig::Pkcs11(soft.config("vault")))
                .err()
                .expect("an error");
            assert!(away.is_passing() && !away.is_missing(), "{away:?}");
            soft.put_back();
            soft.open().wrap(b"kek", b"place").expect("it is back");
            let other = Pkcs11Config {
                token: "another".to_owned(),
                ..soft.config("vault")
            };
            let none = open(&ProviderConfig::Pkcs11(other)).err().expect("an error");
            assert!(
                !none.is_passing() && none.to_string().contains("--pkcs11-token"),
                "{none}"
            );
        },
    );
}

#[test]
fn a_batch_searches_the_token_once_and_a_key_that_is_switched_off_or_destroyed_counts_within_it() {
    Soft::run(
        "a_batch_searches_the_token_once_and_a_key_that_is_switched_off_or_destroyed_counts_within_it",
        |soft| {
            drop(soft.create());
            let spied = Pkcs11Config {
                module: soft.spied_module(),
                ..soft.config("vault")
            };
            let root = Pkcs11::open(&spied).expect("it is there");
            let searches = || soft.calls("C_FindObjectsInit");
            let held = root.batch().expect("the keys").expect("a token has it");
            let before = searches();
            let wrap = held.wrap(b"kek", b"place").expect("it wraps");
            for _ in 0..20 {
                assert_eq!(**held.unwrap(&wrap, b"place").expect("it unwraps"), *b"kek");
                held.wrap(b"kek", b"place").expect("it wraps");
            }
            assert_eq!(searches(), before, "nobody searched within the batch");
            assert_eq!(**root.unwrap(&wrap, b"place").expect("it unwraps"), *b"kek");
            assert_eq!(searches(), before + 1, "the spy sees searches");

            soft.change_keys(&[Attribute::Encrypt(false), Attribute::Decrypt(false)]);
            for refused in [held.wrap(b"kek", b"place").err(), held.unwrap(&wrap, b"place").err()] {
                assert!(matches!(refused, Some(ProviderError::Disabled { .. })), "{refused:?}");
            }
            soft.change_keys(&[Attribute::Encrypt(true), Attribute::Decrypt(true)]);
            held.wrap(b"kek", b"place").expect("it is on again");

            let other = soft.open();
            other.add_epoch(1).expect("a key");
            assert_eq!(held.wrap(b"kek", b"place").expect("it wraps").epoch, 1, "as it was");
            let next = root.batch().expect("the keys").expect("a token has it");
            assert_eq!(next.wrap(b"kek", b"place").expect("it wraps").epoch, 2);
            other.destroy_epoch(1).expect("it is destroyed");
            for gone in [
                held.unwrap(&wrap, b"place").err(),
                held.wrap(b"kek", b"place").err(),
                next.unwrap(&wrap, b"place").err(),
            ] {
                assert!(
                    matches!(gone, Some(ProviderError::NoSuchKey { epoch: 1, .. })),
                    "{gone:?}"
                );
            }
        },
    );
}

#[test]
fn a_batch_goes_on_with_its_own_keys_after_the_library_was_begun_anew_by_whomever() {
    Soft::run(
        "a_batch_goes_on_with_its_own_keys_after_the_library_was_begun_anew_by_whomever",
        |soft| {
            let (root, other) = (soft.create(), soft.open());
            let old = root.wrap(b"old", b"place").expect("it wraps");
            for _ in 0..5 {
                root.add_version().expect("a key");
            }
            let held = root.batch().expect("the keys").expect("a token has it");
            for whoever in [&root, &other] {
                soft.pull();
                let away = whoever.wrap(b"kek", b"place").expect_err("it is away");
                assert!(away.is_passing(), "{away:?}");
                soft.put_back();
                // Handles are given out anew, to whoever searches first.
                whoever.state().expect("it is back");
                let wrap = held.wrap(b"new", b"place").expect("it wraps");
                assert_eq!(**held.unwrap(&old, b"place").expect("it unwraps"), *b"old");
                for reader in [&root, &other, &soft.open()] {
                    assert_eq!(**reader.unwrap(&wrap, b"place").expect("it fits its key"), *b"new");
                }
            }
        },
    );
}

#[test]
fn many_threads_share_eight_sessions() {
    Soft::run("many_threads_share_eight_sessions", |soft| {
        let root = soft.create();
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
