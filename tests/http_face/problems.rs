//! Whatever is wrong, the answer is a problem document with a stable type, and carries the headers that protect.

use dashvault::http::ROUTES;
use reqwest::{Method, Response};
use serde_json::Value;

use crate::world::{answer, header, world};

async fn problem(answer: Response, status: u16, slug: &str) -> Value {
    let what = format!("{} {}", answer.status(), answer.url());
    assert_eq!(answer.status().as_u16(), status, "{what}");
    assert_eq!(header(&answer, "content-type"), "application/problem+json", "{what}");
    protected(&answer);
    let document: Value = answer.json().await.expect("JSON");
    assert_eq!(document["type"], format!("urn:dashvault:problem:{slug}"), "{document}");
    assert_eq!(document["status"], status, "{document}");
    assert!(document["title"].is_string(), "{document}");
    document
}

fn protected(answer: &Response) {
    assert_eq!(header(answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(answer, "referrer-policy"), "no-referrer");
    assert!(header(answer, "content-security-policy").contains("default-src 'none'"));
    assert_eq!(header(answer, "x-request-id").len(), 16);
}

#[tokio::test]
async fn what_is_not_there_is_a_problem() {
    let world = world().await;
    for path in [
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v2/clips",
        "/../etc/passwd",
        "/assets/none.js",
        "/v1/clips/not-an-id/x",
    ] {
        problem(
            answer(world.ask(Method::GET, path, Some(&world.owner.token))).await,
            404,
            "not-found",
        )
        .await;
    }
    let token = Some(world.owner.token.as_str());
    problem(
        answer(world.ask(Method::GET, "/v1/clips/not-an-id", token)).await,
        404,
        "not-found",
    )
    .await;
    problem(
        answer(world.ask(Method::GET, "/v1/clips/%2e%2e%2fx", token)).await,
        404,
        "not-found",
    )
    .await;
}

#[tokio::test]
async fn a_method_that_is_not_known_is_told_which_are() {
    let world = world().await;
    for line in ROUTES {
        let path = line
            .path
            .replace("{id}", &world.clip)
            .replace("{name}", "x")
            .replace("{file}", "x");
        let refused = answer(world.ask(Method::PUT, &path, Some(&world.owner.token))).await;
        let allowed = header(&refused, "allow").to_owned();
        problem(refused, 405, "method-not-allowed").await;
        assert!(allowed.split(", ").any(|m| m == line.method), "{path}: {allowed}");
    }
}

#[tokio::test]
async fn bodies_that_are_not_what_they_should_be_are_told_what_is_wrong() {
    let world = world().await;
    let post = |text: String, kind: &'static str| {
        let request = world.ask(Method::POST, "/v1/devices/pairing-codes", Some(&world.owner.token));
        request.header("content-type", kind).body(text)
    };
    let json = "application/json";
    let told = problem(answer(post("{\"label\": ".into(), json)).await, 400, "bad-json").await;
    assert_eq!(told["line"], 1, "{told}");
    let told = problem(answer(post("{}".into(), json)).await, 400, "bad-json").await;
    assert!(told["detail"].as_str().is_some_and(|d| d.contains("label")), "{told}");
    let told = problem(answer(post("{\"label\":\"\"}".into(), json)).await, 400, "bad-value").await;
    assert_eq!(told["field"], "label", "{told}");
    problem(
        answer(post("label=x".into(), "application/x-www-form-urlencoded")).await,
        415,
        "unsupported-media-type",
    )
    .await;
    problem(
        answer(post(format!("{{\"label\":\"{}\"}}", "x".repeat(20_000)), json)).await,
        413,
        "too-large",
    )
    .await;
    let told = problem(
        answer(post("{\"label\": 5, \"vin\": \"a-secret\"}".into(), json)).await,
        400,
        "bad-json",
    )
    .await;
    assert!(!told.to_string().contains("a-secret"), "{told}");
}

#[tokio::test]
async fn queries_that_cannot_be_read_are_refused_by_name() {
    let world = world().await;
    for (query, field) in [
        ("from=yesterday", "from"),
        ("to=2026-13-01T00:00:00Z", "to"),
        ("device=mine", "device"),
        ("state=shiny", "state"),
        ("cursor=rubbish", "cursor"),
        ("state=trashed&limit=many", "limit"),
    ] {
        let asked = world.ask(Method::GET, &format!("/v1/clips?{query}"), Some(&world.owner.token));
        let told = problem(answer(asked).await, 400, "bad-query").await;
        assert_eq!(told["field"], field, "{told}");
    }
    let asked = world.ask(Method::GET, "/v1/clips?limit=1&limit=1", Some(&world.owner.token));
    problem(answer(asked).await, 400, "bad-query").await;
    let asked = world.ask(Method::GET, "/v1/activity?cursor=rubbish", Some(&world.owner.token));
    problem(answer(asked).await, 400, "bad-query").await;
}

