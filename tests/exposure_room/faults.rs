//! One switch a fault: what each makes of the verdict within one round.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dashvault::exposure::{Address, Watch, address};
use dashvault::model::{Bucket, Severity, SystemClock, Verdict};
use dashvault::store::{self, Backend, Signer, Store};
use dashvault_test_support::{Fault as StoreFault, Faulty};

use crate::fake::{Fake, Fault};
use crate::{House, PATIENCE, config, house, house_over, round};

/// Every way in, the probe that finds it, and the form of address by which it does.
fn ways(canary: &str) -> Vec<(Fault, &'static str, &'static str)> {
    vec![
        (Fault::ListV1, "list-v1", "path-style"),
        (Fault::ListV2, "list-v2", "path-style"),
        (Fault::Versions, "list-versions", "path-style"),
        (Fault::Uploads, "list-uploads", "path-style"),
        (Fault::HeadBucket, "head-bucket", "virtual-host"),
        (Fault::Acl, "acl", "path-style"),
        (Fault::Policy, "policy", "virtual-host"),
        (Fault::Website, "website-configuration", "path-style"),
        (Fault::Get, "get-canary", "configured"),
        (Fault::Head, "head-canary", "path-style"),
        (Fault::Object(canary.to_owned()), "get-canary", "virtual-host"),
        (Fault::Missing, "get-missing", "path-style"),
        (Fault::HeadMissing, "head-missing", "configured"),
        (Fault::ByHost, "list-v2", "virtual-host"),
        (Fault::ByName, "get-canary", "configured"),
    ]
}

/// The watch on a fake that is private now.
async fn on_a_fake() -> (House, Watch, Fake) {
    let (house, fake) = (house(store::Config::Memory).await, Fake::start().await);
    let watch = house.watch(config(Bucket::Data, fake.addresses(), PATIENCE));
    assert_eq!(round(&watch).await, Verdict::Private);
    fake.hold(house.canary().await);
    (house, watch, fake)
}

