//! New KEKs of owners: the new one is made, every envelope of the owner's clips is sealed under it, and the old one is
//! destroyed once nothing names it. The owner's fields stay as they are: their key is wrapped by the new KEK too.

use std::time::Duration;

use dashvault_keys::kek::{self, KekHead, KekState, Profile, SealedKek};

use super::super::clips::EnvelopeMade;
use super::super::custody::from_kek;
use super::super::owners::make_kek;
use super::super::records::ClipDetails;
use super::super::{Holder, OwnerKeys, Vault, VaultError, run_blocking};
use super::{Failures, MAX_WALKS, Phase, Progress, Tell};
use crate::catalog::{ClipRow, KekRow, MirrorSubject};
use crate::model::OwnerId;

/// Envelopes that are written into the key plane at the same time, and put into their rows together.
const CLIPS: u32 = 32;
/// Whoever read a row before the change has read the keys that belong to it by then; a request takes milliseconds for that.
const SETTLE: Duration = Duration::from_secs(2);

/// What became of owners' KEKs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Owners with a new KEK.
    pub owners: u64,
    /// Envelopes that were sealed under it.
    pub envelopes: u64,
    /// KEKs that were destroyed.
    pub destroyed: u64,
    /// What does not open and was left as it is.
    pub failures: Failures,
}

impl Vault {
    /// Gives each of `owners` a new KEK. First what an earlier run left undone is finished, also of others.
    pub async fn rotate_owners(&self, owners: &[OwnerId], tell: Tell<'_>) -> Result<Renewed, VaultError> {
        let mut report = Renewed::default();
        let total = owners.len() as u64;
        for (done, owner) in (1..).zip(owners) {
            match self.renew_kek(*owner).await {
                Ok(renewed) => report.owners += u64::from(renewed),
                Err(VaultError::Gone) => {}
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => report.failures.owner(*owner, &error),
            }
            tell(Progress {
                phase: Phase::Renew,
                done,
                total,
            });
        }
        self.finish_retired(tell, &mut report).await?;
        Ok(report)
    }

    /// Seals what is under retired KEKs under their owners' newest ones, and destroys the retired.
    pub(super) async fn finish_retired(&self, tell: Tell<'_>, report: &mut Renewed) -> Result<(), VaultError> {
        let owners = self.inner.catalog.owners_with_retired_keks(self.tenant()).await?;
        if owners.is_empty() {
            return Ok(());
        }
        let total = owners.len() as u64;
        tokio::time::sleep(SETTLE).await;
        for (done, owner) in (1..).zip(&owners) {
            match self.reseal_clips(*owner).await {
                Ok(envelopes) => report.envelopes += envelopes,
                Err(VaultError::Gone) => {}
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => report.failures.owner(*owner, &error),
            }
            tell(Progress {
                phase: Phase::Reseal,
                done,
                total,
            });
        }
        tokio::time::sleep(SETTLE).await;
        for (done, owner) in (1..).zip(&owners) {
            report.destroyed += self.destroy_retired(*owner).await?;
            tell(Progress {
                phase: Phase::Destroy,
                done,
                total,
            });
        }
        self.inner.catalog.checkpoint().await?;
        Ok(())
    }

