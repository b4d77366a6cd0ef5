//! The HTTP working group's resumable uploads beside tus: one test a rule of draft-ietf-httpbis-resumable-upload, in both
//! interop versions that are spoken.

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::world::{World, answer, header, world};

/// Enough for two requests, and no clip: it is never finished here.
const BYTES: &[u8] = &[9; 5_000];
const MISMATCHING: &str = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
const COMPLETED: &str = "https://iana.org/assignments/http-problem-types#completed-upload";
const INCONSISTENT: &str = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";

/// A client of one version.
#[derive(Clone, Copy)]
struct Client {
    world: &'static World,
    version: &'static str,
}

impl Client {
    async fn both() -> [Self; 2] {
        let world = world().await;
        ["6", "8"].map(|version| Self { world, version })
    }

    fn ask(self, method: Method, path: &str) -> RequestBuilder {
        self.world
            .ask(method, path, Some(&self.world.vehicle))
            .header("Upload-Draft-Interop-Version", self.version)
    }

    fn create(self, complete: &str) -> RequestBuilder {
        self.ask(Method::POST, "/v1/uploads")
            .header("Upload-Complete", complete)
    }

    fn append(self, path: &str, offset: usize, complete: &str, bytes: &'static [u8]) -> RequestBuilder {
        self.ask(Method::PATCH, path)
            .header("Upload-Offset", offset)
            .header("Upload-Complete", complete)
            .header("Content-Type", "application/partial-upload")
            .body(bytes)
    }

    /// An upload of which the first bytes came; its path.
    async fn begun(self, bytes: &'static [u8]) -> String {
        let made = answer(self.create("?0").body(bytes)).await;
        assert_eq!(made.status(), 201, "version {}", self.version);
        path(&made)
    }

    fn is_eight(self) -> bool {
        self.version == "8"
    }
}

fn path(made: &Response) -> String {
    let location = header(made, "location");
    let at = location.find("/v1/uploads/").expect("an upload's address");
    location[at..].to_owned()
}

async fn problem(refused: Response) -> (u16, Value) {
    let status = refused.status().as_u16();
    assert_eq!(header(&refused, "content-type"), "application/problem+json");
    (status, refused.json().await.expect("a problem"))
}

#[tokio::test]
async fn a_creation_without_a_body_tells_the_address_and_the_limits() {
    for client in Client::both().await {
        let made = answer(client.create("?0")).await;
        assert_eq!(made.status(), 201);
        assert_eq!(
            (header(&made, "upload-complete"), header(&made, "upload-offset")),
            ("?0", "0")
        );
        let limit = header(&made, "upload-limit");
        assert!(limit.contains("max-size=") && limit.contains("max-age="), "{limit}");
        let asked = answer(client.ask(Method::HEAD, &path(&made))).await;
        assert_eq!(asked.status(), 204);
        assert_eq!(
            (header(&asked, "upload-complete"), header(&asked, "upload-offset")),
            ("?0", "0")
        );
        assert_eq!(header(&asked, "cache-control"), "no-store");
        assert_eq!(header(&asked, "upload-length"), "", "nobody has told one");
        assert!(header(&asked, "upload-limit").contains("max-size="));
    }
}

#[tokio::test]
async fn a_whole_upload_in_one_request_is_complete() {
    for client in Client::both().await {
        let made = answer(client.create("?1").body(BYTES)).await;
        assert_eq!(made.status(), 201);
        assert_eq!(
            (header(&made, "upload-complete"), header(&made, "upload-offset")),
            ("?1", "5000")
        );
        let asked = answer(client.ask(Method::HEAD, &path(&made))).await;
        assert_eq!(
            (header(&asked, "upload-complete"), header(&asked, "upload-offset")),
            ("?1", "5000")
        );
        assert_eq!(
            header(&asked, "upload-length"),
            if client.is_eight() { "5000" } else { "" }
        );
    }
}

