//! Opens the database and hands out readers and write transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, install_default_drivers};
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyConnection, AnyPool, Connection as _, Executor as _, Row as _, Transaction};

use super::CatalogError;
use crate::model::UnixMs;

static SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("migrations/postgres");

/// The database in its folder.
const SQLITE_FILE: &str = "vault.db";
/// Readers beside SQLite's one writer: more than this many only wait for the disk.
const SQLITE_READERS: u32 = 8;
/// Connections to PostgreSQL from one node; its default limit for all is 100.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a request waits for a connection or for SQLite's write lock before the catalogue counts as down.
const WAIT: Duration = Duration::from_secs(10);
/// The same for SQLite's own lock, which other processes take too.
const PATIENCE: &str = "PRAGMA busy_timeout = 10000";
/// A read takes milliseconds; whoever reads for longer than this is a backup or a person.
const SHORT_PATIENCE: &str = "PRAGMA busy_timeout = 300";
/// Every transaction says so for itself, as the one before may have said otherwise.
const BEGIN: &str = "PRAGMA synchronous = FULL; BEGIN IMMEDIATE";
/// Not synced by itself. The log stays in order, so the next commit that is synced takes this one along.
const BEGIN_UNSYNCED: &str = "PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE";
/// In KiB. A batch of a rotation changes some 2,000 pages of 4 KiB; with SQLite's usual 2 MiB each would be read and written
/// several times over.
const WRITERS_CACHE: &str = "PRAGMA cache_size = -16384";
/// Checkpoints in a row before the log is left to the sweep, and the pause between them, in which writers have their turn.
const CHECKPOINTS: u32 = 4;
const BETWEEN_CHECKPOINTS: Duration = Duration::from_millis(200);
/// What every connection to PostgreSQL says before its first statement, whatever the server's own defaults are.
///
/// synchronous_commit: an acknowledged offset survives a power cut. lock_timeout: transactions here take some
/// milliseconds; whoever holds a row for longer hangs, and must not take everybody along. statement_timeout: the longest
/// statement walks a hundred thousand rows in a second. idle_in_transaction_session_timeout: a transaction may wait for a
/// root key's service, and a node that fell silent must let go of its rows.
const POSTGRES_SESSION: &str = "SET synchronous_commit = on; SET lock_timeout = '5s'; SET statement_timeout = '30s'; \
     SET idle_in_transaction_session_timeout = '60s'";

/// Which database.
#[derive(Debug, Clone)]
pub enum Config {
    /// A folder that holds `vault.db`.
    Sqlite {
        /// The folder; made when absent.
        dir: PathBuf,
    },
    /// A PostgreSQL address, `postgres://user:password@host/database`.
    Postgres {
        /// The address; it may hold a password, so it is never printed.
        url: String,
    },
}

impl Config {
    /// False when opening it would make a new database. A server is taken to be there: it tells when it is not.
    pub fn may_be_there(&self) -> bool {
        match self {
            Self::Sqlite { dir } => dir.join(SQLITE_FILE).is_file(),
            Self::Postgres { .. } => true,
        }
    }
}

/// The catalogue's pools. Cheap to clone.
#[derive(Clone)]
pub struct Catalog {
    writer: AnyPool,
    readers: AnyPool,
    sqlite: bool,
    /// Destroyed values may still stand in SQLite's log: so after every start, as the last process may have died before it
    /// emptied the log.
    log_owed: Arc<AtomicBool>,
}

/// A write transaction; rolled back when dropped without [`Tx::commit`].
pub struct Tx {
    inner: Transaction<'static, Any>,
}

impl Catalog {
    /// Opens the database, brings the schema up to date, and refuses one that is newer than this program.
    pub async fn connect(config: &Config) -> Result<Self, CatalogError> {
        install_default_drivers();
        let catalog = match config {
            Config::Sqlite { dir } => Self::connect_sqlite(dir).await?,
            Config::Postgres { url } => Self::connect_postgres(url).await?,
        };
        Ok(catalog)
    }

