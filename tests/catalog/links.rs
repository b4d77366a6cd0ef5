//! Links: what counts as an opening, what ends one, and when their media are cleared.

use dashvault::catalog::{Catalog, LiveLinks, NewCredential, NewLink};
use dashvault::model::{ClipId, ClipState, CredentialId, CredentialKind, LinkId, LinkMediaState, OwnerId, TenantId};

use crate::rows::{a_ready_clip, an_owner, begin_erasure};
use crate::{both, in_tx};

const SECRET: [u8; 32] = [3; 32];

async fn add(catalog: &Catalog, (tenant, owner): (TenantId, OwnerId), clip: ClipId, created_at: i64) -> LinkId {
    let id = LinkId::random();
    let link = NewLink {
        id,
        tenant,
        owner,
        clip,
        secret_hash: &SECRET,
        sealed_about: b"sealed",
        max_opens: 2,
        created_at,
        expires_at: 100,
    };
    in_tx!(catalog, tx => tx.insert_link(&link));
    id
}

async fn opens(catalog: &Catalog, id: LinkId) -> u32 {
    catalog.link_any(id).await.unwrap().unwrap().opens
}

#[tokio::test]
async fn a_link_is_opened_as_often_as_it_may_be() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let clip = a_ready_clip(&catalog, owner.0, owner.1).await;
        let id = add(&catalog, owner, clip, 10).await;
        let row = catalog.link_any(id).await.unwrap().unwrap();
        assert_eq!((row.id, row.tenant, row.owner, row.clip), (id, owner.0, owner.1, clip));
        assert_eq!(
            (row.secret_hash, row.sealed_about),
            (SECRET.to_vec(), b"sealed".to_vec())
        );
        assert_eq!((row.media_state, row.error_code), (LinkMediaState::Preparing, None));
        assert_eq!(
            (row.opens, row.max_opens, row.created_at, row.expires_at),
            (0, 2, 10, 100)
        );
        assert_eq!((row.revoked_at, row.clip_state), (None, ClipState::Ready));
        for opened in [true, true, false] {
            assert_eq!(in_tx!(catalog, tx => tx.open_link(id, &SECRET, 99)), opened);
        }
        assert_eq!(opens(&catalog, id).await, 2);
        assert!(catalog.link_any(LinkId::random()).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn nothing_opens_a_link_but_its_secret_in_its_time() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let clip = a_ready_clip(&catalog, owner.0, owner.1).await;
        let id = add(&catalog, owner, clip, 10).await;
        assert!(!in_tx!(catalog, tx => tx.open_link(id, &[4; 32], 50)), "a wrong secret");
        assert!(
            !in_tx!(catalog, tx => tx.open_link(LinkId::random(), &SECRET, 50)),
            "another link"
        );
        assert!(!in_tx!(catalog, tx => tx.open_link(id, &SECRET, 100)), "ended");
        assert!(in_tx!(catalog, tx => tx.trash_clip(owner.1, clip, 50, 500)));
        assert!(!in_tx!(catalog, tx => tx.open_link(id, &SECRET, 50)), "in the trash");
        assert!(in_tx!(catalog, tx => tx.restore_clip(owner.1, clip, 51)));
        assert!(in_tx!(catalog, tx => tx.open_link(id, &SECRET, 52)), "and back");
        begin_erasure(&catalog, owner.1).await;
        assert!(
            !in_tx!(catalog, tx => tx.open_link(id, &SECRET, 53)),
            "its owner is being erased"
        );
        assert_eq!(opens(&catalog, id).await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_revoked_link_stays_revoked_and_only_its_owner_revokes_it() {
    both(async |catalog| {
        let (owner, other) = (an_owner(&catalog).await, an_owner(&catalog).await);
        let clip = a_ready_clip(&catalog, owner.0, owner.1).await;
        let (id, sibling) = (
            add(&catalog, owner, clip, 10).await,
            add(&catalog, owner, clip, 11).await,
        );
        assert!(!in_tx!(catalog, tx => tx.revoke_link(other.1, id, 20)));
        assert!(in_tx!(catalog, tx => tx.revoke_link(owner.1, id, 20)));
        assert!(!in_tx!(catalog, tx => tx.revoke_link(owner.1, id, 30)));
        assert!(!in_tx!(catalog, tx => tx.open_link(id, &SECRET, 50)));
        assert_eq!(
            in_tx!(catalog, tx => tx.revoke_links_of_clip(clip, 40)),
            1,
            "the other one"
        );
        let revoked = [id, sibling].map(async |id| catalog.link_any(id).await.unwrap().unwrap().revoked_at);
        let [first, second] = revoked;
        assert_eq!((first.await, second.await), (Some(20), Some(40)));
        let listed = catalog.links_of(owner.1, None, 10).await.unwrap();
        assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [sibling, id]);
        assert!(catalog.links_of(other.1, None, 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn pages_of_links_show_each_once_and_the_newest_first() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let clip = a_ready_clip(&catalog, owner.0, owner.1).await;
        // Three made within one millisecond lie on both sides of a page's end.
        let mut made = Vec::new();
        for at in [10, 11, 12, 12, 12, 13] {
            made.push((at, add(&catalog, owner, clip, at).await));
        }
        made.sort_by_key(|&(at, id)| (-at, id));
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = catalog.links_of(owner.1, after, 2).await.unwrap();
            listed.extend(page.iter().map(|row| (row.created_at, row.id)));
            match page.last() {
                Some(last) => after = Some((last.created_at, last.id)),
                None => break,
            }
        }
        assert_eq!(listed, made);
    })
    .await;
}

#[tokio::test]
async fn only_links_that_can_be_opened_are_live() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let (clip, other) = (
            a_ready_clip(&catalog, owner.0, owner.1).await,
            a_ready_clip(&catalog, owner.0, owner.1).await,
        );
        let used_up = add(&catalog, owner, clip, 10).await;
        let revoked = add(&catalog, owner, clip, 10).await;
        add(&catalog, owner, clip, 10).await;
        add(&catalog, owner, other, 10).await;
        for _ in 0..2 {
            assert!(in_tx!(catalog, tx => tx.open_link(used_up, &SECRET, 50)));
        }
        in_tx!(catalog, tx => tx.revoke_link(owner.1, revoked, 50));
        let live = in_tx!(catalog, tx => tx.count_live_links(owner.1, clip, 99));
        assert_eq!(
            live,
            LiveLinks {
                of_clip: 1,
                of_owner: 2
            }
        );
        let live = in_tx!(catalog, tx => tx.count_live_links(owner.1, clip, 100));
        assert_eq!(
            live,
            LiveLinks {
                of_clip: 0,
                of_owner: 0
            }
        );
    })
    .await;
}

