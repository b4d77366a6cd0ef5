//! An S3 service as a store: path style, signed bodies, retries that end within seconds.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::tags::HandsOn;
use super::{Backend, S3, Signer, Store, StoreError};

/// A service that cannot be reached is down; nobody waits longer for a handshake.
const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Between two answers of bytes; an upload's part of 8 MiB is sent within it on 10 Mbit/s.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);
/// For a whole request.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Callers retry too, each in its own way: a request in the meantime is told that the store is down.
const RETRIES: usize = 3;
const RETRY_LIMIT: Duration = Duration::from_secs(6);

/// Builds the three buckets' clients; asks nothing yet.
pub(super) fn open(config: &S3) -> Result<Store, StoreError> {
    let buckets = [&config.data_bucket, &config.staging_bucket, &config.keyplane_bucket];
    if buckets[0] == buckets[1] || buckets[0] == buckets[2] || buckets[1] == buckets[2] {
        return Err(StoreError::Config {
            reason: "data, staging and key plane need three different buckets".to_owned(),
        });
    }
    if let Some(odd) = buckets.into_iter().find(|name| !is_bucket_name(name)) {
        return Err(StoreError::Config {
            reason: format!("{odd:?} is no bucket's name: 3 to 63 letters, digits, dots, hyphens or underscores"),
        });
    }
    // Another part of the program may have chosen the provider already; then that one serves.
    rustls::crypto::ring::default_provider().install_default().ok();
    Ok(Store::over(
        bucket(config, buckets[0])?,
        bucket(config, buckets[1])?,
        bucket(config, buckets[2])?,
    ))
}

/// What can be a part of an address as it is; old services allow more than today's rules of AWS.
fn is_bucket_name(name: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (3..=63).contains(&name.len()) && name.bytes().all(is_known) && !name.contains("..") && !name.starts_with('.')
}

fn bucket(config: &S3, name: &str) -> Result<Backend, StoreError> {
    let client = ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(CONNECT_LIMIT)
        .with_read_timeout(SILENCE_LIMIT)
        .with_timeout(REQUEST_LIMIT);
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_LIMIT,
    };
    let signer = Signer::new(&config.region, &config.access_key_id, &config.secret_access_key);
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(&config.region)
        .with_access_key_id(&config.access_key_id)
        .with_secret_access_key(&config.secret_access_key)
        .with_virtual_hosted_style_request(false)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(client)
        .with_http_connector(HandsOn { signer })
        .with_retry(retry);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder.build().map_err(|e| StoreError::Config {
        reason: format!("bucket {name}: {e}"),
    })?;
    Ok(Backend::with_multipart(Arc::new(store)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_no_bucket_can_have_is_refused_before_anything_is_asked() {
        let with = |name: &str| {
            open(&S3 {
                endpoint: Some("http://127.0.0.1:1".to_owned()),
                region: "r".to_owned(),
                data_bucket: name.to_owned(),
                staging_bucket: "staging".to_owned(),
                keyplane_bucket: "keyplane".to_owned(),
                access_key_id: "id".to_owned(),
                secret_access_key: "secret".to_owned(),
            })
        };
        for fine in ["abc", "My_old.bucket-1", &"a".repeat(63)] {
            assert!(with(fine).is_ok(), "{fine}");
        }
        for odd in [
            "",
            "ab",
            "a b c",
            "a/b",
            "a//b",
            "a%2Fb",
            "a?b",
            "..",
            "a..b",
            ".abc",
            "b\u{fc}cket",
            "a\nb",
            &"a".repeat(64),
        ] {
            let Err(StoreError::Config { reason }) = with(odd) else {
                panic!("{odd:?} is taken");
            };
            assert!(reason.contains("is no bucket's name"), "{reason}");
        }
    }
}
