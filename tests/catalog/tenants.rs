//! Brands and fleets.

use dashvault::model::TenantId;

use crate::both;

#[tokio::test]
async fn the_first_tenant_is_the_oldest() {
    both(async |catalog| {
        assert_eq!(catalog.first_tenant().await.unwrap(), None);
        let (old, new) = (TenantId::random(), TenantId::random());
        for (tenant, at) in [(new, 2), (old, 1)] {
            let mut tx = catalog.begin().await.unwrap();
            tx.insert_tenant(tenant, at).await.unwrap();
            tx.commit().await.unwrap();
        }
        assert_eq!(catalog.first_tenant().await.unwrap(), Some(old));
    })
    .await;
}

#[tokio::test]
async fn those_who_add_a_tenant_at_the_same_time_agree_on_one() {
    both(async |catalog| {
        let add = async || {
            let mut tx = catalog.begin().await.unwrap();
            tx.lock_tenants().await.unwrap();
            if let Some(tenant) = tx.first_tenant().await.unwrap() {
                return tenant;
            }
            let tenant = TenantId::random();
            tx.insert_tenant(tenant, 1).await.unwrap();
            tx.commit().await.unwrap();
            tenant
        };
        let agreed = futures_util::future::join_all((0..8).map(|_| add())).await;
        assert!(agreed.iter().all(|tenant| *tenant == agreed[0]), "{agreed:?}");
    })
    .await;
}