#[tokio::test]
async fn media_become_ready_only_while_the_link_stands_and_are_cleared_when_it_is_over() {
    use LinkMediaState::{Failed, Preparing, Ready, Removed};
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let clip = a_ready_clip(&catalog, owner.0, owner.1).await;
        let [standing, revoked, failed] = [
            add(&catalog, owner, clip, 10).await,
            add(&catalog, owner, clip, 10).await,
            add(&catalog, owner, clip, 10).await,
        ];
        assert!(in_tx!(catalog, tx => tx.set_link_media(standing, Preparing, Ready, None)));
        assert!(
            !in_tx!(catalog, tx => tx.set_link_media(standing, Preparing, Ready, None)),
            "it is ready"
        );
        in_tx!(catalog, tx => tx.revoke_link(owner.1, revoked, 50));
        assert!(!in_tx!(catalog, tx => tx.set_link_media(revoked, Preparing, Ready, None)));
        assert!(in_tx!(catalog, tx => tx.set_link_media(failed, Preparing, Failed, Some("timed_out"))));
        let row = catalog.link_any(failed).await.unwrap().unwrap();
        assert_eq!(
            (row.media_state, row.error_code.as_deref()),
            (Failed, Some("timed_out"))
        );

        let to_clear = async |now, limit| {
            let rows = catalog.links_to_clear(now, None, limit).await.unwrap();
            rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
        };
        assert_eq!(to_clear(99, 10).await, [revoked]);
        assert!(in_tx!(catalog, tx => tx.set_link_media(revoked, Preparing, Removed, None)));
        assert!(to_clear(99, 10).await.is_empty());
        assert_eq!(to_clear(100, 10).await.len(), 2);
        assert_eq!(to_clear(100, 1).await.len(), 1);
        let all = catalog.links_to_clear(100, None, 10).await.unwrap();
        let after = Some((all[0].expires_at, all[0].id));
        let rest = catalog.links_to_clear(100, after, 10).await.unwrap();
        assert_eq!(rest.iter().map(|row| row.id).collect::<Vec<_>>(), [all[1].id]);
        in_tx!(catalog, tx => tx.trash_clip(owner.1, clip, 50, 500));
        assert_eq!(to_clear(99, 10).await.len(), 2, "the clip is in the trash");
    })
    .await;
}

#[tokio::test]
async fn a_clips_links_go_with_their_sessions() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let clip = a_ready_clip(&catalog, owner.0, owner.1).await;
        let other = a_ready_clip(&catalog, owner.0, owner.1).await;
        let (gone, kept) = (
            add(&catalog, owner, clip, 10).await,
            add(&catalog, owner, other, 10).await,
        );
        let mut sessions = Vec::new();
        for (link, hash) in [(gone, 1), (kept, 2)] {
            let credential = NewCredential {
                id: CredentialId::random(),
                tenant: owner.0,
                owner: owner.1,
                kind: CredentialKind::Link,
                link: Some(link),
                secret_hash: &[hash; 32],
                created_at: 10,
                expires_at: Some(100),
            };
            in_tx!(catalog, tx => tx.insert_credential(&credential));
            sessions.push(credential.id);
        }
        assert_eq!(in_tx!(catalog, tx => tx.delete_links_of(clip)), 1);
        assert!(catalog.link_any(gone).await.unwrap().is_none());
        assert!(catalog.credential(sessions[0]).await.unwrap().is_none());
        assert!(catalog.link_any(kept).await.unwrap().is_some());
        let left = catalog.credential(sessions[1]).await.unwrap().unwrap();
        assert_eq!(left.link, Some(kept));
    })
    .await;
}
