//! The client of the bench: one clip over tus 1.0.0, in one of three shapes.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dashvault_test_support::client;
use futures_util::future::join_all;
use reqwest::{Client, RequestBuilder};

const PART: usize = 5_000_000;
const CONNECTIONS: usize = 16;
/// What a server does with the clip that warmed it up is over by then.
const SETTLES: Duration = Duration::from_secs(1);

/// How the bytes are sent.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// One upload, a request for each 5 MB.
    Parts,
    /// One upload, one request.
    Whole,
    /// Sixteen uploads at once, a request for each 5 MB; together as many bytes.
    AtOnce,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Parts, Self::Whole, Self::AtOnce];
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Parts => "5 MB parts",
            Self::Whole => "one request",
            Self::AtOnce => "16 at once",
        })
    }
}

/// Where uploads are made, and the token that is wanted there.
pub struct Target {
    pub create_url: String,
    pub token: Option<String>,
}

impl Target {
    fn with_token(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("Tus-Resumable", "1.0.0");
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }
}

/// Uploads the bytes and returns how long it took until the last of them was acknowledged.
pub async fn upload(target: &Target, shape: Shape, bytes: &Bytes) -> Duration {
    let http = client();
    // A connection that is open, and code that has run once.
    send(&http, target, &bytes.slice(..PART), PART).await;
    tokio::time::sleep(SETTLES).await;
    let began = Instant::now();
    match shape {
        Shape::Parts => send(&http, target, bytes, PART).await,
        Shape::Whole => send(&http, target, bytes, bytes.len()).await,
        Shape::AtOnce => {
            let each = bytes.len() / CONNECTIONS;
            join_all((0..CONNECTIONS).map(|n| {
                let (http, bytes) = (&http, bytes.slice(n * each..(n + 1) * each));
                async move { send(http, target, &bytes, PART).await }
            }))
            .await;
        }
    }
    began.elapsed()
}

async fn send(http: &Client, target: &Target, bytes: &Bytes, part: usize) {
    let made = target
        .with_token(http.post(&target.create_url))
        .header("Upload-Length", bytes.len())
        .send()
        .await
        .expect("an answer to a creation");
    assert_eq!(made.status(), 201, "creation at {}", target.create_url);
    let location = made.headers()["Location"].to_str().expect("a header of ASCII");
    let upload_url = made.url().join(location).expect("an address");
    for offset in (0..bytes.len()).step_by(part) {
        let end = bytes.len().min(offset + part);
        let answer = target
            .with_token(http.patch(upload_url.clone()))
            .header("Upload-Offset", offset)
            .header("Content-Type", "application/offset+octet-stream")
            .body(bytes.slice(offset..end))
            .send()
            .await
            .expect("an answer to bytes");
        assert_eq!(answer.status(), 204, "bytes from {offset} at {upload_url}");
        let told = answer.headers()["Upload-Offset"].to_str().expect("a header of ASCII");
        assert_eq!(told, end.to_string(), "{upload_url}");
    }
}
