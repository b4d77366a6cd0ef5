//! Grants: read anew for each request; what is another's is not there.

use dashvault::model::{ClipId, ClipState, MediaKind};

use crate::House;

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
