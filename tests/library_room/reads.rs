//! Reads: every range of every form equals the plain bytes; links reach their own media; nothing leaves unrecorded.

use dashvault::access::ReadGrant;
use dashvault::library::{Disposition, What};
use dashvault::model::{ByteRange, ClipState, EventKind, ObjectKind};
use dashvault_test_support::rounds;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::house::{House, Thing, Wish};
use crate::rendition::a_rendition;

fn rendition(name: &str) -> What {
    What::Rendition(name.parse().unwrap())
}

fn hls(file: &str) -> What {
    What::from_hls_file(file).unwrap()
}

/// A clip with an original of `original` bytes and one rendition of several segments.
struct Clip {
    house: House,
    grant: ReadGrant,
    original: Vec<u8>,
    fragments: Vec<u8>,
    init_bytes: usize,
}

async fn a_clip(original: usize) -> Clip {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let original: Vec<u8> = (0..original).map(|at| (at * 131 % 251) as u8).collect();
    let (fragments, index) = a_rendition(5, 60_000);
    let encoded = index.to_bytes();
    let thing = |kind, name, bytes| Thing { kind, name, bytes };
    let things = [
        thing(ObjectKind::Video, "original", &original[..]),
        thing(ObjectKind::Video, "360p", &fragments),
        thing(ObjectKind::Index, "360p.index", &encoded),
        thing(ObjectKind::Image, "poster", b"\xff\xd8 a poster"),
    ];
    let wish = Wish {
        filename: Some("drive.mp4".to_owned()),
        filetype: Some("video/MP4".to_owned()),
        ..Wish::default()
    };
    let id = house.clip(&owner, &wish, ClipState::Ready, &things).await;
    let grant = house.grant(&owner, id).await;
    Clip {
        house,
        grant,
        original,
        fragments,
        init_bytes: index.init.len(),
    }
}

#[tokio::test]
async fn each_form_has_its_type_its_length_and_its_tag() {
    let clip = a_clip(100_000).await;
    let mut tags = Vec::new();
    for (what, content_type) in [
        (What::Original, "video/mp4"),
        (What::Poster, "image/jpeg"),
        (rendition("360p"), "video/mp4"),
        (hls("main.m3u8"), "application/vnd.apple.mpegurl"),
        (hls("360p.m3u8"), "application/vnd.apple.mpegurl"),
        (hls("360p.mp4"), "video/mp4"),
    ] {
        let resource = clip.house.open(&clip.grant, &what).await.unwrap();
        assert_eq!(resource.content_type(), content_type, "{what:?}");
        assert_eq!(resource.last_modified(), crate::house::NOW, "{what:?}");
        let attachment = Disposition::Attachment("drive.mp4".to_owned());
        let want = if what == What::Original {
            attachment
        } else {
            Disposition::Inline
        };
        assert_eq!(*resource.disposition(), want, "{what:?}");
        let tag = resource.etag().to_owned();
        let inner = tag.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
        assert!(inner.bytes().all(|b| b.is_ascii_alphanumeric()), "{tag}");
        let length = resource.length();
        assert_eq!(clip.house.read(&clip.grant, &what, None).await.len() as u64, length);
        let again = clip.house.open(&clip.grant, &what).await.unwrap();
        assert_eq!(again.etag(), tag, "{what:?}: the same bytes");
        tags.push(tag);
    }
    tags.sort();
    tags.dedup();
    assert_eq!(tags.len(), 6, "other bytes, other tags");
}

#[tokio::test]
async fn what_a_clip_does_not_have_is_not_there() {
    let clip = a_clip(1_000).await;
    for what in [rendition("720p"), hls("720p.m3u8"), hls("720p.mp4")] {
        assert!(clip.house.open(&clip.grant, &what).await.is_none(), "{what:?}");
    }
}

#[tokio::test]
async fn a_sender_s_type_is_not_repeated_when_a_browser_would_run_it() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let original = Thing {
        kind: ObjectKind::Video,
        name: "original",
        bytes: b"<script>",
    };
    let wish = Wish {
        filetype: Some("text/html".to_owned()),
        ..Wish::default()
    };
    let id = house.clip(&owner, &wish, ClipState::Failed, &[original]).await;
    let grant = house.grant(&owner, id).await;
    let resource = house.open(&grant, &What::Original).await.unwrap();
    assert_eq!(resource.content_type(), "application/octet-stream");
    assert_eq!(*resource.disposition(), Disposition::Attachment(id.to_string()));
}

