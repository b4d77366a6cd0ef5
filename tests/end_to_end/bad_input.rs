//! Files and requests that are not what they should be: each has a clear answer, and nothing is lost or half-written.

use std::process::Command;

use dashvault_test_support::{Owner, Vault, client};
use reqwest::{Method, Response};
use serde_json::Value;

use crate::road_clip;
use crate::tus::Upload;

/// A box of MP4: size, four letters, content.
fn boxed(code: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len() + 8).expect("a small box");
    [&size.to_be_bytes(), &code[..], content].concat()
}

/// A file that ffmpeg makes of a test picture.
fn generated(vault: &Vault, name: &str, arguments: &[&str]) -> Vec<u8> {
    let file = vault.scratch().join(name);
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(arguments)
        .arg(&file)
        .status()
        .expect("ffmpeg");
    assert!(made.success());
    std::fs::read(file).expect("what ffmpeg made")
}

fn ten_thousand_tracks() -> Vec<u8> {
    let ftyp = boxed(b"ftyp", b"isom\0\0\x02\0isommp41");
    let tkhd = boxed(b"tkhd", &[0; 84]);
    let track = boxed(b"trak", &tkhd);
    let moov = boxed(b"moov", &track.repeat(10_000));
    [ftyp, moov, boxed(b"mdat", &[0; 1000])].concat()
}

fn huge_box() -> Vec<u8> {
    let mut bytes = boxed(b"ftyp", b"isom\0\0\x02\0isommp41");
    bytes.extend(1_u32.to_be_bytes());
    bytes.extend(b"moov");
    bytes.extend(u64::MAX.to_be_bytes());
    bytes.extend([0; 16]);
    bytes
}

async fn upload(vault: &Vault, owner: &Owner, bytes: &[u8]) -> Value {
    let upload = Upload::create(vault, &owner.token, bytes.len() as u64)
        .await
        .expect("an upload");
    let answer = upload.send(0, bytes.to_vec()).await.expect("an answer");
    assert_eq!(answer.status(), 204);
    vault.settled(owner, upload.id()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_clip_fails_with_a_reason_and_stays_retrievable() {
    let vault = Vault::setup().start();
    let owner = vault.owner("bad@example.org");
    let road = std::fs::read(road_clip()).expect("the clip");
    let picture = "color=c=gray:s=64x64:r=25:d=1";
    let bomb = "color=c=black:s=16000x16000:r=1:d=1";
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        (
            "a text file",
            b"This is no video at all.\n".repeat(50),
            &["unsupported_format", "invalid"],
        ),
        (
            "a playlist",
            b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n".to_vec(),
            &["unsupported_format", "invalid"],
        ),
        ("one byte", vec![0], &["unsupported_format", "invalid"]),
        ("a 64-bit box size", huge_box(), &["unsupported_format", "invalid"]),
        (
            "ten thousand tracks",
            ten_thousand_tracks(),
            &["over_limits", "unsupported_format", "invalid", "no_video"],
        ),
        (
            "an MP4 without its index",
            road[..road.len() / 3].to_vec(),
            &["unsupported_format", "invalid", ""],
        ),
        (
            "sound only",
            generated(&vault, "sound.m4a", &["-f", "lavfi", "-i", "sine=d=1", "-c:a", "aac"]),
            &["no_video"],
        ),
        (
            "a picture of 16,000 × 16,000",
            generated(
                &vault,
                "bomb.mkv",
                &["-f", "lavfi", "-i", bomb, "-frames:v", "1", "-c:v", "mjpeg"],
            ),
            &["over_limits", "out_of_memory", "unsupported_format"],
        ),
        (
            "a single frame",
            generated(
                &vault,
                "frame.mp4",
                &["-f", "lavfi", "-i", picture, "-frames:v", "1", "-pix_fmt", "yuv420p"],
            ),
            &[""],
        ),
    ];
    for (name, bytes, codes) in cases {
        let clip = upload(&vault, &owner, &bytes).await;
        let code = clip["error"]["code"].as_str().unwrap_or("");
        assert!(codes.contains(&code), "{name}: {clip}");
        assert_eq!(
            clip["state"],
            if code.is_empty() { "ready" } else { "failed" },
            "{name}: {clip}"
        );
        if !code.is_empty() {
            assert!(
                clip["error"]["detail"].as_str().is_some_and(|d| d.len() > 5),
                "{name}: {clip}"
            );
        }
        let id = clip["id"].as_str().expect("an id");
        let asked = client()
            .get(vault.url(&format!("/v1/clips/{id}/original")))
            .bearer_auth(&owner.token);
        let got = asked.send().await.expect("an answer").bytes().await.expect("a body");
        assert!(got == bytes, "{name}: {} of {} bytes", got.len(), bytes.len());
    }
}

/// A problem document: its status and the last part of its type.
async fn problem(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    assert_eq!(answer.headers()["Content-Type"], "application/problem+json", "{status}");
    let body: Value = answer.json().await.expect("JSON");
    assert_eq!(body["status"], status, "{body}");
    assert!(body["title"].as_str().is_some_and(|t| t.len() > 5), "{body}");
    let kind = body["type"].as_str().unwrap_or_else(|| panic!("{body}"));
    (
        status,
        kind.rsplit(['/', ':', '#']).next().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn uploads_that_lie_are_refused() {
    let vault = Vault::setup().start();
    let owner = vault.owner("liar@example.org");
    let create = |length: &str, metadata: &str| {
        client()
            .post(vault.url("/v1/uploads"))
            .bearer_auth(&owner.token)
            .header("Tus-Resumable", "1.0.0")
            .header("Upload-Length", length.to_owned())
            .header("Upload-Metadata", metadata.to_owned())
            .send()
    };
    for (length, metadata, status) in [
        ("0", "", 400),
        ("-1", "", 400),
        ("many", "", 400),
        ("99999999999999999999", "", 413),
        ("100", "filename not*base64", 400),
        ("100", "recorded_at bm90IGEgdGltZQ==", 400),
        ("100", "lat OTk5", 400),
        ("100", &format!("filename {}", "QUFB".repeat(3000)), 400),
    ] {
        let (told, kind) = problem(create(length, metadata).await.expect("an answer")).await;
        let fine = told == status || (status == 413 && told == 400);
        assert!(
            fine && !kind.is_empty(),
            "length {length}, metadata {:.40}: {told} {kind}",
            metadata
        );
    }
    let (_, listed) = vault.json(Method::GET, "/v1/clips", Some(&owner.token), None).await;
    assert_eq!(listed["clips"].as_array().map(Vec::len), Some(0), "{listed}");

    // A length that lies: more bytes than were announced are refused, what was announced is kept.
    let upload = Upload::create(&vault, &owner.token, 1000).await.expect("an upload");
    let (status, _) = problem(upload.send(0, vec![1; 1001]).await.expect("an answer")).await;
    assert_eq!(status, 413);
    let (status, _) = problem(upload.send(999, vec![1; 1]).await.expect("an answer")).await;
    assert_eq!(status, 409);
    // Nothing is complete that is not.
    let (_, clip) = vault
        .json(
            Method::GET,
            &format!("/v1/clips/{}", upload.id()),
            Some(&owner.token),
            None,
        )
        .await;
    assert_eq!(clip["state"], "uploading", "{clip}");
}
