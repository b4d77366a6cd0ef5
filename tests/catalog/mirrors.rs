//! The mirror's rows: which object holds a subject's newest record, and when an object is nobody's any more.

use dashvault::catalog::{Catalog, IntentRow, MirrorRow, MirrorState, MirrorSubject};
use dashvault::model::{ObjectId, TenantId};

use crate::in_tx;
use crate::{both, rows};

const FIRST: [u8; 16] = [1; 16];
const SECOND: [u8; 16] = [2; 16];
/// More than one statement records, and no whole number of them.
const MANY: u8 = 101;

fn row(object: ObjectId, subject: [u8; 16], revision: u32) -> MirrorRow {
    MirrorRow {
        object,
        kind: MirrorSubject::Kek,
        subject,
        revision,
        state: MirrorState::Newest,
        packed: 2,
    }
}

/// A pack of two records in their first revision.
async fn a_pack(catalog: &Catalog, tenant: TenantId) -> ObjectId {
    let pack = ObjectId::random();
    for subject in [FIRST, SECOND] {
        assert!(in_tx!(catalog, tx => tx.record_mirror(tenant, &row(pack, subject, 1), 5)));
    }
    pack
}

async fn newest(catalog: &Catalog, subject: [u8; 16]) -> Option<(ObjectId, u32)> {
    let row = catalog.newest_mirror(MirrorSubject::Kek, &subject).await.unwrap();
    row.map(|row| (row.object, row.revision))
}

#[tokio::test]
async fn a_new_revision_is_the_newest_and_an_older_or_equal_one_changes_nothing() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let pack = a_pack(&catalog, tenant).await;
        let next = ObjectId::random();
        assert!(in_tx!(catalog, tx => tx.record_mirror(tenant, &row(next, FIRST, 3), 6)));
        for revision in [1, 2, 3] {
            let late = row(ObjectId::random(), FIRST, revision);
            assert!(!in_tx!(catalog, tx => tx.record_mirror(tenant, &late, 7)));
        }
        assert_eq!(newest(&catalog, FIRST).await, Some((next, 3)));
        assert_eq!(newest(&catalog, SECOND).await, Some((pack, 1)));
        let other_kind = catalog.newest_mirror(MirrorSubject::Envelope, &FIRST).await.unwrap();
        assert_eq!(other_kind, None);
    })
    .await;
}

#[tokio::test]
async fn a_pack_is_recorded_whole_or_not_at_all() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let subjects = (0..MANY).map(|n| [n; 16]);
        let pack = |revision| {
            let object = ObjectId::random();
            let rows = subjects.clone().map(|subject| row(object, subject, revision));
            (object, rows.collect::<Vec<_>>())
        };
        let (first, rows) = pack(1);
        assert!(in_tx!(catalog, tx => tx.record_mirrors(tenant, &rows, 5)));
        let (second, rows) = pack(2);
        assert!(in_tx!(catalog, tx => tx.record_mirrors(tenant, &rows, 6)));
        for subject in subjects.clone() {
            assert_eq!(newest(&catalog, subject).await, Some((second, 2)));
        }
        let old = catalog.mirrors_in(first).await.unwrap();
        assert!(old.len() == rows.len() && old.iter().all(|row| row.state == MirrorState::Old));

        // The last of them was mirrored once more by somebody else.
        let other = ObjectId::random();
        assert!(in_tx!(catalog, tx => tx.record_mirror(tenant, &row(other, [MANY - 1; 16], 3), 7)));
        let (third, rows) = pack(3);
        let mut tx = catalog.begin().await.unwrap();
        assert!(!tx.record_mirrors(tenant, &rows, 8).await.unwrap());
        drop(tx);
        assert!(catalog.mirrors_in(third).await.unwrap().is_empty());
        assert_eq!(newest(&catalog, FIRST).await, Some((second, 2)));
    })
    .await;
}

