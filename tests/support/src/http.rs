//! Requests as a client on this machine would send them.

use std::net::IpAddr;
use std::sync::LazyLock;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Method};
use serde_json::Value;

/// Longer than any answer takes, shorter than a person's patience with a hanging test.
const ANSWER: Duration = Duration::from_secs(120);

/// A client without a proxy that follows no redirect.
pub fn client() -> Client {
    builder().build().expect("a client")
}

/// The same, calling from an address of this machine: requests are limited for each address.
pub fn client_from(address: IpAddr) -> Client {
    builder().local_address(address).build().expect("a client")
}

fn builder() -> ClientBuilder {
    static READY: LazyLock<()> = LazyLock::new(|| {
        // Another test of this program may have installed it: then it is there.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    LazyLock::force(&READY);
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(ANSWER)
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
