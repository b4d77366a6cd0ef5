//! The queue of notices: what gets in, what goes when it is full, and who delivers.

use dashvault::catalog::{Catalog, Claimed, MOST_WAITING, NewNotice, ONCE_MS};
use dashvault::model::{JobId, Severity};

use crate::both;

const LEASE_MS: i64 = 1_000;
const SINKS: [&str; 2] = ["log", "webhook"];

fn a_notice(severity: Severity, subject: &str) -> NewNotice {
    NewNotice {
        kind: "bucket-exposed",
        severity,
        subject: subject.to_owned(),
        facts: "bucket data\nlisted by anybody".to_owned(),
        once_for: None,
    }
}

async fn spread(catalog: &Catalog, sinks: &[&str], now: i64) -> u64 {
    let mut tx = catalog.begin().await.unwrap();
    let added = tx.spread_notices(sinks, 0, now).await.unwrap();
    tx.commit().await.unwrap();
    added
}

async fn claim(catalog: &Catalog, sink: &str, now: i64) -> Option<Claimed> {
    let mut tx = catalog.begin().await.unwrap();
    let claimed = tx
        .claim_delivery(sink, JobId::random(), now, now + LEASE_MS)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    claimed
}

async fn made(catalog: &Catalog, claimed: &Claimed, now: i64) -> bool {
    let mut tx = catalog.begin().await.unwrap();
    let made = tx.delivery_made(claimed, now).await.unwrap();
    tx.commit().await.unwrap();
    made
}

#[tokio::test]
async fn a_notice_goes_once_to_every_sink_and_is_settled_by_the_last() {
    both(async |catalog| {
        assert!(
            catalog
                .raise_notice(&a_notice(Severity::Page, "open"), 5)
                .await
                .unwrap()
        );
        assert!(
            catalog.has_due_delivery("log", 0, 5).await.unwrap(),
            "it is not on its way"
        );
        assert_eq!(
            (spread(&catalog, &SINKS, 6).await, spread(&catalog, &SINKS, 6).await),
            (2, 0)
        );
        for (sink, settled) in [("log", None), ("webhook", Some(8))] {
            let claimed = claim(&catalog, sink, 7).await.unwrap();
            assert_eq!((claimed.attempts, claimed.notice.subject.as_str()), (1, "open"));
            assert!(!catalog.has_due_delivery(sink, 0, 7).await.unwrap(), "it is taken");
            assert_eq!(claim(&catalog, sink, 7).await, None, "it is taken");
            assert!(made(&catalog, &claimed, 8).await);
            assert_eq!(
                catalog.newest_notices(2).await.unwrap()[0].settled_at,
                settled,
                "{sink}"
            );
        }
        let numbers = catalog.notice_numbers().await.unwrap();
        assert_eq!((numbers.waiting, numbers.oldest_at, numbers.sent), (0, None, 2));
        assert_eq!(
            spread(&catalog, &["email"], 9).await,
            1,
            "a sink that came later is told too"
        );
        assert_eq!(catalog.notice_numbers().await.unwrap().waiting, 1);
    })
    .await;
}

#[tokio::test]
async fn what_a_dead_node_held_is_claimed_again_and_the_late_one_writes_nothing() {
    both(async |catalog| {
        catalog
            .raise_notice(&a_notice(Severity::Page, "open"), 1)
            .await
            .unwrap();
        spread(&catalog, &["log"], 1).await;
        let late = claim(&catalog, "log", 1).await.unwrap();
        assert_eq!(claim(&catalog, "log", LEASE_MS).await, None);
        let second = claim(&catalog, "log", 1 + LEASE_MS).await.unwrap();
        assert_eq!(second.attempts, 2);
        assert!(!made(&catalog, &late, 1 + LEASE_MS).await);
        let mut tx = catalog.begin().await.unwrap();
        assert!(!tx.retry_delivery(&late, "refused", 0).await.unwrap());
        assert!(!tx.give_up_delivery(&late, "refused", 0).await.unwrap());
        tx.commit().await.unwrap();
        assert!(made(&catalog, &second, 1 + LEASE_MS).await);
    })
    .await;
}

