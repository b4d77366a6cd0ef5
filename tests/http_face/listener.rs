//! Where the service listens, for whom, and how it begins and ends.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use dashvault_test_support::Vault;
use reqwest::Method;
use serde_json::Value;

use crate::world::{answer, ask, header};

fn refused(arguments: &[&str]) -> String {
    let vault = Vault::setup().prepare();
    let mut command = vault.command(["serve", "--admin-listen", "127.0.0.1:0"]);
    let out = command
        .arg("--data")
        .arg(vault.data())
        .args(arguments)
        .output()
        .expect("the program");
    assert!(!out.status.success(), "{arguments:?} was taken");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

#[test]
fn what_would_be_unsafe_is_refused_with_what_to_do() {
    let exposed = refused(&["--listen", "0.0.0.0:0", "--keyring-beside-data"]);
    assert!(
        exposed.contains("--tls-cert") && exposed.contains("--behind-proxy"),
        "{exposed}"
    );
    let beside = refused(&[
        "--listen",
        "0.0.0.0:0",
        "--behind-proxy",
        "10.0.0.0/8",
        "--public-url",
        "https://v.example",
    ]);
    assert!(beside.contains("--keyring"), "{beside}");
    let plain = refused(&["--listen", "127.0.0.1:0", "--public-url", "http://vault.example.org"]);
    assert!(plain.contains("https://"), "{plain}");
    let tls = refused(&[
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        "/nonexistent",
        "--tls-key",
        "/nonexistent",
    ]);
    assert!(tls.contains("/nonexistent") && tls.contains("PEM"), "{tls}");
    let network = refused(&["--listen", "127.0.0.1:0", "--behind-proxy", "everyone"]);
    assert!(network.contains("no network"), "{network}");
}

#[test]
fn a_lost_keyring_is_named_and_never_replaced() {
    let mut vault = Vault::setup().start();
    vault.stop();
    let keyring = vault.data().join("keyring");
    let kept = std::fs::read(&keyring).expect("the keyring that serve made");
    std::fs::remove_file(&keyring).expect("removed");
    let mut command = vault.command(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let out = command.arg("--data").arg(vault.data()).output().expect("the program");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(
        !out.status.success() && told.contains(keyring.to_str().expect("UTF-8")),
        "{told}"
    );
    assert!(!keyring.exists(), "a new one would hide the loss");
    std::fs::write(&keyring, &kept[..kept.len() - 1]).expect("a cut keyring");
    let mut command = vault.command(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let out = command.arg("--data").arg(vault.data()).output().expect("the program");
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("keyring"));
}

#[test]
fn the_keyring_is_made_for_its_owner_alone() {
    let vault = Vault::setup().start();
    for name in ["keyring", "public-url"] {
        let about = std::fs::metadata(vault.data().join(name)).expect(name);
        assert_eq!(about.permissions().mode() & 0o777, 0o600, "{name}");
    }
    let log = vault.log();
    assert!(log.contains("made a new root key"), "{log}");
    let limits = std::fs::read_to_string("/proc/self/limits").expect("limits");
    assert!(limits.contains("Max core file size"));
}

#[tokio::test]
async fn the_service_ends_in_order_and_keeps_what_had_arrived() {
    let mut vault = Vault::setup().start();
    let owner = vault.owner("owner@example.org");
    let begun = ask(&vault, Method::POST, "/v1/uploads", Some(&owner.token))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "1000000");
    let begun = answer(begun).await;
    let path = header(&begun, "location")
        .strip_prefix(&vault.url(""))
        .expect("ours")
        .to_owned();
    // A body that is under way when the service is told to end.
    let host = vault.url("").strip_prefix("http://").expect("an address").to_owned();
    let mut stream = TcpStream::connect(&host).expect("a connection");
    write!(
        stream,
        "PATCH {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\n",
        owner.token
    )
    .expect("a head");
    stream.write_all(&[7; 300_000]).expect("a part of the body");
    std::thread::sleep(Duration::from_millis(300));
    let began = Instant::now();
    assert!(vault.stop().success(), "{}", vault.log());
    assert!(
        began.elapsed() < Duration::from_secs(12),
        "it took {:?}",
        began.elapsed()
    );
    let mut told = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a limit");
    let _ = stream.read_to_string(&mut told);
    assert!(told.starts_with("HTTP/1.1 503"), "{told}");
    vault.start();
    let stands = answer(ask(&vault, Method::HEAD, &path, Some(&owner.token)).header("Tus-Resumable", "1.0.0")).await;
    assert_eq!(header(&stands, "upload-offset"), "300000");
}

#[tokio::test]
async fn half_a_head_and_half_a_body_are_let_go() {
    let vault = Vault::setup().start();
    let owner = vault.owner("owner@example.org");
    let begun = ask(&vault, Method::POST, "/v1/uploads", Some(&owner.token))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", "1000000");
    let begun = answer(begun).await;
    let path = header(&begun, "location")
        .strip_prefix(&vault.url(""))
        .expect("ours")
        .to_owned();
    let host = vault.url("").strip_prefix("http://").expect("an address").to_owned();
    let head = "GET /readyz HTTP/1.1\r\nHost: a".to_owned();
    let body = format!(
        "PATCH {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 1000000\r\n\r\nbegun",
        owner.token
    );
    let draft = format!(
        "POST /v1/uploads HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nUpload-Draft-Interop-Version: 8\r\n\
         Upload-Complete: ?1\r\nContent-Length: 1000000\r\n\r\nbegun",
        owner.token
    );
    let [of_head, of_body, of_draft] = [head, body, draft].map(|said| {
        let host = host.clone();
        tokio::task::spawn_blocking(move || says_no_more(&host, &said))
    });
    let (after, _) = of_head.await.expect("no panic");
    assert!(
        (10..25).contains(&after.as_secs()),
        "a head is waited for 15 s, this was {after:?}"
    );
    // An answer after which every client comes back: one that begins with a 4 is the end of an upload for the most widespread.
    for (of, says) in [
        (of_body, &["tus-resumable: 1.0.0"][..]),
        (of_draft, &["upload-complete: ?0", "location: "]),
    ] {
        let (after, told) = of.await.expect("no panic");
        assert!(
            (25..45).contains(&after.as_secs()),
            "a body is waited for 30 s, this was {after:?}"
        );
        assert!(told.starts_with("HTTP/1.1 503"), "{told}");
        let told = told.to_lowercase();
        for header in ["upload-offset: 5\r\n", "retry-after: 1\r\n", "upload-interrupted"] {
            assert!(told.contains(header), "{header}: {told}");
        }
        assert!(says.iter().all(|header| told.contains(header)), "{told}");
    }
    let stands = answer(ask(&vault, Method::HEAD, &path, Some(&owner.token)).header("Tus-Resumable", "1.0.0")).await;
    assert_eq!(header(&stands, "upload-offset"), "5");
}

/// Sends this and nothing more; how long until the connection ended, and what was told on it.
fn says_no_more(host: &str, said: &str) -> (Duration, String) {
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    stream.write_all(said.as_bytes()).expect("the beginning");
    let (began, mut told) = (Instant::now(), String::new());
    // A reset ends it as well as an end does.
    let _ = stream.read_to_string(&mut told);
    (began.elapsed(), told)
}

#[tokio::test]
async fn tls_of_its_own_serves_secure_cookies() {
    let made =
        rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).expect("a certificate");
    let vault = Vault::setup().prepare();
    let (certificate, key) = (vault.scratch().join("cert.pem"), vault.scratch().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let port = dashvault_test_support::free_port();
    let url = format!("https://localhost:{port}");
    let mut command = vault.command(["serve", "--admin-listen", "127.0.0.1:0"]);
    command
        .arg("--data")
        .arg(vault.data())
        .args(["--listen", &format!("127.0.0.1:{port}"), "--public-url", &url]);
    command.arg("--tls-cert").arg(&certificate).arg("--tls-key").arg(&key);
    let log = vault.scratch().join("tls.log");
    let mut child = dashvault_test_support::Child::spawn("dashvault serve with TLS", &command, None, &log);
    child.wait_until("listening", Duration::from_secs(60), || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    // The provider of ciphers is put in by the first client.
    let _ = dashvault_test_support::client();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).expect("a certificate")])
        .build()
        .expect("a client");
    let page = client.get(&url).send().await.expect("an answer over TLS");
    assert_eq!(page.status(), 200);
    // Offered HTTP/2 too: its streams would have no bound.
    assert_eq!(page.version(), reqwest::Version::HTTP_11);
    assert!(header(&page, "strict-transport-security").contains("max-age"));
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let owner = vault.owner("tls@example.org");
    assert!(
        owner.sign_in_url.starts_with(&format!("{url}/sign-in#")),
        "the address that the service noted"
    );
    let again = vault.run_json([
        "owner",
        "sign-in",
        "--email",
        "tls@example.org",
        "--data",
        &data,
        "--json",
    ]);
    let token = crate::world::fragment(again[0]["sign_in_url"].as_str().expect("a URL")).to_owned();
    let signed_in = client
        .post(format!("{url}/v1/session"))
        .header("origin", &url)
        .header("accept-session", "cookie")
        .json(&serde_json::json!({ "token": token }))
        .send()
        .await
        .expect("an answer");
    let set = header(&signed_in, "set-cookie");
    assert!(set.starts_with("__Host-") && set.ends_with("; Secure"), "{set}");
}

