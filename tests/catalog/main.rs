//! The catalogue's suite: every test runs on SQLite and on a private PostgreSQL.

use dashvault::catalog::{Catalog, Config};
use dashvault_test_support::{Postgres, Scratch};

mod brakes;
mod bucket_settings;
mod clips;
mod contention;
mod credentials;
mod decoys;
mod devices;
mod erasures;
mod events;
mod exposure;
mod intents;
mod jobs;
mod keks;
mod links;
mod log;
mod mirrors;
mod notices;
mod objects;
mod owners;
mod pairing_codes;
mod pieces;
mod proof;
mod rows;
mod system_records;
mod tenants;
mod uploads;
mod wishes;

/// Runs a test on an empty catalogue of each kind.
pub async fn both(test: impl AsyncFn(Catalog)) {
    let scratch = Scratch::new("catalog");
    let sqlite = Config::Sqlite {
        dir: scratch.path().join("catalogue"),
    };
    let postgres = Config::Postgres {
        url: Postgres::shared().database(),
    };
    for config in [sqlite, postgres] {
        let catalog = Catalog::connect(&config).await.expect("a new catalogue");
        test(catalog.clone()).await;
        catalog.close().await;
    }
}
