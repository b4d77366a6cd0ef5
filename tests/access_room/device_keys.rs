//! A vehicle's keys follow one another, and a copy of one is seen.

use dashvault::access::{AccessError, NextKeyProof, OwnerSession};
use dashvault::audit::EventKind;
use dashvault::model::DeviceId;
use dashvault::store::Location;
use dashvault::vault::{PublicKey, Vehicle};
use dashvault_keys::kek::SealedKek;
use dashvault_keys::provider::Keyring;
use dashvault_keys::token::{DeviceClaims, DeviceKey, sign_device_token, sign_next_key, sign_placed_token};
use futures_util::StreamExt as _;

use crate::vehicles::{a_code, a_vehicle, pair};
use crate::{DAY, House, MINUTE, SECOND, START, refused};

/// Starts of machines.
const HERE: [u8; 8] = [1; 8];
const AFTER: [u8; 8] = [2; 8];
const ELSEWHERE: [u8; 8] = [3; 8];

fn claims(device: DeviceId, at: i64) -> DeviceClaims {
    DeviceClaims {
        device: *device.as_bytes(),
        issued_at_ms: START + at,
        expires_at_ms: START + at + 5 * MINUTE,
        nonce: [7; 16],
    }
}

/// A token made at a time after START.
fn at(device: DeviceId, key: &DeviceKey, at: i64) -> String {
    sign_device_token(key, &claims(device, at))
}

/// The same, made at a place.
fn from(place: [u8; 8], device: DeviceId, key: &DeviceKey, at: i64) -> String {
    sign_placed_token(key, &claims(device, at), &place)
}

async fn announce(
    house: &House,
    device: DeviceId,
    (bearer, current): (&str, &DeviceKey),
    next: &DeviceKey,
) -> Result<(), AccessError> {
    let session = house.device_by(bearer).await?;
    let proof = sign_next_key(device.as_bytes(), current, next);
    house
        .access
        .announce_device_key(&session, &next.public_key(), &proof)
        .await
}

/// What an event of this kind says to an owner.
async fn words_of(house: &House, owner: &OwnerSession, kind: EventKind) -> String {
    let events = house.events(owner.owner()).await;
    let event = events.into_iter().find(|event| event.kind == kind).expect("an event");
    event.text.expect("words")
}

/// How many times an owner was told of a copy, once what is written beside the requests is written.
async fn told(house: &House, owner: &OwnerSession) -> usize {
    for _ in 0..40 {
        if house.count(owner.owner(), EventKind::DeviceKeyCopied).await > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    house.count(owner.owner(), EventKind::DeviceKeyCopied).await
}

#[tokio::test]
async fn the_old_key_works_until_the_new_one_is_used_and_then_no_more() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let (device, old) = a_vehicle(&house, &owner).await;
        let new = DeviceKey::make();
        refused!(house.device_by(&at(device, &new, 0)).await, Unauthenticated);
        announce(&house, device, (&at(device, &old, 0), &old), &new)
            .await
            .unwrap();
        for _ in 0..2 {
            house.device_by(&at(device, &old, 0)).await.expect("not used yet");
            announce(&house, device, (&at(device, &old, 0), &old), &new)
                .await
                .expect("the answer was lost: the same again");
        }
        let session = house.device_by(&at(device, &new, SECOND)).await.expect("its first use");
        assert_eq!((session.owner(), session.device()), (owner.owner(), device));
        refused!(house.device_by(&at(device, &old, 0)).await, Unauthenticated);
        announce(&house, device, (&at(device, &new, SECOND), &old), &new)
            .await
            .expect("once more, after all");
        house.device_by(&at(device, &new, SECOND)).await.unwrap();
        assert_eq!(house.count(owner.owner(), EventKind::DeviceKeyChanged).await, 1);
        assert_eq!(
            words_of(&house, &owner, EventKind::DeviceKeyChanged).await,
            "Family car"
        );

        // And the one after that.
        house.clock.advance(10 * MINUTE);
        let third = DeviceKey::make();
        let now = 10 * MINUTE;
        announce(&house, device, (&at(device, &new, now), &new), &third)
            .await
            .unwrap();
        house.device_by(&at(device, &third, now)).await.unwrap();
        for key in [&old, &new] {
            refused!(house.device_by(&at(device, key, now)).await, Unauthenticated);
        }
    }
}

