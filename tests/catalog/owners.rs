//! Owners: found by an index, one an index, and what an erasure leaves.

use dashvault::catalog::{CatalogError, NewOwner, OwnerState};
use dashvault::model::{OwnerId, TenantId};

use crate::in_tx;
use crate::{both, rows};

fn new(id: OwnerId, tenant: TenantId, email_index: &[u8; 32]) -> NewOwner<'_> {
    NewOwner {
        id,
        tenant,
        email_index,
        index_version: 3,
        sealed_profile: b"profile",
        created_at: 5,
    }
}

#[tokio::test]
async fn an_owner_is_found_by_id_and_by_index_within_its_tenant() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let (other_tenant, _) = rows::an_owner(&catalog).await;
        let owner = OwnerId::random();
        in_tx!(catalog, tx => tx.insert_owner(&new(owner, tenant, &[1; 32])));
        let row = catalog.owner(owner).await.unwrap().unwrap();
        assert_eq!((row.id, row.state, row.created_at), (owner, OwnerState::Active, 5));
        assert_eq!(row.sealed_profile.as_deref(), Some(&b"profile"[..]));
        assert_eq!(catalog.owner_by_email(tenant, &[1; 32]).await.unwrap(), Some(row));
        assert_eq!(catalog.owner_by_email(tenant, &[2; 32]).await.unwrap(), None);
        assert_eq!(catalog.owner_by_email(other_tenant, &[1; 32]).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_index_has_one_owner_a_tenant() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let (other_tenant, _) = rows::an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_owner(&new(OwnerId::random(), tenant, &[1; 32])));
        let mut tx = catalog.begin().await.unwrap();
        let again = tx.insert_owner(&new(OwnerId::random(), tenant, &[1; 32])).await;
        assert!(matches!(again, Err(CatalogError::Exists(_))), "{again:?}");
        drop(tx);
        in_tx!(catalog, tx => tx.insert_owner(&new(OwnerId::random(), other_tenant, &[1; 32])));
    })
    .await;
}

#[tokio::test]
async fn erasure_begins_once_and_leaves_no_index_and_no_profile() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let index: [u8; 32] = catalog
            .owner(owner)
            .await
            .unwrap()
            .unwrap()
            .email_index
            .unwrap()
            .try_into()
            .unwrap();
        assert!(in_tx!(catalog, tx => tx.begin_owner_erasure(owner)));
        assert!(!in_tx!(catalog, tx => tx.begin_owner_erasure(owner)));
        for at in [100, 200] {
            in_tx!(catalog, tx => tx.erase_owner(owner, at));
            let row = catalog.owner(owner).await.unwrap().unwrap();
            assert_eq!((row.state, row.erased_at), (OwnerState::Erased, Some(100)));
            assert_eq!((row.email_index, row.sealed_profile), (None, None));
        }
        // The address is free again.
        in_tx!(catalog, tx => tx.insert_owner(&new(OwnerId::random(), tenant, &index)));
    })
    .await;
}

#[tokio::test]
async fn owners_are_listed_in_pages() {
    both(async |catalog| {
        let (tenant, first) = rows::an_owner(&catalog).await;
        rows::an_owner(&catalog).await;
        let mut ids = vec![first];
        for _ in 0..4 {
            ids.push(
                in_tx!(catalog, tx => async { Ok::<_, CatalogError>(rows::another_owner(&mut tx, tenant).await) }),
            );
        }
        ids.sort();
        let mut listed = Vec::new();
        loop {
            let page = catalog.owners(tenant, listed.last().copied(), 2).await.unwrap();
            assert!(page.len() <= 2);
            if page.is_empty() {
                break;
            }
            listed.extend(page.iter().map(|row| row.id));
        }
        assert_eq!(listed, ids);
    })
    .await;
}
