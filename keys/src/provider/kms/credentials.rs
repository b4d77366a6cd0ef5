//! Credentials of AWS: where they come from, and their renewal before they end.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ureq::Agent;
use zeroize::Zeroizing;

use super::http::{self, Limits};
use super::sources;

/// Credentials are renewed so long before they end: as long as AWS's own programs take for it.
const EARLY: SignedDuration = SignedDuration::from_mins(5);
/// After a renewal that failed while the old ones still count, none is tried for so long.
const PAUSE: SignedDuration = SignedDuration::from_secs(10);
/// The endpoints of a machine or container are next to it; STS is not, and answers within a second.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(1),
    whole: Duration::from_secs(3),
    proxy: false,
};

/// What requests are signed with.
pub struct Credentials {
    pub(super) id: String,
    pub(super) secret: Zeroizing<String>,
    pub(super) token: Option<Zeroizing<String>>,
    pub(super) ends: Option<Timestamp>,
}

impl Credentials {
    /// Of a key that does not end.
    pub fn new(id: String, secret: String, token: Option<String>) -> Self {
        Self {
            id,
            secret: Zeroizing::new(secret),
            token: token.map(Zeroizing::new),
            ends: None,
        }
    }

    fn is_good_for(&self, at_least: SignedDuration, now: Timestamp) -> bool {
        self.ends.is_none_or(|ends| ends.duration_since(now) > at_least)
    }
}

/// Where credentials come from.
#[derive(Clone)]
pub enum CredentialSource {
    /// They were given to the program, as variables.
    Given(Arc<Credentials>),
    /// A profile of the file that AWS's own programs read too. It is read again after ten minutes: somebody may renew it.
    SharedFile {
        /// The file.
        path: PathBuf,
        /// The section.
        profile: String,
    },
    /// A token of the cluster's, exchanged for a role's credentials at STS.
    WebIdentity {
        /// The token's file; the cluster renews it.
        token_file: PathBuf,
        /// The role's ARN.
        role: String,
        /// The session's name, for AWS's records.
        session: String,
        /// STS's address.
        endpoint: String,
    },
    /// The endpoint of a container service.
    Container {
        /// Its address.
        url: String,
        /// What goes into its header `Authorization`.
        authorization: Authorization,
    },
    /// The metadata service of an EC2 machine, version 2.
    Instance {
        /// Its address.
        endpoint: String,
    },
}

/// How a container's endpoint knows who asks.
#[derive(Clone)]
pub enum Authorization {
    /// By the network.
    None,
    /// By a text.
    Given(Arc<Zeroizing<String>>),
    /// By a file, read at each renewal.
    File(PathBuf),
}

impl fmt::Display for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(_) => write!(f, "the variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            Self::SharedFile { path, profile } => write!(f, "profile {profile} of {}", path.display()),
            Self::WebIdentity { role, .. } => write!(f, "role {role} by web identity"),
            Self::Container { .. } => write!(f, "the container's endpoint"),
            Self::Instance { .. } => write!(f, "the machine's metadata service"),
        }
    }
}

impl fmt::Debug for CredentialSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Absent {
    /// Their source does not answer.
    Away(String),
    /// Their source gives none.
    Refused(String),
}

/// Credentials that are renewed before they end.
pub(super) struct Renewed {
    source: CredentialSource,
    agent: Agent,
    /// Held while they are renewed: one renewal at a time, and whoever needs them waits for it.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    credentials: Option<Arc<Credentials>>,
    /// No renewal before.
    not_before: Option<Timestamp>,
}

impl Renewed {
    pub fn new(source: CredentialSource) -> Self {
        Self {
            source,
            agent: http::agent(LIMITS),
            held: Mutex::default(),
        }
    }

    /// Credentials that count now.
    pub fn get(&self, now: Timestamp) -> Result<Arc<Credentials>, Absent> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = held
            .credentials
            .clone()
            .filter(|it| it.is_good_for(SignedDuration::ZERO, now));
        if let Some(credentials) = &usable
            && (credentials.is_good_for(EARLY, now) || held.not_before.is_some_and(|then| now < then))
        {
            return Ok(credentials.clone());
        }
        match sources::fetch(&self.source, &self.agent, now) {
            Ok(fresh) => {
                let fresh = Arc::new(fresh);
                *held = Held {
                    credentials: Some(fresh.clone()),
                    // A source may give what ends soon, and then the same again.
                    not_before: now.checked_add(PAUSE).ok(),
                };
                Ok(fresh)
            }
            Err(absent) => match usable {
                Some(credentials) => {
                    held.not_before = now.checked_add(PAUSE).ok();
                    Ok(credentials)
                }
                None => Err(match absent {
                    Absent::Away(reason) => Absent::Away(format!("{}: {reason}", self.source)),
                    Absent::Refused(reason) => Absent::Refused(format!("{}: {reason}", self.source)),
                }),
            },
        }
    }

    /// AWS does not take these any more. Says whether others may be had.
    pub fn refused(&self, refused: &Credentials) -> bool {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.credentials.as_ref().is_some_and(|it| it.id == refused.id) {
            *held = Held::default();
        }
        !matches!(self.source, CredentialSource::Given(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn credentials_are_good_until_they_end_and_renewed_before() {
        let mut credentials = Credentials::new("id".to_owned(), "secret".to_owned(), None);
        assert!(credentials.is_good_for(EARLY, at("2026-01-01T00:00:00Z")));
        credentials.ends = Some(at("2026-01-01T00:05:00Z"));
        assert!(credentials.is_good_for(EARLY, at("2025-12-31T23:59:59Z")));
        assert!(!credentials.is_good_for(EARLY, at("2026-01-01T00:00:00Z")));
        assert!(credentials.is_good_for(SignedDuration::ZERO, at("2026-01-01T00:04:59Z")));
        assert!(!credentials.is_good_for(SignedDuration::ZERO, at("2026-01-01T00:05:00Z")));
    }

    #[test]
    fn a_source_is_shown_without_its_secrets() {
        let given = CredentialSource::Given(Arc::new(Credentials::new(
            "an id".to_owned(),
            "a secret".to_owned(),
            Some("a token".to_owned()),
        )));
        let shown = format!("{given:?} {given}");
        assert!(
            !shown.contains("secret") && !shown.contains("token") && !shown.contains("an id"),
            "{shown}"
        );
    }
}
