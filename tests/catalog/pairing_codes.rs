//! Pairing codes: each look takes a try, the tries end, and a code is used once.

use dashvault::catalog::{Catalog, NewPairingCode};
use dashvault::model::{OwnerId, PairingId, TenantId};

use crate::rows::an_owner;
use crate::{both, in_tx};

async fn add(
    catalog: &Catalog,
    (tenant, owner): (TenantId, OwnerId),
    finder: &str,
    expires_at: i64,
) -> Option<PairingId> {
    let id = PairingId::random();
    let code = NewPairingCode {
        id,
        tenant,
        owner,
        finder,
        code_hash: &[5; 32],
        sealed_about: b"sealed",
        tries: 2,
        created_at: 10,
        expires_at,
    };
    in_tx!(catalog, tx => tx.insert_pairing_code(&code)).then_some(id)
}

#[tokio::test]
async fn every_look_takes_a_try_until_there_is_none() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = add(&catalog, owner, "7KQ4", 100).await.unwrap();
        for tries_left in [2, 1, 0, 0] {
            let row = in_tx!(catalog, tx => tx.try_pairing_code(owner.0, "7KQ4")).unwrap();
            assert_eq!((row.id, row.owner, row.tries_left), (id, owner.1, tries_left));
            assert_eq!((row.code_hash, row.sealed_about), (vec![5; 32], b"sealed".to_vec()));
            assert_eq!((row.expires_at, row.used_at), (100, None));
        }
        let unknown = in_tx!(catalog, tx => tx.try_pairing_code(owner.0, "7KQ5"));
        assert!(unknown.is_none());
        let elsewhere = in_tx!(catalog, tx => tx.try_pairing_code(TenantId::random(), "7KQ4"));
        assert!(elsewhere.is_none());
    })
    .await;
}

#[tokio::test]
async fn a_try_that_is_not_committed_is_not_taken() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        add(&catalog, owner, "7KQ4", 100).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        tx.try_pairing_code(owner.0, "7KQ4").await.unwrap().unwrap();
        tx.rollback().await.unwrap();
        let row = in_tx!(catalog, tx => tx.try_pairing_code(owner.0, "7KQ4")).unwrap();
        assert_eq!(row.tries_left, 2);
    })
    .await;
}

#[tokio::test]
async fn a_code_is_used_once_and_before_its_end() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let one = add(&catalog, owner, "AAAA", 100).await.unwrap();
        let two = add(&catalog, owner, "BBBB", 100).await.unwrap();
        assert!(in_tx!(catalog, tx => tx.use_pairing_code(one, 99)));
        assert!(!in_tx!(catalog, tx => tx.use_pairing_code(one, 99)));
        assert!(!in_tx!(catalog, tx => tx.use_pairing_code(two, 100)));
        let row = in_tx!(catalog, tx => tx.try_pairing_code(owner.0, "AAAA")).unwrap();
        assert_eq!(row.used_at, Some(99));
    })
    .await;
}

#[tokio::test]
async fn live_codes_are_counted_and_ended_ones_free_their_finder() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let used = add(&catalog, owner, "AAAA", 100).await.unwrap();
        add(&catalog, owner, "BBBB", 200).await.unwrap();
        add(&catalog, owner, "CCCC", 200).await.unwrap();
        assert_eq!(in_tx!(catalog, tx => tx.count_live_pairing_codes(owner.1, 99)), 3);
        in_tx!(catalog, tx => tx.use_pairing_code(used, 50));
        for _ in 0..2 {
            in_tx!(catalog, tx => tx.try_pairing_code(owner.0, "BBBB"));
        }
        assert_eq!(in_tx!(catalog, tx => tx.count_live_pairing_codes(owner.1, 99)), 1);
        assert_eq!(in_tx!(catalog, tx => tx.count_live_pairing_codes(owner.1, 200)), 0);
        assert_eq!(add(&catalog, owner, "AAAA", 300).await, None, "its finder is taken");
        assert_eq!(in_tx!(catalog, tx => tx.remove_ended_pairing_codes(101)), 1);
        assert!(add(&catalog, owner, "AAAA", 300).await.is_some());
        assert_eq!(in_tx!(catalog, tx => tx.remove_pairing_codes_of(owner.1)), 3);
    })
    .await;
}
