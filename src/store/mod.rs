//! Object storage behind one struct; one enum owns every path and location.

mod error;

use std::path::PathBuf;

pub use error::{Cause, StoreError};

/// Which store.
#[derive(Clone)]
pub enum Config {
    /// A folder that holds `objects`, `staging` and `keyplane`.
    Folder {
        /// The folder; made when absent.
        dir: PathBuf,
    },
    /// An S3 service.
    S3(S3),
    /// Memory, for tests.
    Memory,
}

/// How to reach an S3 service.
#[derive(Clone)]
pub struct S3 {
    /// `http://host:port` or `https://…`; none for AWS.
    pub endpoint: Option<String>,
    pub region: String,
    pub data_bucket: String,
    pub staging_bucket: String,
    pub keyplane_bucket: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    _private: (),
}

impl Store {
    /// Opens the store and asks whether it answers.
    pub async fn open(_config: &Config) -> Result<Self, StoreError> {
        todo!()
    }

    /// Whether every location answers now.
    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }
}
