//! Wishes: only the vehicle that is asked answers, only with what its owner has of it, and the owner sees each step.

use dashvault::access::{DeviceSession, OwnerSession};
use dashvault::audit::EventKind;
use dashvault::catalog::NewClip;
use dashvault::model::{ClipId, ClipState, DeviceId, OwnerId, WishState};

use crate::vehicles::{a_vehicle, token};
use crate::{House, MINUTE, START, refused};

/// A clip that a vehicle has sent whole.
async fn sent(house: &House, owner: OwnerId, device: DeviceId) -> ClipId {
    let id = ClipId::random();
    let mut tx = house.catalog.begin().await.unwrap();
    let clip = NewClip {
        id,
        tenant: house.vault.tenant(),
        owner,
        device: Some(device),
        created_at: START,
    };
    tx.insert_clip(&clip).await.unwrap();
    let moved = tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, START);
    assert!(moved.await.unwrap());
    tx.commit().await.unwrap();
    id
}

async fn a_car(house: &House, owner: &OwnerSession) -> DeviceSession {
    let (device, key) = a_vehicle(house, owner).await;
    house.device_by(&token(device, &key, 0)).await.expect("a vehicle")
}

/// What the owner was told of wishes, and of which clips, oldest first.
async fn told(house: &House, owner: &OwnerSession) -> Vec<(EventKind, Option<ClipId>)> {
    let events = house.events(owner.owner()).await.into_iter();
    let of_wishes = events.filter(|event| event.kind.as_str().starts_with("wish_"));
    of_wishes.map(|event| (event.kind, event.clip)).collect()
}

#[tokio::test]
async fn a_wish_is_answered_only_with_a_clip_that_its_owner_has_of_its_vehicle() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let car = a_car(&house, &owner).await;
        let second_car = a_car(&house, &owner).await;
        let stranger = house.owner("stranger@example.org").await;
        let strangers_car = a_car(&house, &stranger).await;
        let small = sent(&house, owner.owner(), car.device()).await;
        let full = sent(&house, owner.owner(), car.device()).await;
        let of_second = sent(&house, owner.owner(), second_car.device()).await;
        let of_stranger = sent(&house, stranger.owner(), strangers_car.device()).await;
        // What no code of ours writes: the vehicle stands at a clip of somebody else.
        let misplaced = sent(&house, stranger.owner(), car.device()).await;
        let by_hand = house.ready_clip(&owner).await;
        house.access.make_wish(&owner, small).await.unwrap();

        let answer = async |who, clip| house.access.answer_wish(who, small, clip).await;
        for other in [&second_car, &strangers_car] {
            for clip in [None, Some(full), Some(of_second), Some(of_stranger)] {
                refused!(answer(other, clip).await, NotFound);
            }
        }
        for clip in [of_second, of_stranger, misplaced, by_hand, ClipId::random()] {
            refused!(answer(&car, Some(clip)).await, NotFound);
        }
        let wish = house.access.wish(&owner, small).await.unwrap().unwrap();
        assert_eq!((wish.state, wish.answer), (Some(WishState::Open), None));
        assert!(house.access.wish(&stranger, small).await.unwrap().is_none());
        assert_eq!(told(&house, &owner).await, [(EventKind::WishMade, Some(small))]);

        answer(&car, Some(full)).await.unwrap();
        let wish = house.access.wish(&owner, small).await.unwrap().unwrap();
        assert_eq!((wish.state, wish.answer), (Some(WishState::Come), Some(full)));
        assert!(told(&house, &stranger).await.is_empty());
    }
}

#[tokio::test]
async fn an_owner_sees_that_a_wish_was_made_heard_answered_and_taken_back_once_each() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let car = a_car(&house, &owner).await;
        let small = sent(&house, owner.owner(), car.device()).await;
        let full = sent(&house, owner.owner(), car.device()).await;
        let access = &house.access;
        let made = access.make_wish(&owner, small).await.unwrap();
        assert_eq!(made.told_at, None, "the vehicle has not asked yet");
        assert_eq!(
            access.make_wish(&owner, small).await.unwrap(),
            made,
            "it is the same one"
        );
        for at in 1..=2 {
            house.clock.advance(MINUTE);
            assert_eq!(access.wishes_of_vehicle(&car).await.unwrap(), [small]);
            let heard = access.wish(&owner, small).await.unwrap().unwrap();
            assert_eq!(
                heard.told_at,
                Some(START + MINUTE),
                "when it first heard of it, asked {at} times"
            );
        }
        access.answer_wish(&car, small, Some(full)).await.unwrap();
        refused!(access.answer_wish(&car, small, None).await, NotFound);
        house.clock.advance(MINUTE);
        assert_eq!(access.make_wish(&owner, small).await.unwrap().told_at, None);
        house.clock.advance(MINUTE);
        access.answer_wish(&car, small, None).await.unwrap();
        house.clock.advance(MINUTE);
        access.make_wish(&owner, small).await.unwrap();
        house.clock.advance(MINUTE);
        access.take_wish_back(&owner, small).await.unwrap();
        refused!(access.take_wish_back(&owner, small).await, NotFound);
        let expected = [
            (EventKind::WishMade, Some(small)),
            (EventKind::WishCome, Some(full)),
            (EventKind::WishMade, Some(small)),
            (EventKind::WishMissing, Some(small)),
            (EventKind::WishMade, Some(small)),
            (EventKind::WishTakenBack, Some(small)),
        ];
        assert_eq!(told(&house, &owner).await, expected);
    }
}