/// What the owner's record says of its vehicles' keys.
async fn recorded(house: &House, owner: &OwnerSession) -> Vec<Vehicle> {
    let row = house.catalog.active_kek(owner.owner()).await.unwrap().unwrap();
    let (tenant, root) = (house.vault.tenant(), Keyring::open(&house.keyring).unwrap());
    let sealed = SealedKek::parse(&row.record).unwrap();
    let kek = sealed.unwrap(tenant.as_bytes(), &root).unwrap();
    sealed.open_profile(tenant.as_bytes(), &kek).unwrap().about.vehicles
}

#[tokio::test]
async fn every_key_that_a_vehicle_had_or_announced_stands_in_its_owners_record() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, first) = a_vehicle(&house, &owner).await;
    let (second, unused, third) = (DeviceKey::make(), DeviceKey::make(), DeviceKey::make());
    let mut now = 0;
    let mut announced = async |current: &DeviceKey, next: &DeviceKey| {
        announce(&house, device, (&at(device, current, now), current), next)
            .await
            .unwrap();
        house.clock.advance(10 * MINUTE);
        now += 10 * MINUTE;
    };
    announced(&first, &second).await;
    house
        .device_by(&at(device, &second, 10 * MINUTE))
        .await
        .expect("its first use");
    announced(&second, &unused).await;
    announced(&second, &third).await;
    let vehicles = recorded(&house, &owner).await;
    let [vehicle] = vehicles.as_slice() else {
        panic!("one vehicle")
    };
    assert_eq!(vehicle.public_key, second.public_key());
    assert!(vehicle.next_public_key == Some(PublicKey(third.public_key())));
    let old: Vec<_> = vehicle.old_keys.iter().map(|old| (old.key.0, old.since)).collect();
    assert_eq!(
        old,
        [
            (first.public_key(), START + 10 * MINUTE),
            (unused.public_key(), START + 20 * MINUTE)
        ]
    );
    let listed = house.catalog.old_device_keys(device).await.unwrap();
    assert_eq!(listed.len(), 2, "as the catalogue has them");
}

#[tokio::test]
async fn a_key_is_announced_with_proof_of_both_and_is_nobodys_yet() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, old) = a_vehicle(&house, &owner).await;
    let (other_device, other) = a_vehicle(&house, &owner).await;
    let (new, thief) = (DeviceKey::make(), DeviceKey::make());
    let session = house.device_by(&at(device, &old, 0)).await.unwrap();
    let announce_with = async |key: &DeviceKey, proof: NextKeyProof| {
        house
            .access
            .announce_device_key(&session, &key.public_key(), &proof)
            .await
    };
    // Whoever has a token alone, or one of the keys alone.
    let id = device.as_bytes();
    for proof in [
        sign_next_key(id, &thief, &new),
        NextKeyProof {
            by_next: sign_next_key(id, &thief, &new).by_current,
            ..sign_next_key(id, &old, &new)
        },
        sign_next_key(other_device.as_bytes(), &old, &new),
        sign_next_key(id, &new, &old),
    ] {
        refused!(announce_with(&new, proof).await, Invalid { field: "proof", .. });
    }
    let proof = sign_next_key(id, &old, &other);
    refused!(
        announce_with(&other, proof).await,
        Invalid {
            field: "public_key",
            ..
        }
    );
    let short = house
        .access
        .announce_device_key(&session, &[1; 31], &sign_next_key(id, &old, &new))
        .await;
    refused!(
        short,
        Invalid {
            field: "public_key",
            ..
        }
    );
    announce_with(&new, sign_next_key(id, &old, &new)).await.expect("both");
    let another = DeviceKey::make();
    let proof = sign_next_key(id, &old, &another);
    refused!(announce_with(&another, proof).await, LimitReached { limit: 1, .. });
    house.device_by(&at(other_device, &other, 0)).await.expect("untouched");
}