#[tokio::test]
async fn one_client_may_ask_a_hundred_times_a_second_and_a_flood_is_slowed() {
    let vault = Vault::setup().start();
    let owner = vault.owner("busy@example.org");
    let client = dashvault_test_support::client();
    let ask = |path: &'static str| {
        let request = client.get(vault.url(path)).bearer_auth(&owner.token);
        async move { request.send().await.expect("an answer") }
    };
    for _ in 0..3 {
        let began = Instant::now();
        for _ in 0..10 {
            let batch = futures_util::future::join_all((0..10).map(|_| ask("/v1/me"))).await;
            for answer in &batch {
                assert_eq!(answer.status(), 200);
            }
        }
        tokio::time::sleep(Duration::from_secs(1).saturating_sub(began.elapsed())).await;
    }
    let mut slowed = None;
    for _ in 0..40 {
        let batch = futures_util::future::join_all((0..50).map(|_| ask("/v1/nothing"))).await;
        slowed = batch.into_iter().find(|answer| answer.status() == 429).or(slowed);
    }
    let slowed = slowed.expect("two thousand requests in a moment are too many");
    assert!(header(&slowed, "retry-after").parse::<u32>().is_ok_and(|s| s >= 1));
    let page = client.get(vault.url("/")).send().await.expect("an answer");
    assert_eq!(page.status(), 200, "pages are not counted");
}