#[tokio::test]
async fn parts_of_unknown_number_follow_each_other_until_one_is_the_last() {
    for client in Client::both().await {
        let upload = client.begun(&BYTES[..1_000]).await;
        let second = answer(client.append(&upload, 1_000, "?0", &BYTES[1_000..3_000])).await;
        assert_eq!(second.status(), if client.is_eight() { 204 } else { 201 });
        assert_eq!(
            (header(&second, "upload-complete"), header(&second, "upload-offset")),
            ("?0", "3000")
        );
        let last = answer(client.append(&upload, 3_000, "?1", &BYTES[3_000..])).await;
        assert_eq!(last.status(), if client.is_eight() { 200 } else { 201 });
        assert_eq!(
            (header(&last, "upload-complete"), header(&last, "upload-offset")),
            ("?1", "5000")
        );
        // Its answer was lost, and the client asks for it once more.
        let again = answer(client.append(&upload, 5_000, "?1", b"")).await;
        assert!(again.status().is_success());
        assert_eq!(header(&again, "upload-complete"), "?1");
    }
}

#[tokio::test]
async fn an_empty_last_part_completes_what_is_there() {
    for client in Client::both().await {
        let upload = client.begun(BYTES).await;
        let last = answer(client.append(&upload, 5_000, "?1", b"")).await;
        assert!(last.status().is_success());
        assert_eq!(
            (header(&last, "upload-complete"), header(&last, "upload-offset")),
            ("?1", "5000")
        );
    }
}

#[tokio::test]
async fn another_offset_is_a_conflict_that_tells_the_right_one() {
    for client in Client::both().await {
        let upload = client.begun(&BYTES[..1_000]).await;
        for offset in [0, 999, 1_001] {
            let refused = answer(client.append(&upload, offset, "?0", b"x")).await;
            assert_eq!(
                (header(&refused, "upload-complete"), header(&refused, "upload-offset")),
                ("?0", "1000")
            );
            let (status, told) = problem(refused).await;
            assert_eq!((status, told["type"].as_str()), (409, Some(MISMATCHING)));
            assert_eq!(
                (&told["expected-offset"], &told["provided-offset"]),
                (&1_000.into(), &offset.into())
            );
        }
    }
}

#[tokio::test]
async fn a_complete_upload_takes_nothing_more() {
    for client in Client::both().await {
        let made = answer(client.create("?1").body(BYTES)).await;
        let refused = answer(client.append(&path(&made), 5_000, "?1", b"more")).await;
        let (status, told) = problem(refused).await;
        assert_eq!((status, told["type"].as_str()), (400, Some(COMPLETED)));
    }
}

#[tokio::test]
async fn another_length_than_was_told_is_refused() {
    let [six, eight] = Client::both().await;
    let unlike = eight.create("?1").header("Upload-Length", 4_999).body(BYTES);
    let (status, told) = problem(answer(unlike).await).await;
    assert_eq!((status, told["type"].as_str()), (400, Some(INCONSISTENT)));
    for client in [six, eight] {
        let upload = client.begun(&BYTES[..1_000]).await;
        // A body that is cut, after it was said to be the last: the length is known from then on.
        let told = if client.is_eight() {
            client
                .append(&upload, 1_000, "?0", &BYTES[1_000..2_000])
                .header("Upload-Length", 5_000)
        } else {
            client.append(&upload, 1_000, "?0", &BYTES[1_000..2_000])
        };
        assert!(answer(told).await.status().is_success());
        let early = answer(client.append(&upload, 2_000, "?1", &BYTES[2_000..3_000])).await;
        if client.is_eight() {
            let (status, told) = problem(early).await;
            assert_eq!((status, told["type"].as_str()), (400, Some(INCONSISTENT)));
            let asked = answer(client.ask(Method::HEAD, &upload)).await;
            assert_eq!(
                (header(&asked, "upload-length"), header(&asked, "upload-complete")),
                ("5000", "?0")
            );
        } else {
            assert_eq!(
                header(&early, "upload-complete"),
                "?1",
                "version 6 has no Upload-Length"
            );
        }
    }
}

