//! A quota that is used up, as clients meet it: an answer after which they keep the clip and come back, and a page that tells.

use dashvault_test_support::Owner;
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};

use crate::world::{World, answer, header, random, token, world};

struct Account {
    world: &'static World,
    email: String,
    owner: Owner,
}

impl Account {
    async fn new() -> Self {
        let world = world().await;
        let email = format!("quota-{}@example.org", random());
        let owner = world.vault.owner(&email);
        Self { world, email, owner }
    }

    /// Says what this owner may keep.
    fn may(&self, quotas: &[&str]) {
        let data = self.world.vault.data().to_str().expect("UTF-8");
        let said = ["owner", "quota", "--email", &self.email, "--data", data];
        self.world.vault.run(said.into_iter().chain(quotas.iter().copied()));
    }

    fn post(&self, bearer: &str) -> RequestBuilder {
        let request = self.world.ask(Method::POST, "/v1/uploads", Some(bearer));
        request.header("Tus-Resumable", "1.0.0")
    }

    async fn begin(&self, length: u64) -> Response {
        answer(self.post(&self.owner.token).header("Upload-Length", length)).await
    }

    async fn usage(&self) -> Value {
        let (status, usage) = self
            .world
            .vault
            .json(Method::GET, "/v1/usage", Some(&self.owner.token), None)
            .await;
        assert_eq!(status, 200, "{usage}");
        usage
    }

    fn path(&self, begun: &Response) -> String {
        let location = header(begun, "location");
        location
            .strip_prefix(&self.world.vault.url(""))
            .expect("ours")
            .to_owned()
    }

    fn patch(&self, path: &str, offset: u64, body: &'static [u8]) -> RequestBuilder {
        self.world
            .ask(Method::PATCH, path, Some(&self.owner.token))
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", offset)
            .header("Content-Type", "application/offset+octet-stream")
            .body(body)
    }
}

/// That a client is told to keep the clip and come back. What begins with a 4, but for 409 and 423, makes widespread ones give up.
async fn is_used_up(refused: Response, quota: &str, limit: u64) {
    assert_eq!(refused.status(), 507);
    assert_eq!(header(&refused, "retry-after"), "3600");
    assert_eq!(header(&refused, "content-type"), "application/problem+json");
    let told: Value = refused.json().await.expect("JSON");
    assert_eq!(told["type"], "urn:dashvault:problem:quota-used-up");
    assert_eq!((&told["quota"], &told["limit"]), (&json!(quota), &json!(limit)));
}

#[tokio::test]
async fn what_does_not_fit_is_told_to_come_back_in_both_protocols_and_is_taken_once_more_is_allowed() {
    let account = Account::new().await;
    account.may(&["--bytes", "1000"]);
    let begun = account.begin(600).await;
    assert_eq!(begun.status(), 201);
    let path = account.path(&begun);

    let refused = account.begin(401).await;
    assert_eq!(header(&refused, "tus-resumable"), "1.0.0");
    is_used_up(refused, "owner_bytes", 1000).await;
    for version in ["6", "8"] {
        let draft = account
            .world
            .ask(Method::POST, "/v1/uploads", Some(&account.owner.token))
            .header("Upload-Draft-Interop-Version", version)
            .header("Upload-Complete", "?1")
            .body(vec![7; 401]);
        is_used_up(answer(draft).await, "owner_bytes", 1000).await;
    }
    // One that does not know its length is let in while a byte is left, and ends where the quota does.
    let deferred = account.post(&account.owner.token).header("Upload-Defer-Length", "1");
    let deferred = account.path(&answer(deferred).await);
    let taken = answer(account.patch(&deferred, 0, &[7; 400])).await;
    assert_eq!(taken.status(), 204);
    is_used_up(answer(account.patch(&deferred, 400, b"1")).await, "owner_bytes", 1000).await;

    // What was let in goes on to its end, and where it stands is always told.
    let sent = answer(account.patch(&path, 0, &[7; 600])).await;
    assert_eq!((sent.status().as_u16(), header(&sent, "upload-offset")), (204, "600"));
    let stands = account.world.ask(Method::HEAD, &deferred, Some(&account.owner.token));
    let stands = answer(stands.header("Tus-Resumable", "1.0.0")).await;
    assert_eq!(
        (stands.status().as_u16(), header(&stands, "upload-offset")),
        (200, "400")
    );

    account.may(&["--bytes", "100000"]);
    assert_eq!(account.begin(401).await.status(), 201);
    assert_eq!(answer(account.patch(&deferred, 400, b"1")).await.status(), 204);
}

