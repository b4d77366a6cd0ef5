//! Where credentials come from, their renewal, and the signatures made with them.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashvault_keys::provider::{CredentialSource, Credentials, Kms, ProviderError, RootKey};
use dashvault_test_support::{HttpServer, KmsFault, Moto, Reply, Request, python};
use serde_json::{Value, json};

use crate::World;

/// The source that a set of variables names.
fn source(variables: &[(&str, &str)]) -> CredentialSource {
    let find = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    CredentialSource::find("eu-central-1", &find).expect("a source")
}

fn given(id: &str, token: Option<&str>) -> Credentials {
    let token = token.map(str::to_owned);
    Credentials::new(id.to_owned(), "private-to-this-test".to_owned(), token)
}

/// What AWS's endpoints answer, with an end far away or near.
fn document(id: &str, ends: &str) -> Vec<u8> {
    let told = json!({
        "Code": "Success", "AccessKeyId": id, "SecretAccessKey": "private-to-this-test", "Token": "a session", "Expiration": ends,
    });
    told.to_string().into_bytes()
}

const LATER: &str = "2099-01-01T00:00:00Z";
const OVER: &str = "2020-01-01T00:00:00Z";

#[test]
fn every_request_is_signed_as_the_library_of_aws_signs_it() {
    for token in [None, Some("a session+of/some=length")] {
        let mut world = World::start();
        world.config.credentials = CredentialSource::Given(Arc::new(given(world.front.access_key(), token)));
        let root = world.create();
        let wrap = root.wrap(b"kek", b"place").expect("it wraps");
        root.unwrap(&wrap, b"place").expect("it unwraps");
        root.add_epoch(1).expect("a key");
        root.destroy_epoch(1).expect("it is destroyed");
        let requests = world.front.take_requests();
        let told = json!({
            "id": world.front.access_key(), "secret": world.front.secret_key(), "token": token,
            "region": world.front.region(), "requests": requests.iter().map(shown).collect::<Vec<_>>(),
        });
        let checked = verify(&told);
        assert_eq!(checked["differ"], json!([]));
        assert!(
            checked["checked"].as_u64().is_some_and(|count| count >= 12),
            "{checked}"
        );
        let mut wrong = told;
        wrong["secret"] = "another".into();
        let differ = verify(&wrong)["differ"].as_array().map(Vec::len);
        assert_eq!(differ, Some(requests.len()), "the comparison sees a wrong signature");
    }
}

fn shown(request: &Request) -> Value {
    let headers: serde_json::Map<_, _> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let body = String::from_utf8(request.body.clone()).expect("UTF-8");
    json!({ "method": request.method, "path": request.path, "headers": headers, "body": body })
}

fn verify(told: &Value) -> Value {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kms/verify.py");
    let mut child = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(told.to_string().as_bytes()).expect("it reads");
    drop(input);
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success());
    serde_json::from_slice(&out.stdout).expect("JSON")
}

#[test]
fn a_containers_credentials_are_fetched_once_and_again_when_they_end() {
    let mut world = World::start();
    let asked = Arc::new(AtomicU32::new(0));
    let (count, id) = (asked.clone(), world.front.access_key());
    let endpoint = HttpServer::start(move |request| {
        if request.header("authorization") != "a token" || request.path != "/v1/credentials" {
            return Reply::Answer(401, b"{}".to_vec());
        }
        count.fetch_add(1, Ordering::SeqCst);
        // Each is over before it is used twice.
        Reply::ok(document(id, OVER))
    });
    let url = format!("{}/v1/credentials", endpoint.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a token"),
    ];
    world.config.credentials = source(&variables);
    let root = world.create();
    let calls = u32::try_from(world.front.take_requests().len()).expect("few");
    assert_eq!(asked.load(Ordering::SeqCst), calls, "what is over is not used");
    root.wrap(b"kek", b"place").expect("it wraps");

    world.config.credentials = source(&variables[..1]);
    let refused = Kms::open(&world.config).err().expect("an error");
    assert!(refused.to_string().contains("container"), "{refused}");
}

