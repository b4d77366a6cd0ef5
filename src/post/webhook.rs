//! A notice as an HTTPS POST of JSON, signed as the specification of Standard Webhooks says
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>), so that receivers verify
//! it with a library they have.
//!
//! A notice keeps its `webhook-id` over every attempt: a receiver that got it twice can tell.

use std::fmt;

use dashvault_keys::digest::hmac_sha256_under;
use data_encoding::BASE64;
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use zeroize::Zeroizing;

use super::address::{self, Address};
use super::sink::{Failure, SettingError};
use crate::catalog::NoticeRow;
use crate::model::{UnixMs, moment};

/// Of a secret, by the specification.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Where to, and under which secret.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    pub url: Address,
    pub secret: WebhookSecret,
}

/// What bodies are signed with.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<Vec<u8>>);

/// The sink.
#[derive(Clone)]
pub(super) struct Webhook {
    client: Client,
    config: WebhookConfig,
    origin: String,
}

impl WebhookSecret {
    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        let encoded = text.trim().strip_prefix("whsec_").ok_or(SettingError::Secret)?;
        let bytes = BASE64.decode(encoded.as_bytes()).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| SettingError::Secret)?;
        match SECRET_BYTES.contains(&bytes.len()) {
            true => Ok(Self(bytes)),
            false => Err(SettingError::Secret),
        }
    }

    /// The value of `webhook-signature`.
    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signed = [format!("{id}.{seconds}.").as_bytes(), body].concat();
        format!("v1,{}", BASE64.encode(&hmac_sha256_under(&self.0, &signed)))
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl Webhook {
    pub fn new(config: &WebhookConfig, origin: &str) -> Result<Self, SettingError> {
        Ok(Self {
            client: address::client()?,
            config: config.clone(),
            origin: origin.to_owned(),
        })
    }

    pub async fn deliver(&self, notice: &NoticeRow, now: UnixMs) -> Result<(), Failure> {
        let body = body(notice, &self.origin);
        // Of the attempt: receivers refuse what is older than a few minutes.
        let (id, seconds) = (notice.id.to_string(), now / 1_000);
        let signature = self.config.secret.sign(&id, seconds, &body);
        let request = self
            .client
            .post(self.config.url.url())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature)
            .body(body);
        address::outcome(request.send().await)
    }
}

fn body(notice: &NoticeRow, origin: &str) -> Vec<u8> {
    let body = json!({
        "type": notice.kind,
        "timestamp": moment(notice.raised_at),
        "data": {
            "id": notice.id.to_string(),
            "vault": origin,
            "severity": notice.severity.as_str(),
            "subject": notice.subject,
            "facts": notice.facts,
            "repeats": notice.repeats,
        },
    });
    body.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specifications_example() {
        // The example of the reference libraries' tests and documents.
        let secret = WebhookSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        assert_eq!(
            secret.sign(
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#
            ),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_is_base64_of_24_to_64_bytes_and_no_error_or_log_shows_one() {
        let of = |bytes: usize| format!("whsec_{}", BASE64.encode(&vec![7; bytes]));
        for bytes in [24, 32, 64] {
            assert!(WebhookSecret::parse(&of(bytes)).is_ok(), "{bytes}");
        }
        for wrong in [
            of(23),
            of(65),
            of(32).replace("whsec_", ""),
            "whsec_no base64!".to_owned(),
        ] {
            let error = WebhookSecret::parse(&wrong).unwrap_err().to_string();
            assert!(!error.contains(&wrong), "{error}");
        }
        assert_eq!(
            format!("{:?}", WebhookSecret::parse(&of(32)).unwrap()),
            "WebhookSecret(…)"
        );
    }
}
