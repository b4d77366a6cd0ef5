//! Opens every KEK with the newest root key, before an older one is destroyed.

use dashvault_keys::kek::{KekError, SealedKek};
use dashvault_keys::provider::RootKey;

use super::super::custody::from_kek;
use super::super::{Vault, VaultError, run_blocking};
use super::{BATCH, Failures, Phase, Progress, Tell};
use crate::catalog::KekRow;
use crate::model::TenantId;

impl Vault {
    /// Every KEK record that does not open with a wrap of the root epoch `epoch` alone; and clips whose KEK is not there.
    pub(super) async fn verify_keks(&self, epoch: u32, tell: Tell<'_>) -> Result<(u64, Failures), VaultError> {
        let (tenant, catalog) = (self.tenant(), &self.inner.catalog);
        let total = catalog.count_keks(tenant).await?;
        let (mut after, mut seen, mut failures) = (None, 0, Failures::default());
        loop {
            let (rows, last) = catalog.keks_after(tenant, after, BATCH).await?;
            if last.is_none() {
                break;
            }
            after = last;
            seen += rows.len() as u64;
            let root = self.inner.root.clone();
            let failed = run_blocking(move || refused(tenant, root.as_ref(), epoch, rows)).await?;
            for (row, error) in &failed {
                failures.kek(row.id, row.owner, error);
            }
            tell(Progress {
                phase: Phase::Verify,
                done: seen.min(total),
                total,
            });
        }
        let orphans = catalog.clips_without_kek(tenant).await?;
        if orphans > 0 {
            failures.add(format!("{orphans} clips are sealed under keys that are not there"));
        }
        Ok((seen, failures))
    }
}

fn refused(
    tenant: TenantId,
    root: &dyn RootKey,
    epoch: u32,
    rows: Vec<KekRow>,
) -> Result<Vec<(KekRow, KekError)>, VaultError> {
    let mut failed = Vec::new();
    for row in rows {
        match opens(tenant, root, epoch, &row) {
            Ok(()) => {}
            Err(KekError::Provider(error)) if error.is_passing() => {
                return Err(from_kek(KekError::Provider(error)));
            }
            Err(error) => failed.push((row, error)),
        }
    }
    Ok(failed)
}

fn opens(tenant: TenantId, root: &dyn RootKey, epoch: u32, row: &KekRow) -> Result<(), KekError> {
    let sealed = SealedKek::parse(&row.record)?;
    // A record with an older wrap beside the new one would open now, and prove nothing.
    if row.epoch != epoch || sealed.wraps().iter().any(|wrap| wrap.epoch != epoch) {
        return Err(KekError::Refused);
    }
    let kek = sealed.unwrap(tenant.as_bytes(), root)?;
    let profile = sealed.open_profile(tenant.as_bytes(), &kek)?;
    if profile.owner == *row.owner.as_bytes() {
        Ok(())
    } else {
        Err(KekError::Refused)
    }
}
