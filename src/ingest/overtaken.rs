//! Ends writers whose upload went on without them: a vehicle that was revoked, an owner who erased, a request on another node.
//!
//! The row's epoch keeps such a writer from moving anything; here it is told, so that its vehicle does not go on sending for
//! nothing, and a slow body of a revoked vehicle does not hold its connection for hours.

use std::collections::HashMap;
use std::sync::Weak;
use std::time::Duration;

use tokio::time::sleep;

use super::Inner;
use crate::catalog::{CatalogError, MAX_CLIP_IDS};

/// A revoked vehicle's requests end within 5 s on every node: three looks and a slow answer of the catalogue fit in.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until the room is gone.
pub(super) async fn watch(inner: Weak<Inner>) {
    loop {
        sleep(LOOK).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = inner.end_overtaken().await {
            // Nothing moves that was fenced; the next look ends it.
            tracing::warn!(%error, "whether uploads under way were taken over cannot be looked up now");
        }
    }
}

impl Inner {
    async fn end_overtaken(&self) -> Result<(), CatalogError> {
        let writers = self.live.writers();
        for some in writers.chunks(MAX_CLIP_IDS) {
            let ids: Vec<_> = some.iter().map(|(id, _)| *id).collect();
            let rows: HashMap<_, _> = self.catalog.upload_epochs(&ids).await?.into_iter().collect();
            for (id, epoch) in some {
                if rows.get(id).is_none_or(|row| row > epoch) {
                    self.live.stop(*id, *epoch);
                }
            }
        }
        Ok(())
    }
}
