//! Proof over time: walks through the buckets and what they find, signed statements, and what could be reached when.

use dashvault::catalog::{AttestationRow, CatalogError, NewFinding, NewVerdict, ObjectRow, Opening};
use dashvault::model::{Bucket, ClipId, ObjectId, Verdict, WalkId, WalkStage};

use crate::in_tx;
use crate::{both, rows};

fn finding(name: &str, clip: Option<ClipId>) -> NewFinding {
    NewFinding {
        flaw: "not-sealed",
        name: name.to_owned(),
        clip,
    }
}

#[tokio::test]
async fn one_node_walks_at_a_time_and_another_when_it_is_gone() {
    both(async |catalog| {
        let (first, second) = (WalkId::random(), WalkId::random());
        assert!(in_tx!(catalog, tx => tx.take_walking_turn(first, 0, 100)));
        assert!(
            in_tx!(catalog, tx => tx.take_walking_turn(first, 50, 150)),
            "its own turn goes on"
        );
        assert!(!in_tx!(catalog, tx => tx.take_walking_turn(second, 149, 249)));
        assert!(in_tx!(catalog, tx => tx.take_walking_turn(second, 150, 250)));
        in_tx!(catalog, tx => tx.leave_walking_turn(first));
        assert!(
            !in_tx!(catalog, tx => tx.take_walking_turn(first, 151, 251)),
            "nobody gives back another's turn"
        );
        in_tx!(catalog, tx => tx.leave_walking_turn(second));
        assert!(in_tx!(catalog, tx => tx.take_walking_turn(first, 152, 252)));
    })
    .await;
}

#[tokio::test]
async fn a_walk_is_gone_on_with_and_its_findings_end_when_they_are_found_no_more() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let clip = rows::a_ready_clip(&catalog, tenant, owner).await;
        let mut walk = in_tx!(catalog, tx => tx.begin_walk(Bucket::Data, 10));
        let mut tx = catalog.begin().await.unwrap();
        let again = tx.begin_walk(Bucket::Data, 11).await;
        assert!(matches!(again, Err(CatalogError::Exists(_))), "{again:?}");
        drop(tx);
        for (name, clip, is_new) in [("aa", None, true), ("aa", None, false), ("bb", Some(clip), true)] {
            assert_eq!(
                in_tx!(catalog, tx => tx.note_finding(&walk, &finding(name, clip), 20)),
                is_new
            );
        }
        (walk.stage, walk.cursor, walk.objects, walk.findings) = (WalkStage::Rows, Some("aa".to_owned()), 2, 2);
        in_tx!(catalog, tx => tx.move_walk(&walk));
        assert_eq!(catalog.open_walk().await.unwrap().as_ref(), Some(&walk));
        (walk.stage, walk.cursor, walk.ended_at) = (WalkStage::Done, None, Some(30));
        in_tx!(catalog, tx => tx.move_walk(&walk));
        assert_eq!(catalog.open_walk().await.unwrap(), None);
        assert_eq!(catalog.last_walk(Bucket::Data).await.unwrap().as_ref(), Some(&walk));
        assert_eq!(catalog.walks(Bucket::Data, 30, 31).await.unwrap(), [walk.clone()]);
        assert_eq!(catalog.walks(Bucket::Data, 0, 30).await.unwrap(), []);
        assert_eq!(
            catalog.clip_with_findings(walk.id).await.unwrap(),
            None,
            "this walk saw it"
        );

        let next = in_tx!(catalog, tx => tx.begin_walk(Bucket::Data, 40));
        assert_eq!(catalog.clip_with_findings(next.id).await.unwrap(), Some(clip));
        assert_eq!(in_tx!(catalog, tx => tx.end_findings_before(&next, 50)), 1);
        assert_eq!(in_tx!(catalog, tx => tx.end_findings_of(&next, clip, 60)), 1);
        let ended = catalog.findings(0, 100).await.unwrap();
        let ended: Vec<_> = ended
            .iter()
            .map(|row| (row.name.as_str(), row.clip, row.ended_at))
            .collect();
        assert_eq!(ended.len(), 2);
        assert!(ended.contains(&("aa", None, Some(50))), "{ended:?}");
        assert!(ended.contains(&("bb", Some(clip), Some(60))), "{ended:?}");
        assert_eq!(
            catalog.some_clip(ClipId::random()).await.unwrap(),
            Some(clip),
            "the search goes round"
        );
    })
    .await;
}

