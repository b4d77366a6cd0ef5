//! Every route and method, asked by everybody who may not: 401 to nobody, 403 to the wrong kind of credential, 404 for
//! another's things, with the same words as for things that are not there.

use dashvault::http::{ROUTES, RouteLine, Who};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{World, answer, random, world};

/// What must stand nowhere in an answer to somebody else.
fn secrets(world: &World) -> Vec<String> {
    let mut secrets: Vec<String> = [
        crate::world::EMAIL,
        crate::world::LABEL,
        crate::world::VIN,
        crate::world::PLATE,
    ]
    .map(str::to_owned)
    .to_vec();
    secrets.extend([crate::world::FILE_NAME, crate::world::RECIPIENT].map(str::to_owned));
    secrets.extend([
        world.clip.clone(),
        world.link.clone(),
        world.device_id.clone(),
        world.owner.id.clone(),
    ]);
    secrets
}

/// A line's path with ids in it, of the owner's things or of nothing.
fn path(world: &World, line: &RouteLine, real: bool) -> String {
    let id = match line.path {
        _ if !real => random(),
        p if p.starts_with("/v1/devices") => world.device_id.clone(),
        p if p.starts_with("/v1/links") => world.link.clone(),
        _ => world.clip.clone(),
    };
    line.path
        .replace("{id}", &id)
        .replace("{name}", "source")
        .replace("{file}", "main.m3u8")
}

/// A body that would be taken, so that only the caller is wrong.
fn body(line: &RouteLine) -> Option<Value> {
    match (line.method, line.path) {
        ("POST", "/v1/vehicle/wishes/{id}") => Some(json!({})),
        ("POST", "/v1/devices/pairing-codes") => Some(json!({ "label": "mine" })),
        ("PATCH", "/v1/devices/{id}") => Some(json!({ "label": "taken" })),
        ("POST", "/v1/clips/{id}/links") => Some(json!({
            "recipient": "me", "expires_in_s": 60, "from_ms": 0, "to_ms": 1000, "max_opens": 1,
        })),
        _ => None,
    }
}

async fn asked(world: &World, line: &RouteLine, path: &str, bearer: Option<&str>) -> (StatusCode, String) {
    let method: Method = line.method.parse().expect("a method");
    let mut request = world.ask(method, path, bearer);
    if line.path.starts_with("/v1/uploads") {
        request = request
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", "10")
            .header("Upload-Offset", "0");
        if line.method == "PATCH" {
            request = request
                .header("Content-Type", "application/offset+octet-stream")
                .body("x");
        }
    }
    if let Some(body) = body(line) {
        request = request.json(&body);
    }
    let answer = answer(request).await;
    let status = answer.status();
    (status, answer.text().await.expect("a body"))
}

fn protected() -> impl Iterator<Item = &'static RouteLine> {
    let lines: Vec<_> = ROUTES.iter().filter(|line| line.who != Who::Anybody).collect();
    assert!(lines.len() > 20, "the table has lost its lines");
    lines.into_iter()
}

#[tokio::test]
async fn nobody_is_asked_to_sign_in_on_every_route() {
    let world = world().await;
    for line in protected() {
        for real in [true, false] {
            let path = path(world, line, real);
            for bearer in [None, Some("dvo_rubbish"), Some("rubbish")] {
                let (status, text) = asked(world, line, &path, bearer).await;
                assert_eq!(status, 401, "{} {path} with {bearer:?}: {text}", line.method);
            }
        }
    }
}

#[tokio::test]
async fn the_wrong_kind_of_credential_is_refused_whether_a_thing_exists_or_not() {
    let world = world().await;
    for line in protected() {
        let wrong: &[(&str, &str)] = match line.who {
            Who::Owner => &[
                ("vehicle", &world.vehicle),
                ("viewer", &world.viewer),
                ("other's vehicle", &world.strange_vehicle),
            ],
            Who::Viewer => &[
                ("owner", &world.owner.token),
                ("vehicle", &world.vehicle),
                ("stranger", &world.stranger.token),
            ],
            Who::Uploader => &[("viewer", &world.viewer)],
            Who::Anybody => continue,
        };
        for (name, bearer) in wrong {
            let (there, told) = asked(world, line, &path(world, line, true), Some(bearer)).await;
            let (absent, told_of_none) = asked(world, line, &path(world, line, false), Some(bearer)).await;
            assert_eq!(
                (there, absent),
                (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN),
                "{name}: {} {}",
                line.method,
                line.path
            );
            assert_eq!(told, told_of_none, "{name}: {} {}", line.method, line.path);
        }
    }
}

