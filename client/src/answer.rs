//! What the vault answered, read with a bound.

use std::time::{Duration, UNIX_EPOCH};

use reqwest::header::{DATE, ETAG, HeaderMap, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::ClientError;

/// A problem, a receipt or a pairing has a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 << 10;
/// A vault that asks for a longer pause is asked again anyway after this.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

pub(crate) struct Answer {
    response: reqwest::Response,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Problem {
    title: String,
    detail: String,
    reason: String,
}

impl Answer {
    pub fn of(response: reqwest::Response) -> Self {
        Self { response }
    }

    pub fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub fn is_success(&self) -> bool {
        self.response.status().is_success()
    }

    /// `Upload-Offset`.
    pub fn offset(&self) -> Option<u64> {
        text(self.response.headers(), "upload-offset")?.parse().ok()
    }

    pub fn etag(&self) -> Option<&str> {
        text(self.response.headers(), ETAG.as_str())
    }

    pub fn location(&self) -> Option<&str> {
        text(self.response.headers(), LOCATION.as_str())
    }

    /// What `Date` says, milliseconds since 1970.
    pub fn date_ms(&self) -> Option<i64> {
        let date = httpdate::parse_http_date(text(self.response.headers(), DATE.as_str())?).ok()?;
        i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
    }

    /// How long the vault asks to wait; only the form in seconds is understood.
    pub fn retry_after(&self) -> Duration {
        text(self.response.headers(), RETRY_AFTER.as_str())
            .and_then(|seconds| seconds.trim().parse().ok())
            .map_or(Duration::ZERO, Duration::from_secs)
            .min(MAX_RETRY_AFTER)
    }

    /// The refusal that the answer is.
    pub async fn refused(self) -> ClientError {
        let status = self.status();
        let problem: Problem = self.json().await.unwrap_or_default();
        let said = [problem.reason, problem.detail, problem.title];
        let reason = said.into_iter().find(|text| !text.is_empty());
        ClientError::Refused {
            status,
            reason: reason.unwrap_or_else(|| "no reason told".to_owned()),
        }
    }

    /// The refusal of a vehicle that may not speak; nothing is ever counted as done by it.
    pub async fn unwelcome(self) -> ClientError {
        match self.refused().await {
            ClientError::Refused { status, reason } => ClientError::Unwelcome { status, reason },
            other => other,
        }
    }

    pub async fn json<T: DeserializeOwned>(mut self) -> Result<T, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = self
            .response
            .chunk()
            .await
            .map_err(|error| ClientError::Unreachable(error.into()))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BODY_BYTES {
                return Err(ClientError::Protocol {
                    reason: "an answer of more than 64 KiB".to_owned(),
                });
            }
        }
        serde_json::from_slice(&body).map_err(|error| ClientError::Protocol {
            reason: error.to_string(),
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}
