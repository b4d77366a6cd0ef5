//! Root keys in KMS, against moto behind a front that answers as AWS does where moto does not.

#![cfg(feature = "aws-kms")]

#[path = "../contract/mod.rs"]
mod contract;
mod credentials;
mod outages;

use std::sync::Arc;

use dashvault_keys::provider::{
    CredentialSource, Credentials, KeyCondition, Kms, KmsConfig, KmsError, ProviderConfig, ProviderError, RootKey,
    create, open,
};
use dashvault_test_support::{KmsFront, Request};
use serde_json::Value;

/// A front and one vault's keys behind it.
pub struct World {
    pub front: KmsFront,
    pub config: KmsConfig,
}

impl World {
    pub fn start() -> Self {
        let front = KmsFront::start();
        let given = Credentials::new(front.access_key().to_owned(), front.secret_key().to_owned(), None);
        let config = KmsConfig {
            region: front.region().to_owned(),
            endpoint: Some(front.endpoint()),
            prefix: front.prefix(),
            pending_days: 9,
            credentials: CredentialSource::Given(Arc::new(given)),
        };
        Self { front, config }
    }

    pub fn create(&self) -> Kms {
        Kms::create(&self.config).expect("a key")
    }

    pub fn open(&self) -> Kms {
        Kms::open(&self.config).expect("it is there")
    }

    /// How many calls of an operation there were since this was asked last.
    pub fn calls(&self, operation: &str) -> usize {
        let asked = self.front.take_requests();
        asked
            .iter()
            .filter(|request| operation_of(request) == operation)
            .count()
    }

    pub fn alias(&self, rest: &str) -> String {
        format!("alias/{}/{rest}", self.config.prefix)
    }
}

pub fn operation_of(request: &Request) -> &str {
    request.header("x-amz-target").trim_start_matches("TrentService.")
}

pub fn body_of(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("JSON")
}

#[test]
fn a_wrap_comes_off_with_the_same_place_alone() {
    let world = World::start();
    contract::a_wrap_comes_off_with_the_same_place_alone(&world.create(), &world.open());
}

#[test]
fn what_another_process_changes_counts_from_the_next_call() {
    let world = World::start();
    contract::what_another_process_changes_counts_from_the_next_call(&world.create(), &world.open());
}

#[test]
fn a_key_that_is_switched_off_wraps_and_unwraps_nothing_until_it_is_on_again() {
    let world = World::start();
    let root = world.create();
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    world.front.disable(&wrap.reference);
    for refused in [root.unwrap(&wrap, b"place").err(), root.wrap(b"kek", b"place").err()] {
        assert!(matches!(refused, Some(ProviderError::Disabled { .. })), "{refused:?}");
    }
    let state = root.state().expect("a state");
    assert_eq!(state.keys[0].condition, KeyCondition::Disabled);
    assert_eq!(state.epochs, [1], "it can be switched on again");
    world.front.enable(&wrap.reference);
    assert_eq!(**root.unwrap(&wrap, b"place").expect("it unwraps"), *b"kek");
    assert_eq!(root.state().expect("a state").keys[0].condition, KeyCondition::Enabled);
}

#[test]
fn a_destroyed_epoch_waits_for_its_deletion_and_opens_nothing_meanwhile() {
    let world = World::start();
    let (root, other) = (world.create(), world.open());
    root.add_version().expect("a key");
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    root.add_epoch(1).expect("a key");
    world.front.take_requests();
    root.destroy_epoch(1).expect("it is destroyed");
    let scheduled: Vec<_> = world
        .front
        .take_requests()
        .iter()
        .filter(|request| operation_of(request) == "ScheduleKeyDeletion")
        .map(|request| body_of(request)["PendingWindowInDays"].clone())
        .collect();
    assert_eq!(scheduled, [9, 9], "both versions, for as long as was said");
    for process in [&root, &other, &world.open()] {
        let gone = process.unwrap(&wrap, b"place").err();
        assert!(
            matches!(&gone, Some(ProviderError::Disabled { reason, .. }) if reason.contains("pending deletion")),
            "{gone:?}"
        );
        let state = process.state().expect("a state");
        assert_eq!((state.epoch, state.epochs), (2, vec![2]));
        let conditions: Vec<_> = state.keys.iter().map(|key| (key.epoch, key.condition)).collect();
        let pending = (1, KeyCondition::PendingDeletion);
        assert_eq!(conditions, [pending, pending, (2, KeyCondition::Enabled)]);
    }
    world.front.take_requests();
    other.destroy_epoch(1).expect("done is done");
    assert_eq!(world.calls("ScheduleKeyDeletion"), 0);
}

