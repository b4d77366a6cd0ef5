//! Owners: added once an address, signed in by a link that works once, signed out at once.

use dashvault::access::Access;
use dashvault::access::Config;
use dashvault::audit::EventKind;

use crate::{DAY, House, MINUTE, START, refused};

#[tokio::test]
async fn an_owner_is_added_once_and_shows_a_token() {
    let house = House::new().await;
    let added = house
        .access
        .add_owner(" driver@example.org ", Some("Ada"))
        .await
        .unwrap();
    assert!(added.token.starts_with("dvo_") && added.sign_in.token.starts_with("dvs_"));
    assert_eq!(added.sign_in.expires_at, START + 30 * MINUTE);
    let session = house.owner_by(&added.token).await.unwrap();
    assert_eq!(
        (session.owner(), session.is_web(), session.expires_at()),
        (added.owner, false, None)
    );
    let owner = house.access.owner(&session).await.unwrap();
    assert_eq!(
        (owner.id, owner.email.as_str(), owner.name.as_deref()),
        (added.owner, "driver@example.org", Some("Ada"))
    );
    assert_eq!(house.access.owners().await.unwrap(), [owner]);
    assert_eq!(
        house.access.find_owner("Driver@Example.org").await.unwrap(),
        Some(added.owner)
    );

    refused!(house.access.add_owner("DRIVER@example.org", None).await, EmailTaken);
    refused!(
        house.access.add_owner("driver", None).await,
        Invalid { field: "email", .. }
    );
    refused!(
        house.access.add_owner("a@b", Some("two\nlines")).await,
        Invalid { field: "name", .. }
    );
    assert_eq!(
        house.access.owners().await.unwrap().len(),
        1,
        "what was refused left nothing"
    );
}

#[tokio::test]
async fn an_api_token_is_good_until_it_is_given_up() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    house.clock.advance(3_650 * DAY);
    let session = house.owner_by(&added.token).await.unwrap();
    house.access.sign_out(&session).await.unwrap();
    refused!(house.owner_by(&added.token).await, Unauthenticated);
}

#[tokio::test]
async fn nothing_but_the_whole_token_is_one() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    let token = &added.token;
    let swapped = format!("dvw_{}", &token[4..]);
    let flipped = format!(
        "{}{}",
        &token[..token.len() - 1],
        if token.ends_with('a') { 'b' } else { 'a' }
    );
    let upper = token.to_uppercase();
    let long = "dvo_".to_owned() + &"a".repeat(1_000_000);
    let texts: [&str; 9] = [
        "",
        "dvo_",
        &token[..20],
        &swapped,
        &flipped,
        &upper,
        &long,
        &added.sign_in.token,
        "Basic x",
    ];
    for text in texts {
        refused!(house.access.authenticate(text).await, Unauthenticated);
    }
}

#[tokio::test]
async fn a_sign_in_link_works_once_and_within_its_time() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    let signed_in = house.access.redeem_sign_in(&added.sign_in.token).await.unwrap();
    assert!(signed_in.secret.starts_with("dvw_"));
    let session = house.owner_by(&signed_in.secret).await.unwrap();
    assert_eq!((session.owner(), session.is_web()), (added.owner, true));
    assert_eq!(session.expires_at(), Some(START + 30 * DAY));
    refused!(house.access.redeem_sign_in(&added.sign_in.token).await, Unauthenticated);

    let late = house.access.make_sign_in("driver@example.org").await.unwrap();
    house.clock.advance(30 * MINUTE);
    refused!(house.access.redeem_sign_in(&late.token).await, Unauthenticated);
    refused!(house.access.redeem_sign_in(&added.token).await, Unauthenticated);
    refused!(house.access.redeem_sign_in(&signed_in.secret).await, Unauthenticated);
    refused!(house.access.make_sign_in("nobody@example.org").await, NotFound);

    let again = house.access.make_sign_in("Driver@example.org").await.unwrap();
    house.clock.advance(30 * MINUTE - 1);
    house
        .access
        .redeem_sign_in(&again.token)
        .await
        .expect("a millisecond before its end");
}

#[tokio::test]
async fn a_sign_in_link_never_lives_outside_15_to_60_minutes() {
    let house = House::new().await;
    for (told, lives) in [(0, 15), (15, 15), (45, 45), (60, 60), (100_000, 60)] {
        let config = Config { sign_in_minutes: told };
        let access = Access::new(
            config,
            house.vault.clone(),
            house.catalog.clone(),
            house.audit.clone(),
            house.clock.clone(),
        );
        let added = access.add_owner(&format!("{told}@example.org"), None).await.unwrap();
        assert_eq!(added.sign_in.expires_at, START + lives * MINUTE, "{told}");
    }
}

