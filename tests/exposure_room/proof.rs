//! Attestations and the report: what was open, what lay there, and what shows that it was ciphertext.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use dashvault::catalog::{self, Catalog, NewVerdict, NoticeRow, Opening};
use dashvault::exposure::Watch;
use dashvault::exposure::attest::Attestor;
use dashvault::exposure::report::{Report, Shown, Why};
use dashvault::exposure::rolling::{self, Pace, Rolling, Step};
use dashvault::model::{Bucket, FixedClock, ObjectId, Severity, UnixMs, Verdict, moment};
use dashvault::store::{Backend, Location, Store};
use dashvault::vault::{self, OwnerKeys, Vault};
use dashvault_keys::attestation::{self, Chain};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::{Faulty, Scratch};
use std::sync::Arc;

use crate::{an_object, an_owner, config};

const NOW: UnixMs = 1_800_000_000_000;
const MINUTE: UnixMs = 60_000;
const HOUR: UnixMs = 60 * MINUTE;
const DAY: UnixMs = 24 * HOUR;

struct House {
    catalog: Catalog,
    vault: Vault,
    rolling: Rolling,
    data: Faulty,
    clock: Arc<FixedClock>,
    _scratch: Scratch,
}

impl House {
    async fn new() -> Self {
        let scratch = Scratch::new("proof");
        let keyring = scratch.path().join("keyring");
        Keyring::create(&keyring).unwrap();
        let dir = scratch.path().join("catalogue");
        let catalog = Catalog::connect(&catalog::Config::Sqlite { dir }).await.unwrap();
        let [data, staging, keyplane] = std::array::from_fn(|_| Faulty::new());
        let backend = |objects: &Faulty| Backend::with_multipart(Arc::new(objects.clone()));
        let store = Store::over(backend(&data), backend(&staging), backend(&keyplane));
        let config = vault::Config {
            root: ProviderConfig::keyring(&keyring),
        };
        let clock = Arc::new(FixedClock::at(NOW));
        let vault = Vault::open(&config, catalog.clone(), store, clock.clone())
            .await
            .unwrap();
        let walks = rolling::Config {
            pace: Pace::Daily,
            sample: 0,
        };
        Self {
            rolling: Rolling::new(walks, catalog.clone(), vault.clone()).again_after(Duration::ZERO),
            catalog,
            vault,
            data,
            clock,
            _scratch: scratch,
        }
    }

    async fn owner(&self) -> OwnerKeys {
        an_owner(&self.vault, &self.catalog).await
    }

    /// An object of a new clip of the owner's, published now.
    async fn object(&self, owner: &OwnerKeys) -> String {
        an_object(&self.vault, &self.catalog, owner, self.now()).await
    }

    fn now(&self) -> UnixMs {
        dashvault::model::Clock::now_ms(self.clock.as_ref())
    }

