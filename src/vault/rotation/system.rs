//! New keys of the system record: the old ones verify until what they signed has ended.

use dashvault_keys::Secret32;
use dashvault_keys::kek::KekError;
use dashvault_keys::system::SystemRecord;

use super::super::custody::from_kek;
use super::super::{Vault, VaultError, run_blocking};
use super::{BATCH, Failures, MAX_WALKS, Phase, Progress, Tell};
use crate::catalog::SystemRecordRow;
use crate::model::OwnerId;

/// A new key signs so long after it is in the record; every node looks every two seconds and has read it by then.
const KEY_SPREAD_MS: i64 = 10_000;
/// Links end after 30 days, and a day more for clocks that were wrong.
const LINK_LIFE_MS: i64 = 31 * 86_400_000;
/// Pairing codes end after 15 minutes, and answer for an hour that they have.
const CODE_LIFE_MS: i64 = 2 * 3_600_000;
/// An index key ends when every owner has a new index, not by time.
const NO_END: i64 = i64::MAX;

/// A key of the system record that can be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemKey {
    /// Signs links.
    Links,
    /// Keys the hashes of pairing codes.
    Tokens,
    /// Signs receipts and tombstones.
    Receipts,
    /// Keys the look-up by e-mail address.
    Index,
}

impl SystemKey {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Links, Self::Tokens, Self::Receipts, Self::Index];

    /// The word for people and machines.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Tokens => "tokens",
            Self::Receipts => "receipts",
            Self::Index => "index",
        }
    }

    fn rotate(self, record: &mut SystemRecord, now: i64) -> bool {
        let (new, since) = (Secret32::make_random(), now + KEY_SPREAD_MS);
        match self {
            Self::Links => record.link.rotate(new, since, since + LINK_LIFE_MS),
            Self::Tokens => record.token.rotate(new, since, since + CODE_LIFE_MS),
            Self::Receipts => record.rotate_receipts(since),
            Self::Index => record.index.rotate(new, now, NO_END),
        }
    }
}

impl Vault {
    /// Gives the system record a new version of each of `keys`; those of an index take effect at once, the others sign in ten
    /// seconds. What does not open is told, and then the old index key stays.
    pub async fn rotate_system_keys(&self, keys: &[SystemKey], tell: Tell<'_>) -> Result<Failures, VaultError> {
        let index = keys.contains(&SystemKey::Index);
        self.refresh_system().await?;
        // One that a run was cut off in is finished, not begun again.
        let begun = self.system()?.record.index.len() > 1;
        let rotated: Vec<_> = keys
            .iter()
            .copied()
            .filter(|key| *key != SystemKey::Index || !begun)
            .collect();
        self.replace_system(|record, now| {
            if rotated.iter().all(|key| key.rotate(record, now)) {
                Ok(())
            } else {
                Err(VaultError::Keyring {
                    reason:
                        "a key was rotated 64 times within the life of what it signs: wait until the oldest have ended"
                            .to_owned(),
                })
            }
        })
        .await?;
        if index {
            self.finish_index(tell).await
        } else {
            Ok(Failures::default())
        }
    }

    /// Gives every living owner an index of the newest key, and then takes the older keys out of the record.
    pub(super) async fn finish_index(&self, tell: Tell<'_>) -> Result<Failures, VaultError> {
        let failures = self.reindex(tell).await?;
        if failures.is_empty() {
            self.replace_system(|record, _| {
                record.index.forget_older();
                Ok(())
            })
            .await?;
        }
        Ok(failures)
    }

    async fn reindex(&self, tell: Tell<'_>) -> Result<Failures, VaultError> {
        let (tenant, catalog) = (self.tenant(), &self.inner.catalog);
        let version = self.system()?.record.index.newest().version;
        let total = catalog.count_owners(tenant).await?;
        let (mut failures, mut done) = (Failures::default(), 0);
        for _ in 0..MAX_WALKS {
            let (mut after, mut changed) = (None, 0);
            failures = Failures::default();
            loop {
                let owners = catalog.owners_with_old_index(tenant, version, after, BATCH).await?;
                let Some(last) = owners.last() else { break };
                after = Some(last.id);
                let owners: Vec<_> = owners.iter().map(|owner| owner.id).collect();
                changed += self.reindex_batch(&owners, version, &mut failures).await?;
                done += owners.len() as u64;
                tell(Progress {
                    phase: Phase::Reindex,
                    done: done.min(total),
                    total,
                });
            }
            // A walk that found nothing to change: nobody makes owners under an older key since the record was replaced.
            if changed == 0 {
                return Ok(failures);
            }
        }
        failures.add("owners were changed meanwhile again and again".to_owned());
        Ok(failures)
    }

    async fn reindex_batch(
        &self,
        owners: &[OwnerId],
        version: u32,
        failures: &mut Failures,
    ) -> Result<u64, VaultError> {
        let (system, now) = (self.system()?, self.now());
        let mut indexes = Vec::with_capacity(owners.len());
        for owner in owners {
            match self.address(*owner).await {
                Ok(email) => indexes.push((*owner, system.email_indexes(self.tenant(), &email, now)[0])),
                // Erased meanwhile.
                Err(VaultError::Gone) => {}
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => failures.owner(*owner, &error),
            }
        }
        let mut tx = self.inner.catalog.begin().await?;
        let mut changed = 0;
        for (owner, index) in &indexes {
            changed += u64::from(tx.set_email_index(*owner, index, version).await?);
        }
        tx.commit().await?;
        Ok(changed)
    }

    async fn address(&self, owner: OwnerId) -> Result<dashvault_keys::Zeroizing<String>, VaultError> {
        let keys = self.owner_keys(owner).await?;
        Ok(dashvault_keys::Zeroizing::new(self.profile(&keys).await?.email))
    }

    pub(super) async fn newest_system_row(&self) -> Result<SystemRecordRow, VaultError> {
        let row = self.inner.catalog.system_record(self.tenant()).await?;
        row.ok_or(VaultError::DamagedRow {
            table: "system_records",
            column: "record",
        })
    }

    pub(super) async fn open_system_row(&self, row: &SystemRecordRow) -> Result<SystemRecord, VaultError> {
        let (tenant, root, record) = (self.tenant(), self.inner.root.clone(), row.record.clone());
        let opened = run_blocking(move || SystemRecord::open(tenant.as_bytes(), &record, root.as_ref())).await;
        opened.map_err(super::super::system::from_system)
    }

    /// The record's next revision, under the newest root key.
    pub(super) async fn seal_system(&self, record: SystemRecord, before: u32) -> Result<SystemRecordRow, VaultError> {
        let (tenant, root) = (self.tenant(), self.inner.root.clone());
        let revision = before.checked_add(1).ok_or_else(|| from_kek(KekError::TooLong))?;
        let sealed = run_blocking(move || record.seal(tenant.as_bytes(), revision, root.as_ref())).await;
        let (epoch, record) = sealed.map_err(super::super::system::from_system)?;
        Ok(SystemRecordRow {
            epoch,
            revision,
            record,
        })
    }
}
