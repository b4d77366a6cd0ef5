//! What every store promises, held against memory, a folder and a real S3 server; and what faults are told as.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dashvault::model::ObjectId;
use dashvault::store::{Backend, Config, Location, S3, Store, StoreError};
use dashvault_test_support::{Fault, Faulty, HttpServer, Reply, Scratch, Seaweed};
use futures_util::TryStreamExt as _;

mod contract;

fn s3(seaweed: &Seaweed) -> S3 {
    S3 {
        endpoint: Some(seaweed.endpoint()),
        region: seaweed.region().to_owned(),
        data_bucket: seaweed.bucket(),
        staging_bucket: seaweed.bucket(),
        keyplane_bucket: seaweed.bucket(),
        access_key_id: seaweed.access_key().to_owned(),
        secret_access_key: seaweed.secret_key().to_owned(),
    }
}

fn faulty() -> (Store, Faulty) {
    let faulty = Faulty::new();
    let other = || Backend::with_multipart(std::sync::Arc::new(Faulty::new()));
    let data = Backend::with_multipart(std::sync::Arc::new(faulty.clone()));
    (Store::over(data, other(), other()), faulty)
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract::hold(&Store::open(&Config::Memory).await.unwrap()).await;
}

#[tokio::test]
async fn a_folder_keeps_the_contract() {
    let scratch = Scratch::new("store");
    let dir = scratch.path().join("vault");
    contract::hold(&Store::open(&Config::Folder { dir }).await.unwrap()).await;
}

#[tokio::test]
async fn an_s3_server_keeps_the_contract() {
    let config = Config::S3(s3(Seaweed::shared()));
    contract::hold(&Store::open(&config).await.unwrap()).await;
}

