//! A small tus client, so that a test decides where a request begins and ends.

use std::time::{Duration, Instant};

use dashvault_test_support::{Vault, client};
use reqwest::Response;

/// How long a restarted service may take to answer.
const BACK: Duration = Duration::from_secs(60);

/// An upload under way.
pub struct Upload<'v> {
    vault: &'v Vault,
    token: String,
    /// The path of the upload, whatever port it was made on.
    path: String,
}

impl<'v> Upload<'v> {
    /// Creates an upload of `length` bytes.
    pub async fn create(vault: &'v Vault, token: &str, length: u64) -> Result<Self, Option<Response>> {
        let answer = client()
            .post(vault.url("/v1/uploads"))
            .bearer_auth(token)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", length)
            .send()
            .await
            .map_err(|_| None)?;
        if answer.status() != 201 {
            return Err(Some(answer));
        }
        let location = answer.headers()["Location"].to_str().expect("a header of ASCII");
        let path = location.split("/v1/").nth(1).expect("an upload's address");
        Ok(Self {
            vault,
            token: token.to_owned(),
            path: format!("/v1/{path}"),
        })
    }

    /// An upload that was made before.
    pub fn at(vault: &'v Vault, token: &str, path: &str) -> Self {
        Self {
            vault,
            token: token.to_owned(),
            path: path.to_owned(),
        }
    }

    /// Where it is, beneath the service's address.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The upload's, and so the clip's, id.
    pub fn id(&self) -> &str {
        self.path.rsplit('/').next().expect("an id")
    }

    /// The durable offset; waits for a service that is just starting.
    pub async fn offset(&self) -> u64 {
        let began = Instant::now();
        loop {
            let asked = client().head(self.vault.url(&self.path)).bearer_auth(&self.token);
            if let Ok(answer) = asked.header("Tus-Resumable", "1.0.0").send().await
                && answer.status() == 200
            {
                let offset = answer.headers()["Upload-Offset"].to_str().expect("a header of ASCII");
                return offset.parse().expect("a number");
            }
            assert!(began.elapsed() < BACK, "no offset within {BACK:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Sends bytes from an offset. `Ok` holds the answer; `Err` means that none came.
    pub async fn send(&self, offset: u64, bytes: Vec<u8>) -> Result<Response, reqwest::Error> {
        self.send_body(offset, bytes.into()).await
    }

    /// The same with a body that may be a stream.
    pub async fn send_body(&self, offset: u64, body: reqwest::Body) -> Result<Response, reqwest::Error> {
        client()
            .patch(self.vault.url(&self.path))
            .bearer_auth(&self.token)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Offset", offset)
            .header("Content-Type", "application/offset+octet-stream")
            .body(body)
            .send()
            .await
    }
}
