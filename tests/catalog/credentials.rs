//! Credentials: found by their hash, used once, prolonged, given up, removed when they have ended.

use dashvault::catalog::{Catalog, CatalogError, NewCredential};
use dashvault::model::{CredentialId, CredentialKind, OwnerId, TenantId};

use crate::rows::{an_owner, begin_erasure};
use crate::{both, in_tx};

async fn add(
    catalog: &Catalog,
    (tenant, owner): (TenantId, OwnerId),
    kind: CredentialKind,
    hash: u8,
    expires_at: Option<i64>,
) -> CredentialId {
    let id = CredentialId::random();
    let credential = NewCredential {
        id,
        tenant,
        owner,
        kind,
        link: None,
        secret_hash: &[hash; 32],
        created_at: 10,
        expires_at,
    };
    in_tx!(catalog, tx => tx.insert_credential(&credential));
    id
}

#[tokio::test]
async fn a_credential_is_found_by_its_hash_and_by_its_id_alone() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = add(&catalog, owner, CredentialKind::Web, 1, Some(100)).await;
        let row = catalog.credential_by_hash(&[1; 32]).await.unwrap().unwrap();
        assert_eq!((row.id, row.owner, row.kind), (id, owner.1, CredentialKind::Web));
        assert_eq!(
            (row.link, row.created_at, row.expires_at, row.used_at, row.revoked_at),
            (None, 10, Some(100), None, None)
        );
        assert_eq!(catalog.credential(id).await.unwrap(), Some(row));
        assert_eq!(catalog.credential_by_hash(&[2; 32]).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn two_secrets_never_have_one_hash() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        add(&catalog, owner, CredentialKind::Api, 1, None).await;
        let mut tx = catalog.begin().await.unwrap();
        let again = NewCredential {
            id: CredentialId::random(),
            tenant: owner.0,
            owner: owner.1,
            kind: CredentialKind::Api,
            link: None,
            secret_hash: &[1; 32],
            created_at: 10,
            expires_at: None,
        };
        let refused = tx.insert_credential(&again).await;
        assert!(matches!(refused, Err(CatalogError::Exists(_))), "{refused:?}");
    })
    .await;
}

#[tokio::test]
async fn a_sign_in_is_used_once_before_its_end_and_no_other_kind_is_one() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        add(&catalog, owner, CredentialKind::SignIn, 1, Some(100)).await;
        add(&catalog, owner, CredentialKind::SignIn, 2, Some(100)).await;
        add(&catalog, owner, CredentialKind::Web, 3, Some(100)).await;
        let given_up = add(&catalog, owner, CredentialKind::SignIn, 4, Some(100)).await;
        in_tx!(catalog, tx => tx.revoke_credential(given_up, 20));
        assert_eq!(in_tx!(catalog, tx => tx.use_sign_in(&[1; 32], 99)), Some(owner.1));
        assert_eq!(in_tx!(catalog, tx => tx.use_sign_in(&[1; 32], 99)), None, "used");
        assert_eq!(in_tx!(catalog, tx => tx.use_sign_in(&[2; 32], 100)), None, "ended");
        assert_eq!(in_tx!(catalog, tx => tx.use_sign_in(&[3; 32], 99)), None, "a session");
        assert_eq!(in_tx!(catalog, tx => tx.use_sign_in(&[4; 32], 99)), None, "given up");
        assert_eq!(in_tx!(catalog, tx => tx.use_sign_in(&[9; 32], 99)), None, "unknown");
        begin_erasure(&catalog, owner.1).await;
        assert_eq!(
            in_tx!(catalog, tx => tx.use_sign_in(&[2; 32], 99)),
            None,
            "of nobody any more"
        );
    })
    .await;
}

#[tokio::test]
async fn the_credentials_of_an_owner_who_is_being_erased_are_gone_at_once() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = add(&catalog, owner, CredentialKind::Api, 1, None).await;
        begin_erasure(&catalog, owner.1).await;
        assert_eq!(catalog.credential_by_hash(&[1; 32]).await.unwrap(), None);
        assert_eq!(catalog.credential(id).await.unwrap(), None);
        assert_eq!(in_tx!(catalog, tx => tx.remove_credentials_of(owner.1)), 1);
    })
    .await;
}

#[tokio::test]
async fn an_end_moves_forwards_only_and_never_after_giving_up() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = add(&catalog, owner, CredentialKind::Web, 1, Some(100)).await;
        let token = add(&catalog, owner, CredentialKind::Api, 2, None).await;
        assert!(in_tx!(catalog, tx => tx.extend_credential(id, 200)));
        assert!(!in_tx!(catalog, tx => tx.extend_credential(id, 150)));
        assert!(
            !in_tx!(catalog, tx => tx.extend_credential(token, 150)),
            "a token has no end to move"
        );
        assert_eq!(catalog.credential(id).await.unwrap().unwrap().expires_at, Some(200));
        assert!(in_tx!(catalog, tx => tx.revoke_credential(id, 50)));
        assert!(!in_tx!(catalog, tx => tx.revoke_credential(id, 51)), "given up already");
        assert!(!in_tx!(catalog, tx => tx.extend_credential(id, 300)));
        assert_eq!(catalog.credential(id).await.unwrap().unwrap().revoked_at, Some(50));
    })
    .await;
}

#[tokio::test]
async fn only_what_has_ended_by_itself_is_removed() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let kept = [
            add(&catalog, owner, CredentialKind::Api, 1, None).await,
            add(&catalog, owner, CredentialKind::Web, 2, Some(100)).await,
        ];
        let ended = add(&catalog, owner, CredentialKind::SignIn, 3, Some(99)).await;
        assert_eq!(in_tx!(catalog, tx => tx.remove_ended_credentials(owner.1, 100)), 1);
        assert_eq!(catalog.credential(ended).await.unwrap(), None);
        for id in kept {
            assert!(catalog.credential(id).await.unwrap().is_some());
        }
    })
    .await;
}
