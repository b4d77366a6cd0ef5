//! Uploads: what moves an offset, what fences a writer, what a tombstone keeps.

use dashvault::catalog::{Catalog, NewOwner, NewUpload, UploadStep, UploadTraits};
use dashvault::model::{ClipId, DeviceId, OwnerId, TenantId, UploadState};

use crate::both;

const LENGTH: u64 = 1_000;

pub async fn an_owner(catalog: &Catalog) -> (TenantId, OwnerId) {
    let (tenant, owner) = (TenantId::random(), OwnerId::random());
    let mut email_index = [7; 32];
    email_index[..16].copy_from_slice(owner.as_bytes());
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_tenant(tenant, 1).await.unwrap();
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
    tx.commit().await.unwrap();
    (tenant, owner)
}

/// An upload of 1,000 bytes, begun at 10, that expires at 100.
pub async fn an_upload(catalog: &Catalog, (tenant, owner): (TenantId, OwnerId)) -> ClipId {
    let id = ClipId::random();
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_upload(&NewUpload {
        id,
        tenant,
        owner,
        device: Some(DeviceId::from_bytes([4; 16])),
        length: Some(LENGTH),
        sealed_metadata: b"sealed".to_vec(),
        expires_at: 100,
        created_at: 10,
        traits: UploadTraits::default(),
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    id
}

/// Runs one write in a transaction of its own.
macro_rules! write {
    ($catalog:expr, $tx:ident => $body:expr) => {{
        let mut $tx = $catalog.begin().await.unwrap();
        let out = $body.await.unwrap();
        $tx.commit().await.unwrap();
        out
    }};
}
pub(crate) use write;

fn step(id: ClipId, epoch: u64, from: u64, to: u64) -> UploadStep {
    UploadStep {
        id,
        epoch,
        from,
        to,
        expires_at: 200,
    }
}

#[tokio::test]
async fn open_uploads_are_counted_and_a_vehicles_fenced_and_no_others() {
    both(async |catalog| {
        let at = an_owner(&catalog).await;
        let (vehicle, other) = (DeviceId::from_bytes([4; 16]), DeviceId::from_bytes([5; 16]));
        let id = an_upload(&catalog, at).await;
        let count = async |device| {
            let open = catalog.open_uploads(at.1, device).await.unwrap();
            (open.of_device, open.of_owner)
        };
        assert_eq!(count(Some(vehicle)).await, (1, 1));
        assert_eq!(count(Some(other)).await, (0, 1));
        assert_eq!(count(None).await, (0, 1));
        let stranger = catalog.open_uploads(OwnerId::from_bytes([9; 16]), None).await.unwrap();
        assert_eq!((stranger.of_device, stranger.of_owner), (0, 0));
        let mut tx = catalog.begin().await.unwrap();
        assert_eq!(tx.fence_uploads_of(at.1, other).await.unwrap(), 0);
        assert_eq!(
            tx.fence_uploads_of(OwnerId::from_bytes([9; 16]), vehicle)
                .await
                .unwrap(),
            0
        );
        assert_eq!(tx.fence_uploads_of(at.1, vehicle).await.unwrap(), 1);
        assert!(
            !tx.advance_upload(&step(id, 0, 0, 1), 20).await.unwrap(),
            "its writer is fenced"
        );
        assert!(
            tx.advance_upload(&step(id, 1, 0, 1), 20).await.unwrap(),
            "the upload is not"
        );
        assert!(tx.end_upload(id, 30).await.unwrap());
        tx.commit().await.unwrap();
        assert_eq!(count(Some(vehicle)).await, (0, 0));
    })
    .await;
}

#[tokio::test]
async fn an_upload_begins_open_at_zero() {
    both(async |catalog| {
        let at = an_owner(&catalog).await;
        let id = an_upload(&catalog, at).await;
        let row = catalog.upload(id).await.unwrap().unwrap();
        assert_eq!((row.tenant, row.owner), at);
        assert_eq!(row.device, Some(DeviceId::from_bytes([4; 16])));
        assert_eq!((row.state, row.epoch, row.received), (UploadState::Open, 0, 0));
        assert_eq!(row.length, Some(LENGTH));
        assert_eq!(row.sealed_metadata.as_deref(), Some(&b"sealed"[..]));
        assert_eq!((row.expires_at, row.created_at, row.updated_at), (100, 10, 10));
        assert_eq!(catalog.upload(ClipId::random()).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_offset_moves_only_from_where_it_stands_and_never_past_the_length() {
    both(async |catalog| {
        let id = an_upload(&catalog, an_owner(&catalog).await).await;
        assert!(write!(catalog, tx => tx.advance_upload(&step(id, 0, 0, 400), 20)));
        for (from, to) in [(0, 400), (399, 500), (401, 500), (400, LENGTH + 1)] {
            assert!(
                !write!(catalog, tx => tx.advance_upload(&step(id, 0, from, to), 30)),
                "{from}..{to}"
            );
        }
        let row = catalog.upload(id).await.unwrap().unwrap();
        assert_eq!((row.received, row.updated_at, row.expires_at), (400, 20, 200));
        assert!(write!(catalog, tx => tx.advance_upload(&step(id, 0, 400, LENGTH), 40)));
    })
    .await;
}

#[tokio::test]
async fn a_fenced_writer_moves_nothing() {
    both(async |catalog| {
        let id = an_upload(&catalog, an_owner(&catalog).await).await;
        let old = write!(catalog, tx => tx.fence_upload(id, 150)).unwrap();
        assert_eq!((old.epoch, old.received, old.expires_at), (1, 0, 150));
        let new = write!(catalog, tx => tx.fence_upload(id, 90)).unwrap();
        assert_eq!((new.epoch, new.expires_at), (2, 150), "an end is never brought forward");
        assert!(!write!(catalog, tx => tx.advance_upload(&step(id, old.epoch, 0, 400), 20)));
        assert!(write!(catalog, tx => tx.advance_upload(&step(id, new.epoch, 0, 300), 20)));
        assert_eq!(catalog.upload(id).await.unwrap().unwrap().received, 300);
    })
    .await;
}

#[tokio::test]
async fn an_upload_completes_once_and_only_with_all_its_bytes() {
    both(async |catalog| {
        let id = an_upload(&catalog, an_owner(&catalog).await).await;
        write!(catalog, tx => tx.advance_upload(&step(id, 0, 0, LENGTH - 1), 20));
        assert_eq!(catalog.full_uploads(None, 10).await.unwrap(), []);
        assert_eq!(write!(catalog, tx => tx.complete_upload(id, 30)), None);
        write!(catalog, tx => tx.advance_upload(&step(id, 0, LENGTH - 1, LENGTH), 30));
        assert_eq!(catalog.full_uploads(None, 10).await.unwrap(), [id]);
        assert_eq!(catalog.full_uploads(Some(id), 10).await.unwrap(), []);
        let row = write!(catalog, tx => tx.complete_upload(id, 40)).unwrap();
        assert_eq!(
            (row.state, row.received, row.updated_at),
            (UploadState::Complete, LENGTH, 40)
        );
        assert_eq!(write!(catalog, tx => tx.complete_upload(id, 50)), None);
        assert_eq!(catalog.full_uploads(None, 10).await.unwrap(), []);
        assert_eq!(write!(catalog, tx => tx.fence_upload(id, 500)), None);
        assert!(
            !write!(catalog, tx => tx.end_upload(id, 50)),
            "a complete upload cannot be ended"
        );
    })
    .await;
}

#[tokio::test]
async fn a_finished_upload_keeps_neither_length_nor_metadata() {
    both(async |catalog| {
        let id = an_upload(&catalog, an_owner(&catalog).await).await;
        assert!(!write!(catalog, tx => tx.finish_upload(id, 20)), "it is not complete");
        write!(catalog, tx => tx.advance_upload(&step(id, 0, 0, LENGTH), 20));
        write!(catalog, tx => tx.complete_upload(id, 30));
        assert!(write!(catalog, tx => tx.finish_upload(id, 40)));
        let row = catalog.upload(id).await.unwrap().unwrap();
        assert_eq!((row.state, row.received, row.length), (UploadState::Finished, 0, None));
        assert_eq!(row.sealed_metadata, None);
        assert!(!write!(catalog, tx => tx.finish_upload(id, 50)));
        assert!(write!(catalog, tx => tx.erase_upload(id, 60)));
        assert!(!write!(catalog, tx => tx.erase_upload(id, 70)));
        assert_eq!(catalog.upload(id).await.unwrap().unwrap().state, UploadState::Ended);
    })
    .await;
}

#[tokio::test]
async fn an_ended_upload_fences_its_writer_and_leaves_an_empty_tombstone() {
    both(async |catalog| {
        let id = an_upload(&catalog, an_owner(&catalog).await).await;
        let row = write!(catalog, tx => tx.fence_upload(id, 150)).unwrap();
        assert!(write!(catalog, tx => tx.end_upload(id, 20)));
        assert!(!write!(catalog, tx => tx.end_upload(id, 21)));
        assert!(!write!(catalog, tx => tx.advance_upload(&step(id, row.epoch, 0, 10), 22)));
        assert_eq!(write!(catalog, tx => tx.fence_upload(id, 500)), None);
        let row = catalog.upload(id).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.received, row.length, row.sealed_metadata),
            (UploadState::Ended, 0, None, None)
        );
        assert_eq!(write!(catalog, tx => tx.remove_tombstones(20)), 0);
        assert_eq!(write!(catalog, tx => tx.remove_tombstones(21)), 1);
        assert_eq!(catalog.upload(id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn an_upload_expires_when_nothing_came_for_too_long() {
    both(async |catalog| {
        let at = an_owner(&catalog).await;
        let (quiet, busy) = (an_upload(&catalog, at).await, an_upload(&catalog, at).await);
        assert_eq!(catalog.uploads_to_expire(99, None, 10).await.unwrap(), []);
        assert_eq!(catalog.uploads_to_expire(100, None, 10).await.unwrap().len(), 2);
        write!(catalog, tx => tx.advance_upload(&step(busy, 0, 0, 10), 99));
        assert_eq!(catalog.uploads_to_expire(100, None, 10).await.unwrap(), [(100, quiet)]);
        let after = Some((100, quiet));
        assert_eq!(catalog.uploads_to_expire(100, after, 10).await.unwrap(), []);
        assert!(
            !write!(catalog, tx => tx.expire_upload(busy, 100)),
            "bytes came meanwhile"
        );
        assert!(write!(catalog, tx => tx.expire_upload(quiet, 100)));
        assert_eq!(
            catalog.upload(quiet).await.unwrap().unwrap().state,
            UploadState::Expired
        );
        assert_eq!(catalog.upload(busy).await.unwrap().unwrap().state, UploadState::Open);
    })
    .await;
}