#[tokio::test]
async fn a_failed_delivery_waits_and_one_given_up_is_counted() {
    both(async |catalog| {
        catalog
            .raise_notice(&a_notice(Severity::Info, "note"), 1)
            .await
            .unwrap();
        spread(&catalog, &["webhook"], 1).await;
        let first = claim(&catalog, "webhook", 1).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        assert!(tx.retry_delivery(&first, "unreachable", 50).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(catalog.notice_numbers().await.unwrap().failing, 1);
        assert_eq!(claim(&catalog, "webhook", 49).await, None);
        let second = claim(&catalog, "webhook", 50).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        assert!(tx.give_up_delivery(&second, "unreachable", 51).await.unwrap());
        tx.commit().await.unwrap();
        let row = &catalog.deliveries_of(second.notice.id).await.unwrap()[0];
        assert_eq!(
            (row.state.as_str(), row.attempts, row.failure.as_deref()),
            ("dead", 2, Some("unreachable"))
        );
        let numbers = catalog.notice_numbers().await.unwrap();
        assert_eq!((numbers.waiting, numbers.failing, numbers.dead), (0, 0, 1));
    })
    .await;
}

#[tokio::test]
async fn many_nodes_never_share_a_delivery() {
    both(async |catalog| {
        for at in 1..=12 {
            catalog
                .raise_notice(&a_notice(Severity::Warning, "w"), at)
                .await
                .unwrap();
        }
        let nodes = (0..6).map(|_| async {
            spread(&catalog, &["log"], 20).await;
            let mut mine = Vec::new();
            while catalog.has_due_delivery("log", 0, 20).await.unwrap() {
                mine.extend(claim(&catalog, "log", 20).await.map(|claimed| claimed.notice.id));
            }
            mine
        });
        let mut taken: Vec<_> = futures_util::future::join_all(nodes).await.concat();
        assert_eq!(taken.len(), 12);
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), 12, "a delivery was claimed twice");
    })
    .await;
}

