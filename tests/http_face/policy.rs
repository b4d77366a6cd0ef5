//! What a vehicle is told of links that are paid for by the byte.

use dashvault_test_support::Vault;
use reqwest::Method;
use serde_json::json;

use crate::world::{answer, ask, header, token};

const POLICY: &str = "/v1/vehicle/policy";

#[tokio::test]
async fn a_vehicle_is_told_its_operators_policy_and_a_known_one_costs_no_body() {
    let mut vault = Vault::setup()
        .args(["--cellular-routine", "none", "--cellular-day-bytes", "1000000"])
        .start();
    let owner = vault.owner("kim@example.org");
    let device = vault.pair(&owner, "car").await;
    let vehicle = token(&vault, &device);
    let told = answer(ask(&vault, Method::GET, POLICY, Some(&vehicle))).await;
    assert_eq!(told.status(), 200);
    let tag = header(&told, "etag").to_owned();
    let policy: serde_json::Value = told.json().await.expect("JSON");
    assert_eq!(
        policy,
        json!({
            "version": 1,
            "event_kinds": ["event"],
            "cellular": {
                "event": "full", "routine": "none",
                "day_bytes": 1_000_000, "month_bytes": 8_u64 << 30, "event_reserve_percent": 50,
            },
            "wishes": [],
            "refresh_secs": 300,
        })
    );

    let again = ask(&vault, Method::GET, POLICY, Some(&vehicle)).header("If-None-Match", &tag);
    let again = answer(again).await;
    assert_eq!((again.status().as_u16(), header(&again, "etag")), (304, &*tag));
    assert!(again.bytes().await.expect("a body").is_empty());

    // The operator changes his mind: the tag that was known is no more.
    vault.stop();
    let vault = Vault::setup()
        .data(vault.data())
        .args(["--cellular-routine", "small"])
        .start();
    let changed = ask(&vault, Method::GET, POLICY, Some(&vehicle)).header("If-None-Match", &tag);
    let changed = answer(changed).await;
    assert_eq!(changed.status(), 200);
    assert_ne!(header(&changed, "etag"), tag);
}
