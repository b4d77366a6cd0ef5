//! Clips: what moves a clip's state, what the trash keeps, what an erasure leaves, and how a change shows.

use dashvault::catalog::{
    Catalog, CatalogError, ClipPublication, ClipRow, ClipTotals, MirrorRow, MirrorState, MirrorSubject, NewClip,
    NewOwner, ObjectRow,
};
use dashvault::model::{ClipId, ClipState, DeviceId, LinkId, ObjectId, OwnerId, TenantId};

use crate::{both, rows};

async fn an_owner(catalog: &Catalog) -> (TenantId, OwnerId) {
    let (tenant, owner) = (TenantId::random(), OwnerId::random());
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_tenant(tenant, 1).await.unwrap();
    let mut email_index = [7; 32];
    email_index[..16].copy_from_slice(owner.as_bytes());
    tx.insert_owner(&NewOwner {
        id: owner,
        tenant,
        email_index: &email_index,
        index_version: 1,
        sealed_profile: b"sealed",
        created_at: 1,
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    (tenant, owner)
}

/// A clip begun at 10.
async fn a_clip(catalog: &Catalog, (tenant, owner): (TenantId, OwnerId)) -> ClipId {
    let id = ClipId::random();
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_clip(&NewClip {
        id,
        tenant,
        owner,
        device: None,
        created_at: 10,
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    id
}

fn publication(id: ClipId, state: ClipState) -> ClipPublication<'static> {
    ClipPublication {
        id,
        state,
        incomplete: true,
        error_code: (state == ClipState::Failed).then_some("no_video"),
        kek_version: 3,
        envelope: b"an envelope",
        sealed_summary: b"a summary",
        sealed_details: b"details",
        sha256_index: Some(b"an index"),
    }
}

/// Runs one write in a transaction of its own.
macro_rules! write {
    ($catalog:expr, $tx:ident => $call:expr) => {{
        let mut $tx = $catalog.begin().await.unwrap();
        let done = $call.await.unwrap();
        $tx.commit().await.unwrap();
        done
    }};
}

async fn read(catalog: &Catalog, id: ClipId) -> ClipRow {
    catalog.clip_any(id).await.unwrap().expect("the clip's row")
}

async fn a_ready_clip(catalog: &Catalog, owner: (TenantId, OwnerId)) -> ClipId {
    let id = a_clip(catalog, owner).await;
    assert!(write!(catalog, tx => tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, 11)));
    assert!(write!(catalog, tx => tx.set_clip_state(id, &[ClipState::Queued], ClipState::Transcoding, 12)));
    assert!(write!(catalog, tx => tx.publish_clip(&publication(id, ClipState::Ready), 13)));
    id
}

#[tokio::test]
async fn a_new_clip_is_uploading_and_its_owner_alone_reads_it() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let new = NewClip {
            id: ClipId::random(),
            tenant,
            owner,
            device: Some(DeviceId::random()),
            created_at: 10,
        };
        write!(catalog, tx => tx.insert_clip(&new));
        let row = catalog.clip(owner, new.id).await.unwrap().unwrap();
        assert_eq!(
            (row.state, row.device, row.tenant),
            (ClipState::Uploading, new.device, tenant)
        );
        assert_eq!((row.created_at, row.updated_at, row.progress), (10, 10, 0));
        assert!(row.envelope.is_none() && row.sealed_summary.is_none() && !row.held);
        assert!(catalog.clip(OwnerId::random(), new.id).await.unwrap().is_none());
        let mut tx = catalog.begin().await.unwrap();
        let twice = tx.insert_clip(&new).await.unwrap_err();
        assert!(matches!(twice, CatalogError::Exists(_)), "{twice:?}");
    })
    .await;
}

#[tokio::test]
async fn a_state_moves_only_from_the_states_named() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = a_clip(&catalog, owner).await;
        let wrong = [ClipState::Queued, ClipState::Ready, ClipState::Failed];
        assert!(!write!(catalog, tx => tx.set_clip_state(id, &wrong, ClipState::Transcoding, 11)));
        assert!(!write!(catalog, tx => tx.set_clip_state(id, &[], ClipState::Transcoding, 11)));
        let right = [ClipState::Failed, ClipState::Uploading];
        assert!(write!(catalog, tx => tx.set_clip_state(id, &right, ClipState::Queued, 11)));
        assert_eq!(read(&catalog, id).await.state, ClipState::Queued);
        assert!(
            !write!(catalog, tx => tx.set_clip_progress(id, 500, 12)),
            "nothing is transcoded yet"
        );
        assert!(write!(catalog, tx => tx.set_clip_state(id, &[ClipState::Queued], ClipState::Transcoding, 12)));
        assert!(write!(catalog, tx => tx.set_clip_progress(id, 500, 12)));
        assert_eq!(read(&catalog, id).await.progress, 500);
    })
    .await;
}

