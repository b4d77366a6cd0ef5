//! Vehicles: theirs alone, renamed, seen, revoked for ever.

use dashvault::catalog::{Catalog, NewDevice};
use dashvault::model::{DeviceId, DeviceState, OwnerId, TenantId};

use crate::rows::{an_owner, begin_erasure};
use crate::{both, in_tx};

async fn add(catalog: &Catalog, (tenant, owner): (TenantId, OwnerId), paired_at: i64) -> DeviceId {
    let id = DeviceId::random();
    let device = NewDevice {
        id,
        tenant,
        owner,
        public_key: &[8; 32],
        next_key: None,
        sealed_about: b"sealed",
        vin_index: (paired_at % 2 == 0).then_some(&[9; 32]),
        paired_at,
    };
    in_tx!(catalog, tx => tx.insert_device(&device));
    id
}

#[tokio::test]
async fn a_vehicle_is_its_owners_and_nobody_elses() {
    both(async |catalog| {
        let (owner, other) = (an_owner(&catalog).await, an_owner(&catalog).await);
        let id = add(&catalog, owner, 10).await;
        let newer = add(&catalog, owner, 11).await;
        let row = catalog.device(owner.1, id).await.unwrap().unwrap();
        assert_eq!((row.id, row.owner, row.state), (id, owner.1, DeviceState::Active));
        assert_eq!((row.public_key, row.sealed_about), (vec![8; 32], b"sealed".to_vec()));
        assert_eq!((row.paired_at, row.last_seen_at, row.revoked_at), (10, None, None));
        assert!(catalog.device(other.1, id).await.unwrap().is_none());
        let listed = catalog.devices_of(owner.1, 10).await.unwrap();
        assert_eq!(listed.iter().map(|row| row.id).collect::<Vec<_>>(), [newer, id]);
        assert_eq!(catalog.devices_of(owner.1, 1).await.unwrap().len(), 1);
        assert!(catalog.devices_of(other.1, 10).await.unwrap().is_empty());
        assert!(!in_tx!(catalog, tx => tx.set_device_about(other.1, id, b"theirs")));
        assert!(!in_tx!(catalog, tx => tx.revoke_device(other.1, id, 20)));
        assert!(in_tx!(catalog, tx => tx.set_device_about(owner.1, id, b"renamed")));
        let row = catalog.device(owner.1, id).await.unwrap().unwrap();
        assert_eq!(row.sealed_about, b"renamed");
    })
    .await;
}

#[tokio::test]
async fn a_revoked_vehicle_may_not_speak_and_does_not_come_back() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let (id, kept) = (add(&catalog, owner, 10).await, add(&catalog, owner, 10).await);
        assert_eq!(in_tx!(catalog, tx => tx.count_active_devices(owner.1)), 2);
        assert!(in_tx!(catalog, tx => tx.revoke_device(owner.1, id, 20)));
        assert!(!in_tx!(catalog, tx => tx.revoke_device(owner.1, id, 30)));
        let row = catalog.device(owner.1, id).await.unwrap().unwrap();
        assert_eq!((row.state, row.revoked_at), (DeviceState::Revoked, Some(20)));
        assert!(catalog.active_device(id).await.unwrap().is_none());
        assert!(catalog.active_device(kept).await.unwrap().is_some());
        assert_eq!(in_tx!(catalog, tx => tx.count_active_devices(owner.1)), 1);
        let later = add(&catalog, owner, 11).await;
        assert!(in_tx!(catalog, tx => tx.revoke_device(owner.1, later, 20)));
        let listed = catalog.devices_of(owner.1, 10).await.unwrap();
        let listed: Vec<_> = listed.iter().map(|row| row.id).collect();
        assert_eq!(listed, [kept, later, id], "whoever may speak comes first, however old");
        begin_erasure(&catalog, owner.1).await;
        assert!(
            catalog.active_device(kept).await.unwrap().is_none(),
            "its owner is being erased"
        );
        assert_eq!(in_tx!(catalog, tx => tx.remove_devices_of(owner.1)), 3);
    })
    .await;
}

#[tokio::test]
async fn last_seen_moves_in_steps() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = add(&catalog, owner, 10).await;
        for (now, since, seen) in [(100, 50, 100), (120, 90, 100), (200, 150, 200)] {
            in_tx!(catalog, tx => tx.set_device_seen(id, now, since));
            let row = catalog.active_device(id).await.unwrap().unwrap();
            assert_eq!(row.last_seen_at, Some(seen));
        }
    })
    .await;
}

#[tokio::test]
async fn every_key_that_a_vehicle_had_is_known_until_its_owner_is_erased() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let (id, other) = (add(&catalog, owner, 10).await, add(&catalog, owner, 10).await);
        let old = async |id| {
            let old = catalog.old_device_keys(id).await.unwrap();
            let mut old: Vec<_> = old.into_iter().map(|old| (old.key[0], old.since)).collect();
            old.sort_unstable();
            old
        };
        assert!(in_tx!(catalog, tx => tx.announce_device_key(id, &[8; 32], &[1; 32], 20, 10)));
        assert!(!in_tx!(catalog, tx => tx.announce_device_key(id, &[8; 32], &[2; 32], 29, 19)));
        assert!(old(id).await.is_empty(), "what was refused changed nothing");
        assert!(in_tx!(catalog, tx => tx.announce_device_key(id, &[8; 32], &[2; 32], 30, 20)));
        assert_eq!(old(id).await, [(1, 30)]);
        assert!(!in_tx!(catalog, tx => tx.use_next_device_key(id, &[1; 32], 35)));
        assert!(in_tx!(catalog, tx => tx.use_next_device_key(id, &[2; 32], 40)));
        assert!(!in_tx!(catalog, tx => tx.use_next_device_key(id, &[2; 32], 50)));
        assert!(!in_tx!(catalog, tx => tx.announce_device_key(id, &[8; 32], &[3; 32], 60, 50)));
        assert_eq!(old(id).await, [(1, 30), (8, 40)]);
        assert!(old(other).await.is_empty());
        for key in [1, 2, 8] {
            assert!(in_tx!(catalog, tx => tx.is_device_key(&[key; 32])), "{key}");
        }
        assert!(in_tx!(catalog, tx => tx.revoke_device(owner.1, id, 70)));
        assert!(in_tx!(catalog, tx => tx.is_device_key(&[1; 32])));
        assert_eq!(in_tx!(catalog, tx => tx.remove_devices_of(owner.1)), 2);
        assert!(!in_tx!(catalog, tx => tx.is_device_key(&[1; 32])));
    })
    .await;
}