#[tokio::test]
async fn guessing_is_slowed_long_before_it_helps() {
    let vault = Vault::setup().start();
    let mut last = 0;
    for turn in 0..100 {
        let (status, told) = vault
            .json(
                Method::POST,
                "/v1/session",
                None,
                Some(&serde_json::json!({ "token": format!("dvs_{turn}") })),
            )
            .await;
        last = status;
        if status == 429 {
            assert_eq!(told["type"], "urn:dashvault:problem:too-many-requests");
            break;
        }
        assert_eq!(status, 401, "{told}");
    }
    assert_eq!(last, 429);
}

#[test]
fn commands_have_help_and_machine_readable_lines() {
    let vault = Vault::setup().start();
    for command in [
        &["serve"][..],
        &["work"],
        &["owner", "add"],
        &["owner", "list"],
        &["owner", "sign-in"],
        &["device", "pair"],
        &["device", "token"],
        &["upload"],
        &["keys", "init"],
        &["keys", "status"],
        &["keys", "backup"],
        &["keys", "restore"],
        &["doctor"],
        &["migrate"],
    ] {
        let help = vault.run(command.iter().copied().chain(["--help"]));
        assert!(String::from_utf8_lossy(&help.stdout).contains("--json"), "{command:?}");
    }
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    std::fs::set_permissions(vault.data(), std::fs::Permissions::from_mode(0o755)).expect("changed");
    let mut open = vault.command(["doctor", "--data", &data]);
    assert!(String::from_utf8_lossy(&open.output().expect("the program").stdout).contains("chmod 700"));
    std::fs::set_permissions(vault.data(), std::fs::Permissions::from_mode(0o700)).expect("changed");
    let looked = vault.run_json(["doctor", "--data", &data, "--json"]);
    let parts: Vec<_> = looked.iter().filter(|line| line["part"].is_string()).collect();
    assert!(
        parts.len() >= 7 && parts.iter().all(|part| part["state"] == "ok"),
        "{looked:?}"
    );
    let attackers: Vec<_> = looked.iter().filter(|line| line["attacker"].is_string()).collect();
    assert_eq!(attackers.len(), 10, "{looked:?}");
    let both = attackers.iter().find(|line| line["attacker"] == "bucket and database");
    let gets = both.expect("told")["gets"].as_str().expect("a sentence");
    assert!(
        gets.starts_with("everything"),
        "the keyring lies beneath the data: {gets}"
    );
    let status = vault.run_json(["keys", "status", "--data", &data, "--json"]);
    assert_eq!(status[0]["epoch"], 1, "{status:?}");
    vault.owner("first@example.org");
    let owners: Vec<Value> = vault.run_json(["owner", "list", "--data", &data, "--json"]);
    assert_eq!(owners[0]["email"], "first@example.org", "{owners:?}");
    vault.run(["migrate", "--data", &data]);
}