#[tokio::test]
async fn what_is_missing_or_does_not_belong_is_refused() {
    let [six, eight] = Client::both().await;
    let upload = six.begun(&BYTES[..10]).await;
    for client in [six, eight] {
        let typed = client
            .ask(Method::PATCH, &upload)
            .header("Upload-Complete", "?0")
            .header("Upload-Offset", 10)
            .header("Content-Type", "text/plain");
        let without_offset = client
            .ask(Method::PATCH, &upload)
            .header("Upload-Complete", "?0")
            .header("Content-Type", "application/partial-upload");
        for (request, expected) in [(typed, 415), (without_offset, 400)] {
            assert_eq!(answer(request).await.status(), expected, "version {}", client.version);
        }
    }
    // Version 8 wants to know whether a part is the last; version 6 takes silence for no.
    let silent = |client: Client, offset: usize| {
        client
            .ask(Method::PATCH, &upload)
            .header("Upload-Offset", offset)
            .header("Content-Type", "application/partial-upload")
            .body("x")
    };
    assert_eq!(answer(silent(eight, 10)).await.status(), 400);
    assert_eq!(answer(silent(six, 10)).await.status(), 201);
    // Version 6 forbids these fields where version 8 passes them over.
    for method in [Method::HEAD, Method::DELETE] {
        for name in ["Upload-Offset", "Upload-Complete"] {
            let owner = six.world.ask(method.clone(), &upload, Some(&six.world.owner.token));
            let request = owner.header("Upload-Draft-Interop-Version", "6").header(name, "?0");
            assert_eq!(answer(request).await.status(), 400, "{method} with {name}");
        }
    }
    let asked = eight.ask(Method::HEAD, &upload).header("Upload-Complete", "?0");
    assert_eq!(answer(asked).await.status(), 204);
}

#[tokio::test]
async fn an_upload_that_was_ended_is_not_active() {
    for (client, gone) in Client::both().await.into_iter().zip([404, 410]) {
        let upload = client.begun(&BYTES[..10]).await;
        let vehicle = answer(client.ask(Method::DELETE, &upload)).await;
        assert_eq!(vehicle.status(), 403, "a vehicle deletes nothing");
        let owner = client
            .world
            .ask(Method::DELETE, &upload, Some(&client.world.owner.token));
        let ended = answer(owner.header("Upload-Draft-Interop-Version", client.version)).await;
        assert_eq!(ended.status(), 204);
        assert_eq!(answer(client.ask(Method::HEAD, &upload)).await.status(), gone);
        assert_eq!(answer(client.append(&upload, 10, "?0", b"x")).await.status(), gone);
    }
}

#[tokio::test]
async fn an_unknown_version_is_a_plain_upload_whole_or_not_at_all() {
    let world = world().await;
    for version in ["5", "7", "9", "x"] {
        let plain = Client { world, version };
        let made = answer(plain.create("?1").body(BYTES)).await;
        assert_eq!(made.status(), 201, "version {version}");
        assert_eq!(
            (header(&made, "upload-offset"), header(&made, "upload-complete")),
            ("", "")
        );
        let asked = world.ask(Method::HEAD, &path(&made), Some(&world.vehicle));
        let asked = answer(asked.header("Tus-Resumable", "1.0.0")).await;
        assert_eq!(header(&asked, "upload-offset"), "5000");
        assert_eq!(answer(plain.append(&path(&made), 5_000, "?1", b"")).await.status(), 400);
    }
}

