//! A store that decides by each object's own access list and by the bucket's policy: moto, behind an nginx that lists for nobody.
//!
//! moto answers every question about a bucket, whatever its policy says, and tells a name that nobody has from one that is
//! refused. So the front refuses those, as a gateway or a CDN does; who gets an object is moto's to say.

use std::time::Duration;

use dashvault::exposure::{Address, Config, judge::Form};
use dashvault::model::{Bucket, SystemClock, Verdict};
use dashvault::store::{self, S3, Signer};
use dashvault_test_support::{Child, Moto, Scratch, client, free_port};

use crate::servers::{ANSWER, nginx_saying, opened_and_shut};
use crate::{House, an_object, an_owner, config, house, round};

const REGION: &str = "us-east-1";
const BLOCK: &str = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
                     <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>\
                     </PublicAccessBlockConfiguration>";

/// A bucket at moto, a vault on it, and what strangers reach it by.
struct Behind {
    bucket: String,
    house: House,
    /// Path of a clip's object.
    object: String,
    address: Address,
    _front: Child,
    _scratch: Scratch,
}

impl Behind {
    async fn new(name: &str) -> Self {
        let [data, staging, keyplane] = ["data", "staging", "keyplane"].map(|of| format!("{name}-{of}"));
        for bucket in [&data, &staging, &keyplane] {
            put(bucket, "", "").await;
        }
        let on_moto = store::Config::S3(S3 {
            endpoint: Some(Moto::shared().endpoint()),
            region: REGION.to_owned(),
            data_bucket: data.clone(),
            staging_bucket: staging,
            keyplane_bucket: keyplane,
            access_key_id: "any".to_owned(),
            secret_access_key: "any".to_owned(),
        });
        Self::over(on_moto, data).await
    }

    /// The bucket is a copy of what the vault has: moto's denial of everybody is of the vault too.
    async fn copied(name: &str) -> Self {
        let bucket = format!("{name}-copy");
        put(&bucket, "", "").await;
        let behind = Self::over(store::Config::Memory, bucket).await;
        behind.house.vault.plant_canaries(&[Bucket::Data]).await.unwrap();
        for path in [&behind.house.canary().await, &behind.object] {
            put(&behind.bucket, &format!("/{path}"), "DCVO, as it were").await;
        }
        behind
    }

    async fn over(store: store::Config, data: String) -> Self {
        let (scratch, port) = (Scratch::new("gateway"), free_port());
        let house = house(store).await;
        let owner = an_owner(&house.vault, &house.catalog).await;
        let now = dashvault::model::Clock::now_ms(&SystemClock);
        let object = an_object(&house.vault, &house.catalog, &owner, now).await;
        let refusal = "'<Error><Code>AccessDenied</Code></Error>'";
        let says = format!(
            "default_type application/xml; error_page 403 404 = @refused; location @refused {{ return 403 {refusal}; }}\n\
             location / {{ if ($request_method !~ ^(GET|HEAD)$) {{ return 403 {refusal}; }}\n\
             if ($is_args) {{ return 403 {refusal}; }}\n\
             proxy_intercept_errors on; proxy_pass {}; }}\n\
             location = /{data}/ {{ return 403 {refusal}; }}",
            Moto::shared().endpoint()
        );
        Self {
            address: Address {
                form: Form::PathStyle,
                base: format!("http://127.0.0.1:{port}/{data}"),
                host: None,
            },
            bucket: data,
            house,
            object,
            _front: nginx_saying(&scratch, port, &says),
            _scratch: scratch,
        }
    }

    fn config(&self) -> Config {
        config(Bucket::Data, vec![self.address.clone()], ANSWER)
    }

    /// As any account too: moto believes everybody.
    fn config_with_account(&self) -> Config {
        Config {
            account: Some(Signer::new(REGION, "SOMEBODY", "secret")),
            seldom: Duration::ZERO,
            ..self.config()
        }
    }