#[tokio::test]
async fn anothers_things_are_not_there() {
    let world = world().await;
    let mut checked = 0;
    for line in protected().filter(|line| line.path.contains("{id}")) {
        let strangers: &[(&str, &str)] = match line.who {
            Who::Owner => &[("stranger", &world.stranger.token)],
            Who::Uploader if line.method == "DELETE" => &[("stranger", &world.stranger.token)],
            Who::Uploader => &[
                ("stranger", &world.stranger.token),
                ("strange vehicle", &world.strange_vehicle),
            ],
            _ => continue,
        };
        for (name, bearer) in strangers {
            let (there, told) = asked(world, line, &path(world, line, true), Some(bearer)).await;
            let (absent, told_of_none) = asked(world, line, &path(world, line, false), Some(bearer)).await;
            let what = format!("{name}: {} {}: {told}", line.method, line.path);
            assert_eq!(
                (there, absent),
                (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND),
                "{what}"
            );
            assert_eq!(told, told_of_none, "{what}");
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked}");
}

#[tokio::test]
async fn a_strangers_lists_show_nothing_of_the_owners() {
    let world = world().await;
    for line in ROUTES
        .iter()
        .filter(|line| line.method == "GET" && !line.path.contains('{'))
    {
        for bearer in [
            Some(world.stranger.token.as_str()),
            Some(&world.strange_vehicle),
            Some(&world.strange_viewer),
            None,
        ] {
            let (status, text) = asked(world, line, line.path, bearer).await;
            assert!(!status.is_server_error(), "{}: {status} {text}", line.path);
            for secret in secrets(world) {
                // The stranger shared with the same recipient: their own words are theirs to see.
                let own = secret == crate::world::RECIPIENT || secret == crate::world::FILE_NAME;
                assert!(own || !text.contains(&secret), "{} tells {secret}", line.path);
            }
        }
    }
}

#[tokio::test]
async fn a_link_shows_its_own_clip_and_nothing_else() {
    let world = world().await;
    let mine = world.ask(Method::GET, "/v1/shared", Some(&world.viewer));
    let shared: Value = answer(mine).await.json().await.expect("JSON");
    assert_eq!(shared["link_id"], world.link);
    let other = world.ask(Method::GET, "/v1/shared", Some(&world.strange_viewer));
    let other: Value = answer(other).await.json().await.expect("JSON");
    assert_ne!(other["link_id"], world.link);
    // Nothing that names the owner, the vehicle or the file reaches the insurer.
    for secret in [
        crate::world::EMAIL,
        crate::world::LABEL,
        crate::world::VIN,
        crate::world::PLATE,
        crate::world::FILE_NAME,
    ] {
        assert!(!shared.to_string().contains(secret), "{shared}");
    }
    let clip = world.clip.as_str();
    assert!(!shared.to_string().contains(clip), "the clip's own id is the owner's");
}

#[tokio::test]
async fn a_vehicle_deletes_nothing_not_even_its_own() {
    let world = world().await;
    let begun = world
        .ask(Method::POST, "/v1/uploads", Some(&world.vehicle))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "1000");
    let begun = answer(begun).await;
    assert_eq!(begun.status(), 201);
    let location = crate::world::header(&begun, "location").to_owned();
    let path = location
        .strip_prefix(&world.vault.url(""))
        .expect("an absolute address of ours")
        .to_owned();
    for target in [&path, &format!("/v1/uploads/{}", world.clip)] {
        let ended = world
            .ask(Method::DELETE, target, Some(&world.vehicle))
            .header("Tus-Resumable", "1.0.0");
        assert_eq!(answer(ended).await.status(), 403, "{target}");
    }
    let asked = world
        .ask(Method::HEAD, &path, Some(&world.vehicle))
        .header("Tus-Resumable", "1.0.0");
    assert_eq!(answer(asked).await.status(), 200, "it is still there");
    let ended = world
        .ask(Method::DELETE, &path, Some(&world.owner.token))
        .header("Tus-Resumable", "1.0.0");
    assert_eq!(answer(ended).await.status(), 204);
    let asked = world
        .ask(Method::HEAD, &path, Some(&world.vehicle))
        .header("Tus-Resumable", "1.0.0");
    assert_eq!(answer(asked).await.status(), 410);
}

#[tokio::test]
async fn a_link_over_says_why_to_its_holder_and_to_nobody_else() {
    let world = world().await;
    let wish = json!({ "recipient": "once", "expires_in_s": 3600, "from_ms": 0, "to_ms": 1000, "max_opens": 1 });
    let made = world
        .ask(
            Method::POST,
            &format!("/v1/clips/{}/links", world.clip),
            Some(&world.owner.token),
        )
        .json(&wish);
    let made: Value = answer(made).await.json().await.expect("JSON");
    let token = crate::world::fragment(made["url"].as_str().expect("a URL")).to_owned();
    let redeem = async |token: &str| {
        let answer = answer(
            world
                .ask(Method::POST, "/v1/links/redeem", None)
                .json(&json!({ "token": token })),
        )
        .await;
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, session) = redeem(&token).await;
    assert_eq!(status, 200, "{session}");
    let (status, told) = redeem(&token).await;
    assert_eq!(
        (status, told["type"].as_str()),
        (410, Some("urn:dashvault:problem:link-used-up")),
        "{told}"
    );
    let revoked = world.ask(
        Method::DELETE,
        &format!("/v1/links/{}", made["id"].as_str().expect("an id")),
        Some(&world.owner.token),
    );
    assert_eq!(answer(revoked).await.status(), 204);
    let (status, told) = redeem(&token).await;
    assert_eq!(
        (status, told["type"].as_str()),
        (410, Some("urn:dashvault:problem:link-revoked")),
        "{told}"
    );
    let open = world.ask(Method::GET, "/v1/shared", session["session"].as_str());
    assert_eq!(answer(open).await.status(), 410, "an open session ends with its link");
    // One letter changed is a forgery, and a forgery is told nothing.
    let mut forged = token.clone().into_bytes();
    let at = forged.len() / 2;
    forged[at] = if forged[at] == b'a' { b'b' } else { b'a' };
    let (status, told) = redeem(&String::from_utf8(forged).expect("letters")).await;
    assert_eq!(
        (status, told["type"].as_str()),
        (404, Some("urn:dashvault:problem:not-found")),
        "{told}"
    );
}
