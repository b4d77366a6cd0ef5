//! Events: newest first, a page at a time; a viewing is extended, and ends after a pause.

use dashvault::catalog::{Catalog, NewEventRow, ViewingExtended};
use dashvault::model::{ClipId, EventId, EventKind, LinkId, OwnerId, TenantId};

use crate::rows::an_owner;
use crate::{both, in_tx};

const STEP: i64 = 60;
const VIEWING: [u8; 33] = [6; 33];

fn event((tenant, owner): (TenantId, OwnerId), kind: EventKind, at: i64) -> NewEventRow {
    NewEventRow {
        id: EventId::random(),
        tenant,
        owner,
        kind,
        clip: None,
        link: None,
        viewing: None,
        sealed_text: None,
        at,
    }
}

fn viewing(owner: (TenantId, OwnerId), at: i64) -> NewEventRow {
    NewEventRow {
        viewing: Some(VIEWING),
        ..event(owner, EventKind::ClipViewed, at)
    }
}

/// What the events of an owner say of their times, newest first.
async fn times(catalog: &Catalog, owner: OwnerId) -> Vec<(i64, i64, u64)> {
    let rows = catalog.events_of(owner, None, 100).await.unwrap();
    rows.into_iter().map(|row| (row.at, row.last_at, row.count)).collect()
}

#[tokio::test]
async fn an_event_says_what_was_recorded() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let (clip, link) = (ClipId::random(), LinkId::random());
        let new = NewEventRow {
            clip: Some(clip),
            link: Some(link),
            sealed_text: Some(b"sealed".to_vec()),
            ..event(owner, EventKind::LinkOpened, 10)
        };
        in_tx!(catalog, tx => tx.insert_event(&new));
        let rows = catalog.events_of(owner.1, None, 10).await.unwrap();
        let [row] = rows.as_slice() else { panic!("one event") };
        assert_eq!((row.id, row.kind), (new.id, EventKind::LinkOpened));
        assert_eq!((row.clip, row.link), (Some(clip), Some(link)));
        assert_eq!(row.sealed_text.as_deref(), Some(b"sealed".as_slice()));
        assert_eq!((row.at, row.last_at, row.count), (10, 10, 1));
    })
    .await;
}

#[tokio::test]
async fn pages_hold_every_event_once_also_those_of_one_moment() {
    both(async |catalog| {
        let (owner, other) = (an_owner(&catalog).await, an_owner(&catalog).await);
        let mut tx = catalog.begin().await.unwrap();
        for n in 0..20 {
            let new = event(owner, EventKind::SignedIn, n / 5);
            tx.insert_event(&new).await.unwrap();
        }
        tx.insert_event(&event(other, EventKind::SignedOut, 2)).await.unwrap();
        tx.commit().await.unwrap();
        let (mut seen, mut before) = (Vec::new(), None);
        loop {
            let page = catalog.events_of(owner.1, before, 3).await.unwrap();
            let Some(last) = page.last() else { break };
            before = Some((last.at, last.id));
            seen.extend(page.into_iter().map(|row| (row.at, row.id)));
        }
        assert_eq!(seen.len(), 20);
        assert!(
            seen.windows(2).all(|pair| pair[0] > pair[1]),
            "newest first, none twice"
        );
    })
    .await;
}

#[tokio::test]
async fn a_viewing_counts_in_steps_and_ends_after_a_pause() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        let extend =
            async |now, pause_since| in_tx!(catalog, tx => tx.extend_viewing(&VIEWING, now, pause_since, STEP));
        assert_eq!(extend(100, 0).await, ViewingExtended::Ended, "there is none");
        in_tx!(catalog, tx => tx.insert_event(&viewing(owner, 100)));
        assert_eq!(extend(120, 0).await, ViewingExtended::GoesOn);
        assert_eq!(
            times(&catalog, owner.1).await,
            [(100, 100, 1)],
            "within the step nothing is counted"
        );
        assert_eq!(extend(160, 0).await, ViewingExtended::GoesOn);
        assert_eq!(times(&catalog, owner.1).await, [(100, 160, 2)]);
        assert_eq!(
            extend(1_000, 160).await,
            ViewingExtended::Ended,
            "the pause was too long"
        );
        in_tx!(catalog, tx => tx.insert_event(&viewing(owner, 1_000)));
        assert_eq!(times(&catalog, owner.1).await, [(1_000, 1_000, 1), (100, 160, 2)]);
    })
    .await;
}

#[tokio::test]
async fn two_first_reads_at_once_are_one_viewing() {
    both(async |catalog| {
        let owner = an_owner(&catalog).await;
        in_tx!(catalog, tx => tx.insert_event(&viewing(owner, 100)));
        in_tx!(catalog, tx => tx.insert_event(&viewing(owner, 101)));
        in_tx!(catalog, tx => tx.insert_event(&viewing(owner, 99)));
        assert_eq!(times(&catalog, owner.1).await, [(100, 101, 1)]);
        // Events that are no viewings never meet.
        for _ in 0..2 {
            in_tx!(catalog, tx => tx.insert_event(&event(owner, EventKind::SignedIn, 200)));
        }
        assert_eq!(times(&catalog, owner.1).await.len(), 3);
        assert_eq!(in_tx!(catalog, tx => tx.remove_events_of(owner.1)), 3);
    })
    .await;
}