    /// What a round of the watch would write down of the data bucket.
    async fn round(&self, verdict: Verdict) {
        let opening = Opening {
            form: "path-style".to_owned(),
            probe: "get-object".to_owned(),
            object: None,
        };
        let told = NewVerdict {
            bucket: Bucket::Data,
            verdict,
            reason: "a test says so".to_owned(),
            openings: if verdict == Verdict::Exposed {
                vec![opening]
            } else {
                Vec::new()
            },
            is_whole: verdict == Verdict::Private,
            watcher: "test".to_owned(),
        };
        let mut tx = self.catalog.begin().await.unwrap();
        tx.set_verdict(&told, self.now()).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// The inventory walks through everything, if a walk is due.
    async fn walk(&self) {
        while self.rolling.step(100).await.unwrap() != Step::NothingDue {}
    }

    /// Notices of a kind, newest first.
    async fn notices(&self, kind: &str) -> Vec<NoticeRow> {
        let all = self.catalog.newest_notices(99).await.unwrap();
        all.into_iter().filter(|one| one.kind == kind).collect()
    }

    async fn report(&self, from: UnixMs, to: UnixMs) -> Report {
        Report::make(&self.catalog, from, to, self.now()).await.unwrap()
    }

    fn attestor(&self) -> Attestor {
        Attestor::new(self.catalog.clone(), self.vault.clone())
    }

    async fn lines(&self) -> Vec<String> {
        let rows = self.catalog.attestations_after(0, 1_000).await.unwrap();
        rows.into_iter().map(|row| row.line).collect()
    }
}

#[tokio::test]
async fn a_report_names_exactly_what_lay_there_while_the_bucket_was_open() {
    let house = House::new().await;
    let (anna, bert) = (house.owner().await, house.owner().await);
    house.round(Verdict::Private).await;
    let before = house.object(&anna).await;
    house.clock.advance(HOUR);
    house.round(Verdict::Private).await;
    house.clock.advance(MINUTE);
    house.round(Verdict::Exposed).await;
    let within = house.object(&bert).await;
    house.clock.advance(HOUR);
    // What cannot be told does not make it shut.
    house.round(Verdict::Unknown).await;
    let late = house.object(&anna).await;
    house.clock.advance(HOUR);
    house.round(Verdict::Private).await;
    let shut = house.now();
    let after = house.object(&bert).await;
    house.clock.advance(MINUTE);
    let report = house.report(NOW, shut + DAY).await;
    let [one] = &report.exposures[..] else {
        panic!("one time: {:?}", report.exposures);
    };
    assert_eq!(one.last_private_ms, Some(NOW + HOUR));
    assert_eq!(one.first_seen_open_ms, NOW + HOUR + MINUTE);
    assert_eq!(one.closed_ms, Some(shut));
    let mut named: Vec<_> = one.reached.named.iter().map(|named| named.object.clone()).collect();
    let mut expected = vec![before, within, late];
    named.sort();
    expected.sort();
    assert_eq!(named, expected);
    assert!(!named.contains(&after));
    assert_eq!((one.reached.objects, one.reached.clips, one.reached.owners), (3, 3, 2));
    assert_eq!(one.reached.just_after, 1);
    assert_eq!(one.ways.len(), 1);
    assert_eq!(one.ciphertext.shown, Shown::NotYet, "nobody has walked yet");
    house.walk().await;
    let report = house.report(NOW, shut + DAY).await;
    assert_eq!(report.exposures[0].ciphertext.shown, Shown::Ciphertext);
    let text = report.markdown() + &serde_json::to_string(&report).unwrap();
    for told in [
        "Anna",
        "example.org",
        &anna.owner().to_string(),
        &bert.owner().to_string(),
    ] {
        assert!(!text.contains(told), "{told} in {text}");
    }
    // Windows beside it, and one within the time in which nobody knows.
    assert!(house.report(NOW - DAY, NOW + HOUR).await.exposures.is_empty());
    assert!(house.report(shut, shut + DAY).await.exposures.is_empty());
    assert_eq!(house.report(NOW + HOUR, NOW + HOUR + 1).await.exposures.len(), 1);
}

#[tokio::test]
async fn every_time_of_several_is_in_the_report_and_so_is_what_could_not_be_told() {
    let house = House::new().await;
    for verdict in [
        Verdict::Private,
        Verdict::Exposed,
        Verdict::Private,
        Verdict::Unknown,
        Verdict::Exposed,
    ] {
        house.round(verdict).await;
        house.clock.advance(HOUR);
    }
    let report = house.report(NOW, house.now()).await;
    let times: Vec<_> = report
        .exposures
        .iter()
        .map(|one| (one.first_seen_open_ms, one.closed_ms))
        .collect();
    assert_eq!(times, [(NOW + HOUR, Some(NOW + 2 * HOUR)), (NOW + 4 * HOUR, None)]);
    assert_eq!(report.exposures[1].last_private_ms, Some(NOW + 2 * HOUR));
    let unknown = report.not_told.iter().filter(|one| one.why == Why::Unknown);
    let unknown: Vec<_> = unknown.map(|one| (one.from_ms, one.to_ms)).collect();
    assert_eq!(unknown, [(NOW + 3 * HOUR, Some(NOW + 4 * HOUR))]);
}

/// The last look before the first silence of the next test, and the first one after it.
const fn first_silence() -> (UnixMs, UnixMs) {
    (NOW + 6 * MINUTE, NOW + 6 * MINUTE + 3 * HOUR)
}

#[tokio::test]
async fn times_in_which_nobody_looked_are_in_the_report_one_by_one() {
    let (house, folder) = (House::new().await, Scratch::new("watched-folder"));
    let mut config = config(Bucket::Data, Vec::new(), Duration::from_secs(1));
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    config.watched[0].folder = Some(folder.path().to_owned());
    config.interval = Duration::from_secs(60);
    let watch = Watch::new(config, house.catalog.clone(), None, house.clock.clone()).unwrap();
    let look = async || assert_eq!(watch.noted_round().await.unwrap()[0].set.verdict, Verdict::Private);
    look().await;
    for silence in [MINUTE, 5 * MINUTE, 3 * HOUR, MINUTE, 6 * MINUTE, MINUTE] {
        house.clock.advance(silence);
        look().await;
    }
    let last = house.now();
    let told = house.notices("watch-back").await;
    assert_eq!(
        told.len(),
        2,
        "a watch that looks again says from when to when it did not: {told:?}"
    );
    assert!(told.iter().all(|one| one.severity == Severity::Info));
    for at in [first_silence().0, first_silence().1] {
        assert!(told[1].facts.contains(&moment(at)), "{}", told[1].facts);
    }
    let not_told = async |from, to| -> Vec<_> {
        let told = house.report(from, to).await.not_told.into_iter();
        let told = told.filter(|one| one.bucket == Bucket::Data);
        told.map(|one| (one.why, one.from_ms, one.to_ms)).collect()
    };
    let (first, second) = (first_silence().0, NOW + 7 * MINUTE + 3 * HOUR);
    let both = [
        (Why::NoWatch, first, Some(first + 3 * HOUR)),
        (Why::NoWatch, second, Some(second + 6 * MINUTE)),
    ];
    assert_eq!(not_told(NOW, last).await, both, "a few missing rounds are none");
    assert_eq!(not_told(second, last).await, both[1..]);
    let before = (Why::NotLookedYet, NOW - DAY, Some(NOW));
    assert_eq!(not_told(NOW - DAY, NOW + MINUTE).await, [before]);
    assert_eq!(
        not_told(NOW - 2 * DAY, NOW - DAY).await,
        [(Why::NotLookedYet, NOW - 2 * DAY, None)]
    );
    // The watch has ended, and nobody has looked since.
    house.clock.advance(HOUR);
    let now = house.now();
    assert_eq!(not_told(second + HOUR, now).await, [(Why::NoWatch, last, None)]);
    let report = house.report(NOW, now).await;
    let text = report.markdown();
    assert!(
        text.contains("no bucket open to strangers in the window. There are"),
        "{text}"
    );
    assert_eq!(text.matches("- not told: data: ").count(), 3, "{text}");
    let other = report.not_told.iter().find(|one| one.bucket == Bucket::Staging);
    assert_eq!(
        other.map(|one| one.why),
        Some(Why::NotLookedYet),
        "a bucket that nobody watches"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["not_told"][0]["why"], "no-watch");
}

#[tokio::test]
async fn a_planted_plaintext_object_is_in_the_report_and_nothing_is_called_shown() {
    let house = House::new().await;
    let owner = house.owner().await;
    house.object(&owner).await;
    house.round(Verdict::Private).await;
    house.clock.advance(MINUTE);
    house.round(Verdict::Exposed).await;
    let planted = Location::Data.name(ObjectId::random());
    house.data.replace(&planted, b"\0\0\0\x20ftypisom".repeat(5_000)).await;
    house.clock.advance(MINUTE);
    house.round(Verdict::Private).await;
    // The walk comes hours later, and still it may have lain there.
    house.clock.advance(5 * HOUR);
    house.walk().await;
    let report = house.report(NOW, house.now()).await;
    let one = &report.exposures[0];
    assert_eq!(one.ciphertext.shown, Shown::NotAllCiphertext);
    let found: Vec<_> = one
        .ciphertext
        .findings
        .iter()
        .filter(|found| found.is_not_ciphertext)
        .collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].object, planted);
    assert!(report.markdown().contains(&format!("`{planted}`")));
    assert!(report.markdown().contains("NOT ALL"));
}

