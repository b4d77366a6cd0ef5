//! Bytes of media in ranges (RFC 9110, sections 13 and 14), of the original and of what was made of it.

use dashvault_keys::digest::sha256;
use data_encoding::BASE64;
use reqwest::{Method, RequestBuilder};

use crate::world::{World, answer, header, world};

fn original(world: &World) -> RequestBuilder {
    world.ask(
        Method::GET,
        &format!("/v1/clips/{}/original", world.clip),
        Some(&world.owner.token),
    )
}

#[tokio::test]
async fn ranges_of_the_original_are_its_bytes() {
    let world = world().await;
    let size = world.bytes.len();
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 1),
        ("bytes=100-262143".to_owned(), 100, 262_144),
        ("bytes=262143-262144".to_owned(), 262_143, 262_145),
        (format!("bytes={}-", size - 5), size - 5, size),
        ("bytes=-7".to_owned(), size - 7, size),
        (format!("bytes=-{}", size * 2), 0, size),
        (format!("bytes=10-{}", size * 2), 10, size),
    ] {
        let got = answer(original(world).header("range", &range)).await;
        assert_eq!(got.status(), 206, "{range}");
        assert_eq!(
            header(&got, "content-range"),
            format!("bytes {from}-{}/{size}", to - 1),
            "{range}"
        );
        assert_eq!(header(&got, "content-length"), (to - from).to_string(), "{range}");
        assert_eq!(got.bytes().await.expect("bytes"), world.bytes[from..to], "{range}");
    }
}

#[tokio::test]
async fn the_sum_of_the_original_is_told_to_whoever_wants_it() {
    let world = world().await;
    let expected = format!("sha-256=:{}:", BASE64.encode(&sha256(&world.bytes)));
    for (wanted, told) in [
        (Some("sha-256=10"), expected.as_str()),
        (Some("sha-512=3, sha-256=1"), &expected),
        (Some("sha-256=0"), ""),
        (Some("sha-512=10"), ""),
        (None, ""),
    ] {
        let mut whole = original(world);
        // Of a part it is the whole's: that is what a representation is.
        let mut part = original(world).header("range", "bytes=5-9");
        if let Some(wanted) = wanted {
            whole = whole.header("want-repr-digest", wanted);
            part = part.header("want-repr-digest", wanted);
        }
        for (got, status) in [(answer(whole).await, 200), (answer(part).await, 206)] {
            assert_eq!(got.status(), status);
            assert_eq!(header(&got, "repr-digest"), told, "{wanted:?}, {status}");
        }
    }
    let poster = format!("/v1/clips/{}/poster.jpg", world.clip);
    let poster = world.ask(Method::GET, &poster, Some(&world.owner.token));
    let poster = answer(poster.header("want-repr-digest", "sha-256=10")).await;
    assert_eq!(
        (poster.status().as_u16(), header(&poster, "repr-digest")),
        (200, ""),
        "no other's sum"
    );
}

#[tokio::test]
async fn a_range_past_the_end_tells_the_length() {
    let world = world().await;
    let size = world.bytes.len();
    for range in [format!("bytes={size}-"), "bytes=-0".to_owned()] {
        let got = answer(original(world).header("range", &range)).await;
        assert_eq!(got.status(), 416, "{range}");
        assert_eq!(header(&got, "content-range"), format!("bytes */{size}"), "{range}");
    }
}

#[tokio::test]
async fn what_is_no_single_range_brings_the_whole() {
    let world = world().await;
    for range in ["bytes=0-1,5-6", "bytes=5-2", "lines=1-2", "bytes=a-b"] {
        let got = answer(original(world).header("range", range)).await;
        assert_eq!(got.status(), 200, "{range}");
        assert_eq!(header(&got, "accept-ranges"), "bytes");
        assert_eq!(got.bytes().await.expect("bytes").len(), world.bytes.len(), "{range}");
    }
}

