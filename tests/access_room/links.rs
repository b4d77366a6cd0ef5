//! Links, from their owner's side: made narrow, listed, revoked at once.

use dashvault::access::{LinkSpan, LinkState, LinkWish};
use dashvault::audit::EventKind;
use dashvault::model::{ClipId, ClipState, JobKind, LinkId, LinkMediaState};

use crate::{DAY, House, SECOND, START, a_wish, refused};

#[tokio::test]
async fn making_a_link_is_a_row_an_event_and_a_job() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    assert_eq!(
        (made.expires_at, made.state),
        (START + 3_600 * SECOND, LinkState::Preparing)
    );

    let listed = house.access.links(&owner, None, 100).await.unwrap().links;
    let [link] = listed.as_slice() else { panic!("one link") };
    assert_eq!((link.id, link.clip, link.state), (made.id, clip, LinkState::Preparing));
    assert_eq!(link.recipient.as_deref(), Some("claims@insurer.example"));
    assert_eq!(link.span, Some(a_wish().span));
    assert_eq!((link.opens, link.max_opens), (0, 3));
    assert_eq!(
        (link.created_at, link.expires_at, link.revoked_at),
        (START, made.expires_at, None)
    );

    let jobs = house.catalog.jobs_of_clip(clip).await.unwrap();
    let [job] = jobs.as_slice() else { panic!("one job") };
    assert_eq!(
        (job.kind, job.owner, job.link),
        (JobKind::LinkMedia, owner.owner(), Some(made.id))
    );
    let events = house.events(owner.owner()).await;
    let event = events.iter().find(|event| event.kind == EventKind::LinkMade).unwrap();
    assert_eq!(
        (event.clip, event.link, event.text.as_deref()),
        (Some(clip), Some(made.id), None)
    );
}

#[tokio::test]
async fn the_row_keeps_neither_token_nor_recipient() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let token = house
        .vault
        .link_verifier()
        .unwrap()
        .verify(&made.token)
        .expect("signed by this vault");
    assert_eq!(
        (token.link, token.expires_at_ms),
        (*made.id.as_bytes(), made.expires_at)
    );
    let row = house.catalog.link_any(made.id).await.unwrap().unwrap();
    assert_eq!(row.secret_hash, token.secret_hash());
    assert_ne!(row.secret_hash, token.secret);
    let has = |needle: &[u8]| row.sealed_about.windows(needle.len()).any(|window| window == needle);
    assert!(!has(b"claims") && !has(b"insurer"));
}

#[tokio::test]
async fn a_link_is_narrow() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let refuse = async |wish: LinkWish| house.access.make_link(&owner, clip, wish).await;
    let spanned = |from_ms, to_ms| LinkWish {
        span: LinkSpan {
            from_ms,
            to_ms,
            ..a_wish().span
        },
        ..a_wish()
    };
    let recipient = |recipient: &str| LinkWish {
        recipient: recipient.to_owned(),
        ..a_wish()
    };
    refused!(refuse(recipient(" ")).await, Invalid { field: "recipient", .. });
    refused!(refuse(recipient("a\nb")).await, Invalid { field: "recipient", .. });
    refused!(
        refuse(recipient(&"x".repeat(255))).await,
        Invalid { field: "recipient", .. }
    );
    for expires_in_s in [0, 30 * 24 * 3_600 + 1, u64::MAX] {
        let wish = LinkWish {
            expires_in_s,
            ..a_wish()
        };
        refused!(
            refuse(wish).await,
            Invalid {
                field: "expires_in_s",
                ..
            }
        );
    }
    for max_opens in [0, 1_001, u32::MAX] {
        let wish = LinkWish { max_opens, ..a_wish() };
        refused!(refuse(wish).await, Invalid { field: "max_opens", .. });
    }
    refused!(refuse(spanned(0, 11_001)).await, Invalid { field: "to_ms", .. });
    refused!(refuse(spanned(6_000, 2_000)).await, Invalid { field: "from_ms", .. });
    refused!(refuse(spanned(6_000, 6_000)).await, Invalid { field: "from_ms", .. });
    assert!(house.access.links(&owner, None, 100).await.unwrap().links.is_empty());
    // What a player calls the end may be a little later than the vault's.
    house.link(&owner, clip, spanned(0, 10_400)).await;
    let listed = house.access.links(&owner, None, 100).await.unwrap().links;
    assert_eq!(listed[0].span.map(|span| span.to_ms), Some(10_000));
}

