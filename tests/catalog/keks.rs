//! Owners' keys: the newest active one counts, and destroying leaves nothing.

use dashvault::catalog::{CatalogError, KekRow, MirrorRow, MirrorState, MirrorSubject};
use dashvault::model::{KekId, ObjectId, OwnerId};

use crate::in_tx;
use crate::{both, rows};

fn kek(owner: OwnerId, version: u32) -> KekRow {
    KekRow {
        id: KekId::random(),
        owner,
        version,
        epoch: 1,
        revision: 1,
        least_revision: 0,
        record: vec![version as u8; 300],
    }
}

#[tokio::test]
async fn the_newest_key_of_an_owner_is_the_active_one() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let (_, stranger) = rows::an_owner(&catalog).await;
        assert!(catalog.active_kek(owner).await.unwrap().is_none());
        for version in [1, 3, 2] {
            in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, version), 5));
        }
        let newest = catalog.active_kek(owner).await.unwrap().unwrap();
        assert_eq!((newest.owner, newest.version, newest.record), (owner, 3, vec![3; 300]));
        assert!(catalog.active_kek(stranger).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_version_is_there_once() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 1), 5));
        let mut tx = catalog.begin().await.unwrap();
        let again = tx.insert_kek(tenant, &kek(owner, 1), 5).await;
        assert!(matches!(again, Err(CatalogError::Exists(_))), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn destroying_takes_every_key_of_one_owner_and_no_other() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let (other_tenant, other) = rows::an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 1), 5));
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 2), 5));
        in_tx!(catalog, tx => tx.insert_kek(other_tenant, &kek(other, 1), 5));
        assert_eq!(in_tx!(catalog, tx => tx.destroy_keks(owner)).len(), 2);
        assert_eq!(in_tx!(catalog, tx => tx.destroy_keks(owner)).len(), 0);
        assert!(catalog.active_kek(owner).await.unwrap().is_none());
        assert!(catalog.active_kek(other).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_record_is_replaced_in_the_revision_that_was_read_and_tells_the_highest_that_was_mirrored() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let first = kek(owner, 1);
        in_tx!(catalog, tx => tx.insert_kek(tenant, &first, 5));
        assert_eq!(catalog.kek(first.id).await.unwrap().unwrap().least_revision, 0);
        let second = KekRow {
            revision: 2,
            record: vec![9; 300],
            ..first.clone()
        };
        assert!(!in_tx!(catalog, tx => tx.replace_kek(&second, 7)));
        assert!(in_tx!(catalog, tx => tx.replace_kek(&second, 1)));
        assert!(!in_tx!(catalog, tx => tx.replace_kek(&second, 1)), "it is at 2 now");
        let mirror = MirrorRow {
            object: ObjectId::random(),
            kind: MirrorSubject::Kek,
            subject: *first.id.as_bytes(),
            revision: 2,
            state: MirrorState::Newest,
            packed: 1,
        };
        in_tx!(catalog, tx => tx.record_mirror(tenant, &mirror, 6));
        let row = catalog.active_kek(owner).await.unwrap().unwrap();
        assert_eq!((row.revision, row.least_revision, row.record), (2, 2, vec![9; 300]));
    })
    .await;
}
