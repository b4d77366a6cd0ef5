//! Vehicles: paired by a code and a proof, known by tokens they sign, revoked at once.

use dashvault::access::{AccessError, OwnerSession, Paired, PairingCode, VehicleName};
use dashvault::audit::EventKind;
use dashvault::model::{DeviceId, DeviceState};
use dashvault_keys::token::{DeviceClaims, DeviceKey, sign_device_token, sign_pairing_proof};

use crate::{DAY, House, MINUTE, START, refused};

fn a_car() -> VehicleName {
    VehicleName {
        label: "Family car".to_owned(),
        vin: Some("wvwzzz1jzxw000001".to_owned()),
        plate: Some("B DV 2026".to_owned()),
    }
}

pub async fn a_code(house: &House, owner: &OwnerSession) -> PairingCode {
    house.access.make_pairing_code(owner, a_car()).await.expect("a code")
}

pub async fn pair(house: &House, code: &str, key: &DeviceKey) -> Result<Paired, AccessError> {
    let proof = sign_pairing_proof(key, code);
    house.access.pair(code, &key.public_key(), &proof).await
}

pub async fn a_vehicle(house: &House, owner: &OwnerSession) -> (DeviceId, DeviceKey) {
    let key = DeviceKey::make();
    let code = a_code(house, owner).await;
    (pair(house, &code.code, &key).await.expect("paired").device, key)
}

/// A token issued `off_ms` from START, for a quarter of an hour.
pub fn token(device: DeviceId, key: &DeviceKey, off_ms: i64) -> String {
    let claims = DeviceClaims {
        device: *device.as_bytes(),
        issued_at_ms: START + off_ms,
        expires_at_ms: START + off_ms + 15 * MINUTE,
        nonce: [1; 16],
    };
    sign_device_token(key, &claims)
}

/// The code with its last character changed: a wrong guess that means the same code.
fn guess(code: &str) -> String {
    let last = if code.ends_with('0') { '1' } else { '0' };
    format!("{}{last}", &code[..code.len() - 1])
}

#[tokio::test]
async fn a_vehicle_is_paired_and_its_owner_sees_it() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let code = a_code(&house, &owner).await;
    let symbols = code.code.chars().filter(char::is_ascii_alphanumeric).count();
    assert_eq!(
        (symbols, code.expires_at),
        (12, START + 15 * MINUTE),
        "4 to find it, 8 of 5 bits each are secret"
    );
    let key = DeviceKey::make();
    // As a person may type it.
    let typed = code.code.to_lowercase().replace('-', " ");
    let paired = pair(&house, &typed, &key).await.unwrap();
    assert_eq!(paired.vault_public_key, house.vault.receipt_public_key().unwrap());

    let listed = house.access.devices(&owner).await.unwrap();
    let [device] = listed.as_slice() else {
        panic!("one vehicle")
    };
    assert_eq!((device.id, device.state), (paired.device, DeviceState::Active));
    assert_eq!(device.name.label, "Family car");
    assert_eq!(device.name.vin.as_deref(), Some("WVWZZZ1JZXW000001"));
    assert_eq!(device.name.plate.as_deref(), Some("B DV 2026"));
    assert_eq!(
        (device.paired_at, device.last_seen_at, device.revoked_at),
        (START, None, None)
    );

    let events = house.events(owner.owner()).await;
    for kind in [EventKind::PairingCodeMade, EventKind::DevicePaired] {
        let event = events.iter().find(|event| event.kind == kind).expect("an event");
        assert_eq!(event.text.as_deref(), Some("Family car"));
    }
}

#[tokio::test]
async fn a_code_is_used_once_and_within_a_quarter_of_an_hour() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (key, other) = (DeviceKey::make(), DeviceKey::make());
    let used = a_code(&house, &owner).await;
    pair(&house, &used.code, &key).await.unwrap();
    refused!(pair(&house, &used.code, &key).await, NotFound);
    refused!(pair(&house, &used.code, &other).await, NotFound);
    let late = a_code(&house, &owner).await;
    house.clock.advance(15 * MINUTE);
    refused!(pair(&house, &late.code, &other).await, NotFound);
    assert_eq!(house.access.devices(&owner).await.unwrap().len(), 1);
}

