//! Requests as a client on this machine would send them.

use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::Value;

/// Longer than any answer takes, shorter than a person's patience with a hanging test.
const ANSWER: Duration = Duration::from_secs(120);

/// A client without a proxy that follows no redirect.
pub fn client() -> Client {
    static READY: LazyLock<()> = LazyLock::new(|| {
        // Another test of this program may have installed it: then it is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    LazyLock::force(&READY);
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER)
        .build()
        .expect("a client")
}

/// One request with an optional bearer token and JSON body; the status and the body as JSON (`Null` when it is none).
pub async fn json(method: Method, url: &str, token: Option<&str>, body: Option<&Value>) -> (u16, Value) {
    let mut request = client().request(method, url);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap_or_else(|e| panic!("{url}: {e}"));
    let status = answer.status().as_u16();
    let body = answer.bytes().await.unwrap_or_else(|e| panic!("{url}: {e}"));
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}
