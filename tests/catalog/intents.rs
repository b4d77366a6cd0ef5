//! Intents: who holds an unpublished object, and what nobody may do once a sweep has taken it.

use dashvault::catalog::{Catalog, IntentLocation, IntentRow};
use dashvault::model::{ObjectId, TenantId};

use crate::in_tx;
use crate::{both, rows};

const HOLDER: [u8; 16] = [5; 16];

fn intent(holder: [u8; 16], lease_until: i64) -> IntentRow {
    IntentRow {
        object: ObjectId::random(),
        location: IntentLocation::Data,
        holder,
        multipart_id: None,
        lease_until,
    }
}

async fn added(catalog: &Catalog, tenant: TenantId, holder: [u8; 16], lease_until: i64) -> ObjectId {
    let row = intent(holder, lease_until);
    in_tx!(catalog, tx => tx.insert_intent(tenant, &row, 1));
    row.object
}

async fn ended(catalog: &Catalog, now: i64) -> Vec<ObjectId> {
    let rows = catalog.ended_intents(now, 100).await.unwrap();
    rows.iter().map(|row| row.object).collect()
}

#[tokio::test]
async fn a_row_comes_back_with_the_name_that_it_was_given_later() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let mut row = intent(HOLDER, 100);
        row.location = IntentLocation::Staging;
        in_tx!(catalog, tx => tx.insert_intent(tenant, &row, 1));
        assert_eq!(catalog.intent(row.object).await.unwrap(), Some(row.clone()));
        assert!(in_tx!(catalog, tx => tx.set_intent_multipart(row.object, "upload-1")));
        row.multipart_id = Some("upload-1".to_owned());
        assert_eq!(catalog.intent(row.object).await.unwrap(), Some(row));
        assert!(!in_tx!(catalog, tx => tx.set_intent_multipart(ObjectId::random(), "upload-2")));
    })
    .await;
}

#[tokio::test]
async fn intents_end_with_their_lease_and_are_listed_oldest_first() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let late = added(&catalog, tenant, HOLDER, 200).await;
        let early = added(&catalog, tenant, HOLDER, 100).await;
        assert!(ended(&catalog, 99).await.is_empty());
        assert_eq!(ended(&catalog, 100).await, [early]);
        assert_eq!(ended(&catalog, 200).await, [early, late]);
        assert_eq!(catalog.ended_intents(200, 1).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_holder_moves_the_leases_of_its_own_intents() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let (mine, other) = (
            added(&catalog, tenant, HOLDER, 100).await,
            added(&catalog, tenant, [6; 16], 100).await,
        );
        assert_eq!(in_tx!(catalog, tx => tx.extend_intents(&HOLDER, 300)), 1);
        assert_eq!(ended(&catalog, 299).await, [other]);
        let of = async |holder, now| catalog.ended_intents_of(holder, now, 10).await.unwrap().len();
        assert_eq!((of(&HOLDER, 299).await, of(&HOLDER, 300).await), (0, 1));
        assert!(in_tx!(catalog, tx => tx.take_ended_intent(other, 299)).is_some());
        assert_eq!(
            of(&[6; 16], 1).await,
            1,
            "those that a sweep has taken are the holder's too"
        );
        assert_eq!(in_tx!(catalog, tx => tx.end_intents(&HOLDER, 50)), 1);
        assert_eq!(ended(&catalog, 50).await, [mine]);
    })
    .await;
}

#[tokio::test]
async fn an_intent_is_taken_only_after_its_end_and_then_nothing_else_holds_it() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let object = added(&catalog, tenant, HOLDER, 100).await;
        assert_eq!(in_tx!(catalog, tx => tx.take_ended_intent(object, 99)), None);
        let taken = in_tx!(catalog, tx => tx.take_ended_intent(object, 100)).unwrap();
        assert!(taken.object == object && taken.is_swept());
        assert_eq!(in_tx!(catalog, tx => tx.extend_intents(&HOLDER, 1000)), 0);
        assert_eq!(in_tx!(catalog, tx => tx.end_intents(&HOLDER, 1000)), 0);
        assert!(!in_tx!(catalog, tx => tx.set_intent_multipart(object, "late")));
        assert!(
            !in_tx!(catalog, tx => tx.remove_intent(object)),
            "it could be published"
        );
        // A sweep that was interrupted begins again with it.
        let swept = async |after| {
            let rows = catalog.swept_intents(after, 10).await.unwrap();
            rows.iter().map(|row| row.object).collect::<Vec<_>>()
        };
        assert!(
            ended(&catalog, 1_000).await.is_empty(),
            "it is no longer new to a sweep"
        );
        assert_eq!((swept(None).await, swept(Some(object)).await), (vec![object], vec![]));
        assert!(in_tx!(catalog, tx => tx.take_ended_intent(object, 1)).is_some());
        in_tx!(catalog, tx => tx.drop_swept_intent(object));
        assert!(swept(None).await.is_empty());
        assert_eq!(catalog.intent(object).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_intent_leaves_once_and_a_held_one_is_not_dropped_as_swept() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let object = added(&catalog, tenant, HOLDER, 100).await;
        in_tx!(catalog, tx => tx.drop_swept_intent(object));
        assert!(in_tx!(catalog, tx => tx.remove_intent(object)));
        assert!(!in_tx!(catalog, tx => tx.remove_intent(object)));
        assert_eq!(in_tx!(catalog, tx => tx.take_ended_intent(object, 1000)), None);
    })
    .await;
}