#[tokio::test]
async fn only_a_ready_clip_of_ones_own_is_shared() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let clip = house.ready_clip(&owner).await;
    refused!(house.access.make_link(&other, clip, a_wish()).await, NotFound);
    refused!(
        house.access.make_link(&owner, ClipId::random(), a_wish()).await,
        NotFound
    );
    for state in [ClipState::Uploading, ClipState::Trashed, ClipState::Erasing] {
        let clip = house.clip(owner.owner(), state).await;
        let refused = house.access.make_link(&owner, clip, a_wish()).await;
        refused!(refused, ClipNotReady { state: told } if told == state);
    }
}

#[tokio::test]
async fn a_clip_has_fifty_live_links_at_most() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let mut made = Vec::new();
    for _ in 0..50 {
        made.push(house.link(&owner, clip, a_wish()).await.id);
    }
    refused!(
        house.access.make_link(&owner, clip, a_wish()).await,
        LimitReached { limit: 50, .. }
    );
    house.link(&owner, house.ready_clip(&owner).await, a_wish()).await;
    house.access.revoke_link(&owner, made[0]).await.unwrap();
    house.link(&owner, clip, a_wish()).await;
    house.clock.advance(3_600 * SECOND);
    house.link(&owner, clip, a_wish()).await;
}

#[tokio::test]
async fn a_links_state_tells_what_became_of_it() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house
        .link(
            &owner,
            clip,
            LinkWish {
                max_opens: 1,
                ..a_wish()
            },
        )
        .await;
    let state = async || house.access.links(&owner, None, 100).await.unwrap().links[0].state;
    let mut tx = house.catalog.begin().await.unwrap();
    let ready = tx.set_link_media(made.id, LinkMediaState::Preparing, LinkMediaState::Ready, None);
    assert!(ready.await.unwrap());
    tx.commit().await.unwrap();
    assert_eq!(state().await, LinkState::Ready);
    house.redeem(&made.token).await;
    assert_eq!(state().await, LinkState::UsedUp);
    house.clock.advance(3_600 * SECOND);
    assert_eq!(state().await, LinkState::Expired);
    house.access.revoke_link(&owner, made.id).await.unwrap();
    assert_eq!(state().await, LinkState::Revoked);
    let words = [LinkState::Preparing, LinkState::Failed, LinkState::UsedUp].map(LinkState::as_str);
    assert_eq!(words, ["preparing", "failed", "used_up"]);
}

#[tokio::test]
async fn an_erased_clips_link_no_longer_says_whom_it_was_for() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    house.link(&owner, clip, a_wish()).await;
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.erase_clip_keys(clip, START).await.unwrap());
    tx.commit().await.unwrap();
    let listed = house.access.links(&owner, None, 100).await.unwrap().links;
    assert_eq!(
        (listed[0].state, listed[0].recipient.as_deref(), listed[0].span),
        (LinkState::Expired, None, None)
    );
}

#[tokio::test]
async fn revoking_is_the_owners_and_is_recorded_once() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    refused!(house.access.revoke_link(&other, made.id).await, NotFound);
    refused!(house.access.revoke_link(&owner, LinkId::random()).await, NotFound);
    house.redeem(&made.token).await;
    house.access.revoke_link(&owner, made.id).await.unwrap();
    house
        .access
        .revoke_link(&owner, made.id)
        .await
        .expect("a second time changes nothing");
    let listed = house.access.links(&owner, None, 100).await.unwrap().links;
    assert_eq!(
        (listed[0].state, listed[0].revoked_at),
        (LinkState::Revoked, Some(START))
    );
    assert_eq!(house.count(owner.owner(), EventKind::LinkRevoked).await, 1);
    assert!(house.access.links(&other, None, 100).await.unwrap().links.is_empty());
    let to_clear = house.catalog.links_to_clear(START, None, 10).await.unwrap();
    assert_eq!(
        to_clear.iter().map(|row| row.id).collect::<Vec<_>>(),
        [made.id],
        "its media are to go"
    );
}

#[tokio::test]
async fn links_are_listed_newest_first() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clips = [house.ready_clip(&owner).await, house.ready_clip(&owner).await];
    let mut made = Vec::new();
    for n in 0..4 {
        house.clock.advance(DAY / 100);
        let wish = LinkWish {
            recipient: format!("number {n}"),
            expires_in_s: 24 * 3_600,
            ..a_wish()
        };
        made.push(house.link(&owner, clips[n % 2], wish).await.id);
    }
    made.reverse();
    let listed = house.access.links(&owner, None, 100).await.unwrap().links;
    assert_eq!(listed.iter().map(|link| link.id).collect::<Vec<_>>(), made);
    let recipients: Vec<_> = listed.iter().filter_map(|link| link.recipient.as_deref()).collect();
    assert_eq!(recipients, ["number 3", "number 2", "number 1", "number 0"]);
}