#[tokio::test]
async fn five_wrong_tries_end_a_code_and_its_owner_is_told() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let key = DeviceKey::make();
    let (code, other) = (a_code(&house, &owner).await, a_code(&house, &owner).await);
    for _ in 0..5 {
        refused!(pair(&house, &guess(&code.code), &key).await, NotFound);
    }
    assert_eq!(house.count(owner.owner(), EventKind::PairingRefused).await, 1);
    refused!(pair(&house, &code.code, &key).await, TooManyTries);
    refused!(pair(&house, &guess(&code.code), &key).await, TooManyTries);
    pair(&house, &other.code, &key).await.expect("another code lives");
    assert_eq!(house.count(owner.owner(), EventKind::PairingRefused).await, 1);
}

#[tokio::test]
async fn four_wrong_tries_do_not_end_a_code() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let key = DeviceKey::make();
    let code = a_code(&house, &owner).await;
    for _ in 0..4 {
        refused!(pair(&house, &guess(&code.code), &key).await, NotFound);
    }
    pair(&house, &code.code, &key).await.expect("the fifth is right");
    assert_eq!(house.count(owner.owner(), EventKind::PairingRefused).await, 0);
}

#[tokio::test]
async fn without_the_key_there_is_no_pairing() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (key, thief) = (DeviceKey::make(), DeviceKey::make());
    let code = a_code(&house, &owner).await;
    // The thief has the public key and the code, and signs with its own.
    let proof = sign_pairing_proof(&thief, &code.code);
    let refused = house.access.pair(&code.code, &key.public_key(), &proof).await;
    refused!(refused, Invalid { field: "proof", .. });
    // A proof for another code is none either.
    let other = a_code(&house, &owner).await;
    let proof = sign_pairing_proof(&key, &other.code);
    let refused = house.access.pair(&code.code, &key.public_key(), &proof).await;
    refused!(refused, Invalid { field: "proof", .. });
    for (public_key, proof) in [(vec![0; 31], ""), (vec![], ""), (vec![1; 33], "x")] {
        let refused = house.access.pair(&code.code, &public_key, proof).await;
        refused!(
            refused,
            Invalid {
                field: "public_key",
                ..
            }
        );
    }
    assert!(house.access.devices(&owner).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_code_is_not_found() {
    let house = House::new().await;
    let key = DeviceKey::make();
    for code in ["", "0000", "0000-0000-0000", "0000-0000-000U", &"0".repeat(1_000)] {
        refused!(pair(&house, code, &key).await, NotFound);
    }
}

#[tokio::test]
async fn a_vehicles_names_are_bounded_and_so_are_its_owners_codes() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let make = async |name| house.access.make_pairing_code(&owner, name).await;
    let label = "x".repeat(81);
    refused!(
        make(VehicleName { label, ..a_car() }).await,
        Invalid { field: "label", .. }
    );
    let vin = Some("no vin".to_owned());
    refused!(make(VehicleName { vin, ..a_car() }).await, Invalid { field: "vin", .. });
    let plate = Some("x".repeat(21));
    refused!(
        make(VehicleName { plate, ..a_car() }).await,
        Invalid { field: "plate", .. }
    );
    for _ in 0..10 {
        make(a_car()).await.expect("ten codes at a time");
    }
    refused!(make(a_car()).await, LimitReached { limit: 10, .. });
    house.clock.advance(15 * MINUTE);
    make(a_car()).await.expect("the others have ended");
}

#[tokio::test]
async fn a_vehicle_is_known_by_a_token_that_it_signed() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, key) = a_vehicle(&house, &owner).await;
    let session = house.device_by(&token(device, &key, 0)).await.unwrap();
    assert_eq!((session.owner(), session.device()), (owner.owner(), device));
    assert_eq!(session.expires_at(), START + 15 * MINUTE);

    let (_, other_key) = a_vehicle(&house, &owner).await;
    refused!(house.device_by(&token(device, &other_key, 0)).await, Unauthenticated);
    refused!(
        house.device_by(&token(DeviceId::random(), &key, 0)).await,
        Unauthenticated
    );
    let good = token(device, &key, 0);
    refused!(house.device_by(&good[..good.len() - 1]).await, Unauthenticated);
    // The claims of one token under the signature of another.
    let later = token(device, &key, MINUTE);
    let spliced = format!("{}{}", &good[..60], &later[60..]);
    refused!(house.device_by(&spliced).await, Unauthenticated);
}