#[tokio::test]
async fn conditions_decide_what_is_sent() {
    let world = world().await;
    let whole = answer(original(world)).await;
    let (tag, modified) = (
        header(&whole, "etag").to_owned(),
        header(&whole, "last-modified").to_owned(),
    );
    assert!(tag.starts_with('"'), "a strong tag: {tag}");
    assert!(header(&whole, "cache-control").contains("no-store"));
    assert_eq!(whole.bytes().await.expect("bytes"), world.bytes);
    let known = answer(original(world).header("if-none-match", &tag)).await;
    assert_eq!((known.status().as_u16(), header(&known, "etag")), (304, tag.as_str()));
    assert_eq!(
        answer(
            original(world)
                .header("if-none-match", "\"other\"")
                .header("range", "bytes=0-1")
        )
        .await
        .status(),
        206
    );
    for (condition, status) in [
        (tag.as_str(), 206),
        (&modified, 206),
        ("\"other\"", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ] {
        let got = answer(
            original(world)
                .header("range", "bytes=0-9")
                .header("if-range", condition),
        )
        .await;
        assert_eq!(got.status().as_u16(), status, "{condition}");
    }
}

#[tokio::test]
async fn head_tells_what_get_would_and_sends_nothing() {
    let world = world().await;
    let path = format!("/v1/clips/{}/original", world.clip);
    let got = answer(
        world
            .ask(Method::HEAD, &path, Some(&world.owner.token))
            .header("range", "bytes=0-9"),
    )
    .await;
    assert_eq!(got.status(), 200, "only GET has ranges");
    assert_eq!(header(&got, "content-length"), world.bytes.len().to_string());
    assert_eq!(got.bytes().await.expect("nothing").len(), 0);
}

#[tokio::test]
async fn only_a_media_element_gets_a_short_answer_to_an_open_range() {
    let world = world().await;
    // No video, and longer than what a player is given at once; its original is kept and read like any other.
    let long: Vec<u8> = (0..5_u32 << 18).flat_map(u32::to_be_bytes).collect();
    let owner = world.passer_by();
    let begun = world
        .ask(Method::POST, "/v1/uploads", Some(&owner.token))
        .header("Tus-Resumable", "1.0.0")
        .header("Upload-Length", long.len())
        .header("Content-Type", "application/offset+octet-stream")
        .body(long.clone());
    let begun = answer(begun).await;
    let clip = header(&begun, "location").rsplit('/').next().expect("an id").to_owned();
    assert_eq!(world.vault.settled(&owner, &clip).await["state"], "failed");
    let open = |dest: &'static str| {
        let request = world.ask(Method::GET, &format!("/v1/clips/{clip}/original"), Some(&owner.token));
        request.header("range", "bytes=100-").header("sec-fetch-dest", dest)
    };
    let whole = answer(open("empty")).await;
    assert_eq!(whole.bytes().await.expect("bytes"), long[100..]);
    let short = answer(open("video")).await;
    let end = 100 + (4 << 20);
    assert_eq!(
        header(&short, "content-range"),
        format!("bytes 100-{}/{}", end - 1, long.len())
    );
    assert_eq!(short.bytes().await.expect("bytes"), long[100..end]);
}

#[tokio::test]
async fn what_was_made_of_the_clip_is_read_in_ranges_too() {
    let world = world().await;
    let (_, clip) = world
        .vault
        .json(
            Method::GET,
            &format!("/v1/clips/{}", world.clip),
            Some(&world.owner.token),
            None,
        )
        .await;
    let name = clip["renditions"][0]["name"].as_str().expect("a rendition").to_owned();
    let of_owner = format!("/v1/clips/{}", world.clip);
    for (base, token) in [(of_owner.as_str(), &world.owner.token), ("/v1/shared", &world.viewer)] {
        let (_, about) = world.vault.json(Method::GET, base, Some(token), None).await;
        let renditions = if base == "/v1/shared" {
            &about["clip"]["renditions"]
        } else {
            &about["renditions"]
        };
        let name = renditions[0]["name"].as_str().map_or(name.clone(), str::to_owned);
        for path in [
            format!("{base}/renditions/{name}.mp4"),
            format!("{base}/hls/{name}.mp4"),
            format!("{base}/poster.jpg"),
        ] {
            let whole = answer(world.ask(Method::GET, &path, Some(token))).await;
            assert_eq!(whole.status(), 200, "{path}");
            let whole = whole.bytes().await.expect("bytes");
            let (from, to) = (whole.len() / 3, whole.len() / 2);
            let part = world
                .ask(Method::GET, &path, Some(token))
                .header("range", format!("bytes={from}-{}", to - 1));
            let part = answer(part).await;
            assert_eq!(part.status(), 206, "{path}");
            assert_eq!(part.bytes().await.expect("bytes"), whole[from..to], "{path}");
        }
        let playlist = answer(world.ask(Method::GET, &format!("{base}/hls/main.m3u8"), Some(token))).await;
        assert_eq!(header(&playlist, "content-type"), "application/vnd.apple.mpegurl");
        let playlist = playlist.text().await.expect("text");
        let media = playlist
            .lines()
            .find(|line| line.ends_with(".m3u8"))
            .expect("a media playlist");
        let media = answer(world.ask(Method::GET, &format!("{base}/hls/{media}"), Some(token))).await;
        assert!(media.text().await.expect("text").contains("#EXT-X-BYTERANGE"));
    }
}
