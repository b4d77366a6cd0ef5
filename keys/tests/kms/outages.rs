//! KMS is away, busy, lost its answer, or says no: what is tried again, how long, and what is done twice (nothing).

use std::time::{Duration, Instant};

use dashvault_keys::provider::{Kms, KmsError, ProviderError, RootKey};
use dashvault_test_support::KmsFault;

use crate::World;

/// A call ends within so long, whatever happens: the time for tries and the last one.
const PATIENCE: Duration = Duration::from_secs(12);

#[test]
fn what_passes_is_tried_again_and_succeeds() {
    let world = World::start();
    let root = world.create();
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    for fault in [
        KmsFault::Throttled,
        KmsFault::Internal,
        KmsFault::Gateway,
        KmsFault::Away,
        KmsFault::AnswerLost,
    ] {
        world.front.take_requests();
        world.front.fail("Decrypt", fault, 2);
        assert_eq!(
            **root.unwrap(&wrap, b"place").expect("it unwraps"),
            *b"kek",
            "{fault:?}"
        );
        assert_eq!(world.calls("Decrypt"), 3, "{fault:?}");
        world.front.fail("Encrypt", fault, 2);
        let wrap = root.wrap(b"kek", b"place").expect("it wraps");
        assert_eq!(
            **root.unwrap(&wrap, b"place").expect("it unwraps"),
            *b"kek",
            "{fault:?}"
        );
    }
}

#[test]
fn what_lasts_is_told_apart_after_a_bounded_time() {
    std::thread::scope(|scope| {
        for fault in [
            KmsFault::Throttled,
            KmsFault::Internal,
            KmsFault::Gateway,
            KmsFault::Away,
            KmsFault::Slow(6_000),
        ] {
            scope.spawn(move || {
                let world = World::start();
                let root = world.create();
                let wrap = root.wrap(b"kek", b"place").expect("it wraps");
                world.front.fail("", fault, u32::MAX);
                world.front.take_requests();
                let began = Instant::now();
                let told = root.unwrap(&wrap, b"place").expect_err("an error");
                assert!(began.elapsed() < PATIENCE, "{fault:?}: {:?}", began.elapsed());
                assert!(told.is_passing(), "{fault:?}: {told:?}");
                let throttled = matches!(told, ProviderError::Throttled(_));
                assert_eq!(throttled, fault == KmsFault::Throttled, "{fault:?}: {told:?}");
                let calls = world.calls("Decrypt");
                assert!((2..=6).contains(&calls), "{fault:?}: {calls} calls");
                // One time-out is enough to wait for.
                if !matches!(fault, KmsFault::Slow(_)) {
                    let opened = Kms::open(&world.config).err().expect("an error");
                    assert!(!matches!(opened, KmsError::NoKey { .. }), "{opened:?}");
                }
                world.front.heal();
                assert_eq!(
                    **root.unwrap(&wrap, b"place").expect("it is back"),
                    *b"kek",
                    "{fault:?}"
                );
            });
        }
    });
}

#[test]
fn nobody_listening_is_unavailable() {
    let world = World::start();
    let root = world.create();
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    let mut config = world.config.clone();
    config.endpoint = Some(format!("http://127.0.0.1:{}", dashvault_test_support::free_port()));
    let away = Kms::open(&config).err().expect("an error");
    assert!(away.to_string().contains("not available"), "{away}");
    assert_eq!(**root.unwrap(&wrap, b"place").expect("it unwraps"), *b"kek");
}

#[test]
fn a_denial_has_its_own_words_and_is_not_asked_again() {
    let world = World::start();
    let root = world.create();
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    world.front.fail("Decrypt", KmsFault::Denied, 1);
    world.front.take_requests();
    let told = root.unwrap(&wrap, b"place").expect_err("an error");
    assert!(
        matches!(&told, ProviderError::Denied(reason) if reason.contains("AccessDeniedException")),
        "{told:?}"
    );
    assert!(!told.is_passing());
    assert_eq!(world.calls("Decrypt"), 1);
    world.front.expect_access_key("somebody-else");
    let told = root.unwrap(&wrap, b"place").expect_err("an error");
    assert!(matches!(told, ProviderError::Denied(_)), "{told:?}");
    assert_eq!(world.calls("Decrypt"), 1);
}

