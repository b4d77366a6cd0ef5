//! What ingest refuses, one variant for each thing a client does differently.

use super::Quota;
use crate::audit::AuditError;
use crate::catalog::CatalogError;
use crate::model::Trouble;
use crate::vault::VaultError;

/// A refusal, or a failure on the way.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// 404: there is no such upload, or it is another's; never says which.
    #[error("no such upload")]
    NotFound,
    /// 403: who it is is known, and this is not theirs to do.
    #[error("not allowed with this credential")]
    Forbidden,
    /// 409: the bytes belong elsewhere.
    #[error("the upload stands at {offset}")]
    Mismatch {
        /// Where the next byte belongs.
        offset: u64,
    },
    /// 409: a newer request went on with this upload; ask where it stands.
    #[error("a newer request took this upload over")]
    Fenced,
    /// 401: the vehicle was revoked while it sent; what came before stays its owner's.
    #[error("the vehicle was revoked")]
    Revoked,
    /// 409: an upload whose bytes are all there cannot be ended; the clip can be deleted.
    #[error("the upload is complete")]
    Complete,
    /// 503, if anybody still listens: the body broke off, stalled or came too slowly.
    #[error("the body broke off; the upload stands at {offset}")]
    Interrupted {
        /// Where the next byte belongs.
        offset: u64,
    },
    /// 400: the upload was said to have another length, or has more bytes already.
    #[error("another length than was said before")]
    Inconsistent,
    /// 413: more bytes than were announced or than are taken.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// The most there may be.
        limit: u64,
    },
    /// 410: the upload was ended or has expired.
    #[error("the upload is over")]
    Gone,
    /// 460: the body does not have the sum it should have; nothing of it is kept.
    #[error("the checksum is wrong")]
    Checksum,
    /// 400: `Upload-Checksum` is not an algorithm, a space and a sum in base64.
    #[error("not a checksum")]
    InvalidChecksum,
    /// 400: the checksum's algorithm is not one of those that are told.
    #[error("unknown checksum algorithm")]
    Unsupported,
    /// 400: `Upload-Metadata` is not well-formed.
    #[error("metadata {key}: {reason}")]
    InvalidMetadata {
        /// One of the known keys, or `Upload-Metadata` for the whole.
        key: &'static str,
        /// What is wrong, never what was said.
        reason: &'static str,
    },
    /// 400: an upload of no bytes is no clip.
    #[error("an empty upload")]
    Empty,
    /// 400: what is to be joined is no list of partial uploads.
    #[error("not partial uploads: {reason}")]
    InvalidParts {
        /// What is wrong.
        reason: &'static str,
    },
    /// 409: a partial upload has not all its bytes yet.
    #[error("a partial upload is not complete")]
    PartMissing,
    /// 409: a partial upload became part of another upload.
    #[error("a partial upload is part of another upload")]
    PartTaken,
    /// 503: too much is being received; come back.
    #[error("too many uploads at once")]
    Busy {
        /// For `Retry-After`.
        retry_after_secs: u32,
    },
    /// 507: as much as the owner or the vehicle may keep is there; what was acknowledged is kept.
    #[error("the quota {} of {limit} is used up", .quota.as_str())]
    OverQuota {
        /// Which one.
        quota: Quota,
        /// How much it is.
        limit: u64,
    },
    /// 503: a bucket is not known to be private, and nothing more is put into it; what was acknowledged is kept.
    #[error("writes are withheld")]
    Withheld {
        /// For `Retry-After`.
        retry_after_secs: u32,
        /// Which bucket, and why.
        #[source]
        cause: Cause,
    },
    /// 503: the disk is nearly full, and what is left of it is for events; what was acknowledged is kept.
    #[error("the disk is nearly full: what is left of it is for events")]
    Filling {
        /// For `Retry-After`.
        retry_after_secs: u32,
    },
    /// 507: no room; what was acknowledged is kept.
    #[error("no room for more bytes")]
    Full(#[source] Cause),
    /// 503: store or catalogue does not answer; what was acknowledged is kept.
    #[error("storage does not answer")]
    Unavailable(#[source] Cause),
    /// 500: a defect, or damage that somebody has to look at.
    #[error("the upload cannot be served")]
    Broken(#[source] Cause),
}

/// Where a failure came from; told once, at the edge.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a failure beneath means to a client.
pub(super) fn from_trouble(trouble: Trouble, cause: Cause) -> IngestError {
    match trouble {
        Trouble::Unavailable | Trouble::Locked | Trouble::Braked { .. } => IngestError::Unavailable(cause),
        Trouble::Withheld { retry_after_secs } => IngestError::Withheld {
            retry_after_secs,
            cause,
        },
        Trouble::Full => IngestError::Full(cause),
        Trouble::Gone => IngestError::Gone,
        Trouble::Damaged | Trouble::Defect => IngestError::Broken(cause),
    }
}

impl From<CatalogError> for IngestError {
    fn from(error: CatalogError) -> Self {
        from_trouble(error.trouble(), error.into())
    }
}

impl From<VaultError> for IngestError {
    fn from(error: VaultError) -> Self {
        from_trouble(error.trouble(), error.into())
    }
}

impl From<AuditError> for IngestError {
    fn from(error: AuditError) -> Self {
        from_trouble(error.trouble(), error.into())
    }
}
