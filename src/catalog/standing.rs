//! What there is that somebody could misuse, counted for the operator; nothing of an owner.

use super::row::Row;
use super::{Catalog, CatalogError};
use crate::model::{TenantId, UnixMs};

/// Counts over a whole vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Vehicles whose keys are good.
    pub vehicles: u64,
    /// Owners' API tokens that are good; they have no end.
    pub api_tokens: u64,
    /// Links that could still be opened.
    pub links: u64,
    /// When the last of them ends.
    pub last_link_end: Option<UnixMs>,
    /// Clips and owners that were erased since the last roll of the root epoch: an older backup still has their keys.
    pub erased_since_roll: u64,
    /// When the root epoch was rolled last.
    pub rolled_at: Option<UnixMs>,
    /// Decoys that are planted, and how many of them were ever used.
    pub decoys: u64,
    pub decoys_used: u64,
}

impl Catalog {
    /// What a vault has now.
    pub async fn standing(&self, tenant: TenantId, now: UnixMs) -> Result<Standing, CatalogError> {
        let row = sqlx::query(
            "SELECT (SELECT count(*) FROM devices WHERE tenant_id = $1 AND state = 'active') AS vehicles, \
             (SELECT count(*) FROM credentials WHERE tenant_id = $2 AND kind = 'api' AND revoked_at IS NULL) AS api_tokens, \
             (SELECT count(*) FROM links WHERE tenant_id = $3 AND revoked_at IS NULL AND expires_at > $4 \
              AND opens < max_opens) AS links, \
             (SELECT max(expires_at) FROM links WHERE tenant_id = $5 AND revoked_at IS NULL AND expires_at > $6 \
              AND opens < max_opens) AS last_link_end, \
             (SELECT max(ordered_at) FROM erasures WHERE tenant_id = $7 AND kind = 'epoch') AS rolled_at, \
             (SELECT count(*) FROM erasures WHERE tenant_id = $8 AND kind <> 'epoch' AND ordered_at > \
              COALESCE((SELECT max(ordered_at) FROM erasures WHERE tenant_id = $9 AND kind = 'epoch'), 0)) AS erased_since_roll, \
             (SELECT count(*) FROM decoys) AS decoys, (SELECT count(*) FROM decoys WHERE uses > 0) AS decoys_used",
        )
        .bind(tenant.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .bind(now)
        .bind(tenant.as_bytes().to_vec())
        .bind(now)
        .bind(tenant.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .fetch_one(self.readers())
        .await?;
        let row = Row::new("standing", &row);
        Ok(Standing {
            vehicles: row.size("vehicles")?,
            api_tokens: row.size("api_tokens")?,
            links: row.size("links")?,
            last_link_end: row.maybe_int("last_link_end")?,
            erased_since_roll: row.size("erased_since_roll")?,
            rolled_at: row.maybe_int("rolled_at")?,
            decoys: row.size("decoys")?,
            decoys_used: row.size("decoys_used")?,
        })
    }
}
