//! Uploads that share a transaction do not share each other's trouble.

use std::time::Duration;

use dashvault::catalog::Tx;
use dashvault::ingest::IngestError;
use dashvault::model::ClipId;

use crate::room::{Room, WEEK_MS, noise};

/// A transaction that has an upload's row and does not come to an end.
async fn a_holder_of(room: &Room, id: ClipId) -> Tx {
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.fence_upload(id, WEEK_MS).await.unwrap().is_some());
    tx
}

#[tokio::test]
async fn a_row_that_somebody_else_holds_stops_its_own_upload_and_no_other() {
    let room = Room::on_postgres().await;
    let bytes = noise(10_000);
    let (first, stuck, free) = (
        room.begin(10_000).await,
        room.begin(10_000).await,
        room.begin(10_000).await,
    );
    // While the first waits for its row, the other two come together in the next transaction.
    let let_go_soon = a_holder_of(&room, first).await;
    let kept = a_holder_of(&room, stuck).await;
    let later = async |id| {
        tokio::time::sleep(Duration::from_millis(300)).await;
        room.append(id, 0, &bytes).await
    };
    let letting_go = async {
        tokio::time::sleep(Duration::from_millis(900)).await;
        let_go_soon.rollback().await.unwrap();
    };
    let (of_first, of_stuck, of_free, ()) =
        tokio::join!(room.append(first, 0, &bytes), later(stuck), later(free), letting_go);
    assert_eq!(of_first.unwrap().offset, 10_000);
    assert_eq!(of_free.unwrap().offset, 10_000, "it had nothing to do with it");
    assert!(matches!(of_stuck, Err(IngestError::Unavailable(_))), "{of_stuck:?}");

    kept.rollback().await.unwrap();
    assert_eq!(room.append(stuck, 0, &bytes).await.unwrap().offset, 10_000);
    for id in [first, stuck, free] {
        assert!(room.received(id).await == bytes);
    }
}
