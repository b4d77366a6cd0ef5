//! The one time that all nodes of a vault go by: the database's.

use std::error::Error;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::catalog::{Catalog, CatalogError};
use crate::model::{Clock, SetClock, SystemClock, UnixMs};

/// A quartz drifts by some milliseconds in this time.
const BETWEEN_LOOKS: Duration = Duration::from_secs(60);
/// The answer is a moment between question and answer: when they are further apart, it says too little.
const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// Looks for one that was quick enough, when a node starts.
const FIRST_LOOKS: u32 = 5;
/// Of the machine's clock against the database's, for whoever reads the log: one of the two is wrong.
const WORTH_TELLING_MS: i64 = 2_000;

/// The clock for every room. On PostgreSQL it shows the server's time for as long as somebody has it; leases that nodes take
/// from each other are reckoned by it. SQLite's processes are all on one machine and go by its clock.
pub(super) async fn clock(catalog: &Catalog) -> Result<Arc<dyn Clock>, CatalogError> {
    let mut now = look(catalog).await?;
    for _ in 1..FIRST_LOOKS {
        if matches!(now, Look::TooSlow(_)) {
            now = look(catalog).await?;
        }
    }
    let now = match now {
        Look::NoServer => return Ok(Arc::new(SystemClock)),
        Look::At(now) | Look::TooSlow(now) => now,
    };
    let off_by_ms = SystemClock.now_ms() - now;
    if off_by_ms.abs() > WORTH_TELLING_MS {
        warn!(
            off_by_ms,
            "this machine's clock differs from the database's, which is used: look at the time service of both"
        );
    }
    let clock = Arc::new(SetClock::at(now));
    tokio::spawn(keep_set(Arc::downgrade(&clock), catalog.clone()));
    Ok(clock)
}

enum Look {
    NoServer,
    At(UnixMs),
    TooSlow(UnixMs),
}

/// What the server's clock shows now.
async fn look(catalog: &Catalog) -> Result<Look, CatalogError> {
    let asked = Instant::now();
    let Some(told) = catalog.server_now_ms().await? else {
        return Ok(Look::NoServer);
    };
    let took = asked.elapsed();
    let now = told + i64::try_from(took.as_millis() / 2).unwrap_or(0);
    Ok(if took <= LONGEST_LOOK {
        Look::At(now)
    } else {
        Look::TooSlow(now)
    })
}

async fn keep_set(clock: Weak<SetClock>, catalog: Catalog) {
    loop {
        tokio::time::sleep(BETWEEN_LOOKS).await;
        let looked = look(&catalog).await;
        let Some(clock) = clock.upgrade() else { return };
        match looked {
            Ok(Look::At(now)) => clock.set(now),
            // It runs on by itself meanwhile.
            Ok(_) => debug!("the database told its time too slowly"),
            Err(error) => debug!(error = &error as &dyn Error, "the database did not tell its time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use dashvault_test_support::Postgres;

    use super::*;
    use crate::catalog::Config;

    const HOUR_MS: i64 = 3_600_000;

    #[tokio::test]
    async fn a_node_goes_by_the_databases_clock_and_not_by_its_own() {
        let postgres = Postgres::shared();
        let url = postgres.database();
        let config = Config::Postgres { url: url.clone() };
        let catalog = Catalog::connect(&config).await.unwrap();
        let off_by = |clock: &Arc<dyn Clock>| clock.now_ms() - SystemClock.now_ms();
        assert!(off_by(&clock(&catalog).await.unwrap()).abs() < 1_000);
        catalog.close().await;

        // As if this machine were an hour behind.
        let name = url.rsplit('/').next().unwrap();
        postgres.psql(
            &url,
            "CREATE SCHEMA ahead; CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
             $$ SELECT pg_catalog.clock_timestamp() + interval '1 hour' $$",
        );
        postgres.psql(
            &url,
            &format!("ALTER DATABASE {name} SET search_path = public, ahead, pg_catalog"),
        );
        let catalog = Catalog::connect(&config).await.unwrap();
        let clock = clock(&catalog).await.unwrap();
        assert!((off_by(&clock) - HOUR_MS).abs() < 1_000, "{}", off_by(&clock));
        catalog.close().await;
    }

    #[tokio::test]
    async fn beside_sqlite_the_machines_clock_is_the_one() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::connect(&Config::Sqlite { dir: dir.path().into() })
            .await
            .unwrap();
        let clock = clock(&catalog).await.unwrap();
        assert!((clock.now_ms() - SystemClock.now_ms()).abs() < 1_000);
    }
}