#[tokio::test]
async fn digests_of_the_body_and_of_the_whole_are_checked() {
    use data_encoding::BASE64;
    let digest = |bytes: &[u8]| format!("sha-256=:{}:", BASE64.encode(&dashvault_keys::digest::sha256(bytes)));
    for client in Client::both().await {
        let upload = client.begun(&BYTES[..1_000]).await;
        let wrong = client
            .append(&upload, 1_000, "?0", &BYTES[..100])
            .header("Content-Digest", digest(b"else"));
        let (status, told) = problem(answer(wrong).await).await;
        assert_eq!(
            (status, told["type"].as_str()),
            (460, Some("urn:dashvault:problem:checksum-mismatch"))
        );
        let right = client
            .append(&upload, 1_000, "?0", &BYTES[..100])
            .header("Content-Digest", digest(&BYTES[..100]));
        assert_eq!(
            header(&answer(right).await, "upload-offset"),
            "1100",
            "nothing of the wrong one was kept"
        );
        let unknown = client
            .append(&upload, 1_100, "?0", b"x")
            .header("Content-Digest", "md5=:AAAA:");
        assert!(
            answer(unknown).await.status().is_success(),
            "what is not known here is passed over"
        );
        // Of the whole: compared when the pieces become one original.
        let made = answer(client.create("?1").header("Repr-Digest", digest(b"else")).body(BYTES)).await;
        assert_eq!(made.status(), 201);
        let receipt = format!("{}/receipt", path(&made));
        for tries in 0.. {
            let answered = answer(client.world.ask(Method::GET, &receipt, Some(&client.world.vehicle))).await;
            if answered.status() != 202 {
                let (status, told) = problem(answered).await;
                assert_eq!(
                    (status, told["reason"].as_str()),
                    (409, Some("sha256_mismatch")),
                    "{told}"
                );
                break;
            }
            assert!(tries < 300, "no receipt and no refusal");
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }
}

#[tokio::test]
async fn options_tells_the_limits_and_what_can_be_patched() {
    let world = world().await;
    let told = answer(world.ask(Method::OPTIONS, "/v1/uploads", None)).await;
    assert!(header(&told, "upload-limit").starts_with("max-size="), "{told:?}");
    assert!(header(&told, "accept-patch").contains("application/partial-upload"));
    assert!(
        header(&told, "tus-extension")
            .split(',')
            .any(|word| word == "creation-defer-length")
    );
}

#[tokio::test]
async fn tus_defers_a_length_until_a_patch_tells_it() {
    let world = world().await;
    let ask = |method, path: &str| {
        world
            .ask(method, path, Some(&world.vehicle))
            .header("Tus-Resumable", "1.0.0")
    };
    let made = answer(ask(Method::POST, "/v1/uploads").header("Upload-Defer-Length", "1")).await;
    assert_eq!(made.status(), 201);
    let upload = path(&made);
    let asked = answer(ask(Method::HEAD, &upload)).await;
    assert_eq!(
        (header(&asked, "upload-defer-length"), header(&asked, "upload-length")),
        ("1", "")
    );
    let patch = |offset: usize| {
        ask(Method::PATCH, &upload)
            .header("Upload-Offset", offset)
            .header("Content-Type", "application/offset+octet-stream")
            .body(&BYTES[..1_000])
    };
    assert_eq!(answer(patch(0)).await.status(), 204);
    assert_eq!(answer(patch(1_000).header("Upload-Length", 1_999)).await.status(), 413);
    assert_eq!(
        answer(patch(1_000).header("Upload-Length", 2_500)).await.status(),
        400,
        "1,999 were told"
    );
    let asked = answer(ask(Method::HEAD, &upload)).await;
    assert_eq!(
        (header(&asked, "upload-offset"), header(&asked, "upload-length")),
        ("1000", "1999")
    );
    for (name, value) in [("Upload-Defer-Length", "2"), ("Upload-Defer-Length", "")] {
        let refused = answer(ask(Method::POST, "/v1/uploads").header(name, value)).await;
        assert_eq!(refused.status(), 400, "{name}: {value}");
    }
    let both = ask(Method::POST, "/v1/uploads")
        .header("Upload-Defer-Length", "1")
        .header("Upload-Length", 5);
    assert_eq!(answer(both).await.status(), 400);
}

/// A client that cannot resume sends half of a body, and its connection is reset.
#[tokio::test]
async fn an_upload_in_one_request_that_is_reset_midway_leaves_nothing() {
    let world = world().await;
    let owner = world.passer_by();
    let host = world.vault.url("").replace("http://", "");
    let mut stream = tokio::net::TcpStream::connect(&host).await.expect("a connection");
    stream.set_zero_linger().expect("a reset in place of an end");
    let head = format!(
        "POST /v1/uploads HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nUpload-Draft-Interop-Version: 99\r\n\
         Content-Type: video/mp4\r\nContent-Length: 1000000\r\n\r\n",
        owner.token
    );
    stream.write_all(head.as_bytes()).await.expect("a head");
    stream.write_all(&[7; 500_000]).await.expect("half a body");
    let is_open = async |open: u64| {
        for _ in 0..100 {
            let usage = answer(world.ask(Method::GET, "/v1/usage", Some(&owner.token))).await;
            let usage: Value = usage.json().await.expect("what is kept");
            if usage["open_uploads"] == open && usage["clips"] == open && usage["bytes"] == open * 1_000_000 {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        false
    };
    assert!(is_open(1).await, "it is under way");
    drop(stream);
    assert!(is_open(0).await, "nobody comes back to it, and it counts all the same");
}
