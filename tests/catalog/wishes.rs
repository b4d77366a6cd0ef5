//! Wishes: one a clip, of a vehicle that sent it, open until it answers or time is over.

use dashvault::catalog::{Catalog, NewClip, NewDevice, NewWish};
use dashvault::model::{ClipId, ClipState, DeviceId, OwnerId, TenantId, WishState};

use crate::rows::an_owner;
use crate::{both, in_tx};

const NOW: i64 = 50;

/// What a vehicle is asked for at a time.
async fn asked(catalog: &Catalog, device: DeviceId, at: i64, limit: u32) -> Vec<ClipId> {
    let open = catalog.wishes_of(device, at, limit).await.unwrap();
    open.into_iter().map(|wish| wish.clip).collect()
}

async fn a_vehicle(catalog: &Catalog, (tenant, owner): (TenantId, OwnerId)) -> DeviceId {
    let id = DeviceId::random();
    let mut public_key = [7; 32];
    public_key[..16].copy_from_slice(id.as_bytes());
    let device = NewDevice {
        id,
        tenant,
        owner,
        public_key: &public_key,
        next_key: None,
        sealed_about: b"sealed",
        vin_index: None,
        paired_at: 1,
    };
    in_tx!(catalog, tx => tx.insert_device(&device));
    id
}

async fn a_clip(catalog: &Catalog, (tenant, owner): (TenantId, OwnerId), device: DeviceId) -> ClipId {
    let id = ClipId::random();
    let clip = NewClip {
        id,
        tenant,
        owner,
        device: Some(device),
        created_at: 10,
    };
    in_tx!(catalog, tx => tx.insert_clip(&clip));
    assert!(in_tx!(catalog, tx => tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, 11)));
    id
}

fn wish(owner: OwnerId, device: DeviceId, clip: ClipId, at: i64) -> NewWish {
    NewWish {
        clip,
        owner,
        device,
        created_at: at,
        expires_at: at + 100,
    }
}

#[tokio::test]
async fn a_wish_is_open_until_its_vehicle_answers_it_with_a_clip_of_its_own_or_none() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let device = a_vehicle(&catalog, owner).await;
        let (clip, came) = (
            a_clip(&catalog, owner, device).await,
            a_clip(&catalog, owner, device).await,
        );
        let other = a_vehicle(&catalog, owner).await;
        let others = a_clip(&catalog, owner, other).await;
        assert!(in_tx!(catalog, tx => tx.insert_wish(&wish(owner.1, device, clip, NOW))));
        assert!(
            !in_tx!(catalog, tx => tx.insert_wish(&wish(owner.1, device, clip, NOW + 1))),
            "it is open"
        );
        assert!(
            !in_tx!(catalog, tx => tx.insert_wish(&wish(owner.1, other, came, NOW))),
            "another vehicle's clip"
        );
        assert_eq!(asked(&catalog, device, NOW, 9).await, [clip]);
        assert_eq!(asked(&catalog, device, NOW + 100, 9).await, [], "over");
        assert_eq!(asked(&catalog, other, NOW, 9).await, []);
        assert_eq!(in_tx!(catalog, tx => tx.count_open_wishes(device, came, NOW)), 1);
        assert_eq!(
            in_tx!(catalog, tx => tx.count_open_wishes(device, clip, NOW)),
            0,
            "itself"
        );

        in_tx!(catalog, tx => tx.note_wish_told(other, clip, 52));
        assert!(
            !catalog.wishes_of(device, NOW, 9).await.unwrap()[0].is_told,
            "another's policy"
        );
        in_tx!(catalog, tx => tx.note_wish_told(device, clip, 53));
        in_tx!(catalog, tx => tx.note_wish_told(device, clip, 54));
        assert!(catalog.wishes_of(device, NOW, 9).await.unwrap()[0].is_told);
        let row = catalog.wish(owner.1, clip).await.unwrap().unwrap();
        assert_eq!(row.told_at, Some(53), "the first time");

        assert!(
            !in_tx!(catalog, tx => tx.answer_wish(other, clip, Some(others), 60)),
            "not its wish"
        );
        assert!(
            !in_tx!(catalog, tx => tx.answer_wish(device, clip, Some(others), 60)),
            "not its clip"
        );
        assert!(in_tx!(catalog, tx => tx.answer_wish(device, clip, Some(came), 60)));
        assert!(
            !in_tx!(catalog, tx => tx.answer_wish(device, clip, None, 61)),
            "answered"
        );
        let row = catalog.wish(owner.1, clip).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.answer, row.answered_at),
            (WishState::Come, Some(came), Some(60))
        );
        assert_eq!(
            (row.clip, row.device, row.created_at, row.expires_at),
            (clip, device, NOW, NOW + 100)
        );
        assert_eq!(asked(&catalog, device, NOW, 9).await, []);

        assert!(
            in_tx!(catalog, tx => tx.insert_wish(&wish(owner.1, device, clip, 70))),
            "wished again"
        );
        let row = catalog.wish(owner.1, clip).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.answer, row.told_at, row.answered_at, row.created_at),
            (WishState::Open, None, None, None, 70)
        );
        assert!(in_tx!(catalog, tx => tx.answer_wish(device, clip, None, 80)));
        assert_eq!(
            catalog.wish(owner.1, clip).await.unwrap().unwrap().state,
            WishState::Missing
        );
    })
    .await;
}

#[tokio::test]
async fn a_wish_rests_with_its_clip_in_the_trash_and_goes_with_clip_vehicle_and_owners_word() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let device = a_vehicle(&catalog, owner).await;
        let first = a_clip(&catalog, owner, device).await;
        let second = a_clip(&catalog, owner, device).await;
        let third = a_clip(&catalog, owner, device).await;
        for (clip, at) in [(first, 20), (second, 21), (third, 22)] {
            assert!(in_tx!(catalog, tx => tx.insert_wish(&wish(owner.1, device, clip, at))));
        }
        assert_eq!(
            asked(&catalog, device, NOW, 2).await,
            [first, second],
            "the first wish first"
        );
        assert!(in_tx!(catalog, tx => tx.trash_clip(owner.1, first, 50, 500)));
        assert_eq!(asked(&catalog, device, NOW, 9).await, [second, third]);
        assert!(in_tx!(catalog, tx => tx.restore_clip(owner.1, first, 51)));
        assert_eq!(asked(&catalog, device, NOW, 9).await, [first, second, third]);

        assert!(in_tx!(catalog, tx => tx.answer_wish(device, second, Some(first), 60)));
        in_tx!(catalog, tx => tx.remove_wishes_of_clip(first));
        assert!(catalog.wish(owner.1, first).await.unwrap().is_none());
        assert_eq!(
            catalog.wish(owner.1, second).await.unwrap().unwrap().answer,
            None,
            "no word of what was erased"
        );

        let (_, stranger) = an_owner(&catalog).await;
        assert!(!in_tx!(catalog, tx => tx.remove_wish(stranger, second)));
        assert!(catalog.wish(stranger, second).await.unwrap().is_none());
        assert!(in_tx!(catalog, tx => tx.remove_wish(owner.1, second)));
        assert_eq!(in_tx!(catalog, tx => tx.remove_wishes_of_device(stranger, device)), 0);
        assert_eq!(in_tx!(catalog, tx => tx.remove_wishes_of_device(owner.1, device)), 1);
        assert!(catalog.wish(owner.1, third).await.unwrap().is_none());
    })
    .await;
}