#[tokio::test]
async fn a_revoked_vehicles_next_key_is_refused_too() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, old) = a_vehicle(&house, &owner).await;
    let new = DeviceKey::make();
    announce(&house, device, (&at(device, &old, 0), &old), &new)
        .await
        .unwrap();
    house.access.revoke_device(&owner, device).await.unwrap();
    for key in [&old, &new] {
        refused!(house.device_by(&at(device, key, 0)).await, Unauthenticated);
    }
}

#[tokio::test]
async fn a_key_that_was_a_vehicles_pairs_no_other() {
    let house = House::new().await;
    let (owner, buyer) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let (device, old) = a_vehicle(&house, &owner).await;
    let new = DeviceKey::make();
    announce(&house, device, (&at(device, &old, 0), &old), &new)
        .await
        .unwrap();
    house.device_by(&at(device, &new, SECOND)).await.unwrap();
    house.access.revoke_device(&owner, device).await.unwrap();
    for key in [&old, &new] {
        let code = a_code(&house, &buyer).await;
        let refused = pair(&house, &code.code, key).await;
        refused!(
            refused,
            Invalid {
                field: "public_key",
                ..
            }
        );
    }
    let code = a_code(&house, &buyer).await;
    pair(&house, &code.code, &DeviceKey::make()).await.expect("a new key");
}

#[tokio::test]
async fn two_machines_on_one_key_are_told_once_a_day_and_a_drive_is_not() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let (device, key) = a_vehicle(&house, &owner).await;
        // Whatever its addresses are: it starts anew every six minutes and speaks all the time.
        for start in 10..50_u8 {
            for second in 0..3 {
                house
                    .device_by(&from([start; 8], device, &key, house.since_start() + second))
                    .await
                    .unwrap();
            }
            house.clock.advance(6 * MINUTE);
        }
        let now = house.since_start();
        house.device_by(&from(HERE, device, &key, now)).await.unwrap();
        house.clock.advance(1);
        house.device_by(&from(ELSEWHERE, device, &key, now + 1)).await.unwrap();
        // Long on the way.
        house.device_by(&from(HERE, device, &key, now)).await.unwrap();
        assert_eq!(told(&house, &owner).await, 0);
        for turn in 2..6 {
            for place in [HERE, ELSEWHERE] {
                let token = from(place, device, &key, now + turn);
                house.device_by(&token).await.expect("it is told, not refused");
            }
        }
        assert_eq!(told(&house, &owner).await, 1);
        assert_eq!(words_of(&house, &owner, EventKind::DeviceKeyCopied).await, "Family car");
        let notices = house.catalog.newest_notices(10).await.unwrap();
        let [notice] = notices.as_slice() else {
            panic!("{} notices", notices.len())
        };
        assert_eq!(notice.kind, "vehicle-key-copied");
        let words = format!("{}{}", notice.subject, notice.facts);
        for secret in ["Family car", "WVWZZZ1JZXW000001", "B DV 2026", "driver@example.org"] {
            assert!(!words.contains(secret), "{words}");
        }
    }
}

#[tokio::test]
async fn a_token_without_a_place_beside_those_with_one_is_another_place() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, key) = a_vehicle(&house, &owner).await;
    for second in 0..5 {
        house
            .device_by(&at(device, &key, second))
            .await
            .expect("an older client");
    }
    house.device_by(&from(HERE, device, &key, 10)).await.unwrap();
    house.clock.advance(20);
    house.device_by(&from(AFTER, device, &key, 20)).await.unwrap();
    assert_eq!(told(&house, &owner).await, 0);
    house.device_by(&at(device, &key, 30)).await.unwrap();
    house.device_by(&from(AFTER, device, &key, 40)).await.unwrap();
    assert_eq!(told(&house, &owner).await, 1);
}