#[tokio::test]
async fn a_clip_is_published_once_the_original_first() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = a_clip(&catalog, owner).await;
        let early = write!(catalog, tx => tx.publish_clip(&publication(id, ClipState::Ready), 11));
        assert!(!early, "its bytes are still arriving");
        write!(catalog, tx => tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, 11));
        assert!(write!(catalog, tx => tx.publish_clip(&publication(id, ClipState::Transcoding), 12)));
        let row = read(&catalog, id).await;
        assert_eq!((row.state, row.kek_version), (ClipState::Transcoding, Some(3)));
        assert_eq!(row.envelope.as_deref(), Some(&b"an envelope"[..]));
        assert_eq!(row.sealed_summary.as_deref(), Some(&b"a summary"[..]));
        assert_eq!(row.sealed_details.as_deref(), Some(&b"details"[..]));
        let mut last = publication(id, ClipState::Ready);
        last.sha256_index = None;
        assert!(write!(catalog, tx => tx.publish_clip(&last, 13)));
        let row = read(&catalog, id).await;
        assert_eq!(
            (row.state, row.progress, row.incomplete),
            (ClipState::Ready, 1_000, true)
        );
        assert_eq!(
            row.sha256_index.as_deref(),
            Some(&b"an index"[..]),
            "kept when not given again"
        );
        assert!(
            !write!(catalog, tx => tx.publish_clip(&last, 14)),
            "it is published already"
        );
    })
    .await;
}

#[tokio::test]
async fn a_clip_without_anything_to_keep_fails_with_its_reason() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let id = a_clip(&catalog, owner).await;
        assert!(!write!(catalog, tx => tx.fail_clip(id, "pieces_lost", 11)));
        write!(catalog, tx => tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, 11));
        assert!(write!(catalog, tx => tx.fail_clip(id, "pieces_lost", 12)));
        let row = read(&catalog, id).await;
        assert_eq!(
            (row.state, row.error_code.as_deref()),
            (ClipState::Failed, Some("pieces_lost"))
        );
    })
    .await;
}

#[tokio::test]
async fn the_trash_gives_back_what_it_took_until_its_time_is_over() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let id = a_ready_clip(&catalog, (tenant, owner)).await;
        let other = OwnerId::random();
        assert!(!write!(catalog, tx => tx.trash_clip(other, id, 20, 30)));
        assert!(!write!(catalog, tx => tx.restore_clip(owner, id, 20)));
        assert!(write!(catalog, tx => tx.trash_clip(owner, id, 20, 30)));
        let row = read(&catalog, id).await;
        assert_eq!(
            (row.state, row.state_before),
            (ClipState::Trashed, Some(ClipState::Ready))
        );
        assert_eq!((row.trashed_at, row.erase_at), (Some(20), Some(30)));
        assert!(
            !write!(catalog, tx => tx.trash_clip(owner, id, 21, 31)),
            "it lies there already"
        );
        assert!(!write!(catalog, tx => tx.restore_clip(other, id, 29)));
        assert!(
            !write!(catalog, tx => tx.restore_clip(owner, id, 30)),
            "its time is over"
        );
        assert!(write!(catalog, tx => tx.restore_clip(owner, id, 29)));
        let row = read(&catalog, id).await;
        assert_eq!(
            (row.state, row.state_before, row.erase_at),
            (ClipState::Ready, None, None)
        );
    })
    .await;
}