#[tokio::test]
async fn the_plain_form_is_a_header_and_the_untouched_fragments() {
    let clip = a_clip(1_000).await;
    let plain = clip.house.read(&clip.grant, &rendition("360p"), None).await;
    let fragments = &clip.fragments[clip.init_bytes..];
    assert!(plain.ends_with(fragments), "the fragments are as they were");
    let header = &plain[..plain.len() - fragments.len()];
    assert_eq!(header[4..8], *b"ftyp");
    let mdat = &header[header.len() - 8..];
    assert_eq!(mdat[4..], *b"mdat");
    let size = u32::from_be_bytes(mdat[..4].try_into().unwrap());
    assert_eq!(size as usize, fragments.len() + 8);
    assert_eq!(
        clip.house.read(&clip.grant, &hls("360p.mp4"), None).await,
        clip.fragments
    );
}

#[test]
fn any_range_of_any_form_equals_the_plain_bytes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // Several segments of 256 KiB.
    let clip = runtime.block_on(a_clip(700_001));
    let forms = [What::Original, rendition("360p"), hls("360p.mp4"), hls("360p.m3u8")];
    let read = |what: &What, range| runtime.block_on(clip.house.read(&clip.grant, what, range));
    let whole: Vec<_> = forms.iter().map(|what| read(what, None)).collect();
    assert!(whole[0] == clip.original, "the original is what was sealed");
    let config = Config {
        cases: rounds("ranges against plain bytes", 200, 5_000),
        ..Config::default()
    };
    // Half of them begin at the seams: a segment's first bytes, the header's end.
    let seams = prop_oneof![
        any::<u64>(),
        (0..4_u64, -3..3_i64).prop_map(|(n, d)| (n * 262_128).saturating_add_signed(d - 40))
    ];
    let strategy = (0..forms.len(), seams, prop_oneof![0..3_u64, any::<u64>()]);
    TestRunner::new(config)
        .run(&strategy, |(form, start, length)| {
            let (plain, total) = (&whole[form], whole[form].len() as u64);
            let start = start % total;
            let end = start + 1 + length % (total - start);
            let got = read(&forms[form], Some(ByteRange { start, end }));
            let want = &plain[usize::try_from(start).unwrap()..usize::try_from(end).unwrap()];
            prop_assert!(got == want, "bytes {start}..{end} of {:?}", forms[form]);
            Ok(())
        })
        .unwrap();
}

#[tokio::test]
async fn the_playlists_name_what_is_there() {
    let clip = a_clip(1_000).await;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let main = text(clip.house.read(&clip.grant, &hls("main.m3u8"), None).await);
    assert!(main.lines().any(|line| line == "360p.m3u8"), "{main}");
    assert!(
        main.contains("RESOLUTION=192x108") && main.contains("CODECS=\"avc1.64000c\""),
        "{main}"
    );
    let media = text(clip.house.read(&clip.grant, &hls("360p.m3u8"), None).await);
    let mut end = clip.init_bytes as u64;
    for range in media.lines().filter_map(|line| line.strip_prefix("#EXT-X-BYTERANGE:")) {
        let (size, offset) = range.split_once('@').unwrap();
        assert_eq!(offset.parse::<u64>().unwrap(), end, "{media}");
        end += size.parse::<u64>().unwrap();
    }
    assert_eq!(end, clip.fragments.len() as u64);
}