#[tokio::test]
async fn a_statement_is_made_each_day_and_at_each_change_and_the_chain_outlives_its_keys() {
    let house = House::new().await;
    let attestor = house.attestor();
    assert_eq!(attestor.attest_if_due().await.unwrap(), None, "nobody has looked yet");
    house.round(Verdict::Private).await;
    assert_eq!(attestor.attest_if_due().await.unwrap(), Some(1));
    house.clock.advance(HOUR);
    house.round(Verdict::Private).await;
    assert_eq!(attestor.attest_if_due().await.unwrap(), None, "nothing changed");
    house.round(Verdict::Exposed).await;
    assert_eq!(attestor.attest_if_due().await.unwrap(), Some(2));
    // A change that came and went between two looks is counted.
    house.clock.advance(MINUTE);
    house.round(Verdict::Private).await;
    house.round(Verdict::Exposed).await;
    assert_eq!(attestor.attest_if_due().await.unwrap(), Some(3));
    let trusted = house.vault.receipt_public_key().unwrap();
    house
        .vault
        .rotate_system_keys(&[dashvault::vault::rotation::SystemKey::Receipts], &|_| {})
        .await
        .unwrap();
    house.walk().await;
    house.clock.advance(DAY);
    assert_eq!(attestor.attest_if_due().await.unwrap(), Some(4));
    assert_ne!(house.vault.receipt_public_key().unwrap(), trusted);
    let mut chain = Chain::new(Some(trusted));
    let lines = house.lines().await;
    let said: Vec<_> = lines
        .iter()
        .map(|line| chain.follow(line).expect("it follows").0)
        .collect();
    let data = |at: usize| &said[at].buckets[0];
    assert_eq!(
        (data(0).verdict.as_str(), data(0).rounds, data(0).changes),
        ("private", 1, 1)
    );
    assert_eq!(
        (data(1).verdict.as_str(), data(1).rounds, data(1).changes),
        ("exposed", 3, 2)
    );
    assert_eq!((data(2).verdict.as_str(), data(2).changes), ("exposed", 4));
    assert_eq!(data(2).inventory, None);
    assert_eq!(data(3).inventory.as_ref().map(|walk| walk.findings), Some(0));
    let epochs = house.report(NOW, house.now()).await.exposures[0].key_epochs.clone();
    assert_eq!(epochs.into_iter().collect::<Vec<_>>(), [said[0].key_epoch]);
}