#[tokio::test]
async fn whatever_strangers_get_flips_the_verdict_in_one_round_and_its_end_in_the_next() {
    let (house, watch, fake) = on_a_fake().await;
    for (fault, probe, form) in ways(&house.canary().await) {
        fake.switch(fault.clone());
        assert_eq!(round(&watch).await, Verdict::Exposed, "{fault:?}");
        let rows = house.catalog.exposures(0, i64::MAX).await.unwrap();
        let open: Vec<_> = rows.iter().filter(|row| row.ended_at.is_none()).collect();
        let is_it = |row: &&&dashvault::catalog::ExposureRow| row.opening.probe == probe && row.opening.form == form;
        assert!(open.iter().any(|row| is_it(&row)), "{fault:?}: {open:?}");
        let others = open
            .iter()
            .filter(|row| !row.opening.probe.contains(&probe[probe.len() - 3..]));
        assert_eq!(others.count(), 0, "{fault:?} opens nothing else: {open:?}");
        fake.switch(Fault::None);
        assert_eq!(round(&watch).await, Verdict::Private, "after {fault:?}");
        let rows = house.catalog.exposures(0, i64::MAX).await.unwrap();
        assert!(rows.iter().all(|row| row.ended_at.is_some()), "{fault:?}: {rows:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_is_unknown_and_stays_so() {
    let (house, watch, fake) = on_a_fake().await;
    for fault in [
        Fault::Redirect,
        Fault::ServerError,
        Fault::SlowDown,
        Fault::TooMany,
        Fault::Yes,
        Fault::Page,
        Fault::OtherRefusal,
        Fault::NoBucket,
        Fault::Cut,
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
    let nowhere = vec![address::configured("http://bucket.invalid")];
    let nameless = house.watch(config(Bucket::Data, nowhere, PATIENCE));
    for _ in 0..2 {
        let told = nameless.round().await.unwrap().remove(0);
        assert_eq!(told.set.verdict, Verdict::Unknown);
        assert!(told.reason.contains("--watch-proxy"), "{}", told.reason);
    }
}

#[tokio::test]
async fn what_any_account_gets_is_public_too_and_one_that_is_not_believed_proves_nothing() {
    let (house, _, fake) = on_a_fake().await;
    fake.know_accounts();
    let mut as_account = config(Bucket::Data, fake.addresses(), PATIENCE);
    as_account.account = Some(Signer::new("r", "OTHER", "secret"));
    as_account.seldom = Duration::ZERO;
    let watch = house.watch(as_account.clone());
    for (fault, verdict, probe) in [
        (Fault::None, Verdict::Private, None),
        (Fault::ListByAccount, Verdict::Exposed, Some("list-v2-by-any-account")),
        (Fault::GetByAccount, Verdict::Exposed, Some("get-canary-by-any-account")),
        (Fault::NotBelieved, Verdict::Unknown, None),
    ] {
        fake.switch(fault.clone());
        assert_eq!(round(&watch).await, verdict, "{fault:?}");
        let rows = house.catalog.exposures(0, i64::MAX).await.unwrap();
        let open: Vec<_> = rows.iter().filter(|row| row.ended_at.is_none()).collect();
        let found = open.iter().any(|row| Some(row.opening.probe.as_str()) == probe);
        assert_eq!(found, probe.is_some(), "{fault:?}: {open:?}");
        fake.switch(Fault::None);
        assert_eq!(round(&watch).await, Verdict::Private, "after {fault:?}");
    }
    // What everybody gets is told once, and not as any account's too.
    fake.switch(Fault::ListV2);
    assert_eq!(round(&watch).await, Verdict::Exposed);
    let rows = house.catalog.exposures(0, i64::MAX).await.unwrap();
    let open = rows.iter().filter(|row| row.ended_at.is_none());
    assert!(open.clone().count() > 0 && open.clone().all(|row| row.opening.probe == "list-v2"));
    fake.switch(Fault::None);
    // Between two looks as an account the last one holds, and one that was not a clear no is made again at once.
    as_account.seldom = Duration::from_secs(3_600);
    let watch = house.watch(as_account);
    fake.switch(Fault::ListByAccount);
    for _ in 0..2 {
        assert_eq!(round(&watch).await, Verdict::Exposed);
    }
    fake.switch(Fault::None);
    assert_eq!(round(&watch).await, Verdict::Private);
}

#[tokio::test]
async fn without_an_account_it_is_said_that_none_was_tried() {
    let (_house, watch, _fake) = on_a_fake().await;
    let told = watch.round().await.unwrap().remove(0);
    assert_eq!(told.set.verdict, Verdict::Private);
    assert!(
        told.reason.contains("not checked: what any other account"),
        "{}",
        told.reason
    );
    assert!(!told.asked_as_account);
}

#[tokio::test]
async fn an_open_bucket_does_not_become_shut_by_silence() {
    let (_house, watch, fake) = on_a_fake().await;
    fake.switch(Fault::ListV2);
    assert_eq!(round(&watch).await, Verdict::Exposed);
    fake.switch(Fault::ServerError);
    assert_eq!(round(&watch).await, Verdict::Exposed);
}

#[tokio::test]
async fn an_address_that_fails_hides_no_other_and_holds_nobody_up() {
    let house = house(store::Config::Memory).await;
    let (failing, open) = (Fake::start().await, Fake::start().await);
    let both: Vec<Address> = failing.addresses().into_iter().chain(open.addresses()).collect();
    let watch = house.watch(config(Bucket::Data, both, PATIENCE));
    for fault in [
        Fault::HangUp,
        Fault::ServerError,
        Fault::Redirect,
        Fault::Yes,
        Fault::Slow,
    ] {
        failing.switch(fault.clone());
        open.switch(Fault::None);
        let began = Instant::now();
        assert_ne!(round(&watch).await, Verdict::Private, "{fault:?}");
        open.switch(Fault::ListV2);
        assert_eq!(round(&watch).await, Verdict::Exposed, "{fault:?}");
        // Two rounds of four patiences each, on a machine that may be busy.
        let most = 8 * PATIENCE + Duration::from_secs(3);
        assert!(began.elapsed() < most, "{fault:?} took {:?}", began.elapsed());
        failing.switch(Fault::None);
        open.switch(Fault::None);
        assert_eq!(round(&watch).await, Verdict::Private, "after {fault:?}");
    }
}

#[tokio::test]
async fn a_round_in_which_the_watch_does_not_see_its_own_open_listener_is_void() {
    let (house, fake) = (house(store::Config::Memory).await, Fake::start().await);
    // Nobody answers so soon.
    let blind = house.watch(config(Bucket::Data, fake.addresses(), Duration::from_nanos(1)));
    let told = blind.round().await.unwrap().remove(0);
    assert_eq!(told.set.verdict, Verdict::Unknown);
    assert!(told.reason.contains("its own open listener"), "{}", told.reason);
}

#[tokio::test]
async fn a_store_that_takes_no_canary_is_looked_at_all_the_same() {
    let faulty = Faulty::new();
    let backend = |store: &Faulty| Backend::with_multipart(Arc::new(store.clone()));
    let store = Store::over(backend(&faulty), backend(&Faulty::new()), backend(&Faulty::new()));
    let (house, fake) = (house_over(store).await, Fake::start().await);
    let mut both = config(Bucket::Data, fake.addresses(), PATIENCE);
    both.watched
        .extend(config(Bucket::Staging, fake.addresses(), PATIENCE).watched);
    let watch = house.watch(both);
    for (fault, word) in [(StoreFault::Full, "full"), (StoreFault::Down, "does not answer")] {
        faulty.fail(move |_| Some(fault));
        fake.switch(Fault::None);
        let told = watch.round().await.unwrap();
        assert_eq!(told[0].set.verdict, Verdict::Unknown, "{fault:?}");
        assert!(told[0].reason.contains(word), "{}", told[0].reason);
        assert_eq!(
            told[1].set.verdict,
            Verdict::Private,
            "the other bucket's store is well"
        );
        fake.switch(Fault::ListV2);
        let told = watch.round().await.unwrap();
        assert_eq!(told[0].set.verdict, Verdict::Exposed, "{fault:?}");
        faulty.heal();
        fake.switch(Fault::None);
        assert_eq!(round(&watch).await, Verdict::Private, "after {fault:?}");
        faulty.remove(&house.canary().await).await;
    }
}

#[tokio::test]
async fn a_write_that_succeeds_is_an_opening_named_and_removed() {
    let house = house(store::Config::Memory).await;
    let fake = Fake::start().await;
    fake.switch(Fault::Write);
    let path_style = address::of_bucket(Some(&fake.url()), "r", "b");
    let watch = house.watch(config(Bucket::Data, path_style.clone(), PATIENCE));
    assert_eq!(round(&watch).await, Verdict::Exposed);
    let rows = house.catalog.exposures(0, i64::MAX).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].opening.probe, "write");
    assert!(
        rows[0].opening.object.as_ref().is_some_and(|name| name.len() == 29),
        "{rows:?}"
    );
    assert_eq!(house.catalog.probe_writes_left(9).await.unwrap(), [], "taken back");
    let notices = house.catalog.newest_notices(9).await.unwrap();
    let told: Vec<_> = notices.iter().filter(|one| one.kind == "stranger-wrote").collect();
    assert_eq!(told.len(), 1, "{notices:?}");
    assert_eq!(told[0].severity, Severity::Page);
    let name = rows[0].opening.object.as_deref().unwrap();
    assert!(told[0].facts.contains(name), "by name: {}", told[0].facts);
    // Without the vault it stays noted for a watch that has one.
    let alone = config(Bucket::Staging, path_style, PATIENCE);
    let alone = Watch::new(alone, house.catalog.clone(), None, Arc::new(SystemClock)).unwrap();
    alone.round().await.unwrap();
    assert_eq!(house.catalog.probe_writes_left(9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_store_that_only_a_proxy_reaches_is_proven_private_through_it_and_not_by_it() {
    let (house, proxy) = (house(store::Config::Memory).await, Fake::start().await);
    let behind = address::of_bucket(Some("http://store.invalid"), "r", "b");
    let mut through = config(Bucket::Data, behind.clone(), PATIENCE);
    through.proxy = Some(proxy.url());
    assert_eq!(
        round(&house.watch(config(Bucket::Data, behind, PATIENCE))).await,
        Verdict::Unknown
    );
    let watch = house.watch(through);
    for (fault, verdict) in [
        (Fault::None, Verdict::Private),
        (Fault::OtherRefusal, Verdict::Unknown),
        (Fault::ListV2, Verdict::Exposed),
    ] {
        proxy.switch(fault.clone());
        assert_eq!(round(&watch).await, verdict, "{fault:?}");
    }
}
