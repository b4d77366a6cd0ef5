//! Telling: what is raised reaches a real mail server and a receiver that checks the signature, once each, whoever else is
//! dead; and a bucket that is opened is told of within two rounds of the watch.

mod mail;
mod receiver;
mod silence;

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashvault::catalog::{self, Catalog, NewNotice};
use dashvault::exposure::{Config as WatchConfig, Watch, Watched, address};
use dashvault::model::{Bucket, Clock, Severity, SystemClock};
use dashvault::post::{Config, Post};
use dashvault::store::{self, S3, Store};
use dashvault::vault::{self, Vault};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::{Mail, Scratch, Seaweed};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use receiver::Receiver;

/// The queue is looked at every second, on a machine that may be busy.
const SOON: Duration = Duration::from_secs(30);

async fn catalog(scratch: &Scratch) -> Catalog {
    let dir = scratch.path().join("catalogue");
    Catalog::connect(&catalog::Config::Sqlite { dir }).await.unwrap()
}

/// A node's post room, ended with this value.
struct Running {
    ending: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

fn run(config: &Config, catalog: &Catalog, clock: Arc<dyn Clock>, watcher: Option<&str>) -> Running {
    let post = Post::new(config, catalog.clone(), clock).unwrap();
    let ending = CancellationToken::new();
    let task = tokio::spawn(post.run(watcher.map(str::to_owned), ending.clone()));
    Running {
        ending,
        _task: AbortOnDropHandle::new(task),
    }
}

fn notice(kind: &'static str, subject: &str) -> NewNotice {
    NewNotice {
        kind,
        severity: Severity::Page,
        subject: subject.to_owned(),
        facts: "one\ntwo".to_owned(),
        once_for: None,
    }
}

async fn raise(catalog: &Catalog, subject: &str) {
    let now = SystemClock.now_ms();
    assert!(catalog.raise_notice(&notice("a-test", subject), now).await.unwrap());
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < SOON, "{what}: not after {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_gets_a_signed_notice_under_one_id_until_it_takes_it() {
    let scratch = Scratch::new("post");
    let catalog = catalog(&scratch).await;
    let receiver = Receiver::start();
    receiver.answer_with(500);
    let _running = run(&receiver.config(), &catalog, Arc::new(SystemClock), None);
    raise(&catalog, "somebody must look").await;
    until("a first attempt", async || !receiver.got().is_empty()).await;
    let numbers = catalog.notice_numbers().await.unwrap();
    assert_eq!((numbers.waiting, numbers.dead), (1, 0), "it is not lost: {numbers:?}");
    receiver.answer_with(204);
    until("a delivery", async || {
        catalog.notice_numbers().await.unwrap().waiting == 0
    })
    .await;
    let got = receiver.got();
    assert!(got.len() >= 2, "{got:?}");
    for one in &got {
        assert_eq!(one["headers"]["webhook-id"], got[0]["headers"]["webhook-id"]);
        assert_eq!(one["body"]["type"], "a-test");
        assert_eq!(one["body"]["data"]["subject"], "somebody must look");
        assert_eq!(one["body"]["data"]["vault"], "https://vault.example.org");
    }
    assert_eq!(receiver.unverified(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_receiver_holds_up_no_mail_and_a_redirect_is_not_followed() {
    let scratch = Scratch::new("post");
    let (catalog, mail, receiver) = (catalog(&scratch).await, Mail::start(), Receiver::start());
    let elsewhere = Receiver::start();
    receiver.send_to(&elsewhere.url());
    let config = Config {
        email: Some(mail::plain(&mail)),
        ..receiver.config()
    };
    let _running = run(&config, &catalog, Arc::new(SystemClock), None);
    raise(&catalog, "one").await;
    raise(&catalog, "two").await;
    let kept = mail.wait_for(2, SOON);
    assert_eq!(kept[0]["to"], serde_json::json!(["kim@example.org", "sam@example.org"]));
    let text = kept[0]["text"].as_str().unwrap();
    assert!(
        text.contains("Subject: [dashvault page] one") && text.contains("one\r\ntwo"),
        "{text}"
    );
    until("attempts at the webhook", async || receiver.got().len() >= 2).await;
    assert_eq!(elsewhere.got(), Vec::<serde_json::Value>::new(), "followed a redirect");
    // A receiver has a notice a moment before its row says so.
    until("what became of both", async || {
        let mut told = Vec::new();
        for row in catalog.newest_notices(9).await.unwrap() {
            for delivery in catalog.deliveries_of(row.id).await.unwrap() {
                told.push((
                    delivery.sink.clone(),
                    delivery.state.as_str().to_owned(),
                    delivery.failure,
                ));
            }
        }
        let of = |sink: &str, state: &str, failure: Option<&str>| {
            (sink.to_owned(), state.to_owned(), failure.map(str::to_owned))
        };
        let each = [
            of("email", "sent", None),
            of("log", "sent", None),
            of("webhook", "waiting", Some("sent-elsewhere")),
        ];
        told == [each.clone(), each].concat()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_deliver_each_notice_once_though_the_receiver_is_slow() {
    let scratch = Scratch::new("post");
    let (catalog, receiver) = (catalog(&scratch).await, Receiver::start());
    receiver.take_ms(1_500);
    let nodes = [(); 2].map(|()| run(&receiver.config(), &catalog, Arc::new(SystemClock), None));
    for count in 0..4 {
        raise(&catalog, &format!("number {count}")).await;
    }
    until("every delivery", async || {
        catalog.notice_numbers().await.unwrap().waiting == 0
    })
    .await;
    let mut ids: Vec<_> = receiver
        .got()
        .iter()
        .map(|one| one["headers"]["webhook-id"].to_string())
        .collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!((all, ids.len()), (4, 4), "each once");
    assert_eq!(catalog.notice_numbers().await.unwrap().sent, 8, "by two ways");
    drop(nodes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_opened_is_in_the_mailbox_and_at_the_webhook_within_two_rounds() {
    let seaweed = Seaweed::shared();
    let (bucket, mail, receiver) = (seaweed.bucket(), Mail::start(), Receiver::start());
    let scratch = Scratch::new("post");
    let (watch, catalog) = watch_of(&scratch, seaweed, &bucket).await;
    let began = Instant::now();
    watch.noted_round().await.unwrap();
    let one_round = began.elapsed();
    let config = Config {
        email: Some(mail::plain(&mail)),
        heartbeat: Some(receiver.address("/heartbeat")),
        ..receiver.config()
    };
    let _running = run(&config, &catalog, Arc::new(SystemClock), Some("test"));
    let ending = CancellationToken::new();
    let watching = tokio::spawn({
        let ending = ending.clone();
        async move { watch.run(ending).await }
    });
    seaweed.set_acl(&bucket, "public-read");
    let opened = Instant::now();
    let told = |receiver: &Receiver, kind: &str| receiver.got().iter().any(|one| one["body"]["type"] == kind);
    // Two rounds of a second and a tenth, a look into the queue, and the deliveries, on a machine that may be busy.
    let most = 2 * (Duration::from_millis(1_100) + 2 * one_round) + Duration::from_secs(4);
    let in_mail = |kept: &[serde_json::Value]| {
        kept.iter().any(|mail| {
            mail["text"]
                .as_str()
                .is_some_and(|text| text.contains("OPEN TO STRANGERS"))
        })
    };
    let (mut by_webhook, mut by_mail) = (None, None);
    while by_webhook.is_none() || by_mail.is_none() {
        assert!(
            opened.elapsed() < most,
            "webhook {by_webhook:?}, mail {by_mail:?}; not after {most:?}"
        );
        if told(&receiver, "bucket-exposed") {
            by_webhook.get_or_insert_with(|| opened.elapsed());
        }
        if in_mail(&mail.kept()) {
            by_mail.get_or_insert_with(|| opened.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!(
        "told {:?} (webhook) and {:?} (mail) after the bucket was opened, with rounds of a second",
        by_webhook.unwrap(),
        by_mail.unwrap()
    );
    seaweed.set_acl(&bucket, "private");
    until("the all clear", async || told(&receiver, "bucket-private-again")).await;
    until("that clips are taken again", async || told(&receiver, "writes-go-on")).await;
    until("a heartbeat for each of two rounds", async || receiver.beats() >= 2).await;
    ending.cancel();
    watching.await.unwrap();
    let kinds: Vec<_> = receiver
        .got()
        .iter()
        .map(|one| one["body"]["type"].to_string())
        .collect();
    let count = |kind: &str| kinds.iter().filter(|one| one.trim_matches('"') == kind).count();
    for kind in [
        "bucket-exposed",
        "writes-withheld",
        "bucket-private-again",
        "writes-go-on",
    ] {
        assert_eq!(count(kind), 1, "once for a change, not once for a round: {kinds:?}");
    }
    assert_eq!(receiver.unverified(), 0);
}

async fn watch_of(scratch: &Scratch, seaweed: &Seaweed, bucket: &str) -> (Watch, Catalog) {
    let keyring = scratch.path().join("keyring");
    Keyring::create(&keyring).unwrap();
    let catalog = catalog(scratch).await;
    let store = store::Config::S3(S3 {
        endpoint: Some(seaweed.endpoint()),
        region: seaweed.region().to_owned(),
        data_bucket: bucket.to_owned(),
        staging_bucket: seaweed.bucket(),
        keyplane_bucket: seaweed.bucket(),
        access_key_id: seaweed.access_key().to_owned(),
        secret_access_key: seaweed.secret_key().to_owned(),
    });
    let store = Store::open(&store).await.unwrap();
    let config = vault::Config {
        root: ProviderConfig::keyring(&keyring),
    };
    let vault = Vault::open(&config, catalog.clone(), store, Arc::new(SystemClock)).await;
    let config = WatchConfig {
        watched: vec![Watched {
            bucket: Bucket::Data,
            addresses: address::of_bucket(Some(&seaweed.endpoint()), seaweed.region(), bucket),
            folder: None,
            keyring: None,
            files: Vec::new(),
        }],
        interval: Duration::from_secs(1),
        patience: Duration::from_secs(8),
        proxy: None,
        account: None,
        own: None,
        seldom: dashvault::exposure::SELDOM,
        tries_writes: true,
        watcher: "test".to_owned(),
    };
    let watch = Watch::new(config, catalog.clone(), Some(vault.unwrap()), Arc::new(SystemClock)).unwrap();
    (watch, catalog)
}
