//! Sessions by cookie: hidden, bound to the vault's own pages, one kind never taken for the other.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::world::{World, answer, fragment, header, world};

fn cookie(answer: &Response) -> (String, String) {
    let set = header(answer, "set-cookie").to_owned();
    let pair = set.split(';').next().expect("a pair").to_owned();
    (pair, set)
}

async fn sign_in(world: &World, origin: Option<&str>) -> Response {
    let url = world.passer_by().sign_in_url;
    let mut request = world
        .ask(Method::POST, "/v1/session", None)
        .header("accept-session", "cookie")
        .json(&json!({ "token": fragment(&url) }));
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    answer(request).await
}

#[tokio::test]
async fn a_sign_in_link_is_redeemed_once_for_a_hidden_cookie() {
    let world = world().await;
    let owner = world.passer_by();
    assert!(
        owner.sign_in_url.starts_with(&world.vault.url("/sign-in#")),
        "made of the vault's own address"
    );
    let token = json!({ "token": fragment(&owner.sign_in_url) });
    let post = || {
        let request = world.ask(Method::POST, "/v1/session", None).json(&token);
        request
            .header("accept-session", "cookie")
            .header("origin", world.vault.url(""))
    };
    let signed_in = answer(post()).await;
    assert_eq!(signed_in.status(), 200);
    let (pair, set) = cookie(&signed_in);
    assert!(
        set.contains("; HttpOnly") && set.contains("; SameSite=Strict") && set.contains("; Path=/;"),
        "{set}"
    );
    assert!(!set.contains("Secure"), "plain loopback has no TLS: {set}");
    let body: Value = signed_in.json().await.expect("JSON");
    assert_eq!(body["owner_id"], owner.id);
    assert!(
        body.get("session").is_none(),
        "the secret is in the cookie alone: {body}"
    );
    let me = answer(world.ask(Method::GET, "/v1/me", None).header("cookie", &pair)).await;
    assert_eq!(me.status(), 200);
    assert_eq!(answer(post()).await.status(), 401, "a second time it is worth nothing");

    let out = world
        .ask(Method::DELETE, "/v1/session", None)
        .header("cookie", &pair)
        .header("origin", world.vault.url(""));
    let out = answer(out).await;
    assert_eq!(out.status(), 204);
    assert!(cookie(&out).1.contains("Max-Age=0"));
    let me = answer(world.ask(Method::GET, "/v1/me", None).header("cookie", &pair)).await;
    assert_eq!(me.status(), 401, "signed out");
}

#[tokio::test]
async fn another_sites_page_can_do_nothing_with_the_cookie() {
    let world = world().await;
    let own = world.vault.url("");
    let (pair, _) = cookie(&sign_in(world, Some(&own)).await);
    let change = |origin: Option<&str>| {
        let request = world
            .ask(Method::POST, "/v1/devices/pairing-codes", None)
            .header("cookie", &pair);
        let request = request.json(&json!({ "label": "mine" }));
        match origin {
            Some(origin) => request.header("origin", origin.to_owned()),
            None => request,
        }
    };
    assert_eq!(answer(change(Some(&own))).await.status(), 201);
    for origin in [
        None,
        Some("https://evil.example"),
        Some("null"),
        Some(&format!("{own}.evil.example")),
        Some("http://127.0.0.1:1"),
    ] {
        assert_eq!(answer(change(origin)).await.status(), 403, "{origin:?}");
    }
    for origin in [None, Some("https://evil.example")] {
        let refused = sign_in(world, origin).await;
        assert_eq!(
            (refused.status().as_u16(), header(&refused, "set-cookie")),
            (403, ""),
            "{origin:?}"
        );
    }
}

#[tokio::test]
async fn a_links_cookie_is_no_owners_and_an_owners_no_links() {
    let world = world().await;
    let own = world.vault.url("");
    let (owner, _) = cookie(&sign_in(world, Some(&own)).await);
    let opened = world
        .ask(Method::POST, "/v1/links/redeem", None)
        .header("accept-session", "cookie")
        .header("origin", &own)
        .json(&json!({ "token": fragment(&world.link_url) }));
    let opened = answer(opened).await;
    assert_eq!(opened.status(), 200);
    let (link, set) = cookie(&opened);
    assert!(set.contains("; HttpOnly") && set.contains("; SameSite=Strict"), "{set}");
    let (owner_name, owner_secret) = owner.split_once('=').expect("a pair");
    let (link_name, link_secret) = link.split_once('=').expect("a pair");
    assert_ne!(owner_name, link_name);
    for (path, cookie, status) in [
        ("/v1/me", owner.clone(), 200),
        ("/v1/shared", link.clone(), 200),
        ("/v1/me", link.clone(), 401),
        ("/v1/shared", owner.clone(), 401),
        ("/v1/me", format!("{owner_name}={link_secret}"), 403),
        ("/v1/shared", format!("{link_name}={owner_secret}"), 403),
        ("/v1/me", format!("{owner}; {link}"), 200),
        ("/v1/shared", format!("{owner}; {link}"), 200),
    ] {
        let got = answer(world.ask(Method::GET, path, None).header("cookie", &cookie)).await;
        assert_eq!(
            got.status().as_u16(),
            status,
            "{path} with {}",
            cookie.split('=').next().unwrap_or_default()
        );
    }
}

#[tokio::test]
async fn without_a_cookie_the_session_is_in_the_body() {
    let world = world().await;
    let url = world.passer_by().sign_in_url;
    let signed_in = answer(
        world
            .ask(Method::POST, "/v1/session", None)
            .json(&json!({ "token": fragment(&url) })),
    )
    .await;
    assert_eq!(header(&signed_in, "set-cookie"), "");
    let body: Value = signed_in.json().await.expect("JSON");
    let me = answer(world.ask(Method::GET, "/v1/me", body["session"].as_str())).await;
    assert_eq!(me.status(), 200, "{body}");
}

#[tokio::test]
async fn an_owner_who_leaves_is_gone_at_once() {
    let world = world().await;
    let owner = world.passer_by();
    assert_eq!(
        answer(world.ask(Method::DELETE, "/v1/me", Some(&owner.token)))
            .await
            .status(),
        202
    );
    assert_eq!(
        answer(world.ask(Method::GET, "/v1/me", Some(&owner.token)))
            .await
            .status(),
        401
    );
}
