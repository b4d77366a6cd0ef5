//! The catalogue: every row and all SQL, one text for SQLite and PostgreSQL.
//!
//! Reads are methods of [`Catalog`]; writes are methods of [`Tx`], so that a room composes what belongs together into
//! one transaction. Each table has a file of its own.

mod connect;
mod error;
mod row;

pub use connect::{Catalog, Config, Tx};
pub use error::CatalogError;
