//! Calls of KMS: signed, bounded, and made again for a while when that may help.

use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use ureq::Agent;
use zeroize::Zeroizing;

use super::KmsConfig;
use super::credentials::{Absent, Renewed};
use super::error::{Meaning, Said};
use super::http::{self, Limits};
use super::sigv4::{self, Scope, Signed};
use crate::digest::random;

/// KMS answers in some ten milliseconds, and in a second on a bad day.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    whole: Duration::from_secs(4),
    proxy: true,
};
/// Tries of one call.
const TRIES: u32 = 6;
/// No further try is begun after so long: somebody waits for an answer, and may come again.
const PATIENCE: Duration = Duration::from_secs(6);
/// The longest pause before the second try; doubled for each further one. What is waited is random between none and that
/// ("full jitter"), so that many who were refused together do not come back together.
const PAUSE: Duration = Duration::from_millis(100);

/// Whether a call whose answer was lost may be made again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    May,
    /// It would be done twice.
    MustNot,
}

/// Why a call gave nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// KMS said so.
    Said(Said),
    /// Nobody answered.
    Lost(String),
    /// There is nothing to sign with.
    NoCredentials(String),
}

impl Failed {
    pub fn is(&self, meaning: Meaning) -> bool {
        matches!(self, Self::Said(said) if said.meaning == meaning)
    }
}

pub(super) struct Client {
    agent: Agent,
    url: String,
    host: String,
    region: String,
    credentials: Renewed,
}

impl Client {
    pub fn new(config: &KmsConfig) -> Self {
        let url = config.url();
        let host = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        Self {
            agent: http::agent(LIMITS),
            host: host.trim_end_matches('/').to_owned(),
            region: config.region.clone(),
            credentials: Renewed::new(config.credentials.clone()),
            url,
        }
    }

    /// Makes one call and gives what KMS answers.
    pub fn call(&self, operation: &str, body: &[u8], again: Again) -> Result<Zeroizing<Vec<u8>>, Failed> {
        let began = Instant::now();
        let mut renewed = false;
        let mut tries = 1;
        loop {
            let failed = match self.try_once(operation, body) {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let may = match &failed.why {
                Failed::Said(said) => match said.meaning {
                    Meaning::Throttled => true,
                    Meaning::Away => again == Again::May,
                    Meaning::Stale => !renewed && failed.others,
                    _ => false,
                },
                Failed::Lost(_) => again == Again::May || failed.unsent,
                Failed::NoCredentials(_) => false,
            };
            let pause = jittered(PAUSE * (1 << (tries - 1)));
            if !may || tries == TRIES || began.elapsed() + pause > PATIENCE {
                return Err(failed.why);
            }
            match failed.why.is(Meaning::Stale) {
                true => renewed = true,
                false => thread::sleep(pause),
            }
            tries += 1;
        }
    }

    fn try_once(&self, operation: &str, body: &[u8]) -> Result<Zeroizing<Vec<u8>>, Try> {
        let now = Timestamp::now();
        let credentials = self.credentials.get(now).map_err(|absent| match absent {
            Absent::Away(reason) => Try {
                unsent: true,
                ..Try::from(Failed::Lost(format!("there are no credentials of AWS: {reason}")))
            },
            Absent::Refused(reason) => Try::from(Failed::NoCredentials(reason)),
        })?;
        let at = now.strftime("%Y%m%dT%H%M%SZ").to_string();
        let target = format!("TrentService.{operation}");
        let mut headers = vec![
            ("content-type", "application/x-amz-json-1.1"),
            ("host", self.host.as_str()),
            ("x-amz-date", &at),
        ];
        if let Some(token) = &credentials.token {
            headers.push(("x-amz-security-token", token));
        }
        headers.push(("x-amz-target", &target));
        let request = Signed {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body,
        };
        let scope = Scope {
            region: &self.region,
            service: "kms",
            at: &at,
        };
        let authorization = sigv4::authorization(&request, &scope, &credentials);
        headers.push(("authorization", &authorization));
        let answer = http::send(&self.agent, "POST", &self.url, &headers, body).map_err(|lost| Try {
            unsent: lost.unsent,
            ..Try::from(Failed::Lost(lost.reason))
        })?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let said = Said::read(answer.status, &answer.body);
        let others = said.meaning == Meaning::Stale && self.credentials.refused(&credentials);
        Err(Try {
            others,
            ..Try::from(Failed::Said(said))
        })
    }
}

/// Why one try failed.
struct Try {
    why: Failed,
    /// Nothing can have been done.
    unsent: bool,
    /// There may be credentials that are taken.
    others: bool,
}

impl From<Failed> for Try {
    fn from(why: Failed) -> Self {
        Self {
            why,
            unsent: false,
            others: false,
        }
    }
}

/// Any time from none up to `most`.
fn jittered(most: Duration) -> Duration {
    let share = f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX);
    most.mul_f64(share)
}