#[tokio::test]
async fn a_folder_is_private_and_holds_nothing_but_whole_objects() {
    use std::os::unix::fs::PermissionsExt as _;
    let scratch = Scratch::new("store");
    let dir = scratch.path().join("vault");
    let store = Store::open(&Config::Folder { dir: dir.clone() }).await.unwrap();
    let id = ObjectId::random();
    store
        .put(Location::Data, id, Bytes::from_static(b"whole"))
        .await
        .unwrap();
    for folder in ["objects", "staging", "keyplane"] {
        let mode = std::fs::metadata(dir.join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{folder}");
    }
    let shelf = dir.join("objects").join(&id.to_string()[..2]);
    let names: Vec<_> = std::fs::read_dir(shelf)
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(names, [id.to_string().as_str()]);
}

#[tokio::test]
async fn a_folder_forgets_half_files_of_long_ago_at_the_next_start() {
    let scratch = Scratch::new("store");
    let config = Config::Folder {
        dir: scratch.path().to_owned(),
    };
    let store = Store::open(&config).await.unwrap();
    let id = ObjectId::random();
    let mut parts = store.begin(Location::Data, id).await.unwrap();
    parts.put(Bytes::from(vec![1; 1 << 20])).await.unwrap();
    // As a killed process leaves it: nothing tidies up.
    std::mem::forget(parts);
    let half = scratch
        .path()
        .join("objects")
        .join(&id.to_string()[..2])
        .join(format!("{id}#1"));
    assert!(half.exists());
    Store::open(&config).await.unwrap();
    assert!(half.exists(), "a young half file may have a living writer");
    let two_days_ago = std::time::SystemTime::now() - Duration::from_secs(2 * 24 * 3600);
    std::fs::File::options()
        .write(true)
        .open(&half)
        .unwrap()
        .set_modified(two_days_ago)
        .unwrap();
    Store::open(&config).await.unwrap();
    assert!(!half.exists());
}

#[tokio::test]
async fn the_same_bucket_twice_is_refused() {
    let mut config = s3(Seaweed::shared());
    config.staging_bucket = config.data_bucket.clone();
    let refused = Store::open(&Config::S3(config)).await.err().unwrap();
    assert!(
        matches!(&refused, StoreError::Config { reason } if reason.contains("different")),
        "{refused}"
    );
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_refused_at_the_start() {
    let mut config = s3(Seaweed::shared());
    config.data_bucket = "never-made".to_owned();
    let refused = Store::open(&Config::S3(config)).await.err().unwrap();
    assert!(
        matches!(refused, StoreError::Config { .. } | StoreError::Refused(_)),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_not_called_down() {
    let mut config = s3(Seaweed::shared());
    config.secret_access_key = "another".to_owned();
    let refused = Store::open(&Config::S3(config)).await.err().unwrap();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
}

#[tokio::test]
async fn a_store_that_is_down_says_so_within_seconds_and_is_found_again() {
    let mut seaweed = Seaweed::start();
    let store = Store::open(&Config::S3(s3(&seaweed))).await.unwrap();
    let id = ObjectId::random();
    store
        .put(Location::Data, id, Bytes::from_static(b"kept"))
        .await
        .unwrap();
    seaweed.stop();
    let began = Instant::now();
    let get = store.get(Location::Data, id).await;
    let put = store
        .put(Location::Data, ObjectId::random(), Bytes::from_static(b"x"))
        .await;
    let ping = store.ping().await;
    assert!(matches!(get, Err(StoreError::Unavailable(_))), "{get:?}");
    assert!(matches!(put, Err(StoreError::Unavailable(_))), "{put:?}");
    assert!(matches!(ping, Err(StoreError::Unavailable(_))), "{ping:?}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    seaweed.resume();
    assert_eq!(store.get(Location::Data, id).await.unwrap(), &b"kept"[..]);
}

#[tokio::test]
async fn a_full_store_is_told_apart_from_one_that_is_down() {
    let (store, faulty) = faulty();
    let bytes = Bytes::from_static(b"x");
    for (fault, full) in [(Fault::Full, true), (Fault::Down, false)] {
        faulty.fail(move |_| Some(fault));
        let failed = store
            .put(Location::Data, ObjectId::random(), bytes.clone())
            .await
            .unwrap_err();
        assert_eq!(matches!(failed, StoreError::Full(_)), full, "{failed:?}");
        assert_eq!(matches!(failed, StoreError::Unavailable(_)), !full, "{failed:?}");
    }
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_may_be_made_again() {
    let (store, faulty) = faulty();
    let (id, bytes) = (ObjectId::random(), Bytes::from_static(b"the same bytes"));
    faulty.fail(|operation| (operation.name == "put").then_some(Fault::Lost));
    store.put(Location::Data, id, bytes.clone()).await.unwrap_err();
    faulty.heal();
    store.put(Location::Data, id, bytes.clone()).await.unwrap();
    let other = store.put(Location::Data, id, Bytes::from_static(b"others")).await;
    assert!(matches!(other, Err(StoreError::Exists(_))), "{other:?}");
    assert_eq!(store.get(Location::Data, id).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_part_that_fails_fails_the_object() {
    let (store, faulty) = faulty();
    faulty.fail(|operation| (operation.name == "put_part").then_some(Fault::Down));
    let mut parts = store.begin(Location::Data, ObjectId::random()).await.unwrap();
    // The part is under way when `put` returns; what became of it is told by whatever waits for it next.
    parts.put(Bytes::from(vec![1; 8 << 20])).await.unwrap();
    assert!(matches!(parts.finish().await, Err(StoreError::Unavailable(_))));
    assert!(faulty.names().await.is_empty());
}

#[tokio::test]
async fn names_that_are_not_ours_are_passed_over_in_a_listing() {
    let (store, faulty) = faulty();
    let id = ObjectId::random();
    store.put(Location::Data, id, Bytes::from_static(b"x")).await.unwrap();
    faulty.replace("aa/not-ours", &b"y"[..]).await;
    let listed: Vec<_> = store.list(Location::Data).try_collect().await.unwrap();
    assert_eq!(listed.iter().map(|entry| entry.id).collect::<Vec<_>>(), [id]);
}

#[tokio::test]
async fn whatever_stands_beside_an_object_of_a_real_store_is_seen() {
    let seaweed = Seaweed::shared();
    let config = s3(seaweed);
    let bucket = config.data_bucket.clone();
    let store = Store::open(&Config::S3(config)).await.unwrap();
    let id = ObjectId::random();
    // As what is sealed begins: the server looks for itself what a text is.
    let sealed = Bytes::from_static(b"DCVO\x01\x01\x12\0\xff\xfe\0\x01");
    store.put(Location::Data, id, sealed).await.unwrap();
    let labelled = async |name: &str| {
        let looked = store.look(Location::Data, name, 4).await.unwrap();
        looked.expect("it is there").is_labelled
    };
    assert!(!labelled(&Location::Data.name(id)).await);
    let headers = [
        "content-type: video/mp4",
        "content-encoding: gzip",
        "x-amz-meta-vehicle: of somebody",
        "x-amz-tagging: vehicle=1",
    ];
    for (number, header) in headers.into_iter().enumerate() {
        let path = format!("/{bucket}/labelled-{number}");
        // Of itself curl would name a type.
        let no_type = ["--header", "content-type: application/octet-stream"];
        let arguments = [&["--header", header, "--data-binary", "sealed"][..], &no_type[..]].concat();
        let arguments = if number == 0 { &arguments[..4] } else { &arguments[..] };
        seaweed.request("PUT", &path, arguments);
        assert!(labelled(&format!("labelled-{number}")).await, "{header}");
    }
    let some = store
        .entries_after(Location::Data, Some("labelled-1"), 2)
        .await
        .unwrap();
    let names: Vec<_> = some.into_iter().map(|entry| entry.path).collect();
    assert_eq!(names, ["labelled-2", "labelled-3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_cannot_be_read_end_no_listing_and_none_is_passed_over() {
    // In the order of a store; a page has one name, so that a listing goes on behind each of them.
    const NAMES: [&str; 9] = [
        "/at the beginning",
        "a",
        "a/",
        "a/../b",
        "a//b",
        "aa/bb",
        "tab\tand\nline",
        "unreadable-name-7a7a",
        "z",
    ];
    let escaped = |name: &str| name.replace('\t', "&#9;").replace('\n', "&#10;");
    let server = HttpServer::start(move |request| {
        let url = reqwest::Url::parse(&format!("http://store{}", request.path)).expect("an address");
        let value = |of: &str| {
            let pair = url.query_pairs().find(|(name, _)| name == of);
            pair.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let after = std::cmp::max(value("start-after"), value("continuation-token"));
        let behind: Vec<_> = NAMES
            .iter()
            .filter(|name| **name > after.as_str() && value("prefix").is_empty())
            .collect();
        let one = behind.first().map_or_else(String::new, |name| {
            let name = escaped(name);
            format!(
                "<Contents><Key>{name}</Key><LastModified>2026-01-01T00:00:00Z</LastModified><Size>1</Size></Contents>"
            )
        });
        let next = match behind.len() {
            0 | 1 => String::new(),
            _ => format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(behind[0])),
        };
        Reply::ok(format!(
            "<?xml version=\"1.0\"?><ListBucketResult>{one}{next}</ListBucketResult>"
        ))
    });
    let config = S3 {
        endpoint: Some(server.url()),
        ..s3(Seaweed::shared())
    };
    let store = Store::open(&Config::S3(config)).await.unwrap();
    let all: Vec<_> = store.entries(Location::Data).try_collect().await.unwrap();
    assert_eq!(all.len(), NAMES.len(), "{all:?}");
    for most in [1, 2, 3, 100] {
        let (mut walked, mut after) = (Vec::new(), None::<String>);
        loop {
            let some = store
                .entries_after(Location::Data, after.as_deref(), most)
                .await
                .unwrap();
            let Some(last) = some.last() else { break };
            after = Some(last.path.clone());
            walked.extend(some);
            assert!(walked.len() <= NAMES.len(), "{walked:?}");
        }
        assert_eq!(walked, all, "{most} at a time");
    }
    let readable: Vec<_> = all
        .iter()
        .filter(|entry| NAMES.contains(&entry.path.as_str()))
        .collect();
    assert_eq!(readable.len(), 3, "the others stand for what cannot be read: {all:?}");
    assert_eq!(all.iter().filter(|entry| entry.named.is_some()).count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_believes_a_listing_that_goes_on_behind_a_name_that_cannot_be_read() {
    let seaweed = Seaweed::shared();
    let config = s3(seaweed);
    let store = Store::open(&Config::S3(config.clone())).await.unwrap();
    for name in ["aa/first", "zz/last"] {
        seaweed.request(
            "PUT",
            &format!("/{}/{name}", config.data_bucket),
            &["--data-binary", "x"],
        );
    }
    let stands_for = format!("unreadable-name-{}", data_encoding::HEXLOWER.encode(b"b//\xc3\xa9 ~'"));
    let behind = store.entries_after(Location::Data, Some(&stands_for), 9).await.unwrap();
    let names: Vec<_> = behind.into_iter().map(|entry| entry.path).collect();
    assert_eq!(names, ["zz/last"]);
}
