//! What an owner is told of an erasure: that it was ordered, and the signed receipt once nothing is left.

use serde::Serialize;
use utoipa::ToSchema;

use super::{Library, LibraryError, Time};
use crate::access::OwnerSession;
use crate::catalog::{ErasureKind, ErasureRow};
use crate::model::{ClipId, ErasureId};

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErasureView {
    /// Under which it is asked for.
    #[schema(value_type = String)]
    pub id: ErasureId,
    /// `erasing`: the keys are destroyed or about to be. `erased`: nothing is left.
    pub state: &'static str,
    /// When it was ordered.
    #[schema(value_type = String, format = DateTime)]
    pub ordered_at: Time,
    /// When nothing was left.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub erased_at: Option<Time>,
    /// Signed by the vault's receipt key (`dve_…`).
    pub receipt: Option<String>,
}

impl Library {
    /// The erasure of one of the owner's clips; none when it was never ordered, or the clip is another's.
    pub async fn clip_erasure(
        &self,
        session: &OwnerSession,
        clip: ClipId,
    ) -> Result<Option<ErasureView>, LibraryError> {
        let row = self.inner.catalog.erasure_of_clip(session.owner(), clip).await?;
        Ok(row.map(view))
    }

    /// The erasure of an owner, whose account is gone: the random id, told when it was ordered, is all that is asked for.
    pub async fn owner_erasure(&self, id: ErasureId) -> Result<Option<ErasureView>, LibraryError> {
        let row = self.inner.catalog.erasure(id).await?;
        Ok(row.filter(|row| row.kind == ErasureKind::Owner).map(view))
    }
}

fn view(row: ErasureRow) -> ErasureView {
    ErasureView {
        id: row.id,
        state: if row.done_at.is_some() { "erased" } else { "erasing" },
        ordered_at: Time(row.ordered_at),
        erased_at: row.done_at.map(Time),
        receipt: row.receipt,
    }
}
