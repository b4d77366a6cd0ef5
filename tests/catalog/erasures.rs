//! Erasures: ordered once, receipted once, and untied from an owner who is erased.

use dashvault::catalog::{ErasureKind, ErasureRow};
use dashvault::model::{ClipId, ErasureId, OwnerId};

use crate::in_tx;
use crate::{both, rows};

fn erasure(owner: OwnerId, clip: ClipId) -> ErasureRow {
    ErasureRow {
        id: ErasureId::random(),
        kind: ErasureKind::Clip,
        subject: *clip.as_bytes(),
        owner: Some(owner),
        tombstone: vec![1; 100],
        ordered_at: 5,
        receipt: None,
        done_at: None,
    }
}

#[tokio::test]
async fn an_erasure_is_ordered_once_and_receipted_once() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let clip = ClipId::random();
        let first = erasure(owner, clip);
        assert!(in_tx!(catalog, tx => tx.insert_erasure(tenant, &first)));
        assert!(!in_tx!(catalog, tx => tx.insert_erasure(tenant, &erasure(owner, clip))));
        assert_eq!(catalog.erasure(first.id).await.unwrap(), Some(first.clone()));
        let of_clip = (ErasureKind::Clip, clip.as_bytes());
        assert!(in_tx!(catalog, tx => tx.finish_erasure(of_clip.0, of_clip.1, "dve_one", 9)));
        assert!(!in_tx!(catalog, tx => tx.finish_erasure(of_clip.0, of_clip.1, "dve_two", 10)));
        let done = ErasureRow {
            receipt: Some("dve_one".to_owned()),
            done_at: Some(9),
            ..first
        };
        assert_eq!(catalog.erasure_of_clip(owner, clip).await.unwrap(), Some(done));
    })
    .await;
}

#[tokio::test]
async fn a_clip_s_erasure_is_told_to_its_owner_only_and_not_after_the_owner_is_erased() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let (_, stranger) = rows::an_owner(&catalog).await;
        let clip = ClipId::random();
        in_tx!(catalog, tx => tx.insert_erasure(tenant, &erasure(owner, clip)));
        assert!(catalog.erasure_of_clip(stranger, clip).await.unwrap().is_none());
        assert!(catalog.erasure_of_clip(owner, clip).await.unwrap().is_some());
        assert_eq!(in_tx!(catalog, tx => tx.untie_erasures_of(owner)), 1);
        assert!(catalog.erasure_of_clip(owner, clip).await.unwrap().is_none());
        let kept = catalog.erasure_of(ErasureKind::Clip, clip.as_bytes()).await.unwrap();
        assert!(kept.is_some());
    })
    .await;
}

#[tokio::test]
async fn what_was_erased_since_the_last_roll_of_the_epoch_is_counted() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let none = catalog.standing(tenant, 100).await.unwrap();
        assert_eq!((none.erased_since_roll, none.rolled_at, none.links), (0, None, 0));
        assert_eq!((none.vehicles, none.decoys, none.last_link_end), (0, 0, None));
        for (ordered_at, kind) in [
            (5, ErasureKind::Clip),
            (10, ErasureKind::Epoch),
            (20, ErasureKind::Clip),
            (30, ErasureKind::Owner),
        ] {
            let row = ErasureRow {
                kind,
                ordered_at,
                owner: (kind == ErasureKind::Clip).then_some(owner),
                ..erasure(owner, ClipId::random())
            };
            assert!(in_tx!(catalog, tx => tx.insert_erasure(tenant, &row)));
        }
        let now = catalog.standing(tenant, 100).await.unwrap();
        assert_eq!((now.erased_since_roll, now.rolled_at), (2, Some(10)));
    })
    .await;
}