#[tokio::test]
async fn a_replaced_key_that_is_used_again_is_told_and_an_old_token_is_not() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, old) = a_vehicle(&house, &owner).await;
    let new = DeviceKey::make();
    announce(&house, device, (&at(device, &old, 0), &old), &new)
        .await
        .unwrap();
    house.clock.advance(10);
    house.device_by(&at(device, &new, 10)).await.unwrap();
    // Signed before the change, and long on the way.
    refused!(house.device_by(&at(device, &old, 9)).await, Unauthenticated);
    assert_eq!(told(&house, &owner).await, 0);
    refused!(house.device_by(&at(device, &old, 11)).await, Unauthenticated);
    assert_eq!(told(&house, &owner).await, 1);
    // Out of its time it says nothing.
    house.clock.advance(2 * DAY);
    refused!(house.device_by(&at(device, &old, 12)).await, Unauthenticated);
    assert_eq!(told(&house, &owner).await, 1);
}

/// Gives a vehicle a key, ten minutes later another one, and so on; each is used at once by a token from ahead of the clock.
async fn follow(house: &House, device: DeviceId, first: &DeviceKey, then: &[&DeviceKey], mut now: i64) -> i64 {
    let mut current = first;
    for next in then {
        announce(house, device, (&at(device, current, now), current), next)
            .await
            .unwrap();
        house.device_by(&at(device, next, now + 9 * MINUTE)).await.unwrap();
        house.clock.advance(10 * MINUTE);
        now += 10 * MINUTE;
        current = next;
    }
    now
}

#[tokio::test]
async fn a_thief_who_changes_the_key_twice_is_told_of_by_the_first_token_of_the_vehicle() {
    for house in House::both().await {
        let (owner, buyer) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
        let (device, vehicles) = a_vehicle(&house, &owner).await;
        let thiefs: Vec<_> = (0..4).map(|_| DeviceKey::make()).collect();
        let now = follow(&house, device, &vehicles, &thiefs.iter().collect::<Vec<_>>(), 0).await;
        assert_eq!(told(&house, &owner).await, 0);
        for later in 0..3 {
            refused!(
                house.device_by(&at(device, &vehicles, now + later)).await,
                Unauthenticated
            );
            assert_eq!(told(&house, &owner).await, 1);
        }
        // What was a vehicle's once is nobody else's, nor that vehicle's again.
        for key in [&vehicles, &thiefs[0], &thiefs[2], &thiefs[3]] {
            let code = a_code(&house, &buyer).await;
            let refused = pair(&house, &code.code, key).await;
            refused!(
                refused,
                Invalid {
                    field: "public_key",
                    ..
                }
            );
        }
        let last = &thiefs[3];
        let again = announce(&house, device, (&at(device, last, now), last), &vehicles).await;
        refused!(
            again,
            Invalid {
                field: "public_key",
                ..
            }
        );
    }
}

#[tokio::test]
async fn a_token_from_ahead_of_the_clock_puts_no_alarm_off() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, vehicles) = a_vehicle(&house, &owner).await;
    let thiefs = DeviceKey::make();
    announce(&house, device, (&at(device, &vehicles, 0), &vehicles), &thiefs)
        .await
        .unwrap();
    house.device_by(&at(device, &thiefs, 10 * MINUTE)).await.unwrap();
    house.clock.advance(SECOND);
    refused!(house.device_by(&at(device, &vehicles, SECOND)).await, Unauthenticated);
    assert_eq!(told(&house, &owner).await, 1);
}

