//! Grants: read anew for each request; what is another's is not there.

use dashvault::model::{ClipId, ClipState, MediaKind};

use crate::{DAY, House, START, a_wish};

#[tokio::test]
async fn an_owner_reads_its_own_clips_until_they_are_erased() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    for state in [ClipState::Uploading, ClipState::Ready, ClipState::Trashed] {
        let clip = house.clip(owner.owner(), state).await;
        let grant = house.access.grant_owner(&owner, clip).await.unwrap().expect("a grant");
        assert_eq!((grant.owner(), grant.clip(), grant.link()), (owner.owner(), clip, None));
        assert_eq!(grant.credential(), owner.credential());
        let viewing = grant.viewing(MediaKind::Original);
        assert_eq!((viewing.owner, viewing.clip, viewing.link), (owner.owner(), clip, None));
        assert_eq!(
            (viewing.credential, viewing.media),
            (owner.credential(), MediaKind::Original)
        );
    }
    let erased = house.clip(owner.owner(), ClipState::Erasing).await;
    assert_eq!(house.access.grant_owner(&owner, erased).await.unwrap(), None);
}

#[tokio::test]
async fn another_owners_clip_is_not_there() {
    let house = House::new().await;
    let (owner, other) = (house.owner("a@example.org").await, house.owner("b@example.org").await);
    let clip = house.ready_clip(&owner).await;
    assert_eq!(house.access.grant_owner(&other, clip).await.unwrap(), None);
    assert_eq!(house.access.grant_owner(&owner, ClipId::random()).await.unwrap(), None);
    assert!(house.access.grant_owner(&owner, clip).await.unwrap().is_some());
}

#[tokio::test]
async fn a_grant_is_good_for_as_long_as_what_it_was_made_from() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let viewer = house.redeem(&made.token).await.session;
    let other = house.link(&owner, clip, a_wish()).await;
    let other_viewer = house.redeem(&other.token).await.session;
    let added = house.access.make_sign_in("driver@example.org").await.unwrap();
    let signed_in = house.access.redeem_sign_in(&added.token).await.unwrap();
    let web = house.owner_by(&signed_in.secret).await.unwrap();

    let by_token = house.access.grant_owner(&owner, clip).await.unwrap().unwrap();
    let by_web = house.access.grant_owner(&web, clip).await.unwrap().unwrap();
    let by_link = house.access.grant_link(&viewer).await.unwrap();
    let by_other = house.access.grant_link(&other_viewer).await.unwrap();
    let holds = async |grant| house.access.still_reads(grant).await.unwrap();
    for grant in [&by_token, &by_web, &by_link, &by_other] {
        assert!(holds(grant).await, "{grant:?}");
    }
    // The web session is given up: nothing else ends.
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.revoke_credential(web.credential(), START).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!holds(&by_web).await && holds(&by_token).await);
    house.access.revoke_link(&owner, made.id).await.unwrap();
    assert!(!holds(&by_link).await && holds(&by_other).await && holds(&by_token).await);
    // In the trash a clip is its owner's to look at, and nobody else's.
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.trash_clip(owner.owner(), clip, START, START + DAY).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!holds(&by_other).await && holds(&by_token).await);
    let mut tx = house.catalog.begin().await.unwrap();
    assert!(tx.erase_clip_keys(clip, START).await.unwrap());
    tx.commit().await.unwrap();
    assert!(!holds(&by_token).await);
}

#[tokio::test]
async fn a_grant_ends_with_the_time_of_its_session_and_with_its_owner() {
    let house = House::new().await;
    let owner = house.owner("driver@example.org").await;
    let clip = house.ready_clip(&owner).await;
    let made = house.link(&owner, clip, a_wish()).await;
    let by_link = house
        .access
        .grant_link(&house.redeem(&made.token).await.session)
        .await
        .unwrap();
    house.clock.advance(made.expires_at - START - 1);
    assert!(house.access.still_reads(&by_link).await.unwrap());
    house.clock.advance(1);
    assert!(!house.access.still_reads(&by_link).await.unwrap());
    let by_token = house.access.grant_owner(&owner, clip).await.unwrap().unwrap();
    assert!(house.access.still_reads(&by_token).await.unwrap());
    house.access.erase_owner(owner.owner()).await.unwrap();
    assert!(!house.access.still_reads(&by_token).await.unwrap());
}