#[tokio::test]
async fn the_same_key_raises_once_a_day_and_also_among_many_at_once() {
    both(async |catalog| {
        let keyed = NewNotice {
            once_for: Some("unknown-object data/x".to_owned()),
            ..a_notice(Severity::Warning, "unknown object")
        };
        let at_once = (0..6).map(|_| catalog.raise_notice(&keyed, 10));
        let raised = futures_util::future::join_all(at_once).await;
        assert_eq!(raised.into_iter().filter(|raised| *raised.as_ref().unwrap()).count(), 1);
        assert!(!catalog.raise_notice(&keyed, 9 + ONCE_MS).await.unwrap());
        assert!(catalog.raise_notice(&keyed, 10 + ONCE_MS).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_notice_of_a_transaction_that_is_taken_back_is_not_told_and_may_be_raised_again() {
    both(async |catalog| {
        let keyed = NewNotice {
            once_for: Some("k".to_owned()),
            ..a_notice(Severity::Page, "open")
        };
        let mut tx = catalog.begin().await.unwrap();
        assert!(tx.raise_notice(&keyed, 1).await.unwrap());
        tx.rollback().await.unwrap();
        assert_eq!(catalog.newest_notices(1).await.unwrap(), []);
        assert!(catalog.raise_notice(&keyed, 2).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_page_goes_before_what_was_raised_earlier() {
    both(async |catalog| {
        for (at, severity) in [(1, Severity::Info), (2, Severity::Warning), (3, Severity::Page)] {
            catalog.raise_notice(&a_notice(severity, "x"), at).await.unwrap();
        }
        spread(&catalog, &["log"], 4).await;
        let mut order = Vec::new();
        while let Some(claimed) = claim(&catalog, "log", 4).await {
            order.push(claimed.notice.severity);
        }
        assert_eq!(order, [Severity::Page, Severity::Warning, Severity::Info]);
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest_info_then_warnings_and_never_a_page() {
    both(async |catalog| {
        let raise =
            async |severity, subject: &str, at| catalog.raise_notice(&a_notice(severity, subject), at).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        for n in 0..MOST_WAITING - 3 {
            tx.raise_notice(&a_notice(Severity::Page, "page"), n as i64 + 10)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        raise(Severity::Info, "first info", 1).await;
        raise(Severity::Warning, "warning", 0).await;
        raise(Severity::Info, "second info", 2).await;
        let subjects = async || -> Vec<String> {
            let all = catalog.newest_notices(2_000).await.unwrap();
            let low = all.into_iter().filter(|notice| notice.severity != Severity::Page);
            low.map(|notice| notice.subject).collect()
        };
        assert!(raise(Severity::Info, "third info", 3).await);
        assert_eq!(subjects().await, ["third info", "second info", "warning"]);
        for at in 0..2 {
            assert!(raise(Severity::Page, "page", 5_000 + at).await);
        }
        assert_eq!(subjects().await, ["warning"], "both infos made room");
        assert!(
            !raise(Severity::Info, "fourth info", 4).await,
            "no info waits, and a warning is worth more"
        );
        assert!(raise(Severity::Page, "page", 5_002).await);
        assert_eq!(subjects().await, [] as [&str; 0]);
        assert!(!raise(Severity::Warning, "late warning", 5_003).await);
        // Only pages are left: one more of the kind is counted on the newest.
        assert!(raise(Severity::Page, "page", 5_004).await);
        let newest = &catalog.newest_notices(1).await.unwrap()[0];
        assert_eq!((newest.raised_at, newest.repeats), (5_002, 1));
        let other = NewNotice {
            kind: "watch-silent",
            ..a_notice(Severity::Page, "silent")
        };
        assert!(catalog.raise_notice(&other, 5_005).await.unwrap());
        assert_eq!(catalog.newest_notices(1).await.unwrap()[0].kind, "watch-silent");
        let numbers = catalog.notice_numbers().await.unwrap();
        assert_eq!((numbers.waiting, numbers.dropped), (MOST_WAITING + 1, 6));
    })
    .await;
}

#[tokio::test]
async fn what_was_dropped_may_be_raised_again_when_there_is_room() {
    both(async |catalog| {
        let mut tx = catalog.begin().await.unwrap();
        for n in 0..MOST_WAITING {
            tx.raise_notice(&a_notice(Severity::Page, "page"), n as i64)
                .await
                .unwrap();
        }
        tx.commit().await.unwrap();
        let keyed = NewNotice {
            once_for: Some("k".to_owned()),
            ..a_notice(Severity::Warning, "drift")
        };
        assert!(!catalog.raise_notice(&keyed, 1).await.unwrap());
        let mut tx = catalog.begin().await.unwrap();
        assert_eq!(tx.remove_old_notices(5, 5, 10).await.unwrap(), 5);
        tx.commit().await.unwrap();
        assert!(catalog.raise_notice(&keyed, 6).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn texts_are_cut_and_hold_no_line_that_could_be_a_header() {
    both(async |catalog| {
        let hostile = NewNotice {
            facts: format!("one\ntwo\r\0{}", "x".repeat(10_000)),
            ..a_notice(Severity::Info, &format!("a\r\nBcc: x\0{}", "y".repeat(300)))
        };
        catalog.raise_notice(&hostile, 1).await.unwrap();
        let kept = &catalog.newest_notices(1).await.unwrap()[0];
        assert!(
            kept.subject.starts_with("a  Bcc: x y") && kept.subject.len() == 200,
            "{}",
            kept.subject
        );
        assert!(
            kept.facts.starts_with("one\ntwo  x") && kept.facts.len() == 8_192,
            "{}",
            kept.facts
        );
    })
    .await;
}

#[tokio::test]
async fn old_notices_go_with_their_deliveries() {
    both(async |catalog| {
        for at in [1, 2, 3] {
            catalog.raise_notice(&a_notice(Severity::Page, "p"), at).await.unwrap();
        }
        spread(&catalog, &SINKS, 4).await;
        let mut tx = catalog.begin().await.unwrap();
        assert_eq!(tx.remove_old_notices(3, 4, 1).await.unwrap(), 1);
        assert_eq!(tx.remove_old_notices(3, 4, 9).await.unwrap(), 1);
        tx.commit().await.unwrap();
        let left = catalog.newest_notices(9).await.unwrap();
        assert_eq!(left.len(), 1);
        assert_eq!(catalog.deliveries_of(left[0].id).await.unwrap().len(), 2);
    })
    .await;
}
