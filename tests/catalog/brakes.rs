//! Readers' allowances: taken by one statement however many ask, given back by time.

use dashvault::catalog::{Allowance, Catalog, Used};
use dashvault::model::CredentialId;

use crate::{both, in_tx};

const HOUR: i64 = 3_600_000;

/// One of three in an hour.
fn third(reader: CredentialId) -> Allowance<'static> {
    Allowance {
        reader,
        reach: "media",
        cost_ms: HOUR / 3,
        whole_ms: HOUR,
    }
}

async fn take(catalog: &Catalog, asked: &Allowance<'_>, now: i64) -> Used {
    in_tx!(catalog, tx => tx.take_allowance(asked, now))
}

#[tokio::test]
async fn what_was_used_comes_back_with_time() {
    both(async |catalog| {
        let (one, other) = (CredentialId::random(), CredentialId::random());
        for n in 1..=3 {
            let used = take(&catalog, &third(one), 0).await;
            assert_eq!((used.granted, used.whole_at), (true, n * HOUR / 3));
        }
        let refused = take(&catalog, &third(one), HOUR / 3 - 1).await;
        assert_eq!(
            (refused.granted, refused.whole_at),
            (false, HOUR),
            "and nothing was taken"
        );
        assert!(take(&catalog, &third(other), 0).await.granted, "others go on");
        let stills = Allowance {
            reach: "still",
            ..third(one)
        };
        assert!(take(&catalog, &stills, 0).await.granted, "each kind is counted apart");
        assert!(take(&catalog, &third(one), HOUR / 3).await.granted);
        assert!(!take(&catalog, &third(one), HOUR / 3).await.granted);
        let later = take(&catalog, &third(one), 9 * HOUR).await;
        assert_eq!(later.whole_at, 9 * HOUR + HOUR / 3, "no more than the whole comes back");
    })
    .await;
}

#[tokio::test]
async fn of_many_who_ask_at_once_no_two_get_the_same() {
    both(async |catalog| {
        let reader = CredentialId::random();
        let asked: Vec<_> = (0..12)
            .map(|_| {
                let catalog = catalog.clone();
                tokio::spawn(async move { take(&catalog, &third(reader), 0).await.granted })
            })
            .collect();
        let mut granted = 0;
        for task in asked {
            granted += u32::from(task.await.expect("it ends"));
        }
        assert_eq!(granted, 3);
    })
    .await;
}

#[tokio::test]
async fn a_clock_that_was_set_back_keeps_nobody_waiting_for_more_than_an_hour() {
    both(async |catalog| {
        let reader = CredentialId::random();
        assert!(take(&catalog, &third(reader), 100 * HOUR).await.granted);
        let refused = take(&catalog, &third(reader), 0).await;
        assert_eq!((refused.granted, refused.whole_at), (false, HOUR));
        assert!(take(&catalog, &third(reader), HOUR / 3).await.granted);
    })
    .await;
}

#[tokio::test]
async fn whoever_has_the_whole_allowance_has_no_row() {
    both(async |catalog| {
        take(&catalog, &third(CredentialId::random()), 0).await;
        take(&catalog, &third(CredentialId::random()), 1).await;
        assert_eq!(in_tx!(catalog, tx => tx.sweep_allowances(HOUR / 3 - 1)), 0);
        assert_eq!(in_tx!(catalog, tx => tx.sweep_allowances(HOUR / 3)), 1);
        assert_eq!(in_tx!(catalog, tx => tx.sweep_allowances(HOUR)), 1);
    })
    .await;
}
