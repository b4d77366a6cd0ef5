//! What can go wrong with the store, one variant for each thing a caller does differently.

use std::io;

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

impl StoreError {
    pub(super) fn from_object_store(error: object_store::Error, id: ObjectId) -> Self {
        use object_store::Error;
        if no_such_bucket(&error) {
            return Self::Refused(error.into());
        }
        match error {
            Error::NotFound { .. } => Self::Missing(id),
            Error::AlreadyExists { .. } => Self::Exists(id),
            other => Self::from_any(other),
        }
    }

    /// An error of a whole location.
    pub(super) fn from_listing(error: object_store::Error, location: &str) -> Self {
        match error {
            object_store::Error::NotFound { source, .. } => Self::Config {
                reason: format!("the {location} bucket or folder does not exist: {source}"),
            },
            other => Self::from_any(other),
        }
    }

    fn from_any(error: object_store::Error) -> Self {
        use object_store::Error;
        match &error {
            Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. } => return Self::Refused(error.into()),
            _ => {}
        }
        match (io_kind(&error), status(&error)) {
            (Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded), _) | (_, Some(507)) => {
                Self::Full(error.into())
            }
            (Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem), _) => {
                Self::Refused(error.into())
            }
            // A request that timed out or came too fast may succeed later; any other 4xx will not.
            (_, Some(408 | 429)) => Self::Unavailable(error.into()),
            (_, Some(400..500)) => Self::Refused(error.into()),
            _ => Self::Unavailable(error.into()),
        }
    }
}

/// Whether the store says that it cannot create without overwriting: S3 services answer 501, and a file system without hard
/// links refuses one.
pub(super) fn cannot_create_only(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(error, Error::NotImplemented { .. } | Error::NotSupported { .. })
        || status(error) == Some(501)
        || matches!(
            io_kind(error),
            Some(io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied)
        )
}

/// Whether what was to be ended is gone already.
pub(super) fn is_gone(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        || status(error) == Some(404)
        || texts(error).any(|text| text.contains("MultipartUpload not found"))
}

/// Whether a range lies outside its object.
pub(super) fn is_outside(error: &object_store::Error) -> bool {
    status(error) == Some(416) || texts(error).any(|text| text.contains("Wanted range starting at"))
}

/// A missing bucket is an operator's matter, not a missing object.
fn no_such_bucket(error: &object_store::Error) -> bool {
    texts(error).any(|text| text.contains("NoSuchBucket"))
}

fn io_kind(error: &object_store::Error) -> Option<io::ErrorKind> {
    chain(error)
        .find_map(|e| e.downcast_ref::<io::Error>())
        .map(io::Error::kind)
}

/// The HTTP status of an answer. object_store keeps its type private and writes the number into the message.
fn status(error: &object_store::Error) -> Option<u16> {
    const BEFORE: &str = "status code: ";
    texts(error).find_map(|text| {
        let number = &text[text.find(BEFORE)? + BEFORE.len()..];
        number.get(..3)?.parse().ok()
    })
}

fn texts(error: &object_store::Error) -> impl Iterator<Item = String> {
    chain(error).map(ToString::to_string)
}

fn chain(error: &object_store::Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |e| e.source())
}