    /// A new version of an owner's KEK, and the older one retired, in one transaction; false when another process was faster.
    async fn renew_kek(&self, owner: OwnerId) -> Result<bool, VaultError> {
        let keys = self.owner_keys(owner).await?;
        let old = self.inner.catalog.active_kek(owner).await?.ok_or(VaultError::Gone)?;
        if old.version != keys.kek_version() {
            return Ok(false);
        }
        let about = self.profile_of(&keys).await?;
        let profile = Profile {
            owner: *owner.as_bytes(),
            field_key: keys.keys.field.duplicate(),
            about,
        };
        let (root, tenant, version) = (self.inner.root.clone(), self.tenant(), old.version + 1);
        let made = run_blocking(move || make_kek(tenant, root.as_ref(), version, &profile));
        let new = made.await.map_err(from_kek)?;
        let (retired, before) = self.retired(&keys, &old)?;
        // Two objects, so that none tells that its records belong together.
        let new_mirror = self.mirror_keks(std::slice::from_ref(&new)).await?;
        let old_mirror = self.mirror_keks(std::slice::from_ref(&retired)).await?;
        let mut tx = self.inner.catalog.begin().await?;
        // The swap: of two at once one finds the older key retired already.
        if !tx.hold_owner(owner).await? || !tx.retire_kek(&retired, before).await? {
            return Ok(false);
        }
        tx.insert_kek(self.tenant(), &new, self.now()).await?;
        self.record_mirror(&mut tx, &new_mirror).await?;
        self.record_mirror(&mut tx, &old_mirror).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The next revision of a record, in which it says that it is retired.
    fn retired(&self, keys: &OwnerKeys, old: &KekRow) -> Result<(KekRow, u32), VaultError> {
        let sealed = SealedKek::parse(&old.record).map_err(from_kek)?;
        let profile = sealed.open_profile(self.sys(), &keys.keys.kek).map_err(from_kek)?;
        let head = KekHead {
            revision: old.revision.max(old.least_revision) + 1,
            state: KekState::Retired,
            ..sealed.head()
        };
        let record = kek::seal(self.sys(), &head, &keys.keys.kek, sealed.wraps(), &profile).map_err(from_kek)?;
        let row = KekRow {
            revision: head.revision,
            record,
            ..old.clone()
        };
        Ok((row, old.revision))
    }

    /// Seals the envelopes of an owner's clips under the newest KEK; how many.
    async fn reseal_clips(&self, owner: OwnerId) -> Result<u64, VaultError> {
        let mut resealed = 0;
        for _ in 0..MAX_WALKS {
            let (mut after, mut changed, mut found) = (None, 0, 0);
            let keys = self.owner_keys(owner).await?;
            loop {
                let clips = self
                    .inner
                    .catalog
                    .clips_under_older_keks(owner, keys.kek_version(), after, CLIPS);
                let clips = clips.await?;
                let Some(last) = clips.last() else { break };
                after = Some(last.id);
                found += clips.len();
                changed += self.reseal_batch(&keys, &clips).await?;
            }
            resealed += changed;
            if found == 0 {
                return Ok(resealed);
            }
        }
        Err(VaultError::Superseded)
    }

    async fn reseal_batch(&self, keys: &OwnerKeys, clips: &[ClipRow]) -> Result<u64, VaultError> {
        let made = clips.iter().map(|clip| self.reseal_one(keys, clip));
        let made = futures_util::future::try_join_all(made).await?;
        let mut changed = 0;
        for (clip, (envelope, index)) in clips.iter().zip(made) {
            let before = clip.envelope.as_deref().unwrap_or_default();
            let mut tx = self.inner.catalog.begin().await?;
            if !tx
                .rewrap_clip(clip.id, before, envelope.kek_version, &envelope.bytes, index.as_ref())
                .await?
            {
                continue;
            }
            match self.record_mirror(&mut tx, &envelope.mirrored).await {
                // The clip was published anew or erased meanwhile: the next walk sees.
                Err(VaultError::Superseded | VaultError::LeaseLost { .. }) => continue,
                other => other?,
            }
            tx.commit().await?;
            changed += 1;
        }
        Ok(changed)
    }

    async fn reseal_one(
        &self,
        keys: &OwnerKeys,
        clip: &ClipRow,
    ) -> Result<(EnvelopeMade, Option<[u8; 32]>), VaultError> {
        let envelope = clip.envelope.as_deref().ok_or(VaultError::Gone)?;
        let clip_keys = self.clip_keys(keys, clip.id, envelope, clip.least_revision)?;
        let manifest = self.manifest(&clip_keys, envelope)?;
        let index = match &clip.sealed_details {
            Some(sealed) => {
                let details: ClipDetails = clip_keys.open(clip.id.as_bytes(), sealed)?;
                let sha256 = data_encoding::HEXLOWER_PERMISSIVE.decode(details.sha256.as_bytes());
                sha256.ok().map(|sha256| keys.clip_index(clip.device, &sha256))
            }
            None => None,
        };
        let made = self
            .seal_envelope(&clip_keys, &manifest, Holder::of(clip.id.as_bytes()))
            .await?;
        Ok((made, index))
    }

    /// Destroys the retired KEKs of an owner that no clip names any more: in the catalogue, then in the key plane.
    async fn destroy_retired(&self, owner: OwnerId) -> Result<u64, VaultError> {
        let mut tx = self.inner.catalog.begin().await?;
        let destroyed = tx.destroy_unused_keks(owner).await?;
        tx.commit().await?;
        self.inner.cache.forget(owner);
        for kek in &destroyed {
            self.destroy_mirrors(MirrorSubject::Kek, kek.as_bytes()).await?;
        }
        Ok(destroyed.len() as u64)
    }
}