#[tokio::test]
async fn statements_follow_each_other_and_no_number_is_given_twice() {
    both(async |catalog| {
        assert_eq!(catalog.newest_attestation().await.unwrap(), None);
        let statement = |seq: u64| AttestationRow {
            seq,
            at: i64::try_from(seq).unwrap() * 10,
            sha256: [7; 32],
            changes: seq,
            line: format!("statement {seq}"),
        };
        for seq in 1..=3 {
            in_tx!(catalog, tx => tx.add_attestation(&statement(seq)));
        }
        let mut tx = catalog.begin().await.unwrap();
        let again = tx.add_attestation(&statement(3)).await;
        assert!(matches!(again, Err(CatalogError::Exists(_))), "{again:?}");
        drop(tx);
        assert_eq!(catalog.newest_attestation().await.unwrap(), Some(statement(3)));
        assert_eq!(catalog.attestations_after(1, 1).await.unwrap(), [statement(2)]);
        assert_eq!(catalog.attested_before(30).await.unwrap(), 2);
        assert_eq!(catalog.attested_before(10).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_lay_in_a_bucket_while_it_was_open_is_told_with_its_times() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let clip = rows::a_ready_clip(&catalog, tenant, owner).await;
        let object = ObjectRow {
            id: ObjectId::random(),
            clip,
            link: None,
            suite: 1,
            log2_segment: 18,
            padded_size: 1 << 20,
            size_bytes: 2 << 20,
            commitment: [9; 32],
            sealed_about: vec![1],
            created_at: 15,
        };
        in_tx!(catalog, tx => tx.insert_object(tenant, &object));
        let told = |verdict: Verdict| NewVerdict {
            bucket: Bucket::Data,
            verdict,
            reason: verdict.to_string(),
            openings: match verdict {
                Verdict::Exposed => vec![Opening {
                    form: "path-style".to_owned(),
                    probe: "get".to_owned(),
                    object: None,
                }],
                _ => Vec::new(),
            },
            is_whole: true,
            watcher: "inside".to_owned(),
        };
        for (verdict, at) in [(Verdict::Private, 10), (Verdict::Exposed, 20), (Verdict::Private, 30)] {
            in_tx!(catalog, tx => tx.set_verdict(&told(verdict), at));
        }
        let spans = catalog.exposure_spans(0, 100).await.unwrap();
        let times: Vec<_> = spans
            .iter()
            .map(|s| (s.private_before, s.opened_at, s.closed_at))
            .collect();
        assert_eq!(times, [(Some(10), 20, Some(30))]);
        assert_eq!(catalog.exposure_spans(30, 100).await.unwrap(), []);
        assert_eq!(catalog.last_opened_or_shut(Bucket::Data).await.unwrap(), Some(30));
        assert_eq!(catalog.last_opened_or_shut(Bucket::Staging).await.unwrap(), None);
        assert_eq!(catalog.watched().await.unwrap()[0].rounds, 3);

        let reached = catalog.reachable(Bucket::Data, 16, None, 10).await.unwrap();
        assert_eq!(reached.len(), 1);
        assert_eq!(
            (reached[0].id, reached[0].clip, reached[0].owner),
            (object.id, Some(clip), Some(owner))
        );
        assert_eq!((reached[0].size_bytes, reached[0].suite), (Some(2 << 20), Some(1)));
        assert_eq!(
            catalog.reachable(Bucket::Data, 15, None, 10).await.unwrap(),
            [],
            "written later"
        );
        assert_eq!(
            catalog.reachable(Bucket::Data, 16, Some(object.id), 10).await.unwrap(),
            []
        );
        for bucket in [Bucket::Staging, Bucket::KeyPlane] {
            catalog.reachable(bucket, 16, None, 10).await.unwrap();
        }
        assert_eq!(catalog.count_objects(Bucket::Data).await.unwrap(), 1);
        assert_eq!(catalog.erased_since(0).await.unwrap(), 0);
        catalog.uploads_between(0, 100).await.unwrap();
    })
    .await;
}
