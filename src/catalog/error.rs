//! What can go wrong with the catalogue, one variant for each thing a caller does differently.

use sqlx::migrate::MigrateError;

use crate::model::Trouble;

/// An error of the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database does not answer; try again later.
    #[error("the catalogue does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// Another transaction stood in the way for too long, or each waited for the other's rows: nothing was written, the
    /// same again may succeed at once. It is about the rows that were asked for, not about the database.
    #[error("other transactions were in the way")]
    Contended(#[source] sqlx::Error),
    /// No room on the database's disk.
    #[error("the catalogue's disk is full")]
    Full(#[source] sqlx::Error),
    /// A row with this key is there already.
    #[error("the row exists already")]
    Exists(#[source] sqlx::Error),
    /// It was made with a key that has been replaced meanwhile: nothing of the transaction may stay, make it anew.
    #[error("its key was replaced meanwhile")]
    Superseded,
    /// A row does not hold what its table promises.
    #[error("table {table}: column {column} holds no valid value")]
    BadRow {
        /// The table read.
        table: &'static str,
        /// The column that is wrong.
        column: &'static str,
    },
    /// The schema is newer than this program.
    #[error(
        "the database has schema version {version}, which this program does not know: run the newer program, or restore an older backup"
    )]
    UnknownSchema {
        /// The version found in the database.
        version: i64,
    },
    /// The configuration names no usable database.
    #[error("the database address is not usable: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// A migration failed.
    #[error("the schema could not be brought up to date")]
    Migrate(#[source] MigrateError),
    /// The database refused a statement: a defect of this program.
    #[error("the catalogue refused a statement")]
    Refused(#[source] sqlx::Error),
}

impl CatalogError {
    /// What it means to whoever asked.
    pub fn trouble(&self) -> Trouble {
        match self {
            Self::Unavailable(_) | Self::Contended(_) | Self::Superseded => Trouble::Unavailable,
            Self::Full(_) => Trouble::Full,
            Self::BadRow { .. } => Trouble::Damaged,
            _ => Trouble::Defect,
        }
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::error::ErrorKind;
        let Some(db) = error.as_database_error() else {
            return match error {
                sqlx::Error::Io(_)
                | sqlx::Error::Tls(_)
                | sqlx::Error::PoolTimedOut
                | sqlx::Error::PoolClosed
                | sqlx::Error::WorkerCrashed => Self::Unavailable(error),
                other => Self::Refused(other),
            };
        };
        let code = db.code().unwrap_or_default().into_owned();
        match code.as_str() {
            // SQLITE_FULL; PostgreSQL disk_full, out of memory.
            "13" | "53100" | "53200" => Self::Full(error),
            // PostgreSQL serialization failure, deadlock, lock_timeout.
            "40001" | "40P01" | "55P03" => Self::Contended(error),
            // SQLITE_BUSY, LOCKED, IOERR, CANTOPEN and their extended forms; PostgreSQL shutdown, statement_timeout (or a
            // person who ended the statement), a transaction that stood idle, too many connections.
            "5" | "6" | "10" | "14" | "57P01" | "57P02" | "57P03" | "57014" | "25P03" | "53300" => {
                Self::Unavailable(error)
            }
            _ if db.kind() == ErrorKind::UniqueViolation => Self::Exists(error),
            extended
                if extended
                    .parse::<u32>()
                    .is_ok_and(|c| c > 255 && matches!(c & 0xff, 5 | 6 | 10 | 14)) =>
            {
                Self::Unavailable(error)
            }
            _ => Self::Refused(error),
        }
    }
}

impl From<MigrateError> for CatalogError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::VersionMissing(version) | MigrateError::VersionTooNew(version, _) => {
                Self::UnknownSchema { version }
            }
            MigrateError::Execute(source) => source.into(),
            other => Self::Migrate(other),
        }
    }
}
