//! Rows that other rows stand on.

use dashvault::catalog::{Catalog, ClipPublication, NewClip, NewOwner, Tx};
use dashvault::model::{ClipId, ClipState, OwnerId, TenantId};

/// A tenant and an active owner of its.
pub async fn an_owner(catalog: &Catalog) -> (TenantId, OwnerId) {
    let tenant = TenantId::random();
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_tenant(tenant, 1).await.unwrap();
    let owner = another_owner(&mut tx, tenant).await;
    tx.commit().await.unwrap();
    (tenant, owner)
}

/// One more owner of a tenant.
pub async fn another_owner(tx: &mut Tx, tenant: TenantId) -> OwnerId {
    let owner = OwnerId::random();
    let mut email_index = [7; 32];
    email_index[..16].copy_from_slice(owner.as_bytes());
    tx.insert_owner(&NewOwner {
        id: owner,
        tenant,
        email_index: &email_index,
        index_version: 1,
        sealed_profile: b"sealed",
        created_at: 1,
    })
    .await
    .unwrap();
    owner
}

/// A clip that can be watched.
pub async fn a_ready_clip(catalog: &Catalog, tenant: TenantId, owner: OwnerId) -> ClipId {
    let id = ClipId::random();
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_clip(&NewClip {
        id,
        tenant,
        owner,
        device: None,
        created_at: 10,
    })
    .await
    .unwrap();
    let moved = tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, 11);
    assert!(moved.await.unwrap());
    let publication = ClipPublication {
        id,
        state: ClipState::Ready,
        incomplete: false,
        error_code: None,
        kek_version: 1,
        envelope: b"an envelope",
        sealed_summary: b"a summary",
        sealed_details: b"details",
        sha256_index: None,
    };
    assert!(tx.publish_clip(&publication, 12).await.unwrap());
    tx.commit().await.unwrap();
    id
}

/// Ends an owner's activity, as the first step of an erasure does.
pub async fn begin_erasure(catalog: &Catalog, owner: OwnerId) {
    let mut tx = catalog.begin().await.unwrap();
    assert!(tx.begin_owner_erasure(owner).await.unwrap());
    tx.commit().await.unwrap();
}

/// Runs one write in a transaction of its own.
#[macro_export]
macro_rules! in_tx {
    ($catalog:expr, $tx:ident => $write:expr) => {{
        let mut $tx = $catalog.begin().await.unwrap();
        let written = $write.await.unwrap();
        $tx.commit().await.unwrap();
        written
    }};
}