#[test]
fn a_machines_role_is_asked_for_with_a_session_and_kept() {
    let mut world = World::start();
    let asked = Arc::new(AtomicU32::new(0));
    let (count, id) = (asked.clone(), world.front.access_key());
    let endpoint = HttpServer::start(move |request| {
        let session = request.header("x-aws-ec2-metadata-token") == "a session of the machine";
        match (request.method.as_str(), request.path.as_str()) {
            ("PUT", "/latest/api/token") if !request.header("x-aws-ec2-metadata-token-ttl-seconds").is_empty() => {
                Reply::ok("a session of the machine")
            }
            ("GET", "/latest/meta-data/iam/security-credentials/") if session => Reply::ok("vault-role"),
            ("GET", "/latest/meta-data/iam/security-credentials/vault-role") if session => {
                count.fetch_add(1, Ordering::SeqCst);
                Reply::ok(document(id, LATER))
            }
            _ => Reply::Answer(401, Vec::new()),
        }
    });
    world.config.credentials = source(&[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint.url())]);
    let root = world.create();
    let wrap = root.wrap(b"kek", b"place").expect("it wraps");
    root.unwrap(&wrap, b"place").expect("it unwraps");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let signed = world.front.take_requests();
    assert!(
        signed
            .iter()
            .all(|request| request.header("x-amz-security-token") == "a session")
    );
    // AWS says that they are over before their time: others are fetched, once.
    world.front.fail("Decrypt", KmsFault::Expired, 1);
    root.unwrap(&wrap, b"place").expect("it unwraps");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    world.front.fail("Decrypt", KmsFault::Expired, u32::MAX);
    world.front.take_requests();
    let refused = root.unwrap(&wrap, b"place").err();
    assert!(matches!(refused, Some(ProviderError::Denied(_))), "{refused:?}");
    assert_eq!(world.calls("Decrypt"), 2);
    drop(endpoint);
    world.front.heal();
    // None are had any more, and that may pass.
    let away = root.unwrap(&wrap, b"place").expect_err("an error");
    assert!(
        matches!(&away, ProviderError::Unavailable(reason) if reason.contains("credentials")),
        "{away:?}"
    );
}

#[test]
fn credentials_that_were_given_and_ended_are_not_asked_with_again() {
    let world = World::start();
    let root = world.create();
    world.front.fail("ListAliases", KmsFault::Expired, u32::MAX);
    world.front.take_requests();
    let refused = root.epoch().err();
    assert!(
        matches!(&refused, Some(ProviderError::Denied(reason)) if reason.contains("ExpiredToken")),
        "{refused:?}"
    );
    assert_eq!(world.calls("ListAliases"), 1);
}

#[test]
fn a_clusters_token_is_exchanged_for_a_role() {
    let mut world = World::start();
    let folder = tempfile::tempdir().expect("a folder");
    let token = folder.path().join("token");
    std::fs::write(&token, "header.payload.signature\n").expect("a file");
    let sts = Moto::shared().endpoint();
    world.config.credentials = source(&[
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().expect("UTF-8")),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/vault"),
        ("AWS_ENDPOINT_URL_STS", &sts),
    ]);
    // The stand-in makes up a key: it is refused here, and shows that it arrived.
    let refused = Kms::open(&world.config).err().expect("an error");
    assert!(refused.to_string().contains("UnrecognizedClientException"), "{refused}");
    let asked = world.front.take_requests();
    assert!(
        asked[0].header("authorization").contains("Credential=ASIA"),
        "{:?}",
        asked[0].headers
    );
    assert!(!asked[0].header("x-amz-security-token").is_empty());
    std::fs::remove_file(&token).expect("it is there");
    let refused = Kms::open(&world.config).err().expect("an error");
    assert!(refused.to_string().contains("cannot be read"), "{refused}");
}

#[test]
fn a_shared_file_is_read_by_its_profile() {
    let mut world = World::start();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("credentials");
    let text = format!(
        "[default]\naws_access_key_id = nobody\naws_secret_access_key = x\n[vault]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        world.front.access_key(),
        world.front.secret_key()
    );
    std::fs::write(&file, text).expect("a file");
    let path = file.to_str().expect("UTF-8");
    world.config.credentials = source(&[("AWS_SHARED_CREDENTIALS_FILE", path), ("AWS_PROFILE", "vault")]);
    world.create();
    world.config.credentials = source(&[("AWS_SHARED_CREDENTIALS_FILE", path), ("AWS_PROFILE", "none")]);
    let refused = Kms::open(&world.config).err().expect("an error");
    assert!(refused.to_string().contains("profile none"), "{refused}");
}
