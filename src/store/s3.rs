//! An S3 service as a store: path style, signed bodies, retries that end within seconds.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::tags::TagsAsMetadata;
use super::{Backend, S3, Store, StoreError};

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
    // Another part of the program may have chosen the provider already; then that one serves.
    rustls::crypto::ring::default_provider().install_default().ok();
    Ok(Store::over(
        bucket(config, buckets[0])?,
        bucket(config, buckets[1])?,
        bucket(config, buckets[2])?,
    ))
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
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(&config.region)
        .with_access_key_id(&config.access_key_id)
        .with_secret_access_key(&config.secret_access_key)
        .with_virtual_hosted_style_request(false)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_client_options(client)
        .with_http_connector(TagsAsMetadata)
        .with_retry(retry);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let store = builder.build().map_err(|e| StoreError::Config {
        reason: format!("bucket {name}: {e}"),
    })?;
    Ok(Backend::with_multipart(Arc::new(store)))
}
