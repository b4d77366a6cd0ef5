//! The HTTP client: TLS by ring, no redirects, no proxy to this machine, limits on every wait.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use reqwest::{Method, RequestBuilder, Url, redirect};

use crate::ClientError;

/// A connection that takes longer comes from a dead cell.
const CONNECT: Duration = Duration::from_secs(15);
/// Answers to requests without a body of bytes; a busy vault says so sooner.
const ANSWER: Duration = Duration::from_secs(30);
/// Finds a socket that hangs half-open.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// One vault.
pub(crate) struct Connection {
    client: reqwest::Client,
    /// Without a trailing slash.
    server: String,
}

impl Connection {
    pub fn to(server: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::Address { url: server.to_owned() };
        let url = Url::parse(server).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        if url.scheme() == "http" && !is_this_machine(&url) {
            return Err(ClientError::Insecure { url: server.to_owned() });
        }
        // Another part of the program may have installed it already, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder()
            .user_agent(concat!("dashvault-client/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .tcp_keepalive(KEEP_ALIVE)
            // With HTTP/2 a proxy throws away what it had not passed on when the connection dies: with Caddy 2.11 that is a quarter
            // of a megabyte each time, with HTTP/1.1 nearly nothing. One file at a time needs no streams.
            .http1_only()
            // A token goes to the vault that it is for, and nowhere else.
            .redirect(redirect::Policy::none());
        if is_this_machine(&url) {
            client = client.no_proxy();
        }
        Ok(Self {
            client: client.build().map_err(|error| ClientError::Unreachable(error.into()))?,
            server: server.trim_end_matches('/').to_owned(),
        })
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    /// A request with a bounded wait for its answer. `target` is a path of the vault's or a whole URL.
    pub fn request(&self, method: Method, target: &str) -> RequestBuilder {
        self.open_ended(method, target).timeout(ANSWER)
    }

    /// A request whose end its caller watches.
    pub fn open_ended(&self, method: Method, target: &str) -> RequestBuilder {
        if target.starts_with('/') {
            self.client.request(method, format!("{}{target}", self.server))
        } else {
            self.client.request(method, target)
        }
    }

    pub fn post(&self, target: &str) -> RequestBuilder {
        self.request(Method::POST, target)
    }

    /// The URL of an upload as `Location` tells it; none when it leads away from this vault. A vault that is reached at
    /// another address than its public one (from within its own network) tells the public one: the upload is asked for where
    /// the vault was found, and no token goes anywhere else.
    pub fn resolve(&self, location: &str) -> Option<String> {
        let base = Url::parse(&format!("{}/", self.server)).ok()?;
        let url = base.join(location).ok()?;
        if url.origin() == base.origin() {
            return Some(url.into());
        }
        let id = url.path().strip_prefix("/v1/uploads/")?;
        let is_id = id.len() == 26 && id.bytes().all(|b| matches!(b, b'a'..=b'z' | b'2'..=b'7'));
        is_id.then(|| format!("{}/v1/uploads/{id}", self.server))
    }
}

/// Milliseconds since 1970 by this machine's clock.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_addresses_are_vaults() {
        for server in [
            "",
            "vault.example.org",
            "ftp://vault.example.org",
            "file:///etc",
            "http://",
        ] {
            assert!(
                matches!(Connection::to(server), Err(ClientError::Address { .. })),
                "{server}"
            );
        }
        for server in [
            "http://vault.example.org",
            "http://192.0.2.1:8080",
            "http://localhost.example.org",
        ] {
            let refused = Connection::to(server);
            assert!(matches!(refused, Err(ClientError::Insecure { .. })), "{server}");
        }
        assert!(Connection::to("http://127.0.0.1:8080").is_ok(), "nobody is on the way");
        assert_eq!(
            Connection::to("https://vault.example.org/").unwrap().server(),
            "https://vault.example.org"
        );
    }

    #[test]
    fn an_upload_never_leads_away_from_its_vault() {
        let connection = Connection::to("https://vault.example.org/base").unwrap();
        for (location, url) in [
            (
                "https://vault.example.org/v1/uploads/a",
                Some("https://vault.example.org/v1/uploads/a"),
            ),
            ("/v1/uploads/a", Some("https://vault.example.org/v1/uploads/a")),
            ("https://elsewhere.example.org/v1/uploads/a", None),
            ("//elsewhere.example.org/a", None),
            ("http://vault.example.org/v1/uploads/a", None),
            (
                "https://public.example.org/v1/uploads/abcdefghijklmnopqrstuvwxyz",
                Some("https://vault.example.org/base/v1/uploads/abcdefghijklmnopqrstuvwxyz"),
            ),
        ] {
            assert_eq!(connection.resolve(location).as_deref(), url, "{location}");
        }
    }

    #[test]
    fn this_machine_is_reached_without_a_proxy() {
        for (url, here) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost", true),
            ("https://vault.example.org", false),
            ("http://192.0.2.1", false),
        ] {
            assert_eq!(is_this_machine(&Url::parse(url).unwrap()), here, "{url}");
        }
    }
}