#[tokio::test]
async fn a_clock_that_is_off_by_more_than_ten_minutes_is_told_the_time() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, key) = a_vehicle(&house, &owner).await;
    for off in [-25 * MINUTE + 1, -10 * MINUTE, 0, 10 * MINUTE] {
        house
            .device_by(&token(device, &key, off))
            .await
            .expect("within the tolerance");
    }
    for off in [-25 * MINUTE, 10 * MINUTE + 1, -20_000 * DAY, 20_000 * DAY] {
        refused!(
            house.device_by(&token(device, &key, off)).await,
            ClockSkew { now: START }
        );
    }
    // Only to the vehicle itself: a forger learns nothing of the kind.
    let forger = DeviceKey::make();
    refused!(
        house.device_by(&token(device, &forger, 20_000 * DAY)).await,
        Unauthenticated
    );
}

#[tokio::test]
async fn a_revoked_vehicle_is_refused_at_its_next_request() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, key) = a_vehicle(&house, &owner).await;
    house.device_by(&token(device, &key, 0)).await.unwrap();
    house.access.revoke_device(&owner, device).await.unwrap();
    house
        .access
        .revoke_device(&owner, device)
        .await
        .expect("a second time changes nothing");
    refused!(house.device_by(&token(device, &key, 0)).await, Unauthenticated);
    let listed = house.access.device(&owner, device).await.unwrap().unwrap();
    assert_eq!((listed.state, listed.revoked_at), (DeviceState::Revoked, Some(START)));
    assert_eq!(house.count(owner.owner(), EventKind::DeviceRevoked).await, 1);
}

#[tokio::test]
async fn a_vehicle_dies_with_its_owner() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, key) = a_vehicle(&house, &owner).await;
    let code = a_code(&house, &owner).await;
    house.access.erase_owner(owner.owner()).await.unwrap();
    refused!(house.device_by(&token(device, &key, 0)).await, Unauthenticated);
    assert!(pair(&house, &code.code, &DeviceKey::make()).await.is_err());
}

#[tokio::test]
async fn a_vehicle_is_renamed_and_seen_every_five_minutes() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let (device, key) = a_vehicle(&house, &owner).await;
    let renamed = house.access.rename_device(&owner, device, " Van ").await.unwrap();
    assert_eq!(
        (renamed.name.label.as_str(), renamed.name.plate.as_deref()),
        ("Van", Some("B DV 2026"))
    );
    refused!(
        house.access.rename_device(&owner, device, "").await,
        Invalid { field: "label", .. }
    );
    for (advance, seen) in [(0, 0), (4 * MINUTE, 0), (MINUTE, 5 * MINUTE)] {
        house.clock.advance(advance);
        house.device_by(&token(device, &key, 0)).await.unwrap();
        let listed = house.access.device(&owner, device).await.unwrap().unwrap();
        assert_eq!(
            (listed.name.label.as_str(), listed.last_seen_at),
            ("Van", Some(START + seen))
        );
    }
}

#[tokio::test]
async fn another_owners_vehicle_is_not_there() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let (device, key) = a_vehicle(&house, &owner).await;
    assert!(house.access.devices(&other).await.unwrap().is_empty());
    assert!(house.access.device(&other, device).await.unwrap().is_none());
    refused!(house.access.rename_device(&other, device, "Mine").await, NotFound);
    refused!(house.access.revoke_device(&other, device).await, NotFound);
    house.device_by(&token(device, &key, 0)).await.expect("untouched");
}

#[tokio::test]
async fn one_car_sold_to_another_owner_ties_nobody_together() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let mut indexes = Vec::new();
    for owner in [&owner, &other] {
        let keys = house.vault.owner_keys(owner.owner()).await.unwrap();
        indexes.push(keys.index("vin", b"WVWZZZ1JZXW000001"));
    }
    assert_ne!(indexes[0], indexes[1]);
}
