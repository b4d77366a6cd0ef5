//! The rolling inventory: walks everything in steps, goes on where it was cut, and tells of what is not as it should be.

use std::time::Duration;

use dashvault::catalog::FindingRow;
use dashvault::exposure::rolling::{Config, Pace, Rolling, Step};
use dashvault::model::{Bucket, ObjectId, Severity};

use crate::{MINUTE, Room, name, plain};

const DAY: i64 = 24 * 60 * MINUTE;

fn rolling(room: &Room, sample: u32) -> Rolling {
    let config = Config {
        pace: Pace::Daily,
        sample,
    };
    Rolling::new(config, room.catalog.clone(), room.vault.clone()).again_after(Duration::ZERO)
}

/// Walks until nothing is due; how many steps it took.
async fn pass(rolling: &Rolling, most: usize) -> usize {
    for steps in 0..1_000 {
        match rolling.step(most).await.unwrap() {
            Step::NothingDue => return steps,
            Step::Looked(_) => {}
            Step::NotOurs => panic!("another node walks"),
        }
    }
    panic!("no end");
}

async fn findings(room: &Room) -> Vec<FindingRow> {
    let mut found = room.catalog.findings(0, i64::MAX).await.unwrap();
    found.retain(|row| row.ended_at.is_none());
    found
}

#[tokio::test]
async fn a_pass_looks_at_everything_finds_nothing_wrong_and_the_next_one_is_due_a_day_later() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    for number in 0..7 {
        room.published(&keys, &format!("r{number}"), &plain(70_000)).await;
    }
    // Under way: an intent stands, and no row yet.
    room.sealed(&keys, "under-way", &plain(70_000)).await;
    let rolling = rolling(&room, 0);
    pass(&rolling, 3).await;
    for (bucket, objects) in [
        (Bucket::Data, &room.data),
        (Bucket::Staging, &room.staging),
        (Bucket::KeyPlane, &room.keyplane),
    ] {
        let walk = room.catalog.last_walk(bucket).await.unwrap().expect("a walk");
        assert_eq!(walk.objects, objects.names().await.len() as u64, "{bucket:?}");
        assert_eq!((walk.findings, walk.not_sealed), (0, 0), "{bucket:?}");
    }
    let walk = room.catalog.last_walk(Bucket::Data).await.unwrap().unwrap();
    assert_eq!((walk.objects, walk.rows), (8, 7));
    assert_eq!(walk.forms, r#"{"DCVO 1.1":8}"#);
    assert_eq!(findings(&room).await, []);
    assert_eq!(room.catalog.newest_notices(9).await.unwrap(), []);
    room.clock.advance(DAY - 1);
    assert_eq!(rolling.step(3).await.unwrap(), Step::NothingDue);
    room.clock.advance(1);
    assert_eq!(rolling.step(3).await.unwrap(), Step::Looked(3));
}

