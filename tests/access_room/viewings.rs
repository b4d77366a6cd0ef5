//! What an owner is told: every viewing once, however many reads it has; the newest first, a page at a time.

use dashvault::audit::{AuditError, EventKind, NewEvent, Viewing};
use dashvault::model::{CredentialId, MediaKind};

use crate::{House, MINUTE, SECOND, START, a_wish};

#[tokio::test]
async fn a_viewing_is_one_event_that_grows_by_the_minute() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let grant = house.access.grant_owner(&owner, clip).await.unwrap().unwrap();
    let viewing = grant.viewing(MediaKind::Video);
    // A player asks ten times a minute.
    for _ in 0..50 {
        house.audit.viewing(&viewing).await.unwrap();
        house.clock.advance(6 * SECOND);
    }
    let events = house.events(owner.owner()).await;
    let seen: Vec<_> = events
        .iter()
        .filter(|event| event.kind == EventKind::ClipViewed)
        .collect();
    let [event] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!(
        (event.clip, event.link, event.text.as_deref()),
        (Some(clip), None, Some("The video"))
    );
    assert_eq!((event.at, event.last_at, event.count), (START, START + 4 * MINUTE, 5));
}

#[tokio::test]
async fn each_session_and_each_kind_of_media_is_a_viewing_of_its_own() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clips = [house.ready_clip(&owner).await, house.ready_clip(&owner).await];
    let kinds = [
        MediaKind::Video,
        MediaKind::Original,
        MediaKind::Poster,
        MediaKind::Track,
    ];
    for credential in [CredentialId::random(), CredentialId::random()] {
        for (clip, media) in clips.iter().flat_map(|clip| kinds.map(|media| (*clip, media))) {
            let viewing = Viewing {
                owner: owner.owner(),
                credential,
                clip,
                link: None,
                media,
            };
            house.audit.viewing(&viewing).await.unwrap();
            house.audit.viewing(&viewing).await.unwrap();
        }
    }
    assert_eq!(house.count(owner.owner(), EventKind::ClipViewed).await, 2 * 2 * 4);
}

#[tokio::test]
async fn after_half_an_hours_pause_it_is_another_viewing() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let viewing = house
        .access
        .grant_owner(&owner, clip)
        .await
        .unwrap()
        .unwrap()
        .viewing(MediaKind::Video);
    for pause in [29, 29, 30] {
        house.audit.viewing(&viewing).await.unwrap();
        house.clock.advance(pause * MINUTE);
    }
    assert_eq!(house.count(owner.owner(), EventKind::ClipViewed).await, 1);
    house.audit.viewing(&viewing).await.unwrap();
    assert_eq!(house.count(owner.owner(), EventKind::ClipViewed).await, 2);
}

#[tokio::test]
async fn a_viewing_that_another_node_began_is_the_same_one() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let viewing = house
        .access
        .grant_owner(&owner, clip)
        .await
        .unwrap()
        .unwrap()
        .viewing(MediaKind::Video);
    let other_node = dashvault::audit::Audit::new(house.vault.clone(), house.catalog.clone());
    house.audit.viewing(&viewing).await.unwrap();
    other_node.viewing(&viewing).await.unwrap();
    house.clock.advance(MINUTE);
    other_node.viewing(&viewing).await.unwrap();
    house.audit.viewing(&viewing).await.unwrap();
    let events = house.events(owner.owner()).await;
    let counts: Vec<_> = events
        .iter()
        .filter(|e| e.kind == EventKind::ClipViewed)
        .map(|e| e.count)
        .collect();
    assert_eq!(counts, [2]);
}

#[tokio::test]
async fn viewing_through_a_link_names_the_link() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    for _ in 0..2 {
        let redeemed = house.redeem(&made.token).await;
        let grant = house.access.grant_link(&redeemed.session).await.unwrap();
        house.audit.viewing(&grant.viewing(MediaKind::Video)).await.unwrap();
    }
    let events = house.events(owner.owner()).await;
    let seen: Vec<_> = events
        .iter()
        .filter(|event| event.kind == EventKind::LinkViewed)
        .collect();
    assert_eq!(seen.len(), 2, "two openings, two viewings");
    assert!(
        seen.iter()
            .all(|event| (event.clip, event.link) == (Some(clip), Some(made.id)))
    );
}

#[tokio::test]
async fn a_viewing_that_cannot_be_recorded_is_an_error() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let viewing = house
        .access
        .grant_owner(&owner, clip)
        .await
        .unwrap()
        .unwrap()
        .viewing(MediaKind::Video);
    house.catalog.close().await;
    let failed = house.audit.viewing(&viewing).await;
    assert!(matches!(failed, Err(AuditError::Catalog(_))), "{failed:?}");
}

#[tokio::test]
async fn activity_is_read_in_pages_and_holds_every_event_once() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let keys = house.vault.owner_keys(owner.owner()).await.unwrap();
    for n in 0..23 {
        if n % 4 == 0 {
            house.clock.advance(1);
        }
        let mut tx = house.catalog.begin().await.unwrap();
        let event = NewEvent {
            text: Some((&keys, format!("number {n}"))),
            ..NewEvent::of(owner.owner(), EventKind::DeviceRenamed)
        };
        house.audit.record(&mut tx, event).await.unwrap();
        tx.commit().await.unwrap();
    }
    let (mut texts, mut after) = (Vec::new(), None);
    loop {
        let page = house.audit.activity(owner.owner(), after, 5).await.unwrap();
        assert!(page.events.len() <= 5 && page.events.windows(2).all(|pair| pair[0].at >= pair[1].at));
        texts.extend(page.events.into_iter().filter_map(|event| event.text));
        let Some(next) = page.next else { break };
        // As it comes back from a client.
        after = Some(next.to_string().parse().unwrap());
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), 23);
    let others = house.audit.activity(other.owner(), None, 200).await.unwrap().events;
    assert!(others.iter().all(|event| event.kind != EventKind::DeviceRenamed));
}

#[tokio::test]
async fn an_event_that_is_not_committed_did_not_happen() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let before = house.events(owner.owner()).await.len();
    let mut tx = house.catalog.begin().await.unwrap();
    let event = NewEvent::of(owner.owner(), EventKind::SignedOut);
    house.audit.record(&mut tx, event).await.unwrap();
    drop(tx);
    assert_eq!(house.events(owner.owner()).await.len(), before);
}