#[test]
fn a_wrap_that_names_another_vaults_key_is_refused_before_anything_is_decrypted() {
    let world = World::start();
    let root = world.create();
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    let stranger = KmsConfig {
        prefix: world.front.prefix(),
        ..world.config.clone()
    };
    let missing = Kms::open(&stranger).err();
    assert!(matches!(missing, Some(KmsError::NoKey { .. })), "{missing:?}");
    let other = Kms::create(&stranger).expect("a key");
    world.front.take_requests();
    let refused = other.unwrap(&wrap, b"place").err();
    assert!(matches!(refused, Some(ProviderError::NoSuchKey { .. })), "{refused:?}");
    let mut arn = wrap.clone();
    arn.reference = format!("arn:aws:kms:eu-central-1:123456789012:key/{}", wrap.reference);
    let mut alias = wrap.clone();
    alias.reference = world.alias("newest");
    for named in [arn, alias] {
        let refused = root.unwrap(&named, b"place").err();
        assert!(matches!(refused, Some(ProviderError::NoSuchKey { .. })), "{refused:?}");
    }
    assert_eq!(world.calls("Decrypt"), 0);
}

#[test]
fn vaults_that_share_an_account_are_told_apart_and_none_is_made_twice() {
    let world = World::start();
    world.create();
    let again = Kms::create(&world.config).err();
    assert!(matches!(again, Some(KmsError::Exists { .. })), "{again:?}");
    let by_choice = ProviderConfig::AwsKms(world.config.clone());
    assert!(create(&by_choice).err().is_some_and(|error| error.is_there_already()));
    let root = open(&by_choice).expect("it opens");
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    assert_eq!(**world.open().unwrap(&wrap, b"place").expect("it unwraps"), *b"kek");
    // A name that begins alike is another vault's, and so is a number that is written another way.
    let key = world.front.key_of(&world.alias("newest")).expect("a key");
    for name in [
        format!("{}2/e1/v1", world.config.prefix),
        format!("{}/e01/v7", world.config.prefix),
    ] {
        let body = serde_json::json!({ "AliasName": format!("alias/{name}"), "TargetKeyId": key });
        world.front.ask("CreateAlias", &body);
    }
    assert_eq!(world.open().state().expect("a state").keys.len(), 1);
    let nobody = ProviderConfig::AwsKms(KmsConfig {
        prefix: world.front.prefix(),
        ..world.config.clone()
    });
    assert!(open(&nobody).err().is_some_and(|error| error.is_missing()));
}

#[test]
fn kms_is_told_nothing_but_the_key_the_place_and_what_is_wrapped() {
    let world = World::start();
    let root = world.create();
    world.front.take_requests();
    let wrap = root.wrap(b"kek", b"\x00place").expect("it wraps");
    root.unwrap(&wrap, b"\x00place").expect("it unwraps");
    let [encrypt, decrypt] = &world.front.take_requests()[..] else {
        panic!("one call each")
    };
    let context = serde_json::json!({ "dashvault": "00706c616365" });
    assert_eq!(
        body_of(encrypt),
        serde_json::json!({ "KeyId": world.alias("newest"), "Plaintext": "a2Vr", "EncryptionContext": context })
    );
    let told = body_of(decrypt);
    assert_eq!(
        (&told["KeyId"], &told["EncryptionContext"]),
        (&wrap.reference.clone().into(), &context)
    );
    assert_eq!(told.as_object().expect("an object").len(), 4, "{told}");
}

#[test]
fn an_alias_that_somebody_turned_to_another_key_is_refused() {
    let world = World::start();
    let root = world.create();
    let made = world
        .front
        .ask("CreateKey", &serde_json::json!({ "Description": "a stranger's" }));
    let stranger = made["KeyMetadata"]["KeyId"].as_str().expect("a key");
    let turned = serde_json::json!({ "AliasName": world.alias("newest"), "TargetKeyId": stranger });
    world.front.ask("UpdateAlias", &turned);
    let refused = root.wrap(b"kek", b"place").err();
    assert!(
        matches!(&refused, Some(ProviderError::Denied(reason)) if reason.contains(stranger)),
        "{refused:?}"
    );
    // Whoever opens it anew puts it right.
    let wrap = world.open().wrap(b"kek", b"place").expect("it wraps");
    assert_ne!(wrap.reference, stranger);
    assert_eq!(world.front.key_of(&world.alias("newest")), Some(wrap.reference));
}

#[test]
fn what_cannot_be_right_is_refused_before_anybody_is_asked() {
    let world = World::start();
    let with = |change: &dyn Fn(&mut KmsConfig)| {
        let mut config = world.config.clone();
        change(&mut config);
        let refused = Kms::create(&config).err();
        assert!(matches!(refused, Some(KmsError::Setting(_))), "{refused:?}");
    };
    with(&|config| config.region = "example.org/".to_owned());
    with(&|config| config.region.clear());
    for prefix in ["", "aws", "a/b", "a b", "ä", &"a".repeat(65)] {
        with(&|config| config.prefix = prefix.to_owned());
    }
    for days in [0, 6, 31] {
        with(&|config| config.pending_days = days);
    }
    for endpoint in [
        "http://kms.example.org",
        "ftp://127.0.0.1",
        "127.0.0.1",
        "http://127.0.0.1@example.org",
    ] {
        with(&|config| config.endpoint = Some(endpoint.to_owned()));
    }
    assert!(world.front.take_requests().is_empty());
}
