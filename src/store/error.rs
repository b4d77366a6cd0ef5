//! What can go wrong with the store, one variant for each thing a caller does differently.

use crate::model::ObjectId;

/// Where a failure came from.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("object {0} is not in the store")]
    Missing(ObjectId),
    /// An object with this name is there already.
    #[error("object {0} is in the store already")]
    Exists(ObjectId),
    /// The store does not answer, or says that it cannot now; try again later.
    #[error("the store does not answer")]
    Unavailable(#[source] Cause),
    /// No room.
    #[error("the store is full")]
    Full(#[source] Cause),
    /// The store gave another number of bytes than it was asked for.
    #[error("object {object}: {got} bytes came where {expected} were asked for")]
    Short {
        /// The object that was read.
        object: ObjectId,
        /// Bytes asked for.
        expected: u64,
        /// Bytes that came.
        got: u64,
    },
    /// The configuration names no usable store.
    #[error("the store is not usable: {reason}")]
    Config {
        /// What is wrong and what helps.
        reason: String,
    },
    /// The store refuses (credentials, policy), and trying again will not help.
    #[error("the store refused")]
    Refused(#[source] Cause),
}
