//! The watch over our own buckets, against a real object store that is opened and shut beneath it, and against a fake one
//! with one switch a fault.

mod fake;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashvault::catalog::{self, Catalog};
use dashvault::exposure::{Address, Config, Watch, Watched, address};
use dashvault::model::{Bucket, SystemClock, Verdict};
use dashvault::store::{self, S3, Store};
use dashvault::vault::{self, Vault};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::{Scratch, Seaweed};
use tokio_util::sync::CancellationToken;

use fake::{Fake, Fault};

/// A slow answer is one that takes longer.
const PATIENCE: Duration = Duration::from_millis(400);

struct House {
    catalog: Catalog,
    vault: Vault,
    _scratch: Scratch,
}

async fn house(store: store::Config) -> House {
    let scratch = Scratch::new("exposure");
    let keyring = scratch.path().join("keyring");
    Keyring::create(&keyring).unwrap();
    let dir = scratch.path().join("catalogue");
    let catalog = Catalog::connect(&catalog::Config::Sqlite { dir }).await.unwrap();
    let config = vault::Config {
        root: ProviderConfig::keyring(&keyring),
    };
    let store = Store::open(&store).await.unwrap();
    let vault = Vault::open(&config, catalog.clone(), store, Arc::new(SystemClock)).await;
    House {
        vault: vault.unwrap(),
        catalog,
        _scratch: scratch,
    }
}

fn config(bucket: Bucket, addresses: Vec<Address>, patience: Duration) -> Config {
    Config {
        watched: vec![Watched {
            bucket,
            addresses,
            folder: None,
            files: Vec::new(),
        }],
        interval: Duration::from_secs(1),
        patience,
        tries_writes: true,
        watcher: "test".to_owned(),
    }
}

impl House {
    fn watch(&self, config: Config) -> Watch {
        Watch::new(
            config,
            self.catalog.clone(),
            Some(self.vault.clone()),
            Arc::new(SystemClock),
        )
        .unwrap()
    }

    async fn verdict(&self, bucket: Bucket) -> Option<Verdict> {
        let rows = self.catalog.verdicts().await.unwrap();
        rows.iter().find(|row| row.bucket == bucket).map(|row| row.verdict)
    }

    async fn canary(&self) -> String {
        let canaries = self.catalog.canaries().await.unwrap();
        let canary = canaries.iter().find(|canary| canary.bucket == Bucket::Data);
        vault::object_path(Bucket::Data, canary.expect("a canary").object)
    }
}

async fn round(watch: &Watch) -> Verdict {
    watch.round().await.unwrap()[0].set.verdict
}

/// The watch on a fake that is private now.
async fn on_a_fake() -> (House, Watch, Fake) {
    let (house, fake) = (house(store::Config::Memory).await, Fake::start().await);
    let watch = house.watch(config(
        Bucket::Data,
        address::of_bucket(Some(&fake.endpoint), "r", "b"),
        PATIENCE,
    ));
    assert_eq!(round(&watch).await, Verdict::Private);
    (house, watch, fake)
}

