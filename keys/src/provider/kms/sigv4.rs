//! AWS's signature, version 4: what a request's `Authorization` says.
//!
//! As in "Create a signed AWS API request" of the IAM user guide; the tests hold it against the vectors that AWS publishes.

use data_encoding::HEXLOWER;
use ring::hmac;

use super::credentials::Credentials;
use crate::digest::sha256;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What is signed of a request.
pub(super) struct Signed<'r> {
    pub method: &'r str,
    /// Encoded as it is sent.
    pub path: &'r str,
    /// Encoded and sorted as it is sent.
    pub query: &'r str,
    /// Names in lower case, sorted; `host` and `x-amz-date` among them.
    pub headers: &'r [(&'r str, &'r str)],
    pub body: &'r [u8],
}

/// For which service and when.
pub(super) struct Scope<'r> {
    pub region: &'r str,
    pub service: &'r str,
    /// As `x-amz-date` says it: `20150830T123600Z`.
    pub at: &'r str,
}

/// The value of the header `Authorization`.
pub(super) fn authorization(request: &Signed<'_>, scope: &Scope<'_>, credentials: &Credentials) -> String {
    let names: Vec<_> = request.headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = request
        .headers
        .iter()
        .map(|(name, value)| format!("{name}:{}\n", value.trim()))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        request.method,
        request.path,
        request.query,
        HEXLOWER.encode(&sha256(request.body))
    );
    let day = scope.at.get(..8).unwrap_or_default();
    let place = format!("{day}/{}/{}/aws4_request", scope.region, scope.service);
    let text = format!(
        "{ALGORITHM}\n{}\n{place}\n{}",
        scope.at,
        HEXLOWER.encode(&sha256(canonical.as_bytes()))
    );
    let mut key = zeroize::Zeroizing::new(format!("AWS4{}", *credentials.secret).into_bytes());
    for part in [day, scope.region, scope.service, "aws4_request"] {
        key = zeroize::Zeroizing::new(tag(&key, part).as_ref().to_vec());
    }
    format!(
        "{ALGORITHM} Credential={}/{place}, SignedHeaders={names}, Signature={}",
        credentials.id,
        HEXLOWER.encode(tag(&key, &text).as_ref())
    )
}

fn tag(key: &[u8], text: &str) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key, region, service and time of every vector of AWS's test suite for version 4.
    fn signature(method: &str, headers: &[(&str, &str)], query: &str, body: &str) -> String {
        let credentials = Credentials::new(
            "AKIDEXAMPLE".to_owned(),
            ["wJalrXUtnFEMI/K7MDENG", "bPxRfiCYEXAMPLEKEY"].join("+"),
            None,
        );
        let request = Signed {
            method,
            path: "/",
            query,
            headers,
            body: body.as_bytes(),
        };
        let scope = Scope {
            region: "us-east-1",
            service: "service",
            at: "20150830T123600Z",
        };
        let said = authorization(&request, &scope, &credentials);
        let begins = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=";
        assert!(said.starts_with(begins), "{said}");
        said.rsplit('=').next().expect("a signature").to_owned()
    }

    const HOST: (&str, &str) = ("host", "example.amazonaws.com");
    const DATE: (&str, &str) = ("x-amz-date", "20150830T123600Z");

    #[test]
    fn the_signatures_are_those_of_the_published_vectors() {
        let form = ("content-type", "application/x-www-form-urlencoded");
        for (name, made, published) in [
            (
                "get-vanilla",
                signature("GET", &[HOST, DATE], "", ""),
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                "get-vanilla-query-order-key-case",
                signature("GET", &[HOST, DATE], "Param1=value1&Param2=value2", ""),
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                "post-vanilla",
                signature("POST", &[HOST, DATE], "", ""),
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                "post-x-www-form-urlencoded",
                signature("POST", &[form, HOST, DATE], "", "Param1=value1"),
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            assert_eq!(made, published, "{name}");
        }
    }
}
