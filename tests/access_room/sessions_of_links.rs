//! Links, from their holder's side: opened by the right secret alone, for a session that dies with the link.

use dashvault::access::LinkWish;
use dashvault::audit::EventKind;
use dashvault_keys::Secret32;
use dashvault_keys::token::{LinkSigner, LinkToken};

use crate::{House, SECOND, START, a_wish, refused};

#[tokio::test]
async fn the_holder_of_a_link_sees_its_part_and_a_reload_is_no_second_opening() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let redeemed = house.redeem(&made.token).await;
    assert!(redeemed.secret.starts_with("dvl_"));
    let session = redeemed.session;
    assert_eq!(
        (session.owner(), session.clip(), session.link()),
        (owner.owner(), clip, made.id)
    );
    assert_eq!((session.expires_at(), session.span()), (made.expires_at, a_wish().span));
    for _ in 0..5 {
        assert_eq!(house.link_by(&redeemed.secret).await.unwrap(), session);
        let grant = house.access.grant_link(&session).await.unwrap();
        assert_eq!(
            (grant.owner(), grant.clip(), grant.link()),
            (owner.owner(), clip, Some(made.id))
        );
        assert_eq!(grant.credential(), session.credential());
    }
    assert_eq!(house.access.links(&owner, None, 100).await.unwrap().links[0].opens, 1);
    assert_eq!(house.count(owner.owner(), EventKind::LinkOpened).await, 1);
    let second = house.redeem(&made.token).await;
    assert_ne!(second.session.credential(), session.credential());
    assert_eq!(house.access.links(&owner, None, 100).await.unwrap().links[0].opens, 2);
}

#[tokio::test]
async fn forged_and_unknown_tokens_are_not_found() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let token = |secret| LinkToken {
        link: *made.id.as_bytes(),
        expires_at_ms: made.expires_at,
        secret,
    };
    let stranger = LinkSigner::new(&Secret32::make_random());
    let by_stranger = stranger.sign(&house.vault.link_verifier().unwrap().verify(&made.token).unwrap());
    // Rightly signed (as an old secret of this link would be, or a link that is no more), and still not this link's.
    let other_secret = house.vault.link_signer().unwrap().sign(&token([9; 32]));
    let no_such_link = house
        .vault
        .link_signer()
        .unwrap()
        .sign(&LinkToken::make([9; 16], made.expires_at));
    let mut flipped = made.token.clone().into_bytes();
    flipped[80] = if flipped[80] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    let long = "A".repeat(100_000);
    let forged: [&str; 8] = [
        "",
        "forged",
        &made.token[1..],
        &long,
        &by_stranger,
        &other_secret,
        &no_such_link,
        &flipped,
    ];
    for token in forged {
        refused!(house.access.redeem_link(token).await, NotFound);
    }
    assert_eq!(house.access.links(&owner, None, 100).await.unwrap().links[0].opens, 0);
    assert_eq!(
        house.count(owner.owner(), EventKind::LinkRefused).await,
        0,
        "a stranger writes no events"
    );
}

#[tokio::test]
async fn a_forgery_never_reaches_the_catalogue() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let forged = LinkSigner::new(&Secret32::make_random()).sign(&LinkToken::make(*made.id.as_bytes(), made.expires_at));
    house.catalog.close().await;
    refused!(house.access.redeem_link(&forged).await, NotFound);
    refused!(house.access.redeem_link(&made.token).await, Catalog(_));
}

#[tokio::test]
async fn a_link_ends_by_the_clock_and_its_sessions_with_it() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let redeemed = house.redeem(&made.token).await;
    house.clock.advance(3_600 * SECOND - 1);
    house
        .link_by(&redeemed.secret)
        .await
        .expect("a millisecond before its end");
    house.clock.advance(1);
    refused!(house.access.redeem_link(&made.token).await, LinkEnded);
    refused!(house.link_by(&redeemed.secret).await, LinkEnded);
    refused!(house.access.grant_link(&redeemed.session).await, LinkEnded);
}