#[tokio::test]
async fn work_goes_on_beneath_the_trash() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let id = a_clip(&catalog, (tenant, owner)).await;
        assert!(
            !write!(catalog, tx => tx.trash_clip(owner, id, 11, 90)),
            "its bytes are still arriving"
        );
        write!(catalog, tx => tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, 11));
        assert!(write!(catalog, tx => tx.trash_clip(owner, id, 12, 90)));
        assert!(write!(catalog, tx => tx.set_clip_state(id, &[ClipState::Queued], ClipState::Transcoding, 13)));
        assert!(write!(catalog, tx => tx.set_clip_progress(id, 300, 14)));
        let row = read(&catalog, id).await;
        assert_eq!(
            (row.state, row.state_before),
            (ClipState::Trashed, Some(ClipState::Transcoding))
        );
        assert!(write!(catalog, tx => tx.publish_clip(&publication(id, ClipState::Ready), 15)));
        let row = read(&catalog, id).await;
        assert_eq!(
            (row.state, row.state_before),
            (ClipState::Trashed, Some(ClipState::Ready))
        );
        assert!(write!(catalog, tx => tx.restore_clip(owner, id, 16)));
        assert_eq!(read(&catalog, id).await.state, ClipState::Ready);
    })
    .await;
}

#[tokio::test]
async fn an_erasure_leaves_nothing_that_opens_the_clip() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let id = a_ready_clip(&catalog, (tenant, owner)).await;
        assert!(!write!(catalog, tx => tx.delete_clip(id)), "its keys are still there");
        assert!(write!(catalog, tx => tx.erase_clip_keys(id, 20)));
        let row = read(&catalog, id).await;
        assert_eq!(row.state, ClipState::Erasing);
        assert!(row.envelope.is_none() && row.sealed_summary.is_none() && row.sealed_details.is_none());
        assert!(row.sha256_index.is_none() && row.kek_version.is_none());
        assert!(
            write!(catalog, tx => tx.erase_clip_keys(id, 21)),
            "a second time does no harm"
        );
        let late = write!(catalog, tx => tx.publish_clip(&publication(id, ClipState::Ready), 22));
        assert!(!late, "a job that was still running must not bring the wrap back");
        assert!(!write!(catalog, tx => tx.trash_clip(owner, id, 22, 30)));
        assert!(write!(catalog, tx => tx.delete_clip(id)));
        assert!(catalog.clip_any(id).await.unwrap().is_none());
        assert!(!write!(catalog, tx => tx.erase_clip_keys(id, 23)));
    })
    .await;
}

#[tokio::test]
async fn a_held_clip_is_neither_trashed_nor_erased() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let id = a_ready_clip(&catalog, (tenant, owner)).await;
        assert!(write!(catalog, tx => tx.hold_clip(id, true, 20)));
        assert!(!write!(catalog, tx => tx.trash_clip(owner, id, 21, 30)));
        assert!(!write!(catalog, tx => tx.erase_clip_keys(id, 21)));
        assert_eq!(read(&catalog, id).await.envelope.as_deref(), Some(&b"an envelope"[..]));
        assert!(write!(catalog, tx => tx.hold_clip(id, false, 22)));
        assert!(write!(catalog, tx => tx.trash_clip(owner, id, 23, 30)));
        write!(catalog, tx => tx.hold_clip(id, true, 24));
        assert!(
            catalog.clips_to_erase(99, None, 10).await.unwrap().is_empty(),
            "held in the trash"
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_overdue_in_the_trash_is_told_the_longest_first() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let mut ids = Vec::new();
        for erase_at in [50, 40, 60] {
            let id = a_ready_clip(&catalog, (tenant, owner)).await;
            write!(catalog, tx => tx.trash_clip(owner, id, 20, erase_at));
            ids.push(id);
        }
        let due = |now, limit| {
            let catalog = catalog.clone();
            async move {
                let rows = catalog.clips_to_erase(now, None, limit).await.unwrap();
                rows.into_iter().map(|row| row.id).collect::<Vec<_>>()
            }
        };
        assert_eq!(due(39, 10).await, []);
        assert_eq!(due(50, 10).await, [ids[1], ids[0]]);
        assert_eq!(due(99, 1).await, [ids[1]]);
        let rest = catalog.clips_to_erase(99, Some((40, ids[1])), 10).await.unwrap();
        let rest: Vec<_> = rest.into_iter().map(|row| row.id).collect();
        assert_eq!(rest, [ids[0], ids[2]], "a walk goes on behind the first");
    })
    .await;
}