#[test]
fn commands_make_no_vault_in_a_folder_that_has_none() {
    let vault = Vault::setup().start();
    let mistyped = vault.scratch().join("mistyped");
    let data = mistyped.to_str().expect("UTF-8");
    for command in [
        &["doctor"][..],
        &["migrate"],
        &["owner", "list"],
        &["owner", "add", "--email", "nobody@example.org"],
    ] {
        let out = vault
            .command(command.iter().copied().chain(["--data", data]))
            .output()
            .expect("the program");
        let told = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success(), "{command:?}");
        assert!(
            told.contains("there is no vault in") && told.contains(data),
            "{command:?}: {told}"
        );
        assert!(!mistyped.exists(), "{command:?}");
    }
}

#[test]
fn nothing_starts_on_a_secret_that_everybody_knows() {
    let vault = Vault::setup().prepare();
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let known = "minio".to_owned() + "admin";
    for command in ["serve", "work"] {
        let out = vault
            .command([command, "--data", &data])
            .env("DASHVAULT_S3_ENDPOINT", "http://127.0.0.1:1")
            .env("DASHVAULT_S3_BUCKET", "objects")
            .env("DASHVAULT_S3_STAGING_BUCKET", "staging")
            .env("DASHVAULT_S3_KEYPLANE_BUCKET", "keyplane")
            .env("DASHVAULT_S3_ACCESS_KEY_ID", "vault")
            .env("DASHVAULT_S3_SECRET_ACCESS_KEY", &known)
            .output()
            .expect("the program");
        let told = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
        assert!(!out.status.success(), "{command}");
        assert!(told.contains("DASHVAULT_S3_SECRET_ACCESS_KEY"), "{command}: {told}");
        assert!(!told.contains(&known), "{command}: {told}");
    }
    assert!(!vault.data().join("catalogue").exists(), "nothing was made");
}