#[tokio::test]
async fn usage_tells_what_each_vehicle_keeps_and_may_and_nothing_of_others() {
    // Another owner's, that must be in nobody else's numbers.
    let other = Account::new().await;
    assert_eq!(other.begin(70).await.status(), 201);
    let account = Account::new().await;
    let empty = account.usage().await;
    for (name, expected) in [("bytes", 0), ("clips", 0), ("open_uploads", 0)] {
        assert_eq!(empty[name], expected, "{name}");
    }
    for none in ["most_bytes", "most_clips", "most_vehicle_bytes", "most_vehicle_clips"] {
        assert_eq!(empty[none], Value::Null, "{none}");
    }
    // What everybody may have open at a time.
    assert_eq!(
        (&empty["most_open_uploads"], &empty["most_vehicle_open_uploads"]),
        (&json!(4096), &json!(256))
    );
    assert_eq!(empty["by_vehicle"], json!([]));

    account.may(&["--clips", "9", "--vehicle-clips", "2", "--vehicle-bytes", "5000"]);
    let (device, _) = account
        .world
        .vault
        .pair_with(&account.owner, &json!({ "label": "car" }))
        .await;
    let vehicle = token(&account.world.vault, &device);
    for length in [1000, 2000] {
        let begun = answer(account.post(&vehicle).header("Upload-Length", length)).await;
        assert_eq!(begun.status(), 201);
    }
    let third = answer(account.post(&vehicle).header("Upload-Length", 1)).await;
    is_used_up(third, "vehicle_clips", 2).await;
    assert_eq!(account.begin(30).await.status(), 201, "the owner's apps are no vehicle");

    let usage = account.usage().await;
    for (name, expected) in [
        ("bytes", 3030),
        ("clips", 3),
        ("open_uploads", 3),
        ("most_clips", 9),
        ("most_vehicle_clips", 2),
        ("most_vehicle_bytes", 5000),
    ] {
        assert_eq!(usage[name], expected, "{name}");
    }
    let by_vehicle = usage["by_vehicle"].as_array().expect("a list");
    assert_eq!(by_vehicle.len(), 2);
    for (is_app, bytes, clips) in [(true, 30, 1), (false, 3000, 2)] {
        let by = by_vehicle.iter().find(|by| by["device_id"].is_null() == is_app);
        let by = by.expect("a sender");
        assert_eq!((&by["bytes"], &by["clips"]), (&json!(bytes), &json!(clips)));
    }
    // A vehicle is told nothing of it.
    let asked = account.world.ask(Method::GET, "/v1/usage", Some(&vehicle));
    assert_eq!(answer(asked).await.status(), 403);
}

#[tokio::test]
async fn parts_that_would_be_one_clip_too_many_are_told_to_come_back_and_stay() {
    let account = Account::new().await;
    account.may(&["--clips", "1"]);
    let part = async |body: &'static [u8]| {
        let begun = account
            .post(&account.owner.token)
            .header("Upload-Length", body.len())
            .header("Upload-Concat", "partial");
        let path = account.path(&answer(begun).await);
        assert_eq!(answer(account.patch(&path, 0, body)).await.status(), 204);
        path
    };
    let (one, two) = (part(b"one").await, part(b"two").await);
    let join = |path: &str| {
        let joined = account.post(&account.owner.token);
        joined.header("Upload-Concat", format!("final;{}", account.world.vault.url(path)))
    };
    assert_eq!(answer(join(&one)).await.status(), 201);
    is_used_up(answer(join(&two)).await, "owner_clips", 1).await;
    account.may(&["--clips", "2"]);
    let made = answer(join(&two)).await;
    assert_eq!(made.status(), 201, "{}", made.text().await.unwrap_or_default());
    let told = account.usage().await;
    assert_eq!(told["clips"], 2, "{told}");
}
