//! Where the vault is reached from outside. URLs and origins come from here, never from a request's Host.

use std::net::SocketAddr;

use actix_web::http::Uri;

/// The vault's public address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    base: String,
    /// The origins whose pages may send a cookie along with an unsafe method.
    origins: Vec<String>,
    secure: bool,
}

/// Why a public URL is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicUrlError {
    /// It is no URL of a whole host.
    #[error("{0:?} is no public URL: write it like https://vault.example.org, without a path")]
    Malformed(String),
    /// Cookies and tokens would travel in the clear.
    #[error("{0:?} is not safe: a public URL begins with https:// unless its host is this machine's loopback")]
    Insecure(String),
}

impl PublicUrl {
    /// Reads what the operator configured.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let malformed = || PublicUrlError::Malformed(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| malformed())?;
        let scheme = uri.scheme_str().ok_or_else(malformed)?;
        let authority = uri.authority().ok_or_else(malformed)?;
        let plain = matches!(uri.path(), "" | "/") && uri.query().is_none() && !text.contains('#');
        if !plain || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(malformed());
        }
        let secure = match scheme {
            "https" => true,
            "http" if is_loopback(authority.host()) => false,
            "http" => return Err(PublicUrlError::Insecure(text.to_owned())),
            _ => return Err(malformed()),
        };
        let default_port = if secure { 443 } else { 80 };
        let host = authority.host().to_ascii_lowercase();
        // As browsers write an origin: without the scheme's own port.
        let base = match authority.port_u16() {
            Some(port) if port != default_port => format!("{scheme}://{host}:{port}"),
            _ => format!("{scheme}://{host}"),
        };
        Ok(Self {
            origins: vec![base.clone()],
            base,
            secure,
        })
    }

    /// What loopback is reached as when nothing was configured; `localhost` in the address bar is as good.
    pub fn of_listener(listen: SocketAddr, tls: bool) -> Self {
        let scheme = if tls { "https" } else { "http" };
        let base = format!("{scheme}://{listen}");
        let origins = vec![base.clone(), format!("{scheme}://localhost:{}", listen.port())];
        Self {
            base,
            origins,
            secure: tls,
        }
    }

    /// The URL of a path that begins with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Whether it is reached from this machine alone.
    pub fn is_loopback(&self) -> bool {
        let uri: Result<Uri, _> = self.base.parse();
        uri.is_ok_and(|uri| uri.host().is_some_and(is_loopback))
    }

    /// The URL without a slash at its end.
    pub fn as_str(&self) -> &str {
        &self.base
    }

    /// Whether cookies can be kept to TLS.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Whether a request's `Origin` is that of the vault's own pages.
    pub(super) fn is_own_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|own| own.eq_ignore_ascii_case(origin))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_a_whole_host() {
        let url = PublicUrl::parse("https://Vault.example.org:443/").unwrap();
        assert_eq!(url.join("/s/x"), "https://vault.example.org/s/x");
        assert!(url.is_secure() && url.is_own_origin("https://vault.example.org"));
        assert!(!url.is_own_origin("https://vault.example.org.evil.example") && !url.is_own_origin("null"));
        for text in [
            "",
            "vault.example.org",
            "https://",
            "https://a/b",
            "https://a?x",
            "ftp://a",
            "https://u@a",
        ] {
            assert!(
                matches!(PublicUrl::parse(text), Err(PublicUrlError::Malformed(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn without_tls_only_loopback_is_taken() {
        assert!(matches!(
            PublicUrl::parse("http://vault.example.org"),
            Err(PublicUrlError::Insecure(_))
        ));
        for text in ["http://127.0.0.1:8080", "http://localhost:8080", "http://[::1]:8080"] {
            assert!(!PublicUrl::parse(text).unwrap().is_secure(), "{text}");
        }
    }

    #[test]
    fn a_loopback_listener_answers_to_both_its_names() {
        let url = PublicUrl::of_listener("127.0.0.1:8080".parse().unwrap(), false);
        assert!(url.is_own_origin("http://127.0.0.1:8080") && url.is_own_origin("http://localhost:8080"));
        assert!(!url.is_own_origin("http://127.0.0.1:8081"));
    }
}