#[tokio::test]
async fn a_token_that_says_a_later_end_than_its_row_does_not_live_longer() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let read = house.vault.link_verifier().unwrap().verify(&made.token).unwrap();
    let resigned = |expires_at_ms| {
        house.vault.link_signer().unwrap().sign(&LinkToken {
            link: read.link,
            expires_at_ms,
            secret: read.secret,
        })
    };
    refused!(house.access.redeem_link(&resigned(START)).await, LinkEnded);
    house.clock.advance(3_600 * SECOND);
    refused!(house.access.redeem_link(&resigned(i64::MAX)).await, LinkEnded);
}

#[tokio::test]
async fn a_revoked_link_is_dead_at_once_even_in_an_open_page() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let redeemed = house.redeem(&made.token).await;
    house.access.revoke_link(&owner, made.id).await.unwrap();
    refused!(house.access.redeem_link(&made.token).await, LinkRevoked);
    refused!(house.link_by(&redeemed.secret).await, LinkRevoked);
    refused!(house.access.grant_link(&redeemed.session).await, LinkRevoked);
}

#[tokio::test]
async fn a_link_that_is_used_up_takes_nobody_more_and_lets_those_inside_stay() {
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
    let redeemed = house.redeem(&made.token).await;
    refused!(house.access.redeem_link(&made.token).await, LinkUsedUp);
    house.link_by(&redeemed.secret).await.expect("a reload");
    house.access.grant_link(&redeemed.session).await.expect("further reads");
    assert_eq!(house.access.links(&owner, None, 100).await.unwrap().links[0].opens, 1);
}

#[tokio::test]
async fn a_trashed_or_erased_clips_links_are_dead_at_once() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let redeemed = house.redeem(&made.token).await;
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(
        tx.trash_clip(owner.owner(), clip, START, START + 1_000_000)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    for _ in 0..2 {
        refused!(house.access.redeem_link(&made.token).await, LinkEnded);
        refused!(house.link_by(&redeemed.secret).await, LinkEnded);
        refused!(house.access.grant_link(&redeemed.session).await, LinkEnded);
        let mut tx = house.catalog.begin().await.unwrap();
        assert!(tx.erase_clip_keys(clip, START).await.unwrap());
        tx.commit().await.unwrap();
    }
    let mut tx = house.catalog.begin().await.unwrap();
    tx.delete_links_of(clip).await.unwrap();
    tx.commit().await.unwrap();
    refused!(house.access.redeem_link(&made.token).await, NotFound);
    refused!(house.link_by(&redeemed.secret).await, Unauthenticated);
    refused!(house.access.grant_link(&redeemed.session).await, LinkEnded);
}

#[tokio::test]
async fn a_link_dies_with_its_owner() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let redeemed = house.redeem(&made.token).await;
    house.access.erase_owner(owner.owner()).await.unwrap();
    refused!(house.link_by(&redeemed.secret).await, Unauthenticated);
    refused!(house.access.redeem_link(&made.token).await, NotFound);
    refused!(house.access.grant_link(&redeemed.session).await, LinkEnded);
}

#[tokio::test]
async fn coming_too_late_is_seen_by_the_owner_once_a_reason() {
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
    house.redeem(&made.token).await;
    for _ in 0..20 {
        refused!(house.access.redeem_link(&made.token).await, LinkUsedUp);
    }
    house.clock.advance(1);
    house.access.revoke_link(&owner, made.id).await.unwrap();
    for _ in 0..20 {
        refused!(house.access.redeem_link(&made.token).await, LinkRevoked);
    }
    let events = house.events(owner.owner()).await;
    let refusals: Vec<_> = events
        .iter()
        .filter(|event| event.kind == EventKind::LinkRefused)
        .collect();
    assert!(
        refusals
            .iter()
            .all(|event| (event.clip, event.link) == (Some(clip), Some(made.id)))
    );
    let texts: Vec<_> = refusals.iter().filter_map(|event| event.text.as_deref()).collect();
    assert_eq!(texts, ["It was used up", "It was revoked"]);
}