#[tokio::test]
async fn a_link_reaches_its_own_media_and_nothing_of_the_clip() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let (whole, whole_index) = a_rendition(5, 1_000);
    let (span, span_index) = a_rendition(2, 900);
    let (whole_index, span_index) = (whole_index.to_bytes(), span_index.to_bytes());
    let thing = |kind, name, bytes| Thing { kind, name, bytes };
    let of_clip = [
        thing(ObjectKind::Video, "original", &[9; 999][..]),
        thing(ObjectKind::Video, "360p", &whole),
        thing(ObjectKind::Index, "360p.index", &whole_index),
        thing(ObjectKind::Video, "720p", &whole),
        thing(ObjectKind::Index, "720p.index", &whole_index),
        thing(ObjectKind::Image, "poster", b"the clip's poster"),
    ];
    let of_link = [
        thing(ObjectKind::Video, "360p", &span[..]),
        thing(ObjectKind::Index, "360p.index", &span_index),
    ];
    let id = house.clip(&owner, &Wish::default(), ClipState::Ready, &of_clip).await;
    let session = house.link(&owner, id, &of_link).await;
    let grant = house.access.grant_link(&session).await.unwrap();
    assert_eq!(house.read(&grant, &hls("360p.mp4"), None).await, span);
    for what in [
        What::Original,
        What::Poster,
        rendition("720p"),
        hls("720p.m3u8"),
        hls("720p.mp4"),
    ] {
        assert!(house.open(&grant, &what).await.is_none(), "{what:?} through a link");
    }
    let owners = house.grant(&owner, id).await;
    assert_eq!(
        house.read(&owners, &hls("360p.mp4"), None).await,
        whole,
        "the owner has the whole"
    );

    let shared = house.library.shared(&session).await.unwrap();
    let value = serde_json::to_value(&shared).unwrap();
    assert_eq!(value["media"], serde_json::json!({"state": "ready", "progress": 1.0}));
    assert_eq!(value["download"], false);
    assert_eq!(
        (&value["clip"]["from_ms"], &value["clip"]["to_ms"]),
        (&1_000.into(), &4_000.into())
    );
    assert_eq!(value["clip"]["sha256_of_original"], crate::house::SHA256);
    assert_eq!(value["clip"]["renditions"].as_array().unwrap().len(), 1);
    assert_eq!(value["link_id"], session.link().to_string());
}

#[tokio::test]
async fn a_link_whose_media_are_being_made_says_so() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    let session = house.link(&owner, id, &[]).await;
    let shared = serde_json::to_value(house.library.shared(&session).await.unwrap()).unwrap();
    assert_eq!(
        shared["media"],
        serde_json::json!({"state": "preparing", "progress": 0.0})
    );
    assert_eq!(shared["clip"]["duration_ms"], 3_000);
    let grant = house.access.grant_link(&session).await.unwrap();
    assert!(house.open(&grant, &hls("main.m3u8")).await.is_none());
}

#[tokio::test]
async fn a_viewing_is_one_event_and_a_look_at_the_headers_none() {
    let clip = a_clip(1_000).await;
    let audit = dashvault::audit::Audit::new(clip.house.vault.clone(), clip.house.catalog.clone());
    let viewed = async || {
        let activity = audit.activity(clip.grant.owner(), None, 50).await.unwrap();
        activity
            .events
            .iter()
            .filter(|event| event.kind == EventKind::ClipViewed)
            .count()
    };
    clip.house.open(&clip.grant, &rendition("360p")).await.unwrap();
    assert_eq!(viewed().await, 0, "nothing has left");
    for what in [rendition("360p"), hls("360p.mp4"), hls("360p.m3u8")] {
        clip.house.read(&clip.grant, &what, None).await;
    }
    assert_eq!(viewed().await, 1, "video is one kind of media");
    clip.house.read(&clip.grant, &What::Original, None).await;
    assert_eq!(viewed().await, 2);
}

#[tokio::test]
async fn nothing_leaves_when_the_viewing_cannot_be_recorded() {
    let clip = a_clip(1_000).await;
    let resource = clip.house.open(&clip.grant, &What::Original).await.unwrap();
    clip.house.catalog.close().await;
    let range = ByteRange::whole(resource.length());
    assert!(clip.house.library.stream(resource, range).await.is_err());
}

#[tokio::test]
async fn an_index_of_another_rendition_is_refused_before_a_byte_leaves() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let (fragments, _) = a_rendition(5, 1_000);
    let encoded = a_rendition(4, 1_000).1.to_bytes();
    let thing = |kind, name, bytes| Thing { kind, name, bytes };
    let things = [
        thing(ObjectKind::Video, "360p", &fragments[..]),
        thing(ObjectKind::Index, "360p.index", &encoded),
        thing(ObjectKind::Video, "720p", &fragments),
        thing(ObjectKind::Index, "720p.index", b"no index"),
    ];
    let id = house.clip(&owner, &Wish::default(), ClipState::Ready, &things).await;
    let grant = house.grant(&owner, id).await;
    for what in [rendition("360p"), hls("360p.m3u8"), rendition("720p"), hls("main.m3u8")] {
        let refused = house.library.open(&grant, &what).await.err().unwrap();
        assert!(
            matches!(refused, dashvault::library::LibraryError::DamagedIndex { .. }),
            "{what:?}: {refused}"
        );
    }
}
