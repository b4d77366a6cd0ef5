//! The mirror's rows: which object holds a subject's newest record, and when an object is nobody's any more.

use dashvault::catalog::{Catalog, IntentLocation, MirrorRow, MirrorState, MirrorSubject};
use dashvault::model::{ObjectId, TenantId};

use crate::in_tx;
use crate::{both, rows};

const FIRST: [u8; 16] = [1; 16];
const SECOND: [u8; 16] = [2; 16];

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
async fn an_object_goes_to_the_sweep_with_its_last_newest_record() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let pack = a_pack(&catalog, tenant).await;
        in_tx!(catalog, tx => tx.record_mirror(tenant, &row(ObjectId::random(), FIRST, 2), 6));
        assert_eq!(catalog.intent(pack).await.unwrap(), None);
        assert_eq!(catalog.mirrors_in(pack).await.unwrap().len(), 2);
        in_tx!(catalog, tx => tx.record_mirror(tenant, &row(ObjectId::random(), SECOND, 2), 7));
        let intent = catalog.intent(pack).await.unwrap().expect("the sweep's");
        assert_eq!((intent.location, intent.lease_until), (IntentLocation::KeyPlane, 7));
        assert!(catalog.mirrors_in(pack).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_record_moves_into_another_pack_only_in_the_revision_that_was_read() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let pack = a_pack(&catalog, tenant).await;
        in_tx!(catalog, tx => tx.record_mirror(tenant, &row(ObjectId::random(), FIRST, 2), 6));
        let to = ObjectId::random();
        assert!(!in_tx!(catalog, tx => tx.move_mirror(&row(pack, FIRST, 1), to, 2)));
        assert!(in_tx!(catalog, tx => tx.move_mirror(&row(pack, SECOND, 1), to, 2)));
        assert!(!in_tx!(catalog, tx => tx.move_mirror(&row(pack, SECOND, 1), ObjectId::random(), 2)));
        assert_eq!(newest(&catalog, SECOND).await, Some((to, 1)));
        let idle = catalog.idle_mirrors(10).await.unwrap();
        assert_eq!(idle.iter().map(|row| row.object).collect::<Vec<_>>(), [pack]);
        assert!(in_tx!(catalog, tx => tx.drop_idle_mirror(tenant, pack, MirrorSubject::Kek, 8)));
        assert!(!in_tx!(catalog, tx => tx.drop_idle_mirror(tenant, to, MirrorSubject::Kek, 8)));
        assert!(catalog.idle_mirrors(10).await.unwrap().is_empty());
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
        for row in &all {
            in_tx!(catalog, tx => tx.forget_mirror(row));
        }
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
        let intent = MirrorRow::intent(half, MirrorSubject::Kek, 100);
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
        assert_eq!(catalog.unmirrored_clips(10).await.unwrap(), [*clip.as_bytes()]);
        let totals = catalog.mirror_totals(MirrorSubject::Envelope).await.unwrap();
        assert_eq!((totals.records, totals.mirrored), (1, 0));
        let mirror = MirrorRow {
            kind: MirrorSubject::Envelope,
            ..row(ObjectId::random(), *clip.as_bytes(), 1)
        };
        in_tx!(catalog, tx => tx.record_mirror(tenant, &mirror, 5));
        assert!(catalog.unmirrored_clips(10).await.unwrap().is_empty());
        let totals = catalog.mirror_totals(MirrorSubject::Envelope).await.unwrap();
        assert_eq!((totals.records, totals.mirrored, totals.objects), (1, 1, 1));
    })
    .await;
}
