//! The absence of the watch: nothing is said by a watch that has ended, so somebody else says it.

use std::sync::Arc;

use dashvault::catalog::Catalog;
use dashvault::model::{Clock as _, FixedClock};
use dashvault::post::Config;
use dashvault_test_support::Scratch;

use crate::{catalog, run, until};

const MINUTE: i64 = 60_000;
const NOW: i64 = 1_800_000_000_000;

async fn kinds(catalog: &Catalog) -> Vec<String> {
    let mut rows = catalog.newest_notices(99).await.unwrap();
    rows.reverse();
    rows.into_iter().map(|row| row.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_silent_is_told_of_once_and_one_that_was_taken_away_is_forgotten() {
    let scratch = Scratch::new("post");
    let (catalog, clock) = (catalog(&scratch).await, Arc::new(FixedClock::at(NOW)));
    let mut tx = catalog.begin().await.unwrap();
    tx.round_made("serve", MINUTE, true, NOW).await.unwrap();
    // One that never made a round.
    tx.expect_watcher("outside", MINUTE, NOW).await.unwrap();
    tx.commit().await.unwrap();
    let _running = run(&Config::default(), &catalog, clock.clone(), None);
    clock.advance(5 * MINUTE);
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(
        kinds(&catalog).await,
        Vec::<String>::new(),
        "a few rounds may be missing"
    );
    clock.advance(MINUTE);
    until("both silences", async || kinds(&catalog).await.len() == 2).await;
    let mut tx = catalog.begin().await.unwrap();
    let before = tx.round_made("serve", MINUTE, true, clock.now_ms()).await.unwrap();
    assert!(before.unwrap().silent_from() < clock.now_ms());
    tx.commit().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    assert_eq!(
        kinds(&catalog).await,
        ["watch-silent", "watch-silent"],
        "once for a silence"
    );
    clock.advance(8 * 24 * 60 * MINUTE);
    until("both forgotten", async || catalog.watchers().await.unwrap().is_empty()).await;
    let all = kinds(&catalog).await;
    assert_eq!(all[all.len() - 2..], ["watch-forgotten", "watch-forgotten"]);
}