#[tokio::test]
async fn an_object_is_idle_with_its_last_newest_record() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let pack = a_pack(&catalog, tenant).await;
        in_tx!(catalog, tx => tx.record_mirror(tenant, &row(ObjectId::random(), FIRST, 2), 6));
        assert!(catalog.idle_mirrors(10).await.unwrap().is_empty());
        in_tx!(catalog, tx => tx.record_mirror(tenant, &row(ObjectId::random(), SECOND, 2), 7));
        let idle = catalog.idle_mirrors(10).await.unwrap();
        assert_eq!(idle.iter().map(|row| row.object).collect::<Vec<_>>(), [pack, pack]);
        assert_eq!(in_tx!(catalog, tx => tx.forget_mirrors_in(pack)), 2);
        assert!(catalog.mirrors_in(pack).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_record_is_retired_only_in_the_revision_that_was_read() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let pack = a_pack(&catalog, tenant).await;
        in_tx!(catalog, tx => tx.record_mirror(tenant, &row(ObjectId::random(), FIRST, 2), 6));
        assert!(!in_tx!(catalog, tx => tx.retire_mirror(&row(pack, FIRST, 1))));
        assert!(in_tx!(catalog, tx => tx.retire_mirror(&row(pack, SECOND, 1))));
        assert!(!in_tx!(catalog, tx => tx.retire_mirror(&row(pack, SECOND, 1))));
        let to = ObjectId::random();
        in_tx!(catalog, tx => tx.insert_mirror(tenant, &row(to, SECOND, 1), 7));
        assert_eq!(newest(&catalog, SECOND).await, Some((to, 1)));
        assert_eq!(in_tx!(catalog, tx => tx.forget_mirrors_in(to)), 0, "it is the newest");
        assert_eq!(in_tx!(catalog, tx => tx.forget_mirrors_in(pack)), 2);
    })
    .await;
}

#[tokio::test]
async fn small_packs_and_what_an_erasure_must_forget_are_found() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let pack = a_pack(&catalog, tenant).await;
        let next = ObjectId::random();
        let single = MirrorRow {
            packed: 1,
            ..row(next, FIRST, 2)
        };
        in_tx!(catalog, tx => tx.record_mirror(tenant, &single, 6));
        let small = catalog.mirrors_in_small_packs(MirrorSubject::Kek, 3, 10).await.unwrap();
        assert_eq!(
            small.iter().map(|row| row.object).collect::<Vec<_>>(),
            [next, pack],
            "the smallest first, superseded records not at all"
        );
        let below = catalog.mirrors_in_small_packs(MirrorSubject::Kek, 2, 10).await.unwrap();
        assert_eq!(below, [single]);
        let all = catalog.mirrors_of(MirrorSubject::Kek, &FIRST).await.unwrap();
        assert_eq!(all.len(), 2, "the superseded one too");
        assert_eq!(
            in_tx!(catalog, tx => tx.retire_mirrors_of(MirrorSubject::Kek, &FIRST)),
            1
        );
        let destroyed = catalog.mirrors_of_destroyed_keks(10).await.unwrap();
        assert_eq!(destroyed.len(), 2, "no row of keks stands for it");
        assert_eq!(newest(&catalog, FIRST).await, None);
        assert_eq!(newest(&catalog, SECOND).await, Some((pack, 1)));
    })
    .await;
}

#[tokio::test]
async fn mirrored_and_half_written_objects_are_known_and_no_others() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let pack = a_pack(&catalog, tenant).await;
        let half = ObjectId::random();
        let intent = IntentRow {
            object: half,
            location: MirrorSubject::Kek.location(),
            holder: [5; 16],
            multipart_id: None,
            lease_until: 100,
        };
        in_tx!(catalog, tx => tx.insert_intent(tenant, &intent, 5));
        let mut known = catalog.known_mirrors(&[pack, half, ObjectId::random()]).await.unwrap();
        known.sort();
        let mut expected = [pack, half];
        expected.sort();
        assert_eq!(known, expected);
        assert!(catalog.known_mirrors(&[]).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn clips_without_a_mirror_are_found_until_they_have_one() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let clip = rows::a_ready_clip(&catalog, tenant, owner).await;
        assert_eq!(catalog.unmirrored_clips(None, 10).await.unwrap(), [*clip.as_bytes()]);
        let after = catalog.unmirrored_clips(Some(*clip.as_bytes()), 10).await.unwrap();
        assert!(after.is_empty());
        let totals = catalog.mirror_totals(MirrorSubject::Envelope).await.unwrap();
        assert_eq!((totals.records, totals.mirrored), (1, 0));
        let mirror = MirrorRow {
            kind: MirrorSubject::Envelope,
            ..row(ObjectId::random(), *clip.as_bytes(), 1)
        };
        in_tx!(catalog, tx => tx.record_mirror(tenant, &mirror, 5));
        assert!(catalog.unmirrored_clips(None, 10).await.unwrap().is_empty());
        let totals = catalog.mirror_totals(MirrorSubject::Envelope).await.unwrap();
        assert_eq!((totals.records, totals.mirrored, totals.objects), (1, 1, 1));
    })
    .await;
}
