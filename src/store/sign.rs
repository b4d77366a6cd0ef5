//! Signed questions: the headers by which an S3 service knows who asks, for requests that the store does not send itself.

use std::fmt;
use std::sync::Arc;

use object_store::aws::{AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};

use super::StoreError;

/// A key pair of an account. Cheap to clone.
#[derive(Clone)]
pub struct Signer {
    credential: Arc<AwsCredential>,
    region: String,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Signs for a service in `region`.
    pub fn new(region: &str, access_key_id: &str, secret_access_key: &str) -> Self {
        Self {
            credential: Arc::new(AwsCredential {
                key_id: access_key_id.to_owned(),
                secret_key: secret_access_key.to_owned(),
                token: None,
            }),
            region: region.to_owned(),
        }
    }

    /// Whether both are the same account's, as far as their key ids tell.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.credential.key_id == other.credential.key_id
    }

    /// Signs a request of the store's client again, after its address was changed; one that cannot be signed is refused by the
    /// service, as it was signed for another address.
    pub(super) fn sign_again(&self, request: &mut HttpRequest) {
        let signed = AwsAuthorizer::new(&self.credential, "s3", &self.region).try_authorize(request, None);
        if let Err(error) = signed {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a listing could not be signed again"
            );
        }
    }

    /// Names and values of the headers of a request without a body. `url` holds the host that is asked for.
    pub fn sign(&self, method: &str, url: &str) -> Result<Vec<(String, String)>, StoreError> {
        let unusable = |why: &dyn fmt::Display| StoreError::Config {
            reason: format!("a question cannot be signed: {why}"),
        };
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.parse().map_err(|e| unusable(&e))?;
        if request.uri().scheme().is_none() || request.uri().host().is_none() {
            return Err(unusable(&"its address is no whole one"));
        }
        *request.method_mut() = method.parse().map_err(|e| unusable(&e))?;
        AwsAuthorizer::new(&self.credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|e| unusable(&e))?;
        let headers = request.headers().iter();
        let texts = headers.map(|(name, value)| value.to_str().map(|value| (name.to_string(), value.to_owned())));
        texts.collect::<Result<_, _>>().map_err(|e| unusable(&e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_signed_for_its_host_and_the_secret_stays_out_of_it() {
        let signer = Signer::new("eu-west-1", "AKID", "the secret");
        let headers = signer.sign("GET", "https://b.example.org/?acl").unwrap();
        let of = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let authorization = of("authorization").unwrap();
        assert!(authorization.contains("Credential=AKID/") && authorization.contains("/eu-west-1/s3/aws4_request"));
        assert!(authorization.contains("SignedHeaders=host;x-amz-content-sha256;x-amz-date"));
        assert!(of("x-amz-date").is_some());
        assert!(!format!("{headers:?}{signer:?}").contains("the secret"));
        let other = signer.sign("GET", "https://c.example.org/?acl").unwrap();
        assert_ne!(other, headers, "the host counts");
        for odd in ["no address", "store.example.org", "store.example.org:80", "/path"] {
            assert!(signer.sign("GET", odd).is_err(), "{odd}");
        }
    }
}
