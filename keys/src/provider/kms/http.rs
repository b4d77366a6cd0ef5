//! One request to AWS or to the credentials endpoint of the machine, bounded in time and length.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::Request;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, DefaultConnector};
use ureq::{Agent, Error, Timeout};
use zeroize::Zeroizing;

use super::wiped::Wiping;

/// Of any answer: a page of a hundred aliases has some 30 KB.
const MAX_ANSWER_BYTES: usize = 256 << 10;
/// What is set aside for an answer's body, so that it is not moved while it grows: the longest of a decryption is below.
const ANSWER_BYTES: usize = 16 << 10;
/// Connections kept between calls, as many as threads that wrap on most machines.
const MAX_IDLE: usize = 8;
/// AWS ends its side of an idle connection later.
const IDLE: Duration = Duration::from_secs(20);

/// Time-outs, and whether the machine's proxy is asked.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub connect: Duration,
    pub whole: Duration,
    pub proxy: bool,
}

pub(super) struct Answer {
    pub status: u16,
    /// It may hold what was wrapped.
    pub body: Zeroizing<Vec<u8>>,
}

/// No answer.
pub(super) struct Lost {
    pub reason: String,
    /// Nothing can have reached the other side.
    pub unsent: bool,
}

pub(super) fn agent(limits: Limits) -> Agent {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(provider);
    let config = Agent::config_builder()
        .tls_config(tls.build())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_connect(Some(limits.connect))
        .timeout_global(Some(limits.whole))
        .max_idle_connections(MAX_IDLE)
        .max_idle_connections_per_host(MAX_IDLE)
        .max_idle_age(IDLE)
        .user_agent("dashvault");
    let config = match limits.proxy {
        true => config,
        false => config.proxy(None),
    };
    let connections = DefaultConnector::new().chain(Wiping);
    Agent::with_parts(config.build(), connections, DefaultResolver::default())
}

/// Sends a request; `headers` as they are, `host` among them or not.
pub(super) fn send(
    agent: &Agent,
    method: &str,
    url: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Result<Answer, Lost> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let sent = if method == "GET" {
        agent.run(request.body(()).map_err(|error| lost(error.into()))?)
    } else {
        agent.run(request.body(body).map_err(|error| lost(error.into()))?)
    };
    let mut answer = sent.map_err(lost)?;
    let status = answer.status().as_u16();
    let mut read = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES));
    let limit = MAX_ANSWER_BYTES as u64 + 1;
    answer
        .body_mut()
        .as_reader()
        .take(limit)
        .read_to_end(&mut read)
        .map_err(|error| lost(Error::Io(error)))?;
    if read.len() > MAX_ANSWER_BYTES {
        return Err(Lost {
            reason: format!("an answer is longer than {MAX_ANSWER_BYTES} bytes"),
            unsent: false,
        });
    }
    Ok(Answer { status, body: read })
}

fn lost(error: Error) -> Lost {
    let unsent = match &error {
        Error::HostNotFound | Error::ConnectionFailed | Error::Http(_) | Error::BadUri(_) => true,
        Error::Timeout(when) => matches!(when, Timeout::Resolve | Timeout::Connect),
        Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    };
    Lost {
        reason: error.to_string(),
        unsent,
    }
}
