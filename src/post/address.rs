//! An address that is asked from here: it may hold a secret of the receiver's, so no log and no error shows it.

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Url, redirect};

use super::sink::{Failure, SettingError};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// The specification of Standard Webhooks advises 15 to 30 seconds; a receiver only has to take it into a queue of its own.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// HTTPS, or HTTP on this machine.
#[derive(Clone)]
pub struct Address(Url);

impl Address {
    /// Reads an address; `setting` is how the error calls it.
    pub fn parse(setting: &'static str, text: &str) -> Result<Self, SettingError> {
        let url = Url::parse(text).map_err(|_| SettingError::Address { setting })?;
        let fit = match url.scheme() {
            "https" => url.host_str().is_some(),
            "http" => url.host_str().is_some_and(is_this_machine),
            _ => false,
        };
        fit.then_some(Self(url)).ok_or(SettingError::Address { setting })
    }

    pub(super) fn url(&self) -> Url {
        self.0.clone()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

/// Whether what goes to a host stays on this machine.
pub(super) fn is_this_machine(host: &str) -> bool {
    let number = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || number.is_ok_and(|ip| ip.is_loopback())
}

/// Asks nobody but whom it was told to: a redirect is an answer, and no success.
pub(super) fn client() -> Result<Client, SettingError> {
    // Another part of the program may have chosen the provider already; then that one serves.
    rustls::crypto::ring::default_provider().install_default().ok();
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT)
        .user_agent(concat!("dashvault/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| SettingError::Client(error.into()))
}

/// What came of a request. No answer's body is read.
pub(super) fn outcome(answer: Result<reqwest::Response, reqwest::Error>) -> Result<(), Failure> {
    match answer {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) if answer.status().is_redirection() => Err(Failure::new("sent-elsewhere")),
        Ok(answer) => Err(Failure::new(format!("status-{}", answer.status().as_u16()))),
        Err(error) if error.is_timeout() => Err(Failure::TIMEOUT),
        Err(error) if error.is_connect() => Err(Failure::new("no-connection")),
        Err(_) => Err(Failure::new("answer-broke-off")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_here_goes_without_tls_and_no_error_shows_an_address() {
        for fine in [
            "https://hooks.example.org/a?b=c",
            "http://127.0.0.1:9/x",
            "http://[::1]/x",
            "http://localhost:8080",
        ] {
            assert!(Address::parse("it", fine).is_ok(), "{fine}");
        }
        for wrong in [
            "http://hooks.example.org/token",
            "http://127.0.0.1.example.org/token",
            "http://10.0.0.1/token",
            "ftp://127.0.0.1/token",
            "token",
            "",
        ] {
            let error = Address::parse("DASHVAULT_WEBHOOK_URL", wrong).unwrap_err().to_string();
            assert!(
                error.contains("DASHVAULT_WEBHOOK_URL") && !error.contains("token"),
                "{error}"
            );
        }
        let shown = format!("{:?}", Address::parse("it", "https://a.example/token").unwrap());
        assert!(!shown.contains("token"), "{shown}");
    }
}