#[tokio::test]
async fn every_change_changes_the_stamp_even_within_a_millisecond_and_with_a_slow_clock() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let mut stamps = vec![catalog.clips_stamp(owner).await.unwrap()];
        let id = a_ready_clip(&catalog, (tenant, owner)).await;
        a_ready_clip(&catalog, an_owner(&catalog).await).await;
        stamps.push(catalog.clips_stamp(owner).await.unwrap());
        for now in [13, 13, 5] {
            write!(catalog, tx => tx.trash_clip(owner, id, now, 90));
            stamps.push(catalog.clips_stamp(owner).await.unwrap());
            write!(catalog, tx => tx.restore_clip(owner, id, now));
            stamps.push(catalog.clips_stamp(owner).await.unwrap());
        }
        for (at, stamp) in stamps.iter().enumerate() {
            assert!(
                !stamps[..at].contains(stamp),
                "stamp {at} of {stamps:?} was there before"
            );
        }
        assert_eq!(catalog.clips_stamp(owner).await.unwrap(), stamps[stamps.len() - 1]);
    })
    .await;
}

#[tokio::test]
async fn clips_are_found_by_owner_by_change_and_by_id() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        let stranger = a_clip(&catalog, an_owner(&catalog).await).await;
        let quiet = a_clip(&catalog, (tenant, owner)).await;
        let ready = a_ready_clip(&catalog, (tenant, owner)).await;
        let ids = |rows: Vec<ClipRow>| {
            let mut ids: Vec<_> = rows.into_iter().map(|row| row.id).collect();
            ids.sort();
            ids
        };
        let mut both = vec![quiet, ready];
        both.sort();
        assert_eq!(ids(catalog.clips_of(owner).await.unwrap()), both);
        assert_eq!(ids(catalog.clips_changed_since(owner, 10).await.unwrap()), [ready]);
        let asked = [ready, stranger, ClipId::random()];
        assert_eq!(ids(catalog.clips_by_id(owner, &asked).await.unwrap()), [ready]);
        assert_eq!(ids(catalog.clips_by_id(owner, &[]).await.unwrap()), []);
    })
    .await;
}

#[tokio::test]
async fn an_owner_s_totals_count_what_is_kept() {
    both(async |catalog| {
        let (tenant, owner) = an_owner(&catalog).await;
        assert_eq!(catalog.clip_totals(owner).await.unwrap(), ClipTotals::default());
        for (size_bytes, link) in [(100, None), (1 << 33, Some(LinkId::random()))] {
            let clip = a_ready_clip(&catalog, (tenant, owner)).await;
            let mut tx = catalog.begin().await.unwrap();
            let object = ObjectRow {
                id: ObjectId::random(),
                clip,
                link,
                suite: 1,
                log2_segment: 18,
                padded_size: 1 << 17,
                size_bytes,
                commitment: [3; 32],
                sealed_about: b"about".to_vec(),
                created_at: 14,
            };
            tx.insert_object(tenant, &object).await.unwrap();
            tx.commit().await.unwrap();
        }
        let erased = a_ready_clip(&catalog, (tenant, owner)).await;
        write!(catalog, tx => tx.erase_clip_keys(erased, 20));
        let totals = catalog.clip_totals(owner).await.unwrap();
        assert_eq!((totals.clips, totals.stored_bytes), (2, (1 << 33) + 100));
    })
    .await;
}

#[tokio::test]
async fn an_envelope_is_replaced_if_the_row_holds_the_one_that_was_read() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let id = rows::a_ready_clip(&catalog, tenant, owner).await;
        let row = catalog.clip_any(id).await.unwrap().unwrap();
        let before = row.envelope.unwrap();
        assert_eq!(row.least_revision, 0);
        let version = row.kek_version.map_or(1, |version| u32::try_from(version).unwrap());
        assert!(!write!(catalog, tx => tx.replace_envelope(id, b"another", version, b"newer")));
        assert!(write!(catalog, tx => tx.replace_envelope(id, &before, version, b"newer")));
        let mirror = MirrorRow {
            object: ObjectId::random(),
            kind: MirrorSubject::Envelope,
            subject: *id.as_bytes(),
            revision: 4,
            state: MirrorState::Newest,
            packed: 1,
        };
        write!(catalog, tx => tx.record_mirror(tenant, &mirror, 6));
        let row = catalog.clip_any(id).await.unwrap().unwrap();
        assert_eq!((row.envelope.as_deref(), row.least_revision), (Some(&b"newer"[..]), 4));
    })
    .await;
}