#[tokio::test]
async fn whatever_strangers_get_flips_the_verdict_in_one_round() {
    let (house, watch, fake) = on_a_fake().await;
    let faults = [
        Fault::List,
        Fault::Get,
        Fault::Object(house.canary().await),
        Fault::Website,
    ];
    for fault in faults {
        fake.switch(fault.clone());
        assert_eq!(round(&watch).await, Verdict::Exposed, "{fault:?}");
        let open = house.catalog.exposures(0, i64::MAX).await.unwrap();
        assert!(open.iter().any(|row| row.ended_at.is_none()), "{fault:?}: {open:?}");
        fake.switch(Fault::None);
        assert_eq!(round(&watch).await, Verdict::Private, "after {fault:?}");
        let open = house.catalog.exposures(0, i64::MAX).await.unwrap();
        assert!(open.iter().all(|row| row.ended_at.is_some()), "{fault:?}: {open:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_unknown_and_stays_so() {
    let (_house, watch, fake) = on_a_fake().await;
    for fault in [
        Fault::Redirect,
        Fault::ServerError,
        Fault::Yes,
        Fault::HangUp,
        Fault::Slow,
    ] {
        fake.switch(fault.clone());
        for _ in 0..2 {
            assert_eq!(round(&watch).await, Verdict::Unknown, "{fault:?}");
        }
        fake.switch(Fault::None);
        assert_eq!(round(&watch).await, Verdict::Private, "after {fault:?}");
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_and_a_bucket_that_was_open_are_not_private() {
    let (house, watch, fake) = on_a_fake().await;
    let nowhere = vec![address::configured("http://bucket.invalid")];
    let elsewhere = house.watch(config(Bucket::Staging, nowhere, PATIENCE));
    assert_eq!(round(&elsewhere).await, Verdict::Unknown);
    fake.switch(Fault::List);
    assert_eq!(round(&watch).await, Verdict::Exposed);
    fake.switch(Fault::ServerError);
    assert_eq!(
        round(&watch).await,
        Verdict::Exposed,
        "an open bucket does not become shut by silence"
    );
}

#[tokio::test]
async fn a_write_that_succeeds_is_an_opening_named_and_removed() {
    let house = house(store::Config::Memory).await;
    let fake = Fake::start().await;
    fake.switch(Fault::Write);
    let watch = house.watch(config(
        Bucket::Data,
        address::of_bucket(Some(&fake.endpoint), "r", "b"),
        PATIENCE,
    ));
    assert_eq!(round(&watch).await, Verdict::Exposed);
    let rows = house.catalog.exposures(0, i64::MAX).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].opening.probe, "write");
    assert!(
        rows[0].opening.object.as_ref().is_some_and(|name| name.len() == 29),
        "{rows:?}"
    );
    assert_eq!(house.catalog.probe_writes_left(9).await.unwrap(), [], "taken back");
    // Without the vault it stays noted for a watch that has one.
    let alone = config(
        Bucket::Staging,
        address::of_bucket(Some(&fake.endpoint), "r", "b"),
        PATIENCE,
    );
    let alone = Watch::new(alone, house.catalog.clone(), None, Arc::new(SystemClock)).unwrap();
    alone.round().await.unwrap();
    assert_eq!(house.catalog.probe_writes_left(9).await.unwrap().len(), 1);
}

fn on_seaweed(seaweed: &Seaweed, bucket: &str) -> store::Config {
    store::Config::S3(S3 {
        endpoint: Some(seaweed.endpoint()),
        region: seaweed.region().to_owned(),
        data_bucket: bucket.to_owned(),
        staging_bucket: seaweed.bucket(),
        keyplane_bucket: seaweed.bucket(),
        access_key_id: seaweed.access_key().to_owned(),
        secret_access_key: seaweed.secret_key().to_owned(),
    })
}

/// Lets anybody do something with a bucket and its objects.
fn open_by_policy(seaweed: &Seaweed, bucket: &str, action: &str) {
    let policy = format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":"*","Action":["s3:{action}"],"Resource":["arn:aws:s3:::{bucket}","arn:aws:s3:::{bucket}/*"]}}]}}"#
    );
    seaweed.request("PUT", &format!("/{bucket}?policy="), &["--data-binary", &policy]);
}

fn shut_policy(seaweed: &Seaweed, bucket: &str) {
    seaweed.request("DELETE", &format!("/{bucket}?policy="), &[]);
}

fn set_acl(seaweed: &Seaweed, bucket: &str, acl: &str) {
    let header = format!("x-amz-acl: {acl}");
    seaweed.request("PUT", &format!("/{bucket}?acl="), &["--header", &header]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_store_that_is_opened_is_seen_in_the_next_round_and_its_shutting_too() {
    let seaweed = Seaweed::shared();
    let bucket = seaweed.bucket();
    let house = house(on_seaweed(seaweed, &bucket)).await;
    let addresses = address::of_bucket(Some(&seaweed.endpoint()), seaweed.region(), &bucket);
    let watch = house.watch(config(Bucket::Data, addresses, Duration::from_secs(8)));
    assert_eq!(round(&watch).await, Verdict::Private);
    assert_eq!(
        seaweed.names(&bucket),
        [house.canary().await],
        "a canary, and no probe write"
    );
    for action in ["GetObject", "ListBucket"] {
        open_by_policy(seaweed, &bucket, action);
        assert_eq!(round(&watch).await, Verdict::Exposed, "{action}");
        shut_policy(seaweed, &bucket);
        assert_eq!(round(&watch).await, Verdict::Private, "after {action}");
    }
    set_acl(seaweed, &bucket, "public-read");
    assert_eq!(round(&watch).await, Verdict::Exposed);
    set_acl(seaweed, &bucket, "private");
    assert_eq!(round(&watch).await, Verdict::Private);
}

#[tokio::test(flavor = "multi_thread")]
async fn from_opening_a_bucket_to_the_alarm_it_takes_two_rounds_at_most() {
    let seaweed = Seaweed::shared();
    let bucket = seaweed.bucket();
    let house = house(on_seaweed(seaweed, &bucket)).await;
    let addresses = address::of_bucket(Some(&seaweed.endpoint()), seaweed.region(), &bucket);
    let watch = house.watch(config(Bucket::Data, addresses, Duration::from_secs(8)));
    let began = Instant::now();
    assert_eq!(round(&watch).await, Verdict::Private);
    let one_round = began.elapsed();
    let ending = CancellationToken::new();
    let running = tokio::spawn({
        let (watch, ending) = (watch.clone(), ending.clone());
        async move { watch.run(ending).await }
    });
    open_by_policy(seaweed, &bucket, "ListBucket");
    let opened = Instant::now();
    // A second and a tenth between two rounds, and the rounds themselves, on a machine that may be busy.
    let most = 2 * (Duration::from_millis(1_100) + 2 * one_round) + Duration::from_secs(1);
    while house.verdict(Bucket::Data).await != Some(Verdict::Exposed) {
        assert!(opened.elapsed() < most, "not seen after {most:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "seen {:?} after the bucket was opened, with rounds of a second",
        opened.elapsed()
    );
    ending.cancel();
    running.await.unwrap();
}