#[test]
fn a_doctor_tells_a_store_that_does_not_answer() {
    let mut vault = Vault::setup().start();
    vault.stop();
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let out = vault
        .command(["doctor", "--data", &data, "--json"])
        .env("DASHVAULT_S3_ENDPOINT", "http://127.0.0.1:1")
        .env("DASHVAULT_S3_BUCKET", "objects")
        .env("DASHVAULT_S3_STAGING_BUCKET", "staging")
        .env("DASHVAULT_S3_KEYPLANE_BUCKET", "keyplane")
        .env("DASHVAULT_S3_ACCESS_KEY_ID", "id")
        .env("DASHVAULT_S3_SECRET_ACCESS_KEY", "secret")
        .output()
        .expect("the program");
    assert!(!out.status.success());
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    let store = told.lines().find(|line| line.contains("\"store\"")).expect("the store");
    assert!(store.contains("\"wrong\""), "{told}");
}

#[test]
fn a_backup_brings_the_keyring_back() {
    let mut vault = Vault::setup().start();
    vault.owner("kept@example.org");
    let data = vault.data().to_str().expect("UTF-8").to_owned();
    let word = vault.scratch().join("passphrase");
    std::fs::write(&word, "a long enough passphrase\n").expect("a file");
    let (word, backup) = (
        word.to_str().expect("UTF-8").to_owned(),
        vault.scratch().join("keyring.backup"),
    );
    let backup = backup.to_str().expect("UTF-8").to_owned();
    vault.run([
        "keys",
        "backup",
        "--out",
        &backup,
        "--passphrase-file",
        &word,
        "--data",
        &data,
    ]);
    vault.stop();
    let keyring = vault.data().join("keyring");
    std::fs::remove_file(&keyring).expect("removed");
    vault.run([
        "keys",
        "restore",
        "--in",
        &backup,
        "--passphrase-file",
        &word,
        "--data",
        &data,
    ]);
    vault.start();
    let owners = vault.run_json(["owner", "list", "--data", &data, "--json"]);
    assert_eq!(owners[0]["email"], "kept@example.org", "{owners:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_holds_up_no_other_and_the_log_tells_codes_and_mistyped_variables() {
    let vault = Vault::setup().env("DASHVAULT_TRANSCODE", "a-secret-word").start();
    let owner = vault.owner("several@example.org");
    let device = vault.pair(&owner, "car").await;
    let (missing, good) = (vault.scratch().join("missing.mp4"), vault.scratch().join("noise.mp4"));
    std::fs::write(&good, b"these bytes are no video").expect("a file");
    let mut command = vault.command(["upload", "--wait", "--json", "--device"]);
    let out = command.args([&device, &missing, &good]).output().expect("the program");
    assert_eq!(out.status.code(), Some(1));
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(told.contains("1 of 2 were not uploaded: keep them"), "{told}");
    let lines: Vec<Value> = String::from_utf8_lossy(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let of = |event: &str| lines.iter().find(|line| line["event"] == event).expect(event);
    let reason = of("refused")["error"].as_str().expect("a reason");
    assert!(reason.contains("missing.mp4 cannot be read"), "{reason}");
    let clip = vault
        .settled(&owner, of("delivered")["clip_id"].as_str().expect("a clip"))
        .await;
    assert_eq!(clip["state"], "failed", "{clip}");

    // The job's last line comes after the clip's state.
    let code = clip["error"]["code"].as_str().expect("a code").to_owned();
    let started = Instant::now();
    let warned = |log: &str| {
        log.lines()
            .any(|line| line.contains("WARN") && line.contains(&code) && line.contains("a job ended with a failure"))
    };
    while !warned(&vault.log()) {
        assert!(started.elapsed() < Duration::from_secs(10), "{}", vault.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = vault.log();
    assert!(
        log.contains("DASHVAULT_TRANSCODE") && !log.contains("a-secret-word"),
        "{log}"
    );
    assert!(!log.contains("noise.mp4"), "{log}");
}
