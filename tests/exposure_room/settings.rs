//! How buckets are configured, read from real services that have more of it and less.

use std::time::Duration;

use dashvault::exposure::{Config, address};
use dashvault::model::{Bucket, Grade};
use dashvault::store::{self, Signer};
use dashvault_test_support::{Moto, Seaweed, client};

use crate::{House, config, house, servers};

const ANSWER: Duration = Duration::from_secs(8);

/// What one look reads of a setting.
async fn setting(house: &House, config: &Config, name: &str) -> (Grade, String) {
    let told = house.watch(config.clone()).round().await.unwrap().remove(0);
    let read = told.settings.into_iter().find(|read| read.setting == name);
    let read = read.unwrap_or_else(|| panic!("no word of {name}"));
    (read.grade, read.state)
}

async fn drifts(house: &House) -> usize {
    let notices = house.catalog.newest_notices(99).await.unwrap();
    notices.iter().filter(|one| one.kind == "bucket-configuration").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_setting_that_drifts_is_told_even_of_a_bucket_whose_verdict_stays() {
    let (moto, house) = (Moto::shared(), house(store::Config::Memory).await);
    let put = async |path: &str, body: &'static str| {
        let url = format!("{}/watched-bucket{path}", moto.endpoint());
        let mut request = client().put(url).body(body);
        if let Some(acl) = body.strip_prefix("acl ") {
            request = request.header("x-amz-acl", acl).header("content-length", 0).body("");
        }
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    };
    put("", "").await;
    let mut watched = config(
        Bucket::Data,
        address::of_bucket(Some(&moto.endpoint()), "us-east-1", "watched-bucket"),
        ANSWER,
    );
    watched.own = Some(Signer::new("us-east-1", "any", "any"));
    let none = setting(&house, &watched, "public-access-block").await;
    assert_eq!(none.0, Grade::Finding);
    assert_eq!(drifts(&house).await, 0, "the first reading is no drift");
    let block = "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>true</IgnorePublicAcls>\
                 <BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>\
                 </PublicAccessBlockConfiguration>";
    let half =
        "<PublicAccessBlockConfiguration><BlockPublicAcls>true</BlockPublicAcls></PublicAccessBlockConfiguration>";
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::watched-bucket/*"}]}"#;
    let owner = "<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>";
    let website = "<WebsiteConfiguration><IndexDocument><Suffix>i</Suffix></IndexDocument></WebsiteConfiguration>";
    let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    let lifecycle = "<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter>\
                     <Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>";
    for (path, body, name, grade, word) in [
        (
            "?publicAccessBlock",
            block,
            "public-access-block",
            Grade::Fine,
            "all four",
        ),
        (
            "?publicAccessBlock",
            half,
            "public-access-block",
            Grade::Finding,
            "BlockPublicPolicy",
        ),
        (
            "?policy",
            policy,
            "policy",
            Grade::Finding,
            "everybody may s3:GetObject",
        ),
        ("?policy", policy, "policy-status", Grade::Finding, "public"),
        (
            "?acl",
            "acl authenticated-read",
            "acl",
            Grade::Finding,
            "READ to any account",
        ),
        ("?acl", "acl public-read", "acl", Grade::Finding, "READ to everybody"),
        ("?ownershipControls", owner, "ownership", Grade::Finding, "ObjectWriter"),
        ("?website", website, "website", Grade::Finding, "a website"),
        ("?versioning", versions, "versioning", Grade::Finding, "Enabled"),
        ("?lifecycle", lifecycle, "lifecycle", Grade::Finding, "removes objects"),
    ] {
        put(path, body).await;
        let (read, state) = setting(&house, &watched, name).await;
        assert!(read == grade && state.contains(word), "{name}: {read} {state}");
        let changes = house.catalog.bucket_setting_changes(0, i64::MAX).await.unwrap();
        let last = changes.iter().rfind(|change| change.setting.setting == name);
        assert!(
            last.is_some_and(|change| change.setting.state == state && change.previous.is_some()),
            "{name}"
        );
    }
    let before = drifts(&house).await;
    assert!(before >= 10, "{before}");
    setting(&house, &watched, "acl").await;
    assert_eq!(drifts(&house).await, before, "the same again is no drift");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_cannot_tell_is_said_to_be_not_checkable() {
    let seaweed = Seaweed::shared();
    let bucket = seaweed.bucket();
    let house = house(servers::on_seaweed(seaweed, &bucket)).await;
    let addresses = address::of_bucket(Some(&seaweed.endpoint()), seaweed.region(), &bucket);
    let mut watched = config(Bucket::Data, addresses, ANSWER);
    assert_eq!(
        house.watch(watched.clone()).round().await.unwrap()[0].settings,
        [],
        "without a key of ours"
    );
    watched.own = Some(Signer::new(
        seaweed.region(),
        seaweed.access_key(),
        seaweed.secret_key(),
    ));
    assert_eq!(
        setting(&house, &watched, "public-access-block").await.0,
        Grade::NotCheckable
    );
    for name in [
        "policy",
        "acl",
        "ownership",
        "website",
        "replication",
        "versioning",
        "lifecycle",
    ] {
        let (grade, state) = setting(&house, &watched, name).await;
        assert_eq!(grade, Grade::Fine, "{name}: {state}");
    }
    let (id, secret) = seaweed.other_account();
    watched.own = Some(Signer::new(seaweed.region(), id, secret));
    assert_eq!(
        setting(&house, &watched, "policy").await.0,
        Grade::NotCheckable,
        "a key that may not read it"
    );
}