#[tokio::test]
async fn a_web_session_ends_at_sign_out_and_the_others_stay() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    let first = house.access.redeem_sign_in(&added.sign_in.token).await.unwrap();
    let more = house.access.make_sign_in("driver@example.org").await.unwrap();
    let second = house.access.redeem_sign_in(&more.token).await.unwrap();
    house.access.sign_out(&first.session).await.unwrap();
    house
        .access
        .sign_out(&first.session)
        .await
        .expect("a second time changes nothing");
    refused!(house.owner_by(&first.secret).await, Unauthenticated);
    house.owner_by(&second.secret).await.expect("another browser");
    house.owner_by(&added.token).await.expect("the API token");
    assert_eq!(house.count(added.owner, EventKind::SignedOut).await, 1);
}

#[tokio::test]
async fn a_web_session_slides_while_it_is_used_and_ends_when_it_is_not() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    let signed_in = house.access.redeem_sign_in(&added.sign_in.token).await.unwrap();
    let mut renewals = 0;
    for day in 0..179 {
        for _ in 0..3 {
            let session = house.owner_by(&signed_in.secret).await.unwrap();
            renewals += i64::from(session.is_renewed());
            assert!(session.expires_at().unwrap() >= START + (day + 29).min(180) * DAY);
        }
        house.clock.advance(DAY);
    }
    assert_eq!(renewals, 150, "once a day, until the longest life is reached");
    house.clock.advance(DAY);
    refused!(house.owner_by(&signed_in.secret).await, Unauthenticated);

    let more = house.access.make_sign_in("driver@example.org").await.unwrap();
    let unused = house.access.redeem_sign_in(&more.token).await.unwrap();
    house.clock.advance(30 * DAY);
    refused!(house.owner_by(&unused.secret).await, Unauthenticated);
}

#[tokio::test]
async fn ended_sessions_make_room_and_living_ones_stay() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    let old = house.access.redeem_sign_in(&added.sign_in.token).await.unwrap();
    house.clock.advance(20 * DAY);
    let more = house.access.make_sign_in("driver@example.org").await.unwrap();
    let newer = house.access.redeem_sign_in(&more.token).await.unwrap();
    house.clock.advance(11 * DAY + 1);
    let more = house.access.make_sign_in("driver@example.org").await.unwrap();
    house.access.redeem_sign_in(&more.token).await.unwrap();
    let there = async |id| house.catalog.credential(id).await.unwrap().is_some();
    assert!(!there(old.session.credential()).await, "it ended more than a day ago");
    assert!(there(newer.session.credential()).await);
    house.owner_by(&newer.secret).await.expect("it goes on");
    house.owner_by(&added.token).await.expect("a token without end stays");
}

#[tokio::test]
async fn an_owner_who_is_being_erased_is_nobody_at_once() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    let web = house.access.redeem_sign_in(&added.sign_in.token).await.unwrap();
    let unused = house.access.make_sign_in("driver@example.org").await.unwrap();
    house.access.erase_owner(added.owner).await.unwrap();
    refused!(house.owner_by(&added.token).await, Unauthenticated);
    refused!(house.owner_by(&web.secret).await, Unauthenticated);
    refused!(house.access.redeem_sign_in(&unused.token).await, Unauthenticated);
    refused!(house.access.make_sign_in("driver@example.org").await, NotFound);
    refused!(house.access.erase_owner(added.owner).await, NotFound);
    assert!(house.access.owners().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_owner_of_a_held_clip_is_not_erased() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.hold_clip(clip, true, START).await.unwrap());
    tx.commit().await.unwrap();
    refused!(house.access.erase_owner(owner.owner()).await, ClipHeld);
    house.access.owner(&owner).await.expect("still there");
}

#[tokio::test]
async fn signing_in_and_out_is_seen() {
    let house = House::new().await;
    let added = house.access.add_owner("driver@example.org", None).await.unwrap();
    house.clock.advance(1);
    let signed_in = house.access.redeem_sign_in(&added.sign_in.token).await.unwrap();
    house.clock.advance(1);
    house.access.sign_out(&signed_in.session).await.unwrap();
    let mut kinds: Vec<_> = house.events(added.owner).await.iter().map(|event| event.kind).collect();
    kinds[..2].sort_by_key(|kind| kind.as_str());
    assert_eq!(
        kinds,
        [
            EventKind::OwnerAdded,
            EventKind::SignInMade,
            EventKind::SignedIn,
            EventKind::SignedOut
        ]
    );
}