#[tokio::test]
async fn plaintext_missing_and_unknown_objects_are_found_told_of_once_and_over_when_they_are_gone() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    let there = name(room.published(&keys, "there", &plain(70_000)).await.id);
    let lost = name(room.published(&keys, "lost", &plain(70_000)).await.id);
    let (movie, stranger) = (name(ObjectId::random()), ObjectId::random());
    room.data.replace(&movie, b"\0\0\0\x20ftypisom".repeat(9_000)).await;
    room.data
        .replace("anna's drive.mp4", b"\0\0\0\x20ftypisom".as_slice())
        .await;
    let mut copied = room.data.object(&there).await.to_vec();
    copied[8..24].copy_from_slice(stranger.as_bytes());
    room.data.replace(&name(stranger), copied).await;
    room.data.remove(&lost).await;
    let rolling = rolling(&room, 0);
    pass(&rolling, 2).await;
    let found = findings(&room).await;
    let is_found = |flaw: &str, name: &str| found.iter().any(|row| row.flaw == flaw && row.name == name);
    assert!(is_found("ill-formed", &movie), "{found:?}");
    assert!(is_found("missing", &lost), "{found:?}");
    assert!(is_found("unknown", &name(stranger)), "{found:?}");
    let foreign = found.iter().find(|row| row.flaw == "foreign-name").expect("the fourth");
    assert!(
        foreign.name.starts_with("sha256:"),
        "a foreign name may tell of somebody: {foreign:?}"
    );
    assert_eq!(found.len(), 4);
    let walk = room.catalog.last_walk(Bucket::Data).await.unwrap().unwrap();
    assert_eq!((walk.findings, walk.not_sealed), (4, 2));
    let notices = room.catalog.newest_notices(9).await.unwrap();
    assert_eq!(notices.len(), 4);
    assert_eq!(notices.iter().filter(|one| one.severity == Severity::Page).count(), 2);
    assert!(notices.iter().all(|one| !one.facts.contains("anna")), "{notices:?}");

    // The next day the same things stand, and nobody is told again.
    room.clock.advance(DAY);
    pass(&rolling, 2).await;
    assert_eq!(findings(&room).await.len(), 4);
    assert_eq!(room.catalog.newest_notices(9).await.unwrap().len(), 4);

    for gone in [&movie, "anna's drive.mp4", &name(stranger)] {
        room.data.remove(gone).await;
    }
    room.clock.advance(DAY);
    pass(&rolling, 2).await;
    let left = findings(&room).await;
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(left[0].name, lost);
    let all = room.catalog.findings(0, i64::MAX).await.unwrap();
    assert_eq!(all.len(), 4, "what was found stays written down");
}

#[tokio::test]
async fn a_walk_goes_on_where_it_was_cut_and_only_one_node_walks() {
    let room = Room::new().await;
    let keys = room.new_clip("anna").await;
    for number in 0..6 {
        room.published(&keys, &format!("r{number}"), &plain(70_000)).await;
    }
    let (first, second) = (rolling(&room, 0), rolling(&room, 0));
    assert_eq!(first.step(4).await.unwrap(), Step::Looked(4));
    assert_eq!(second.step(4).await.unwrap(), Step::NotOurs);
    // The first one falls silent.
    room.clock.advance(MINUTE);
    assert_eq!(second.step(4).await.unwrap(), Step::Looked(2));
    assert_eq!(first.step(4).await.unwrap(), Step::NotOurs);
    pass(&second, 4).await;
    let walk = room.catalog.last_walk(Bucket::Data).await.unwrap().unwrap();
    assert_eq!((walk.objects, walk.rows), (6, 6), "every object once");
    let looks = room.data.seen().into_iter().filter(|seen| seen.name == "get").count();
    assert!(looks < 20, "{looks} reads for six objects");
}

#[tokio::test]
async fn a_sample_is_opened_and_what_does_not_open_is_found_until_it_does() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let clip = room.whole_clip(&keys).await;
    let rolling = rolling(&room, 3);
    pass(&rolling, 10).await;
    let walk = room.catalog.last_walk(Bucket::Data).await.unwrap().unwrap();
    assert_eq!((walk.clips_opened, walk.objects_opened, walk.findings), (3, 3, 0));

    let object = name(room.vault.objects(&clip, None).await.unwrap()[0].id);
    let sealed = room.data.object(&object).await;
    let mut changed = sealed.to_vec();
    // Behind the clear head: without a key nothing shows.
    let at = changed.len() - 1;
    changed[at] ^= 1;
    room.data.replace(&object, changed).await;
    room.clock.advance(DAY);
    pass(&rolling, 10).await;
    let found = findings(&room).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].flaw.as_str(), found[0].clip), ("damaged", Some(clip.clip())));

    room.data.replace(&object, sealed).await;
    room.clock.advance(DAY);
    pass(&rolling, 10).await;
    assert_eq!(findings(&room).await, []);
}
