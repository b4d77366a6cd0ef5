//! The brake counts for all nodes and over restarts, on both databases, and a player never meets it.

use std::sync::Arc;

use dashvault::catalog::{self, Catalog};
use dashvault::model::{ClipId, CredentialId, FixedClock};
use dashvault::vault::{Config, Custody, Reach, Vault, VaultError};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::{Faulty, Postgres, Scratch};

use crate::{MINUTE, NOW, store};

const CLIPS: u32 = 6;

/// A database with a keyring, on which nodes start.
struct House {
    database: catalog::Config,
    root: ProviderConfig,
    stores: [Faulty; 3],
    clock: Arc<FixedClock>,
}

impl House {
    /// A node of its own, with its own connections and nothing in memory.
    async fn node(&self) -> Vault {
        let catalog = Catalog::connect(&self.database).await.expect("it opens");
        let [data, staging, keyplane] = &self.stores;
        let config = Config {
            root: self.root.clone(),
        };
        let vault = Vault::open(&config, catalog, store(data, staging, keyplane), self.clock.clone()).await;
        vault.expect("it opens").under(&Custody {
            clips_an_hour: CLIPS,
            ..Custody::default()
        })
    }
}

async fn both(test: impl AsyncFn(House)) {
    let scratch = Scratch::new("brake");
    let sqlite = catalog::Config::Sqlite {
        dir: scratch.path().join("catalogue"),
    };
    let postgres = catalog::Config::Postgres {
        url: Postgres::shared().database(),
    };
    for (name, database) in [("sqlite", sqlite), ("postgres", postgres)] {
        let keyring = scratch.path().join(name);
        Keyring::create(&keyring).expect("a keyring");
        test(House {
            database,
            root: ProviderConfig::keyring(&keyring),
            stores: std::array::from_fn(|_| Faulty::new()),
            clock: Arc::new(FixedClock::at(NOW)),
        })
        .await;
    }
}

/// How many of `clips` new clips a reader gets, until it is refused.
async fn opens(vault: &Vault, reader: CredentialId, clips: u32) -> u32 {
    for n in 0..clips {
        match vault.admit(reader, ClipId::random(), Reach::Media).await {
            Ok(()) => {}
            Err(VaultError::Braked { .. }) => return n,
            Err(error) => panic!("{error}"),
        }
    }
    clips
}

#[tokio::test]
async fn two_nodes_and_a_restart_give_a_thief_no_more_than_one_node() {
    both(async |house| {
        let (one, other) = (house.node().await, house.node().await);
        let thief = CredentialId::random();
        assert_eq!(opens(&one, thief, 4).await, 4);
        assert_eq!(opens(&other, thief, 100).await, CLIPS - 4);
        assert_eq!(opens(&one, thief, 100).await, 0);
        let again = house.node().await;
        assert_eq!(opens(&again, thief, 100).await, 0, "a restart gives nothing back");
        let refused = again.admit(thief, ClipId::random(), Reach::Media).await;
        assert!(
            matches!(refused, Err(VaultError::Braked { retry_after_secs: 600 })),
            "{refused:?}"
        );
        assert_eq!(again.custody_numbers().braked, 2);
        assert_eq!(opens(&other, CredentialId::random(), 2).await, 2, "others go on");
        house.clock.advance(10 * MINUTE);
        assert_eq!(
            opens(&one, thief, 100).await + opens(&other, thief, 100).await,
            1,
            "one in ten minutes"
        );
        // A row goes once it says nothing more.
        assert_eq!(one.sweep_allowances().await.expect("it answers"), 0);
        house.clock.advance(61 * MINUTE);
        assert_eq!(one.sweep_allowances().await.expect("it answers"), 2);
        assert_eq!(opens(&other, thief, 100).await, CLIPS);
    })
    .await;
}

#[tokio::test]
async fn a_player_that_asks_for_the_same_clips_again_costs_nothing_and_no_write() {
    both(async |house| {
        let (vault, reader) = (house.node().await, CredentialId::random());
        let clips: Vec<_> = (0..4).map(|_| ClipId::random()).collect();
        for range in 0..2_000 {
            let clip = clips[range % 4];
            vault.admit(reader, clip, Reach::Media).await.expect("a player");
        }
        // Six ranges of a new clip at once count as one clip.
        let fifth = ClipId::random();
        let begun: Vec<_> = (0..6)
            .map(|_| {
                let vault = vault.clone();
                tokio::spawn(async move { vault.admit(reader, fifth, Reach::Media).await })
            })
            .collect();
        for range in begun {
            range.await.expect("it ends").expect("a player");
        }
        assert_eq!(opens(&vault, reader, 100).await, CLIPS - 5);
        vault
            .admit(reader, clips[0], Reach::Media)
            .await
            .expect("who has to wait goes on with what plays");
    })
    .await;
}

#[tokio::test]
async fn of_a_clip_that_is_refused_no_request_gets_through() {
    both(async |house| {
        let (vault, thief) = (house.node().await, CredentialId::random());
        assert_eq!(opens(&vault, thief, CLIPS).await, CLIPS);
        let clip = ClipId::random();
        let asked: Vec<_> = (0..8)
            .map(|_| {
                let vault = vault.clone();
                tokio::spawn(async move { vault.admit(thief, clip, Reach::Media).await })
            })
            .collect();
        for request in asked {
            let refused = request.await.expect("it ends");
            assert!(matches!(refused, Err(VaultError::Braked { .. })), "{refused:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn stills_are_counted_apart_and_in_runs() {
    both(async |house| {
        let (vault, owner) = (house.node().await, CredentialId::random());
        for _ in 0..3_000 {
            vault
                .admit(owner, ClipId::random(), Reach::Still)
                .await
                .expect("a list");
        }
        assert_eq!(opens(&vault, owner, CLIPS).await, CLIPS);
        // They too have an end.
        let mut shown = 3_000;
        while vault.admit(owner, ClipId::random(), Reach::Still).await.is_ok() {
            shown += 1;
            assert!(shown <= 30_000, "{shown} stills");
        }
        assert!(shown > 29_900, "{shown} stills");
    })
    .await;
}