    async fn connect_sqlite(dir: &Path) -> Result<Self, CatalogError> {
        make_private_dir(dir)?;
        let file = dir.join(SQLITE_FILE);
        let path = file.to_str().ok_or_else(|| CatalogError::Address {
            reason: "the folder's name is not UTF-8".to_owned(),
        })?;
        let url = sqlite_url(path);
        let writer = AnyPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WAIT)
            .after_connect(|connection, _| Box::pin(set_up_sqlite(connection, false)))
            .connect(&url)
            .await?;
        SQLITE.run(&writer).await?;
        let readers = AnyPoolOptions::new()
            .max_connections(SQLITE_READERS)
            .acquire_timeout(WAIT)
            .after_connect(|connection, _| Box::pin(set_up_sqlite(connection, true)))
            .connect(&url)
            .await?;
        Ok(Self {
            writer,
            readers,
            sqlite: true,
            log_owed: Arc::new(AtomicBool::new(true)),
        })
    }

    async fn connect_postgres(url: &str) -> Result<Self, CatalogError> {
        // Without the limits: a migration may take long, and it waits for one that another node runs.
        let connecting = tokio::time::timeout(WAIT, AnyConnection::connect(url)).await;
        let mut migrating = connecting.map_err(|_| sqlx::Error::PoolTimedOut)??;
        POSTGRES.run(&mut migrating).await?;
        migrating.close().await?;
        let pool = AnyPoolOptions::new()
            .max_connections(POSTGRES_CONNECTIONS)
            .acquire_timeout(WAIT)
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(POSTGRES_SESSION).await.map(drop) })
            })
            .connect(url)
            .await?;
        Ok(Self {
            writer: pool.clone(),
            readers: pool,
            sqlite: false,
            log_owed: Arc::default(),
        })
    }

    /// Begins a write transaction. On SQLite it holds the one write lock from the start.
    pub async fn begin(&self) -> Result<Tx, CatalogError> {
        let inner = if self.sqlite {
            self.writer.begin_with(BEGIN).await?
        } else {
            self.writer.begin().await?
        };
        Ok(Tx { inner })
    }

    /// The same for what a power cut may take back, as long as it takes everything later along: on SQLite the next
    /// transaction of [`Catalog::begin`] makes it durable with its own. On PostgreSQL, whose nodes outlive its fall, it is
    /// no different.
    pub async fn begin_unsynced(&self) -> Result<Tx, CatalogError> {
        if !self.sqlite {
            return self.begin().await;
        }
        let inner = self.writer.begin_with(BEGIN_UNSYNCED).await?;
        Ok(Tx { inner })
    }

    /// Whether the database answers now.
    pub async fn ping(&self) -> Result<(), CatalogError> {
        sqlx::query("SELECT 1").execute(&self.readers).await?;
        Ok(())
    }

    /// The time by the database server's clock; none for SQLite, whose processes share the machine's.
    pub async fn server_now_ms(&self) -> Result<Option<UnixMs>, CatalogError> {
        if self.sqlite {
            return Ok(None);
        }
        let now = sqlx::query_scalar("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)");
        Ok(Some(now.fetch_one(&self.readers).await?))
    }

    /// Makes destroyed values leave the write-ahead log too (SQLite; PostgreSQL does so at its next vacuum). False when
    /// others read from the log all the while: that is logged, and [`Catalog::checkpoint_if_owed`] makes up for it.
    pub async fn checkpoint(&self) -> Result<bool, CatalogError> {
        if !self.sqlite {
            return Ok(true);
        }
        self.log_owed.store(true, Ordering::SeqCst);
        for attempt in 0..CHECKPOINTS {
            if attempt > 0 {
                tokio::time::sleep(BETWEEN_CHECKPOINTS).await;
            }
            let (writer, owed) = (self.writer.clone(), self.log_owed.clone());
            // A task of its own: it ends with the connection as it was, also when its caller is gone.
            let emptied = tokio::spawn(async move { empty_log(&writer, &owed).await });
            if emptied.await.map_err(|_| sqlx::Error::WorkerCrashed)?? {
                return Ok(true);
            }
        }
        tracing::warn!(
            "destroyed values may still stand in the database's log, because another process reads from it; the sweep \
             empties it as soon as that process lets go"
        );
        Ok(false)
    }

    /// Empties the log if a [`Catalog::checkpoint`] could not, or if it was never emptied since the start. For the sweep.
    pub async fn checkpoint_if_owed(&self) -> Result<bool, CatalogError> {
        if self.log_owed.load(Ordering::SeqCst) {
            self.checkpoint().await
        } else {
            Ok(true)
        }
    }

    /// Closes every connection; later calls fail as unavailable.
    pub async fn close(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    pub(super) fn readers(&self) -> &AnyPool {
        &self.readers
    }
}

impl Tx {
    /// Makes the transaction's writes durable.
    pub async fn commit(self) -> Result<(), CatalogError> {
        Ok(self.inner.commit().await?)
    }

