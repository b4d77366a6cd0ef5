//! Many at once, on both databases: what may happen once happens once.

use std::collections::HashSet;

use dashvault::access::{AccessError, LinkWish, VehicleName};
use dashvault::audit::EventKind;
use dashvault::model::MediaKind;
use dashvault_keys::token::{DeviceKey, sign_pairing_proof};
use futures_util::future::join_all;

use crate::{House, a_wish};

/// What succeeded, and what was refused.
fn tally<T>(outcomes: Vec<Result<T, AccessError>>) -> (Vec<T>, Vec<AccessError>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Ok(value) => good.push(value),
            Err(error) => bad.push(error),
        }
    }
    (good, bad)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_openings_at_once_three_get_in() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let clip = house.ready_clip(&owner).await;
        let made = house
            .link(
                &owner,
                clip,
                LinkWish {
                    max_opens: 3,
                    ..a_wish()
                },
            )
            .await;
        let opening = (0..100).map(|_| {
            let (access, token) = (house.access.clone(), made.token.clone());
            tokio::spawn(async move { access.redeem_link(&token).await })
        });
        let outcomes = join_all(opening).await.into_iter().map(|done| done.expect("no panic"));
        let (inside, outside) = tally(outcomes.collect());
        assert_eq!(inside.len(), 3);
        assert!(
            outside.iter().all(|error| matches!(error, AccessError::LinkUsedUp)),
            "{outside:?}"
        );
        let sessions: HashSet<_> = inside.iter().map(|redeemed| redeemed.session.credential()).collect();
        assert_eq!(sessions.len(), 3);
        assert_eq!(house.access.links(&owner, None, 100).await.unwrap().links[0].opens, 3);
        assert_eq!(house.count(owner.owner(), EventKind::LinkOpened).await, 3);
        assert_eq!(house.count(owner.owner(), EventKind::LinkRefused).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_twenty_who_redeem_one_sign_in_one_is_signed_in() {
    for house in House::both().await {
        let added = house.access.add_owner("driver@example.org", None).await.unwrap();
        let redeeming = (0..20).map(|_| {
            let (access, token) = (house.access.clone(), added.sign_in.token.clone());
            tokio::spawn(async move { access.redeem_sign_in(&token).await })
        });
        let outcomes = join_all(redeeming)
            .await
            .into_iter()
            .map(|done| done.expect("no panic"));
        let (inside, outside) = tally(outcomes.collect());
        assert_eq!((inside.len(), outside.len()), (1, 19));
        assert!(
            outside
                .iter()
                .all(|error| matches!(error, AccessError::Unauthenticated)),
            "{outside:?}"
        );
        assert_eq!(house.count(added.owner, EventKind::SignedIn).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_four_vehicles_with_one_code_one_is_paired() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let code = house.access.make_pairing_code(&owner, a_car()).await.unwrap().code;
        let pairing = (0..4).map(|_| {
            let (access, code, key) = (house.access.clone(), code.clone(), DeviceKey::make());
            tokio::spawn(async move {
                let proof = sign_pairing_proof(&key, &code);
                access.pair(&code, &key.public_key(), &proof).await
            })
        });
        let outcomes = join_all(pairing).await.into_iter().map(|done| done.expect("no panic"));
        let (paired, refused) = tally(outcomes.collect());
        assert_eq!((paired.len(), refused.len()), (1, 3));
        assert!(
            refused.iter().all(|error| matches!(error, AccessError::NotFound)),
            "{refused:?}"
        );
        assert_eq!(house.access.devices(&owner).await.unwrap().len(), 1);
        assert_eq!(house.count(owner.owner(), EventKind::DevicePaired).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_vehicles_that_pair_at_once_are_all_paired() {
    for house in House::both().await {
        // One owner has ten codes at a time at most.
        let (many, few) = (
            house.owner("fleet@example.org").await,
            house.owner("driver@example.org").await,
        );
        let other = house.another_node().await;
        let mut codes = Vec::new();
        for owner in std::iter::repeat_n(&many, 10).chain(std::iter::repeat_n(&few, 6)) {
            codes.push(house.access.make_pairing_code(owner, a_car()).await.unwrap().code);
        }
        let pairing = codes.into_iter().enumerate().map(|(n, code)| {
            let access = [&house.access, &other][n % 2].clone();
            tokio::spawn(async move {
                let key = DeviceKey::make();
                let proof = sign_pairing_proof(&key, &code);
                access.pair(&code, &key.public_key(), &proof).await
            })
        });
        let outcomes = join_all(pairing).await.into_iter().map(|done| done.expect("no panic"));
        let (paired, refused) = tally(outcomes.collect());
        assert_eq!(paired.len(), 16, "{refused:?}");
        for (owner, vehicles) in [(&many, 10), (&few, 6)] {
            assert_eq!(house.access.devices(owner).await.unwrap().len(), vehicles);
            assert_eq!(house.count(owner.owner(), EventKind::DevicePaired).await, vehicles);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_guesses_at_once_are_no_more_than_five() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let code = house.access.make_pairing_code(&owner, a_car()).await.unwrap().code;
        let guessing = (0..100).map(|n| {
            let last = char::from(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[n % 32]);
            let wrong = format!("{}{last}", &code[..code.len() - 1]);
            let (access, key, right) = (house.access.clone(), DeviceKey::make(), wrong == code);
            tokio::spawn(async move {
                let wrong = if right { format!("{}00", &wrong[..12]) } else { wrong };
                let proof = sign_pairing_proof(&key, &wrong);
                access.pair(&wrong, &key.public_key(), &proof).await
            })
        });
        let outcomes = join_all(guessing).await.into_iter().map(|done| done.expect("no panic"));
        let (_, refused) = tally(outcomes.collect());
        let compared = refused
            .iter()
            .filter(|error| matches!(error, AccessError::NotFound))
            .count();
        let dead = refused
            .iter()
            .filter(|error| matches!(error, AccessError::TooManyTries))
            .count();
        assert_eq!((compared, dead), (5, 95));
        assert_eq!(house.count(owner.owner(), EventKind::PairingRefused).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn first_reads_at_once_are_one_viewing() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let clip = house.ready_clip(&owner).await;
        let viewing = house
            .access
            .grant_owner(&owner, clip)
            .await
            .unwrap()
            .unwrap()
            .viewing(MediaKind::Video);
        let reading = (0..30).map(|_| {
            let audit = house.audit.clone();
            tokio::spawn(async move { audit.viewing(&viewing).await })
        });
        for done in join_all(reading).await {
            done.expect("no panic").expect("recorded");
        }
        assert_eq!(house.count(owner.owner(), EventKind::ClipViewed).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn links_made_at_once_are_no_more_than_there_may_be() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let clip = house.ready_clip(&owner).await;
        let making = (0..60).map(|_| {
            let (access, owner) = (house.access.clone(), owner.clone());
            tokio::spawn(async move { access.make_link(&owner, clip, a_wish()).await })
        });
        let outcomes = join_all(making).await.into_iter().map(|done| done.expect("no panic"));
        let (made, refused) = tally(outcomes.collect());
        assert_eq!(made.len(), 50);
        assert!(
            refused
                .iter()
                .all(|error| matches!(error, AccessError::LimitReached { .. })),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pairing_codes_made_at_once_are_no_more_than_there_may_be() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let making = (0..30).map(|_| {
            let (access, owner) = (house.access.clone(), owner.clone());
            tokio::spawn(async move { access.make_pairing_code(&owner, a_car()).await })
        });
        let outcomes = join_all(making).await.into_iter().map(|done| done.expect("no panic"));
        let (made, refused) = tally(outcomes.collect());
        assert_eq!(made.len(), 10);
        assert!(
            refused
                .iter()
                .all(|error| matches!(error, AccessError::LimitReached { .. })),
            "{refused:?}"
        );
    }
}

fn a_car() -> VehicleName {
    VehicleName {
        label: "Family car".to_owned(),
        vin: None,
        plate: None,
    }
}
