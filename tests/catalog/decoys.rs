//! Decoys: found by what is shown, their uses counted, and unknown again once removed.

use dashvault::catalog::{Catalog, NewDecoy};
use dashvault::model::{DecoyId, DecoyKind};

use crate::{both, in_tx};

async fn add(catalog: &Catalog, trap_hash: &[u8; 32], created_at: i64) -> DecoyId {
    let id = DecoyId::random();
    let decoy = NewDecoy {
        id,
        kind: DecoyKind::Device,
        trap_hash,
        public_key: Some(&[3; 32]),
        place: "wiki page on backups",
        created_at,
    };
    in_tx!(catalog, tx => tx.insert_decoy(&decoy));
    id
}

#[tokio::test]
async fn a_decoy_is_found_by_what_is_shown_and_its_uses_are_counted() {
    both(async |catalog| {
        let id = add(&catalog, &[1; 32], 10).await;
        assert!(catalog.decoy_by_hash(&[2; 32]).await.unwrap().is_none());
        let decoy = catalog.decoy_by_hash(&[1; 32]).await.unwrap().unwrap();
        assert_eq!((decoy.id, decoy.kind), (id, DecoyKind::Device));
        assert_eq!((decoy.public_key, decoy.created_at), (Some(vec![3; 32]), 10));
        assert_eq!((decoy.place.as_str(), decoy.uses), ("wiki page on backups", 0));
        assert_eq!((decoy.first_used_at, decoy.last_used_at), (None, None));
        for now in [20, 30] {
            assert!(in_tx!(catalog, tx => tx.use_decoy(id, now)));
        }
        let decoy = catalog.decoy_by_hash(&[1; 32]).await.unwrap().unwrap();
        assert_eq!(
            (decoy.first_used_at, decoy.last_used_at, decoy.uses),
            (Some(20), Some(30), 2)
        );
    })
    .await;
}

#[tokio::test]
async fn a_removed_decoy_is_unknown() {
    both(async |catalog| {
        let (one, two) = (add(&catalog, &[1; 32], 20).await, add(&catalog, &[2; 32], 10).await);
        let ids: Vec<_> = catalog.decoys(9).await.unwrap().iter().map(|row| row.id).collect();
        assert_eq!(ids, [two, one], "the oldest first");
        assert!(in_tx!(catalog, tx => tx.remove_decoy(one)));
        assert!(!in_tx!(catalog, tx => tx.remove_decoy(one)));
        assert!(!in_tx!(catalog, tx => tx.use_decoy(one, 30)));
        assert!(catalog.decoy_by_hash(&[1; 32]).await.unwrap().is_none());
        assert_eq!(in_tx!(catalog, tx => tx.count_decoys()), 1);
    })
    .await;
}