#[tokio::test]
async fn nothing_is_chained_to_a_line_that_was_altered_in_the_database() {
    let house = House::new().await;
    house.round(Verdict::Private).await;
    house.attestor().attest_if_due().await.unwrap();
    let line = &house.lines().await[0];
    let altered = line.replace("\"private\"", "\"exposed\"");
    assert!(attestation::parse(&altered).is_err());
    let seen = vault::Seen {
        service: "0.1.0".to_owned(),
        buckets: Vec::new(),
    };
    assert!(house.vault.attest(Some(line), seen.clone()).is_ok());
    assert!(house.vault.attest(Some(&altered), seen).is_err());
}

#[tokio::test]
async fn a_canary_that_somebody_deleted_is_told_of_once_and_put_back() {
    let house = House::new().await;
    let plant = async || house.vault.plant_canaries(&[Bucket::Data]).await.unwrap();
    plant().await;
    let canary = house.catalog.canaries().await.unwrap()[0];
    let path = vault::object_path(Bucket::Data, canary.object);
    house.data.remove(&path).await;
    plant().await;
    assert_eq!(
        house.notices("canary-gone").await.len(),
        0,
        "it may have been under way"
    );
    house.clock.advance(11 * MINUTE);
    house.data.remove(&path).await;
    for _ in 0..2 {
        plant().await;
        house.clock.advance(MINUTE);
    }
    let told = house.notices("canary-gone").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].severity, Severity::Page);
    assert!(told[0].facts.contains(&path), "by name: {}", told[0].facts);
    house.clock.advance(HOUR);
    plant().await;
    assert_eq!(house.notices("canary-gone").await.len(), 1, "it lies there again");
    house.data.remove(&path).await;
    plant().await;
    assert_eq!(house.notices("canary-gone").await.len(), 2, "another time");
}