#[test]
fn a_key_whose_making_was_not_answered_is_not_made_twice() {
    let world = World::start();
    let root = world.create();
    world.front.take_requests();
    world.front.fail("CreateKey", KmsFault::AnswerLost, 1);
    let told = root.add_version().expect_err("an error");
    assert!(told.is_passing(), "{told:?}");
    assert_eq!(world.calls("CreateKey"), 1);
    assert_eq!(
        root.state().expect("a state").keys.len(),
        1,
        "a key without a name is nobody's"
    );
    // Throttled, nothing was done.
    world.front.fail("CreateKey", KmsFault::Throttled, 1);
    assert_eq!(root.add_version().expect("a key"), 2);
}

#[test]
fn a_name_whose_giving_was_not_answered_is_found_to_be_given() {
    let world = World::start();
    let root = world.create();
    world.front.fail("CreateAlias", KmsFault::AnswerLost, 1);
    assert_eq!(root.add_epoch(1).expect("a key"), 2);
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    assert_eq!(wrap.epoch, 2);
    assert_eq!(world.front.key_of(&world.alias("e2/v1")), Some(wrap.reference));
}

#[test]
fn a_key_that_another_process_names_first_is_the_one_and_the_other_is_thrown_away() {
    let world = World::start();
    let root = world.create();
    let other = world.open();
    // Between the look and the naming.
    let made = world
        .front
        .ask("CreateKey", &serde_json::json!({ "Description": "the faster one's" }));
    let faster = made["KeyMetadata"]["KeyId"].as_str().expect("a key").to_owned();
    let alias = serde_json::json!({ "AliasName": world.alias("e1/v2"), "TargetKeyId": faster });
    let told = std::thread::scope(|scope| {
        world.front.take_requests();
        world.front.fail("CreateKey", KmsFault::Slow(600), 1);
        let adding = scope.spawn(|| root.add_version());
        std::thread::sleep(Duration::from_millis(300));
        world.front.ask("CreateAlias", &alias);
        adding.join().expect("it ends")
    });
    assert!(matches!(told, Err(ProviderError::NotChanged(_))), "{told:?}");
    let thrown_away = world.calls("ScheduleKeyDeletion");
    assert_eq!(thrown_away, 1);
    assert_eq!(other.state().expect("a state").reference, faster);
    assert_eq!(other.state().expect("a state").keys.len(), 2);
}

#[test]
fn a_key_that_was_not_pointed_to_wraps_as_soon_as_somebody_opens_the_vault_anew() {
    let world = World::start();
    let root = world.create();
    let other = world.open();
    world.front.fail("UpdateAlias", KmsFault::Away, u32::MAX);
    assert!(root.add_version().is_err());
    world.front.heal();
    let newest = world.front.key_of(&world.alias("e1/v2")).expect("a key");
    assert_ne!(world.front.key_of(&world.alias("newest")), Some(newest.clone()));
    // The process that made it knows it.
    assert_eq!(root.wrap(b"kek", b"place").expect("it wraps").reference, newest);
    world.open();
    assert_eq!(world.front.key_of(&world.alias("newest")), Some(newest.clone()));
    assert_eq!(other.wrap(b"kek", b"place").expect("it wraps").reference, newest);
}

#[test]
fn a_missing_pointer_is_no_outage() {
    let world = World::start();
    let root = world.create();
    let gone = serde_json::json!({ "AliasName": world.alias("newest") });
    world.front.ask("DeleteAlias", &gone);
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    assert_eq!(**root.unwrap(&wrap, b"place").expect("it unwraps"), *b"kek");
    world.open();
    assert_eq!(world.front.key_of(&world.alias("newest")), Some(wrap.reference));
}
