//! Session cookies: one name for owners, another for links, bound to this host, out of reach of scripts and other sites.

use actix_web::http::header::{self, HeaderMap};

use super::public_url::PublicUrl;

/// Whose session a cookie holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Session {
    /// An owner's.
    Owner,
    /// A link's.
    Link,
}

impl Session {
    /// `__Host-` binds the name to this host and to TLS; plain loopback has no TLS to bind to.
    const fn cookie(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Owner, true) => "__Host-dashvault-owner",
            (Self::Owner, false) => "dashvault-owner",
            (Self::Link, true) => "__Host-dashvault-link",
            (Self::Link, false) => "dashvault-link",
        }
    }

    /// The secret that a request's cookie holds.
    pub(super) fn secret<'a>(self, headers: &'a HeaderMap, public_url: &PublicUrl) -> Option<&'a str> {
        let name = self.cookie(public_url.is_secure());
        let pairs = headers
            .get_all(header::COOKIE)
            .filter_map(|v| v.to_str().ok())
            .flat_map(|text| text.split(';'));
        pairs
            .filter_map(|pair| pair.trim().split_once('='))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    }

    /// The `Set-Cookie` that hands a secret out for `seconds`.
    pub(super) fn set(self, secret: &str, seconds: i64, public_url: &PublicUrl) -> String {
        let secure = public_url.is_secure();
        let name = self.cookie(secure);
        let only_tls = if secure { "; Secure" } else { "" };
        format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{only_tls}")
    }

    /// The `Set-Cookie` that takes it back.
    pub(super) fn clear(self, public_url: &PublicUrl) -> String {
        self.set("", 0, public_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn a_cookie_is_bound_to_the_host_and_hidden_from_scripts() {
        let secure = PublicUrl::parse("https://vault.example.org").unwrap();
        assert_eq!(
            Session::Owner.set("x", 60, &secure),
            "__Host-dashvault-owner=x; Path=/; Max-Age=60; HttpOnly; SameSite=Strict; Secure"
        );
        let plain = PublicUrl::parse("http://127.0.0.1:8080").unwrap();
        assert_eq!(
            Session::Link.clear(&plain),
            "dashvault-link=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
        );
    }

    #[test]
    fn a_links_cookie_is_no_owners() {
        let plain = PublicUrl::parse("http://127.0.0.1:8080").unwrap();
        let request = TestRequest::default()
            .insert_header((header::COOKIE, "a=b; dashvault-link=secret"))
            .to_http_request();
        assert_eq!(Session::Link.secret(request.headers(), &plain), Some("secret"));
        assert_eq!(Session::Owner.secret(request.headers(), &plain), None);
        let secure = PublicUrl::parse("https://vault.example.org").unwrap();
        assert_eq!(
            Session::Link.secret(request.headers(), &secure),
            None,
            "an unbound name counts for nothing"
        );
    }
}
