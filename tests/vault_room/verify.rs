//! Verification: what is not as it was sealed is named, and what goes meanwhile is no finding.

use dashvault::model::ObjectId;
use dashvault::vault::{Flaw, Unfit};
use futures_util::FutureExt as _;

use crate::{Room, name, plain};

/// More than are looked up at once.
const STRANGERS: usize = 620;

#[tokio::test]
async fn an_object_that_went_after_it_was_listed_is_no_orphan() {
    let room = Room::new().await;
    let mut names = Vec::new();
    for _ in 0..STRANGERS {
        let name = name(ObjectId::random());
        room.data.replace(&name, b"nobody's".as_slice()).await;
        names.push(name);
    }
    let last = names.into_iter().max().unwrap();
    let told = |looked: u64| {
        if looked < STRANGERS as u64 {
            // Memory answers at once.
            room.data.remove(&last).now_or_never().expect("removed");
        }
    };
    let found = room.vault.orphans(&told).await.unwrap();
    assert_eq!(found.len(), STRANGERS - 1);
    assert!(found.iter().all(|one| one.flaw == Flaw::Orphan && one.clip.is_none()));
}

#[tokio::test]
async fn a_row_that_does_not_open_is_named_and_the_rest_is_still_looked_at() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.ready_clip(&room.keys(owner).await).await;
    let extra = room.published(&keys, "extra", &plain(300_000)).await;
    room.data.remove(&name(extra.id)).await;
    let objects = room.vault.objects(&keys, None).await.unwrap();
    let spoilt = objects
        .iter()
        .find(|object| object.about.rendition == "original")
        .unwrap()
        .id;
    let hex: String = spoilt.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    room.sqlite(&format!(
        "UPDATE objects SET sealed_about = zeroblob(600) WHERE id = x'{hex}'"
    ));
    let (unfit, opened) = room.vault.verify_clip(keys.clip()).await.unwrap();
    assert_eq!(opened, 0);
    let found = |flaw, object| {
        unfit.contains(&Unfit {
            flaw,
            clip: Some(keys.clip()),
            object: Some(object),
        })
    };
    assert!(found(Flaw::Differs, spoilt), "{unfit:?}");
    assert!(found(Flaw::Missing, extra.id), "{unfit:?}");
}
