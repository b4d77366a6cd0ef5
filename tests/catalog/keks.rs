//! Owners' keys: the newest active one counts, and destroying leaves nothing.

use dashvault::catalog::{
    CatalogError, EpochWraps, ErasureKind, ErasureRow, KekRow, MirrorRow, MirrorState, MirrorSubject, SystemRecordRow,
};
use dashvault::model::{ErasureId, KekId, ObjectId, OwnerId};

use crate::in_tx;
use crate::{both, rows};

/// More than one statement replaces, and no whole number of them.
const MANY: u32 = 230;

fn kek(owner: OwnerId, version: u32) -> KekRow {
    KekRow {
        id: KekId::random(),
        owner,
        version,
        epoch: 1,
        revision: 1,
        least_revision: 0,
        record: vec![version as u8; 300],
    }
}

#[tokio::test]
async fn the_newest_key_of_an_owner_is_the_active_one() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let (_, stranger) = rows::an_owner(&catalog).await;
        assert!(catalog.active_kek(owner).await.unwrap().is_none());
        for version in [1, 3, 2] {
            in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, version), 5));
        }
        let newest = catalog.active_kek(owner).await.unwrap().unwrap();
        assert_eq!((newest.owner, newest.version, newest.record), (owner, 3, vec![3; 300]));
        assert!(catalog.active_kek(stranger).await.unwrap().is_none());
    })
    .await;
}

#[tokio::test]
async fn a_version_is_there_once() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 1), 5));
        let mut tx = catalog.begin().await.unwrap();
        let again = tx.insert_kek(tenant, &kek(owner, 1), 5).await;
        assert!(matches!(again, Err(CatalogError::Exists(_))), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn destroying_takes_every_key_of_one_owner_and_no_other() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let (other_tenant, other) = rows::an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 1), 5));
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 2), 5));
        in_tx!(catalog, tx => tx.insert_kek(other_tenant, &kek(other, 1), 5));
        assert_eq!(in_tx!(catalog, tx => tx.destroy_keks(owner)).len(), 2);
        assert_eq!(in_tx!(catalog, tx => tx.destroy_keks(owner)).len(), 0);
        assert!(catalog.active_kek(owner).await.unwrap().is_none());
        assert!(catalog.active_kek(other).await.unwrap().is_some());
    })
    .await;
}

#[tokio::test]
async fn a_record_is_replaced_in_the_revision_that_was_read_and_tells_the_highest_that_was_mirrored() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let first = kek(owner, 1);
        in_tx!(catalog, tx => tx.insert_kek(tenant, &first, 5));
        assert_eq!(catalog.kek(first.id).await.unwrap().unwrap().least_revision, 0);
        let second = KekRow {
            revision: 2,
            record: vec![9; 300],
            ..first.clone()
        };
        assert!(!in_tx!(catalog, tx => tx.replace_kek(&second, 7)));
        assert!(in_tx!(catalog, tx => tx.replace_kek(&second, 1)));
        assert!(!in_tx!(catalog, tx => tx.replace_kek(&second, 1)), "it is at 2 now");
        let mirror = MirrorRow {
            object: ObjectId::random(),
            kind: MirrorSubject::Kek,
            subject: *first.id.as_bytes(),
            revision: 2,
            state: MirrorState::Newest,
            packed: 1,
        };
        in_tx!(catalog, tx => tx.record_mirror(tenant, &mirror, 6));
        let row = catalog.active_kek(owner).await.unwrap().unwrap();
        assert_eq!((row.revision, row.least_revision, row.record), (2, 2, vec![9; 300]));
    })
    .await;
}

