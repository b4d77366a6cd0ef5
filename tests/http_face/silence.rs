//! What is never told: logs, numbers and problems hold no owner's data, no token, no address of a client.

use reqwest::Method;
use serde_json::json;

use crate::world::{EMAIL, FILE_NAME, LABEL, LATITUDE, LONGITUDE, PLATE, RECIPIENT, VIN, answer, fragment, world};

#[tokio::test]
async fn no_planted_secret_is_in_log_or_numbers() {
    let world = world().await;
    // Requests of every kind have been made by now; these add refusals that had secrets in hand.
    let (name, lat, lon) = (base64(FILE_NAME), base64(LATITUDE), base64(LONGITUDE));
    let metadata = format!("filename {name},lat {lat},lon {lon}");
    let begun = world
        .ask(
            Method::POST,
            "/v1/uploads?token=planted-query-0d1e",
            Some(&world.vehicle),
        )
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "10")
        .header("Upload-Metadata", metadata);
    assert_eq!(answer(begun).await.status(), 201);
    let wrong = world.ask(
        Method::GET,
        "/v1/clips?cursor=planted-query-0d1e",
        Some(&world.owner.token),
    );
    assert_eq!(answer(wrong).await.status(), 400);
    let wrong = world
        .ask(Method::POST, "/v1/links/redeem", None)
        .json(&json!({ "token": "planted-token-33aa" }));
    assert_eq!(answer(wrong).await.status(), 404);
    let refused = world.ask(Method::GET, "/v1/me", Some("dvo_planted-token-33aa"));
    assert_eq!(answer(refused).await.status(), 401);

    let numbers = dashvault_test_support::client().get(world.vault.admin_url("/metrics"));
    let numbers = answer(numbers).await.text().await.expect("text");
    assert!(
        numbers.contains("dashvault_http_requests_total") && numbers.contains("/v1/clips/{id}"),
        "{numbers}"
    );
    let log = world.vault.log();
    assert!(
        log.contains("answered a request") && log.contains("refused a request"),
        "the log says something"
    );
    let mut secrets: Vec<&str> = vec![EMAIL, LABEL, VIN, PLATE, FILE_NAME, RECIPIENT, LATITUDE, LONGITUDE];
    secrets.extend(["planted-query-0d1e", "planted-token-33aa", "stranger@example.org"]);
    secrets.extend([
        &*world.owner.token,
        &*world.vehicle,
        &*world.viewer,
        fragment(&world.link_url),
    ]);
    secrets.extend([fragment(&world.owner.sign_in_url), "127.0.0.1/32"]);
    for secret in secrets {
        assert!(!log.contains(secret), "the log tells {secret}");
        assert!(!numbers.contains(secret), "the numbers tell {secret}");
    }
    for id in [&world.owner.id, &world.clip, &world.device_id, &world.link] {
        assert!(!numbers.contains(id.as_str()), "the numbers tell {id}");
    }
    assert!(log.contains("127.0.0.0/24"), "clients are told by their network");
}

fn base64(text: &str) -> String {
    data_encoding::BASE64.encode(text.as_bytes())
}