#[tokio::test]
async fn a_vehicle_whose_announced_key_was_announced_over_is_told_of() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let (device, old) = a_vehicle(&house, &owner).await;
        let (vehicles, thiefs) = (DeviceKey::make(), DeviceKey::make());
        // The vehicle's device file has the next key alone from here on.
        announce(&house, device, (&at(device, &old, 0), &old), &vehicles)
            .await
            .unwrap();
        let now = 10 * MINUTE;
        house.clock.advance(now);
        announce(&house, device, (&at(device, &old, now), &old), &thiefs)
            .await
            .unwrap();
        assert_eq!(told(&house, &owner).await, 0);
        refused!(house.device_by(&at(device, &vehicles, now + 1)).await, Unauthenticated);
        assert_eq!(told(&house, &owner).await, 1);
    }
}

#[tokio::test]
async fn a_vehicle_has_so_many_keys_and_keeps_the_last_of_them() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, first) = a_vehicle(&house, &owner).await;
    let keys: Vec<_> = (0..64).map(|_| DeviceKey::make()).collect();
    let now = follow(&house, device, &first, &keys.iter().collect::<Vec<_>>(), 0).await;
    let (last, more) = (&keys[63], DeviceKey::make());
    let refused = announce(&house, device, (&at(device, last, now), last), &more).await;
    refused!(refused, LimitReached { limit: 64, .. });
    house.device_by(&at(device, last, now)).await.expect("it goes on");
}

#[tokio::test]
async fn a_thief_who_makes_up_a_start_for_each_token_is_told_of() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let (device, key) = a_vehicle(&house, &owner).await;
        house.device_by(&from(HERE, device, &key, 0)).await.unwrap();
        for token in 1..=9_u8 {
            let token = from([100 + token; 8], device, &key, i64::from(token));
            house.device_by(&token).await.unwrap();
        }
        assert_eq!(told(&house, &owner).await, 0);
        let before = house.catalog.active_device(device).await.unwrap().unwrap();
        house
            .device_by(&from([200; 8], device, &key, 10))
            .await
            .expect("it is told, not refused");
        assert_eq!(told(&house, &owner).await, 1);
        let after = house.catalog.active_device(device).await.unwrap().unwrap();
        assert_eq!((after.places, after.place_moves), (before.places, Some(10)));
    }
}

#[tokio::test]
async fn a_start_from_ahead_of_the_clock_does_not_hide_the_vehicles_return() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, key) = a_vehicle(&house, &owner).await;
    house.device_by(&from(HERE, device, &key, 0)).await.unwrap();
    house
        .device_by(&from(ELSEWHERE, device, &key, 10 * MINUTE))
        .await
        .unwrap();
    house.clock.advance(SECOND);
    house.device_by(&from(HERE, device, &key, SECOND)).await.unwrap();
    assert_eq!(told(&house, &owner).await, 1);
}

/// Objects in the key plane, and names that are reserved for more.
async fn written(house: &House) -> (usize, usize) {
    let objects = house.store.list(Location::KeyPlane).count().await;
    let reserved = house.catalog.ended_intents(i64::MAX, 1_000).await.unwrap();
    (objects, reserved.len())
}

#[tokio::test]
async fn announcements_that_are_refused_write_nothing() {
    for house in House::both().await {
        let owner = house.owner("driver@example.org").await;
        let (device, key) = a_vehicle(&house, &owner).await;
        let (_, others) = a_vehicle(&house, &owner).await;
        let announce_next = async |next: &DeviceKey| {
            let now = house.since_start();
            announce(&house, device, (&at(device, &key, now), &key), next).await
        };
        let before = written(&house).await;
        announce_next(&DeviceKey::make()).await.unwrap();
        let after_one = written(&house).await;
        assert!(after_one.0 > before.0, "an announcement goes to the key plane");
        for _ in 0..20 {
            refused!(announce_next(&DeviceKey::make()).await, LimitReached { limit: 1, .. });
        }
        house.clock.advance(10 * MINUTE);
        for _ in 0..5 {
            refused!(
                announce_next(&others).await,
                Invalid {
                    field: "public_key",
                    ..
                }
            );
        }
        assert_eq!(written(&house).await, after_one);
        announce_next(&DeviceKey::make()).await.expect("ten minutes later");
    }
}
