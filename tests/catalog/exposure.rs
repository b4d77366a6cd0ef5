//! Verdicts over our own buckets: what counts, what is a change, and from when to when a way in was open.

use dashvault::catalog::{CanaryRow, Catalog, NewVerdict, Opening, VerdictSet};
use dashvault::model::{Bucket, ObjectId, Verdict};

use crate::both;
use crate::in_tx;

const MINUTE: i64 = 60_000;

fn way(probe: &str) -> Opening {
    Opening {
        form: "path-style".to_owned(),
        probe: probe.to_owned(),
        object: (probe == "get").then(|| "ab/object".to_owned()),
    }
}

fn told(verdict: Verdict, openings: &[&str], watcher: &str) -> NewVerdict {
    NewVerdict {
        bucket: Bucket::Data,
        verdict,
        reason: format!("{watcher} says {verdict}"),
        openings: openings.iter().map(|probe| way(probe)).collect(),
        is_whole: verdict != Verdict::Unknown,
        watcher: watcher.to_owned(),
    }
}

async fn set(catalog: &Catalog, told: &NewVerdict, now: i64) -> VerdictSet {
    in_tx!(catalog, tx => tx.set_verdict(told, now))
}

#[tokio::test]
async fn a_change_is_a_row_and_the_same_again_is_none() {
    both(async |catalog| {
        let first = set(&catalog, &told(Verdict::Private, &[], "inside"), 10).await;
        assert_eq!((first.verdict, first.previous), (Verdict::Private, None));
        assert!(first.is_change());
        let again = set(&catalog, &told(Verdict::Private, &[], "inside"), 20).await;
        assert!(!again.is_change());
        let open = set(&catalog, &told(Verdict::Exposed, &["get", "list-v2"], "inside"), 30).await;
        assert_eq!(open.new_openings, [way("get"), way("list-v2")]);
        let rows = catalog.verdicts().await.unwrap();
        assert_eq!(rows.len(), 1);
        let row = &rows[0];
        assert_eq!((row.verdict, row.since, row.checked_at), (Verdict::Exposed, 30, 30));
        assert_eq!(row.private_at, Some(20), "when it was last private is kept");
        let changes = catalog.verdict_changes(0, 100).await.unwrap();
        let seen: Vec<_> = changes.iter().map(|c| (c.at, c.previous, c.verdict)).collect();
        assert_eq!(
            seen,
            [
                (10, None, Verdict::Private),
                (30, Some(Verdict::Private), Verdict::Exposed)
            ]
        );
        assert_eq!(catalog.verdict_changes(11, 30).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn a_way_in_has_a_row_from_its_first_to_its_last_seeing() {
    both(async |catalog| {
        for (now, ways) in [(10, &["get", "list-v2"][..]), (20, &["get"]), (30, &["get"])] {
            set(&catalog, &told(Verdict::Exposed, ways, "inside"), now).await;
        }
        set(&catalog, &told(Verdict::Private, &[], "inside"), 40).await;
        // The same way again is another row.
        set(&catalog, &told(Verdict::Exposed, &["get"], "inside"), 50).await;
        let rows = catalog.exposures(0, 100).await.unwrap();
        let mut seen: Vec<_> = rows
            .iter()
            .map(|r| (r.began_at, r.opening.probe.as_str(), r.seen_at, r.ended_at))
            .collect();
        seen.sort_unstable();
        assert_eq!(
            seen,
            [
                (10, "get", 30, Some(40)),
                (10, "list-v2", 10, Some(20)),
                (50, "get", 50, None)
            ]
        );
        assert_eq!(rows[0].opening.object.is_some(), rows[0].opening.probe == "get");
        let later = catalog.exposures(40, 100).await.unwrap();
        assert_eq!(later.len(), 1, "only what was open in the window");
    })
    .await;
}

#[tokio::test]
async fn what_was_open_stays_exposed_until_it_is_proven_private() {
    both(async |catalog| {
        set(&catalog, &told(Verdict::Exposed, &["get"], "inside"), 10).await;
        let unclear = set(&catalog, &told(Verdict::Unknown, &[], "inside"), 20).await;
        assert_eq!(unclear.verdict, Verdict::Exposed);
        assert!(!unclear.is_change());
        let shut = set(&catalog, &told(Verdict::Private, &[], "inside"), 30).await;
        assert_eq!(shut.verdict, Verdict::Private);
        let unclear = set(&catalog, &told(Verdict::Unknown, &[], "inside"), 40).await;
        assert_eq!(unclear.verdict, Verdict::Unknown);
        assert_eq!(catalog.verdicts().await.unwrap()[0].private_at, Some(30));
    })
    .await;
}

#[tokio::test]
async fn a_watcher_elsewhere_that_sees_it_open_counts_for_more_than_one_that_does_not() {
    both(async |catalog| {
        set(&catalog, &told(Verdict::Exposed, &["get"], "outside"), 10).await;
        let inside = set(&catalog, &told(Verdict::Private, &[], "inside"), 20).await;
        assert_eq!(inside.verdict, Verdict::Exposed);
        let row = catalog.verdicts().await.unwrap().remove(0);
        assert!(row.reason.contains("outside") && row.private_at.is_none(), "{row:?}");
        // A watcher that has gone away keeps nothing open for ever.
        let late = set(&catalog, &told(Verdict::Private, &[], "inside"), 10 + 15 * MINUTE).await;
        assert_eq!(late.verdict, Verdict::Exposed);
        let late = set(&catalog, &told(Verdict::Private, &[], "inside"), 11 + 15 * MINUTE).await;
        assert_eq!(late.verdict, Verdict::Private);
    })
    .await;
}

#[tokio::test]
async fn a_canary_is_a_known_object_and_a_refused_probe_write_is_forgotten() {
    both(async |catalog| {
        let [canary, refused, landed] = [(); 3].map(|()| ObjectId::random());
        let row = |object, created_at| CanaryRow {
            bucket: Bucket::Data,
            object,
            size_bytes: 200,
            created_at,
        };
        in_tx!(catalog, tx => tx.set_canary(&row(ObjectId::random(), 1)));
        in_tx!(catalog, tx => tx.set_canary(&row(canary, 2)));
        assert_eq!(catalog.canaries().await.unwrap(), [row(canary, 2)]);
        assert_eq!(catalog.known_objects(&[canary, refused]).await.unwrap(), [canary]);
        for (name, at) in [(refused, 3), (landed, 4)] {
            in_tx!(catalog, tx => tx.note_probe_write(name, Bucket::Staging, at));
        }
        in_tx!(catalog, tx => tx.forget_probe_write(refused));
        let left = catalog.probe_writes_left(10).await.unwrap();
        assert_eq!(left.iter().map(|row| row.name).collect::<Vec<_>>(), [landed]);
        assert_eq!(left[0].bucket, Bucket::Staging);
        in_tx!(catalog, tx => tx.probe_write_removed(landed, 5));
        assert_eq!(catalog.probe_writes_left(10).await.unwrap(), []);
        for bucket in [Bucket::Data, Bucket::Staging, Bucket::KeyPlane] {
            assert_eq!(
                catalog
                    .some_objects(bucket, ObjectId::from_bytes([0; 16]), 3)
                    .await
                    .unwrap(),
                []
            );
        }
    })
    .await;
}
