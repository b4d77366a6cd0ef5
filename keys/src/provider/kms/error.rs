//! What goes wrong with KMS, and what it means to whoever wraps.

use serde::Deserialize;

use crate::provider::ProviderError;

/// Of what AWS says, for logs.
const MAX_REASON_CHARS: usize = 300;

/// Why root keys in KMS do not open. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// There are no keys of this vault.
    #[error(
        "AWS KMS in {region} has no root key alias/{prefix}/…: look at --kms-region and --kms-prefix, or make one with `dashvault keys init` for a new vault"
    )]
    NoKey {
        /// The region asked.
        region: String,
        /// What the aliases would begin with.
        prefix: String,
    },
    /// There are keys of this vault already.
    #[error("AWS KMS in {region} has root keys alias/{prefix}/… already, and they stay")]
    Exists {
        /// The region asked.
        region: String,
        /// What their aliases begin with.
        prefix: String,
    },
    /// A setting that cannot be right.
    #[error("{0}")]
    Setting(&'static str),
    /// Any other answer.
    #[error(transparent)]
    Provider(#[from] ProviderError),
}

/// What an answer of AWS means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The ciphertext, its context or its key does not fit.
    NotAuthentic,
    /// There is no such key or alias.
    Missing,
    /// The key is switched off, or waits for its deletion.
    SwitchedOff,
    /// The alias is there already.
    Exists,
    Throttled,
    /// AWS, or something between, does not work.
    Away,
    /// The credentials are not taken; newer ones may be.
    Stale,
    /// This identity may not, or the request is wrong: asking again does not help.
    Denied,
}

/// An error as KMS and STS tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub meaning: Meaning,
    /// Code and message.
    pub text: String,
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "__type")]
    kind: Option<String>,
    #[serde(alias = "Message")]
    message: Option<String>,
}

impl Said {
    pub fn read(status: u16, body: &[u8]) -> Self {
        let told = serde_json::from_slice::<Body>(body).ok();
        let (kind, message) = told.map_or((None, None), |told| (told.kind, told.message));
        // Some services put a namespace before the code.
        let kind = kind.as_deref().map(|kind| kind.rsplit('#').next().unwrap_or(kind));
        Self {
            meaning: meaning(status, kind.unwrap_or_default()),
            text: plain(&format!(
                "{}: {}",
                kind.map_or_else(|| format!("HTTP {status}"), str::to_owned),
                message.unwrap_or_else(|| "no reason is given".to_owned())
            )),
        }
    }
}

fn meaning(status: u16, code: &str) -> Meaning {
    match code {
        "InvalidCiphertextException" | "IncorrectKeyException" => Meaning::NotAuthentic,
        "NotFoundException" => Meaning::Missing,
        "DisabledException" | "KMSInvalidStateException" | "InvalidStateException" => Meaning::SwitchedOff,
        "AlreadyExistsException" => Meaning::Exists,
        "ThrottlingException"
        | "Throttling"
        | "LimitExceededException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException" => Meaning::Throttled,
        "KMSInternalException"
        | "DependencyTimeoutException"
        | "KeyUnavailableException"
        | "InternalFailure"
        | "InternalError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException" => Meaning::Away,
        "ExpiredTokenException" | "ExpiredToken" | "UnrecognizedClientException" | "InvalidClientTokenId" => {
            Meaning::Stale
        }
        _ if status == 429 => Meaning::Throttled,
        // A gateway's page, or a service that lost its way.
        _ if status >= 500 || (code.is_empty() && status != 403 && status != 401) => Meaning::Away,
        _ => Meaning::Denied,
    }
}

/// Bounded, on one line.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_control())
        .take(MAX_REASON_CHARS)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart_by_code_and_status() {
        let meaning = |status, body: &str| Said::read(status, body.as_bytes()).meaning;
        for (status, body, expected) in [
            (400, r#"{"__type":"InvalidCiphertextException"}"#, Meaning::NotAuthentic),
            (
                400,
                r#"{"__type":"com.amazonaws.kms#DisabledException","message":"off"}"#,
                Meaning::SwitchedOff,
            ),
            (400, r#"{"__type":"LimitExceededException"}"#, Meaning::Throttled),
            (
                400,
                r#"{"__type":"ExpiredTokenException","Message":"old"}"#,
                Meaning::Stale,
            ),
            (400, r#"{"__type":"AccessDeniedException"}"#, Meaning::Denied),
            (400, r#"{"__type":"ValidationException"}"#, Meaning::Denied),
            (500, r#"{"__type":"Whatever"}"#, Meaning::Away),
            (503, "<html>", Meaning::Away),
            (307, "", Meaning::Away),
            (403, "", Meaning::Denied),
        ] {
            assert_eq!(meaning(status, body), expected, "{status} {body}");
        }
        let said = Said::read(400, br#"{"__type":"AccessDeniedException","message":"not\nyou"}"#);
        assert_eq!(said.text, "AccessDeniedException: notyou");
    }
}
