//! What was destroyed leaves SQLite's write-ahead log too, also when somebody reads from it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dashvault::catalog::{Catalog, Config};
use dashvault::model::{ClipId, OwnerId, TenantId};
use dashvault_test_support::{Reader, Scratch};

use crate::rows;

struct Room {
    catalog: Catalog,
    tenant: TenantId,
    owner: OwnerId,
    scratch: Scratch,
}

impl Room {
    async fn new() -> Self {
        let scratch = Scratch::new("log");
        let dir = scratch.path().to_owned();
        let catalog = Catalog::connect(&Config::Sqlite { dir }).await.unwrap();
        let (tenant, owner) = rows::an_owner(&catalog).await;
        Self {
            catalog,
            tenant,
            owner,
            scratch,
        }
    }

    fn database(&self) -> PathBuf {
        self.scratch.path().join("vault.db")
    }

    fn log_bytes(&self) -> u64 {
        std::fs::metadata(self.scratch.path().join("vault.db-wal"))
            .unwrap()
            .len()
    }

    async fn a_clip_whose_keys_are_destroyed(&self) -> ClipId {
        let id = rows::a_ready_clip(&self.catalog, self.tenant, self.owner).await;
        let mut tx = self.catalog.begin().await.unwrap();
        assert!(tx.erase_clip_keys(id, 20).await.unwrap());
        tx.commit().await.unwrap();
        id
    }
}

fn holds(file: &Path, planted: &[u8]) -> bool {
    let bytes = std::fs::read(file).unwrap();
    bytes.windows(planted.len()).any(|window| window == planted)
}

#[tokio::test]
async fn a_checkpoint_empties_the_log() {
    let room = Room::new().await;
    room.a_clip_whose_keys_are_destroyed().await;
    assert!(room.log_bytes() > 0);
    assert!(room.catalog.checkpoint().await.unwrap());
    assert_eq!(room.log_bytes(), 0);
    assert!(!holds(&room.database(), b"an envelope"));
    rows::a_ready_clip(&room.catalog, room.tenant, room.owner).await;
    assert!(room.catalog.checkpoint_if_owed().await.unwrap());
    assert!(room.log_bytes() > 0, "nothing is owed: the sweep leaves the log alone");
}

#[tokio::test]
async fn a_checkpoint_that_a_reader_kept_from_its_work_says_so_and_is_made_up_for() {
    let room = Room::new().await;
    let reader = Reader::of(&room.database());
    room.a_clip_whose_keys_are_destroyed().await;
    let began = Instant::now();
    assert!(!room.catalog.checkpoint().await.unwrap(), "it is told");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert!(holds(&room.scratch.path().join("vault.db-wal"), b"an envelope"));
    assert!(!room.catalog.checkpoint_if_owed().await.unwrap(), "still");
    drop(reader);
    assert!(room.catalog.checkpoint_if_owed().await.unwrap());
    assert_eq!(room.log_bytes(), 0);
}

#[tokio::test]
async fn writers_have_their_turn_while_a_checkpoint_waits_for_a_reader() {
    let room = Room::new().await;
    let _reader = Reader::of(&room.database());
    room.a_clip_whose_keys_are_destroyed().await;
    let writing = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let began = Instant::now();
        rows::a_ready_clip(&room.catalog, room.tenant, room.owner).await;
        began.elapsed()
    };
    let (emptied, took) = tokio::join!(room.catalog.checkpoint(), writing);
    assert!(!emptied.unwrap());
    assert!(took < Duration::from_millis(900), "{took:?}");
}

#[tokio::test]
async fn a_log_that_a_dead_process_left_is_owed_after_the_next_start() {
    let room = Room::new().await;
    room.a_clip_whose_keys_are_destroyed().await;
    let dir = room.scratch.path().to_owned();
    let next = Catalog::connect(&Config::Sqlite { dir }).await.unwrap();
    assert!(room.log_bytes() > 0, "the old process did not get to it");
    assert!(next.checkpoint_if_owed().await.unwrap());
    assert_eq!(room.log_bytes(), 0);
}
