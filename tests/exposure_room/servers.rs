//! Real servers that are opened and shut beneath the watch.

use std::time::{Duration, Instant};

use dashvault::exposure::address;
use dashvault::model::{Bucket, Verdict};
use dashvault::store::{self, S3};
use dashvault_test_support::Seaweed;
use tokio_util::sync::CancellationToken;

use crate::{config, house, round};

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
