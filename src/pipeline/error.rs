//! Why a job could not go on, one variant for each thing that its worker does next.

use crate::audit::AuditError;
use crate::catalog::CatalogError;
use crate::model::Trouble;
use crate::vault::VaultError;

/// Where a failure came from; told once, by the worker.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of a job.
#[derive(Debug, thiserror::Error)]
pub(super) enum JobError {
    /// Another node has the job: write nothing.
    #[error("the lease is lost")]
    LeaseLost,
    /// The clip or its owner was erased meanwhile: there is nothing left to do.
    #[error("what it works on has been erased")]
    Gone,
    /// The store, the catalogue, the root key or the worker program is not there: try again, and do not hold it against
    /// the clip.
    #[error("something that it needs does not answer")]
    Passing(#[source] Cause),
    /// Other jobs have to end first: come back in a while.
    #[error("other jobs have to end first")]
    Waits,
    /// Anything else: try again a few times, then give up under this code.
    #[error("the attempt failed ({code})")]
    Failed {
        /// The stable word that the clip will carry.
        code: &'static str,
        /// What happened.
        source: Cause,
    },
}

impl JobError {
    /// A fault of the vault's own.
    pub(super) fn internal(source: impl Into<Cause>) -> Self {
        Self::Failed {
            code: INTERNAL,
            source: source.into(),
        }
    }

    fn of(trouble: Trouble, source: Cause) -> Self {
        match trouble {
            // A root key that is not to be had is nothing that a clip should fail of.
            Trouble::Unavailable
            | Trouble::Full
            | Trouble::Locked
            | Trouble::Braked { .. }
            | Trouble::Withheld { .. } => Self::Passing(source),
            Trouble::Gone => Self::Gone,
            Trouble::Damaged => Self::Failed { code: DAMAGED, source },
            Trouble::Defect => Self::Failed { code: INTERNAL, source },
        }
    }
}

/// What a failed clip carries when the fault is the vault's own.
pub(super) const INTERNAL: &str = "internal";
/// What a failed clip carries when a sealed object does not open any more.
const DAMAGED: &str = "object_damaged";

impl From<VaultError> for JobError {
    fn from(error: VaultError) -> Self {
        match error {
            // The catalogue was away for longer than the lease: what was written so far is swept, the next attempt
            // begins anew. If the job's own lease is lost too, putting it back will tell.
            VaultError::LeaseLost { .. } => Self::Passing(error.into()),
            _ => Self::of(error.trouble(), error.into()),
        }
    }
}

impl From<CatalogError> for JobError {
    fn from(error: CatalogError) -> Self {
        Self::of(error.trouble(), error.into())
    }
}

impl From<AuditError> for JobError {
    fn from(error: AuditError) -> Self {
        Self::of(error.trouble(), error.into())
    }
}