    /// Takes the transaction's writes back at once.
    pub async fn rollback(self) -> Result<(), CatalogError> {
        Ok(self.inner.rollback().await?)
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

/// One checkpoint; whether nothing is left in the log. While it waits for readers it keeps other writers out, so it waits
/// for a moment only.
async fn empty_log(writer: &AnyPool, owed: &AtomicBool) -> Result<bool, sqlx::Error> {
    let mut connection = writer.acquire().await?;
    connection.execute(SHORT_PATIENCE).await?;
    let told = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .fetch_one(&mut *connection)
        .await;
    connection.execute(PATIENCE).await?;
    // The row tells whether it was kept from its work, which is no error.
    let busy: i64 = told?.try_get(0)?;
    // As long as the one writer is here, nobody can have added what this checkpoint did not see.
    if busy == 0 {
        owed.store(false, Ordering::SeqCst);
    }
    Ok(busy == 0)
}

async fn set_up_sqlite(connection: &mut AnyConnection, read_only: bool) -> Result<(), sqlx::Error> {
    connection.execute(PATIENCE).await?;
    // FULL: an acknowledged offset survives a power cut. secure_delete: destroyed wraps are overwritten.
    connection
        .execute(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
             PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;",
        )
        .await?;
    connection
        .execute(if read_only {
            "PRAGMA query_only = ON"
        } else {
            WRITERS_CACHE
        })
        .await?;
    Ok(())
}

/// Percent-encodes what a URL would misread in a path.
fn sqlite_url(path: &str) -> String {
    let mut url = String::from("sqlite://");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => url.push(char::from(byte)),
            other => url.push_str(&format!("%{other:02X}")),
        }
    }
    url.push_str("?mode=rwc");
    url
}

fn make_private_dir(dir: &Path) -> Result<(), CatalogError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|e| CatalogError::Unavailable(sqlx::Error::Io(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_is_synced_whatever_the_one_before_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::Sqlite {
            dir: dir.path().to_owned(),
        };
        let catalog = Catalog::connect(&config).await.unwrap();
        async fn level(mut tx: Tx) -> i64 {
            let told = sqlx::query_scalar("PRAGMA synchronous")
                .fetch_one(tx.connection())
                .await;
            tx.commit().await.unwrap();
            told.unwrap()
        }
        let (full, normal) = (2, 1);
        assert_eq!(level(catalog.begin().await.unwrap()).await, full);
        assert_eq!(level(catalog.begin_unsynced().await.unwrap()).await, normal);
        assert_eq!(level(catalog.begin().await.unwrap()).await, full);
        drop(catalog.begin_unsynced().await.unwrap());
        assert_eq!(level(catalog.begin().await.unwrap()).await, full);
    }

    #[tokio::test]
    async fn an_unknown_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::Sqlite {
            dir: dir.path().join("a folder?"),
        };
        let catalog = Catalog::connect(&config).await.unwrap();
        let mut tx = catalog.begin().await.unwrap();
        tx.connection()
            .execute(
                "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time) \
                 VALUES (9999, 'from the future', CURRENT_TIMESTAMP, TRUE, x'00', 0)",
            )
            .await
            .unwrap();
        tx.commit().await.unwrap();
        catalog.close().await;
        let refused = Catalog::connect(&config).await.err().unwrap();
        assert!(
            matches!(refused, CatalogError::UnknownSchema { version: 9999 }),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn a_server_with_careless_defaults_is_told_better() {
        let postgres = dashvault_test_support::Postgres::shared();
        let url = postgres.database();
        let name = url.rsplit('/').next().unwrap();
        postgres.psql(&url, &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
        let catalog = Catalog::connect(&Config::Postgres { url }).await.unwrap();
        for (setting, value) in [
            ("synchronous_commit", "on"),
            ("lock_timeout", "5s"),
            ("statement_timeout", "30s"),
            ("idle_in_transaction_session_timeout", "1min"),
        ] {
            let shown = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(format!("SHOW {setting}")));
            assert_eq!(shown.fetch_one(catalog.readers()).await.unwrap(), value, "{setting}");
        }
        catalog.close().await;
    }

    #[tokio::test]
    async fn a_dropped_transaction_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let catalog = Catalog::connect(&Config::Sqlite { dir: dir.path().into() })
            .await
            .unwrap();
        {
            let mut tx = catalog.begin().await.unwrap();
            tx.connection()
                .execute("INSERT INTO tenants (id, created_at) VALUES (x'00', 1)")
                .await
                .unwrap();
        }
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM tenants")
            .fetch_one(catalog.readers())
            .await
            .unwrap();
        assert_eq!(count, 0);
    }
}