#[tokio::test]
async fn many_records_are_replaced_at_once_and_each_in_its_own_revision_and_of_its_own_owner_alone() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let (_, stranger) = rows::an_owner(&catalog).await;
        let old: Vec<_> = (1..=MANY).map(|version| kek(owner, version)).collect();
        let mut tx = catalog.begin().await.unwrap();
        for kek in &old {
            tx.insert_kek(tenant, kek, 5).await.unwrap();
        }
        tx.commit().await.unwrap();
        let next = |kek: &KekRow| KekRow {
            epoch: 2,
            revision: 2,
            // A swap that goes wrong writes into another row, so every record is its own.
            record: kek.version.to_be_bytes().repeat(80),
            owner: if kek.version.is_multiple_of(7) { stranger } else { owner },
            ..kek.clone()
        };
        let new: Vec<_> = old.iter().map(next).collect();
        let swaps = |before: u32| {
            let before = move |kek: &KekRow| {
                if kek.version.is_multiple_of(5) {
                    before + 3
                } else {
                    before
                }
            };
            new.iter().map(|kek| (kek, before(kek))).collect::<Vec<_>>()
        };
        let fits = |kek: &&KekRow| !kek.version.is_multiple_of(7) && !kek.version.is_multiple_of(5);
        let mut expected: Vec<_> = new.iter().filter(fits).map(|kek| kek.id).collect();
        let mut replaced = in_tx!(catalog, tx => tx.rewrap_keks(&swaps(1)));
        expected.sort_unstable();
        replaced.sort_unstable();
        assert_eq!(replaced, expected);
        for kek in &new {
            let row = catalog.kek(kek.id).await.unwrap().unwrap();
            let now = (row.epoch, row.revision, row.version, row.owner);
            if fits(&kek) {
                assert_eq!(now, (2, 2, kek.version, owner));
                assert_eq!(row.record, kek.record);
            } else {
                assert_eq!(now, (1, 1, kek.version, owner));
                assert_eq!(row.record, vec![kek.version as u8; 300]);
            }
        }
        assert!(
            in_tx!(catalog, tx => tx.rewrap_keks(&swaps(1))).is_empty(),
            "they are at 2 now"
        );
        assert!(in_tx!(catalog, tx => tx.rewrap_keks(&[])).is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_retired_key_stays_while_a_clip_is_under_it_and_nothing_is_published_under_a_destroyed_one() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let old = kek(owner, 1);
        in_tx!(catalog, tx => tx.insert_kek(tenant, &old, 5));
        let clip = rows::a_ready_clip(&catalog, tenant, owner).await;
        let retired = KekRow {
            revision: 2,
            ..old.clone()
        };
        assert!(in_tx!(catalog, tx => tx.retire_kek(&retired, 1)));
        assert!(!in_tx!(catalog, tx => tx.retire_kek(&retired, 1)), "another was faster");
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 2), 6));
        assert_eq!(catalog.owners_with_retired_keks(tenant).await.unwrap(), [owner]);
        assert!(in_tx!(catalog, tx => tx.destroy_unused_keks(owner)).is_empty());
        let under_old = catalog.clips_under_older_keks(owner, 2, None, 10).await.unwrap();
        assert_eq!(under_old.iter().map(|row| row.id).collect::<Vec<_>>(), [clip]);
        let index = Some([3; 32]);
        let rewrap = async |before: &'static [u8], version| {
            let mut tx = catalog.begin().await.unwrap();
            let done = tx.rewrap_clip(clip, before, version, b"the next", index.as_ref()).await;
            tx.commit().await.unwrap();
            done
        };
        assert!(!rewrap(b"another", 2).await.unwrap(), "the row holds something else");
        assert!(rewrap(b"an envelope", 2).await.unwrap());
        let mirror = MirrorRow {
            object: ObjectId::random(),
            kind: MirrorSubject::Kek,
            subject: *old.id.as_bytes(),
            revision: 2,
            state: MirrorState::Newest,
            packed: 1,
        };
        in_tx!(catalog, tx => tx.record_mirror(tenant, &mirror, 6));
        assert_eq!(in_tx!(catalog, tx => tx.destroy_unused_keks(owner)), [old.id]);
        // Whoever is killed now leaves a record that the next sweep takes out of its pack.
        let left = catalog.mirrors_of_destroyed_keks(10).await.unwrap();
        assert_eq!(left.iter().map(|row| row.object).collect::<Vec<_>>(), [mirror.object]);
        assert!(catalog.owners_with_retired_keks(tenant).await.unwrap().is_empty());
        let late = rewrap(b"the next", 1).await;
        assert!(matches!(late, Err(CatalogError::Superseded)), "{late:?}");
        assert_eq!(catalog.clips_without_kek(tenant).await.unwrap(), 0);
        assert_eq!(catalog.count_keks(tenant).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn nothing_under_a_root_epoch_that_has_passed_is_written() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let record = |epoch| SystemRecordRow {
            epoch,
            revision: epoch,
            record: vec![epoch as u8; 64],
        };
        in_tx!(catalog, tx => tx.insert_system_record(tenant, &record(1), 5));
        let old = kek(owner, 1);
        in_tx!(catalog, tx => tx.insert_kek(tenant, &old, 5));
        in_tx!(catalog, tx => tx.insert_system_record(tenant, &record(2), 6));
        let wraps = |epoch, owner_keys| EpochWraps {
            epoch,
            owner_keys,
            system_records: 1,
        };
        assert_eq!(
            catalog.wraps_by_epoch(tenant).await.unwrap(),
            [wraps(1, 1), wraps(2, 0)]
        );
        let next = KekRow {
            revision: 2,
            ..old.clone()
        };
        for refused in [true, false] {
            let mut tx = catalog.begin().await.unwrap();
            let epoch = if refused { 1 } else { 2 };
            let replaced = tx.replace_kek(&KekRow { epoch, ..next.clone() }, 1).await;
            let added = tx.insert_kek(tenant, &KekRow { epoch, ..kek(owner, 2) }, 7).await;
            if refused {
                assert!(matches!(replaced, Err(CatalogError::Superseded)), "{replaced:?}");
                assert!(matches!(added, Err(CatalogError::Superseded)), "{added:?}");
            } else {
                assert!(replaced.unwrap() && added.is_ok());
                tx.commit().await.unwrap();
            }
        }
        let (found, _) = catalog.keks_after(tenant, None, 10).await.unwrap();
        assert!(found.iter().all(|kek| kek.epoch == 2) && found.len() == 2);
        // The record of an epoch is replaced only by who read it, and goes with its epoch.
        let changed = SystemRecordRow {
            revision: 3,
            ..record(2)
        };
        assert!(in_tx!(catalog, tx => tx.replace_system_record(tenant, &changed, 2)));
        assert!(!in_tx!(catalog, tx => tx.replace_system_record(tenant, &changed, 2)));
        assert_eq!(in_tx!(catalog, tx => tx.destroy_system_records_before(tenant, 2)), 1);
        assert_eq!(catalog.system_record(tenant).await.unwrap().unwrap(), changed);
        assert_eq!(catalog.wraps_by_epoch(tenant).await.unwrap(), [wraps(2, 2)]);
    })
    .await;
}