#[tokio::test]
async fn uploads_are_refused_as_their_protocol_says() {
    let world = world().await;
    let post = || {
        world
            .ask(Method::POST, "/v1/uploads", Some(&world.vehicle))
            .header("Tus-Resumable", "1.0.0")
    };
    let told = answer(post()).await;
    assert_eq!(header(&told, "tus-resumable"), "1.0.0");
    problem(told, 400, "bad-header").await;
    problem(answer(post().header("Upload-Length", "0")).await, 400, "empty-upload").await;
    problem(answer(post().header("Upload-Length", "-5")).await, 400, "bad-header").await;
    problem(
        answer(post().header("Upload-Length", "99999999999999999999")).await,
        413,
        "too-large",
    )
    .await;
    problem(
        answer(post().header("Upload-Length", "9999999999999")).await,
        413,
        "too-large",
    )
    .await;
    problem(
        answer(post().header("Upload-Defer-Length", "2")).await,
        400,
        "bad-header",
    )
    .await;
    let metadata = post()
        .header("Upload-Length", "5")
        .header("Upload-Metadata", "filename not*base64");
    problem(answer(metadata).await, 400, "bad-upload-metadata").await;
    let checksum = post()
        .header("Upload-Length", "5")
        .header("Upload-Checksum", "md5 AAAA");
    problem(answer(checksum).await, 400, "unknown-checksum-algorithm").await;
    let old = world
        .ask(Method::POST, "/v1/uploads", Some(&world.vehicle))
        .header("Upload-Length", "5");
    let told = answer(old).await;
    assert_eq!(header(&told, "tus-version"), "1.0.0");
    problem(told, 412, "unsupported-tus-version").await;
    let options = answer(world.ask(Method::OPTIONS, "/v1/uploads", None)).await;
    assert_eq!(options.status(), 204);
    for extension in [
        "creation",
        "creation-with-upload",
        "expiration",
        "checksum",
        "termination",
    ] {
        assert!(
            header(&options, "tus-extension").split(',').any(|e| e == extension),
            "{extension}"
        );
    }
    assert_eq!(header(&options, "tus-checksum-algorithm"), "sha1,sha256,sha512,crc32c");
    assert!(
        header(&options, "tus-max-size")
            .parse::<u64>()
            .is_ok_and(|n| n >= 1 << 30)
    );
}

#[tokio::test]
async fn an_upload_tells_where_it_stands() {
    let world = world().await;
    let token = Some(world.vehicle.as_str());
    let begun = world
        .ask(Method::POST, "/v1/uploads", token)
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "10")
        .header("Content-Type", "application/offset+octet-stream")
        .body("0123");
    let begun = answer(begun).await;
    assert_eq!((begun.status().as_u16(), header(&begun, "upload-offset")), (201, "4"));
    assert!(header(&begun, "upload-expires").ends_with(" GMT"));
    let location = header(&begun, "location").to_owned();
    let path = location
        .strip_prefix(&world.vault.url(""))
        .expect("an absolute address of ours")
        .to_owned();
    let patch = |offset: &str, body: &'static str| {
        world
            .ask(Method::PATCH, &path, token)
            .header("Tus-Resumable", "1.0.0")
            .header("Content-Type", "application/offset+octet-stream")
            .header("Upload-Offset", offset.to_owned())
            .body(body)
    };
    let wrong = answer(patch("3", "345")).await;
    assert_eq!(header(&wrong, "upload-offset"), "4");
    problem(wrong, 409, "mismatching-upload-offset").await;
    problem(answer(patch("4", "456789andmore")).await, 413, "too-large").await;
    let sum = "sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=";
    problem(
        answer(patch("4", "45").header("Upload-Checksum", sum)).await,
        460,
        "checksum-mismatch",
    )
    .await;
    let asked = answer(world.ask(Method::HEAD, &path, token).header("Tus-Resumable", "1.0.0")).await;
    assert_eq!(
        (header(&asked, "upload-offset"), header(&asked, "upload-length")),
        ("4", "10")
    );
    assert_eq!(header(&asked, "cache-control"), "no-store");
    let taken = answer(patch("4", "45678")).await;
    assert_eq!((taken.status().as_u16(), header(&taken, "upload-offset")), (204, "9"));
}

#[tokio::test]
async fn pages_are_shown_and_protected() {
    let world = world().await;
    for path in [
        "/",
        "/clips",
        "/links",
        "/sign-in",
        "/account",
        &format!("/clips/{}", world.clip),
        &format!("/s/{}", world.link),
    ] {
        let page = answer(world.ask(Method::GET, path, None)).await;
        assert_eq!(page.status(), 200, "{path}");
        assert!(header(&page, "content-type").starts_with("text/html"), "{path}");
        assert!(
            header(&page, "content-security-policy").contains("script-src 'self';"),
            "{path}"
        );
        protected(&page);
        assert_eq!(header(&page, "cache-control"), "no-cache", "{path}");
    }
    let page = answer(world.ask(Method::GET, "/", None))
        .await
        .text()
        .await
        .expect("a page");
    let script = page
        .split("src=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a script");
    let file = answer(world.ask(Method::GET, script, None)).await;
    assert_eq!(file.status(), 200, "{script}");
    assert!(header(&file, "cache-control").contains("immutable"));
    let lost = answer(world.ask(Method::GET, "/nowhere", None).header("accept", "text/html")).await;
    assert_eq!(lost.status(), 404);
    assert!(header(&lost, "content-type").starts_with("text/html"));
}

#[tokio::test]
async fn the_service_says_that_it_lives_and_what_is_ready() {
    let world = world().await;
    assert_eq!(answer(world.ask(Method::GET, "/livez", None)).await.status(), 200);
    let ready: Value = answer(world.ask(Method::GET, "/readyz", None))
        .await
        .json()
        .await
        .expect("JSON");
    assert_eq!(ready["ready"], true, "{ready}");
    for part in ["catalogue", "vault", "worker"] {
        assert_eq!(ready["parts"][part], "ok", "{ready}");
    }
    let described: Value = answer(world.ask(Method::GET, "/openapi.json", None))
        .await
        .json()
        .await
        .expect("JSON");
    assert!(described["paths"].as_object().is_some_and(|p| p.len() > 20));
    assert_eq!(
        answer(world.ask(Method::GET, "/metrics", None)).await.status(),
        404,
        "numbers are the operator's"
    );
}
