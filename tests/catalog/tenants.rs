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