#[tokio::test]
async fn who_erased_a_clip_since_the_newest_key_was_made_is_told() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 1), 5));
        assert!(catalog.owners_with_erased_clips(tenant).await.unwrap().is_empty());
        let erasure = ErasureRow {
            id: ErasureId::random(),
            kind: ErasureKind::Clip,
            subject: [9; 16],
            owner: Some(owner),
            tombstone: vec![1; 100],
            ordered_at: 8,
            receipt: None,
            done_at: None,
        };
        assert!(in_tx!(catalog, tx => tx.insert_erasure(tenant, &erasure)));
        assert_eq!(catalog.owners_with_erased_clips(tenant).await.unwrap(), [owner]);
        assert!(in_tx!(catalog, tx => tx.retire_kek(&catalog.active_kek(owner).await.unwrap().unwrap(), 1)));
        in_tx!(catalog, tx => tx.insert_kek(tenant, &kek(owner, 2), 9));
        // Ordered before, but until it ends an envelope may still come under the new key.
        assert_eq!(catalog.owners_with_erased_clips(tenant).await.unwrap(), [owner]);
        assert!(in_tx!(catalog, tx => tx.finish_erasure(ErasureKind::Clip, &[9; 16], "signed", 8)));
        assert!(catalog.owners_with_erased_clips(tenant).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_walk_goes_from_the_oldest_key_to_the_newest_and_sees_each_once() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let (other_tenant, stranger) = rows::an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_kek(other_tenant, &kek(stranger, 1), 6));
        let mut expected = Vec::new();
        // Several of one moment, more than a step takes.
        for (version, made_at) in (1..).zip([9, 5, 5, 5, 7, 5, 9]) {
            let kek = kek(owner, version);
            in_tx!(catalog, tx => tx.insert_kek(tenant, &kek, made_at));
            expected.push((made_at, kek.id));
        }
        expected.sort_unstable();
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let (keks, last) = catalog.keks_after(tenant, after, 2).await.unwrap();
            assert_eq!(keks.is_empty(), last.is_none());
            let Some(last) = last else { break };
            assert_eq!(keks.last().map(|kek| kek.id), Some(last.1));
            seen.extend(keks.iter().map(|kek| kek.id));
            after = Some(last);
        }
        assert_eq!(seen, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>());
    })
    .await;
}

#[tokio::test]
async fn keys_are_counted_that_have_other_bytes_in_either_place() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        for (version, (count, name)) in (1..).zip([(1, b"new"), (1, b"old"), (2, b"new"), (2, b"old"), (1, b"new")]) {
            let mut kek = kek(owner, version);
            kek.record[96] = count;
            kek.record[98..101].copy_from_slice(name);
            in_tx!(catalog, tx => tx.insert_kek(tenant, &kek, 5));
        }
        let without = |name| catalog.count_keks_without(tenant, (96, 1), (98, name));
        assert_eq!(without(b"new").await.unwrap(), 3);
        assert_eq!(without(b"old").await.unwrap(), 4);
        assert_eq!(without(b"ne").await.unwrap(), 3, "what is longer has it too");
    })
    .await;
}
