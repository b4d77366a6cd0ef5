//! Trash, the way back, erasure, and what is held.

use dashvault::access::AccessError;
use dashvault::audit::Audit;
use dashvault::library::{LibraryError, TRASH_MS, Time, What};
use dashvault::model::{ClipId, ClipState, EventKind, JobKind, ObjectKind};

use crate::house::{House, NOW, Thing, Wish};

const ORIGINAL: Thing<'static> = Thing {
    kind: ObjectKind::Video,
    name: "original",
    bytes: b"the original",
};

#[tokio::test]
async fn a_clip_waits_seven_days_in_the_trash_and_comes_back_without_its_links() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house
        .clip(&owner, &Wish::default(), ClipState::Ready, &[ORIGINAL])
        .await;
    let link = house.link(&owner, id, &[]).await;
    assert!(house.access.grant_link(&link).await.is_ok());
    let view = house.library.trash(&owner, id).await.unwrap().unwrap();
    assert_eq!(
        (view.state, view.erase_at),
        (ClipState::Trashed, Some(Time(NOW + TRASH_MS)))
    );
    assert!(house.access.grant_link(&link).await.is_err(), "dead at once");
    house.clock.advance(1_000);
    let again = house.library.trash(&owner, id).await.unwrap().unwrap();
    assert_eq!(again, view, "a second time changes nothing");
    let view = house.library.restore(&owner, id).await.unwrap().unwrap();
    assert_eq!((view.state, view.erase_at), (ClipState::Ready, None));
    let refused = house.access.grant_link(&link).await.unwrap_err();
    assert!(
        matches!(refused, AccessError::LinkRevoked),
        "a restored clip does not share itself again: {refused:?}"
    );
    let audit = Audit::new(house.vault.clone(), house.catalog.clone());
    let events = audit.activity(owner.owner(), None, 50).await.unwrap().events;
    for kind in [EventKind::ClipTrashed, EventKind::ClipRestored] {
        let found = events
            .iter()
            .filter(|event| event.kind == kind && event.clip == Some(id))
            .count();
        assert_eq!(found, 1, "{kind}");
    }
}

#[tokio::test]
async fn after_seven_days_there_is_no_way_back() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    house.library.trash(&owner, id).await.unwrap();
    house.clock.advance(TRASH_MS);
    let refused = house.library.restore(&owner, id).await.unwrap_err();
    assert!(
        matches!(
            refused,
            LibraryError::WrongState {
                state: ClipState::Trashed,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_restore_that_waited_over_the_end_of_the_seven_days_is_too_late() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house.clip(&owner, &Wish::default(), ClipState::Ready, &[]).await;
    house.library.trash(&owner, id).await.unwrap();
    house.clock.advance(TRASH_MS - 1);
    let busy = house.catalog.begin().await.unwrap();
    let time_passes = async {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        house.clock.advance(1);
        busy.rollback().await.unwrap();
    };
    let (restored, ()) = tokio::join!(house.library.restore(&owner, id), time_passes);
    assert!(
        matches!(restored, Err(LibraryError::WrongState { clip, .. }) if clip == id),
        "{restored:?}"
    );
}

#[tokio::test]
async fn a_clip_whose_erasure_the_sweep_has_queued_loses_its_key_at_once_when_it_is_asked_for() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house
        .clip(&owner, &Wish::default(), ClipState::Ready, &[ORIGINAL])
        .await;
    house.library.trash(&owner, id).await.unwrap();
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.begin_due_erasure(id, NOW + TRASH_MS).await.unwrap());
    tx.commit().await.unwrap();
    assert!(house.catalog.clip_any(id).await.unwrap().unwrap().envelope.is_some());
    house.library.erase_now(&owner, id).await.unwrap();
    assert!(house.catalog.clip_any(id).await.unwrap().unwrap().envelope.is_none());
}

#[tokio::test]
async fn a_held_clip_is_neither_trashed_nor_erased() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house
        .clip(&owner, &Wish::default(), ClipState::Ready, &[ORIGINAL])
        .await;
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.hold_clip(id, true, NOW).await.unwrap());
    tx.commit().await.unwrap();
    for refused in [
        house.library.trash(&owner, id).await,
        house.library.erase_now(&owner, id).await,
    ] {
        assert!(matches!(refused, Err(LibraryError::Held { clip }) if clip == id));
    }
    let view = house.library.clip(&owner, id).await.unwrap().unwrap();
    assert!(view.held && view.state == ClipState::Ready);
    assert!(house.catalog.jobs_of_clip(id).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_upload_under_way_is_not_for_the_trash() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house.begun(&owner, &Wish::default()).await;
    let refused = house.library.trash(&owner, id).await.unwrap_err();
    assert!(
        matches!(
            refused,
            LibraryError::WrongState {
                state: ClipState::Uploading,
                ..
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_erasure_takes_the_keys_at_once_and_leaves_the_rest_to_one_job() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house
        .clip(&owner, &Wish::default(), ClipState::Ready, &[ORIGINAL])
        .await;
    let link = house.link(&owner, id, &[]).await;
    let grant = house.grant(&owner, id).await;
    assert_eq!(house.read(&grant, &What::Original, None).await, b"the original");
    let view = house.library.erase_now(&owner, id).await.unwrap().unwrap();
    assert_eq!((view.state, view.sha256), (ClipState::Erasing, None));
    assert!(house.catalog.clip_any(id).await.unwrap().unwrap().envelope.is_none());
    // Not even with a grant from before.
    assert!(house.open(&grant, &What::Original).await.is_none());
    assert!(house.access.grant_link(&link).await.is_err());
    let again = house.library.erase_now(&owner, id).await.unwrap().unwrap();
    assert_eq!(again.state, ClipState::Erasing);
    let jobs = house.catalog.jobs_of_clip(id).await.unwrap();
    assert_eq!(jobs.iter().filter(|job| job.kind == JobKind::EraseClip).count(), 1);
}

#[tokio::test]
async fn the_operators_hold_is_an_event_and_keeps_a_clip_from_the_trash() {
    let house = House::new().await;
    let owner = house.owner("a@example.org").await;
    let id = house
        .clip(&owner, &Wish::default(), ClipState::Ready, &[ORIGINAL])
        .await;
    assert!(house.library.hold(id, true).await.unwrap());
    assert!(house.library.hold(id, true).await.unwrap(), "held already is held");
    assert!(house.library.clip(&owner, id).await.unwrap().unwrap().held);
    for refused in [
        house.library.trash(&owner, id).await,
        house.library.erase_now(&owner, id).await,
    ] {
        assert!(matches!(refused, Err(LibraryError::Held { clip }) if clip == id));
    }
    assert!(house.library.hold(id, false).await.unwrap());
    assert!(house.library.trash(&owner, id).await.unwrap().is_some());
    assert!(!house.library.hold(ClipId::random(), true).await.unwrap());
    let audit = Audit::new(house.vault.clone(), house.catalog.clone());
    let events = audit.activity(owner.owner(), None, 50).await.unwrap().events;
    for kind in [EventKind::ClipHeld, EventKind::ClipReleased] {
        let found = events
            .iter()
            .filter(|event| event.kind == kind && event.clip == Some(id));
        assert_eq!(found.count(), 1, "{kind}");
    }
}