    async fn policy(&self, effect: &str) {
        let bucket = &self.bucket;
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}","Principal":"*","Action":["s3:GetObject","s3:HeadObject"],"Resource":"arn:aws:s3:::{bucket}/*"}}]}}"#
        );
        put(bucket, "?policy", &text).await;
    }

    async fn without_policy(&self) {
        let url = format!("{}/{}?policy", Moto::shared().endpoint(), self.bucket);
        let answer = client().delete(url).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// What is open now: probe and object.
    async fn open(&self) -> Vec<(String, Option<String>)> {
        let rows = self.house.catalog.exposures(0, i64::MAX).await.unwrap();
        let open = rows.into_iter().filter(|row| row.ended_at.is_none());
        let mut open: Vec<_> = open.map(|row| (row.opening.probe, row.opening.object)).collect();
        open.sort();
        open
    }
}

/// Sends moto what it takes from whoever names an account.
async fn put(bucket: &str, path: &str, body: &str) {
    let url = format!("{}/{bucket}{path}", Moto::shared().endpoint());
    let signed =
        "AWS4-HMAC-SHA256 Credential=any/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=any";
    let mut request = client().put(url).header("authorization", signed).body(body.to_owned());
    if let Some(acl) = body.strip_prefix("acl ") {
        request = request.header("x-amz-acl", acl).body("");
    }
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_object_s_own_access_list_is_seen_be_it_the_canary_s_or_a_clip_s() {
    let behind = Behind::new("one-object").await;
    let watch = behind.house.watch(behind.config());
    assert_eq!(round(&watch).await, Verdict::Private);
    for (path, get, head) in [
        (behind.house.canary().await, "get-canary", "head-canary"),
        (behind.object.clone(), "get-object", "head-object"),
    ] {
        let acl = format!("/{path}?acl");
        put(&behind.bucket, &acl, "acl public-read").await;
        assert_eq!(round(&watch).await, Verdict::Exposed, "{path}");
        let expected = [get, head].map(|probe| (probe.to_owned(), Some(path.clone())));
        assert_eq!(behind.open().await, expected, "that object and nothing else");
        put(&behind.bucket, &acl, "acl private").await;
        assert_eq!(round(&watch).await, Verdict::Private, "after {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_is_seen_open_by_policy_whatever_its_public_access_block_says() {
    let behind = Behind::new("by-policy").await;
    let (open, shut) = (
        async || behind.policy("Allow").await,
        async || behind.without_policy().await,
    );
    opened_and_shut(&behind.house, behind.config(), "moto, policy", open, shut).await;
    let watch = behind.house.watch(behind.config());
    assert_eq!(round(&watch).await, Verdict::Private);
    behind.policy("Allow").await;
    assert_eq!(round(&watch).await, Verdict::Exposed);
    // moto keeps the block and does not act upon it: what strangers get decides, and not what is configured.
    put(&behind.bucket, "?publicAccessBlock", BLOCK).await;
    assert_eq!(round(&watch).await, Verdict::Exposed);
    behind.without_policy().await;
    assert_eq!(round(&watch).await, Verdict::Private);
}

#[tokio::test(flavor = "multi_thread")]
async fn moto_is_seen_open_to_any_account_and_its_refusal_of_all_too() {
    let behind = Behind::copied("any-account").await;
    // It gives what no policy denies to whoever names an account, and no stranger anything.
    behind.policy("Deny").await;
    let (open, shut) = (
        async || behind.without_policy().await,
        async || behind.policy("Deny").await,
    );
    let as_account = behind.config_with_account();
    opened_and_shut(&behind.house, as_account.clone(), "moto, any account", open, shut).await;
    behind.without_policy().await;
    assert_eq!(round(&behind.house.watch(as_account)).await, Verdict::Exposed);
    let open = behind.open().await;
    assert!(
        !open.is_empty() && open.iter().all(|(probe, _)| probe.ends_with("-by-any-account")),
        "{open:?}"
    );
}
