//! Custody of owners' keys: make, open, destroy; and the look-up by e-mail address.

use dashvault_keys::kek::{self, KekError, KekHead, KekState, Profile, ProfileAbout, SealedKek};
use dashvault_keys::provider::RootKey;
use dashvault_keys::{Secret32, Zeroizing};

use super::cache::{Failed, Found, Key, OpenedKek};
use super::custody::{ANSWER_TIME, from_kek, judged};
use super::keys;
use super::mirror::Mirrored;
use super::records::OwnerProfile;
use super::{OwnerKeys, Vault, VaultError, run_blocking};
use crate::catalog::{CatalogError, KekRow, NewOwner, OwnerState, Tx};
use crate::model::{KekId, OwnerId, TenantId, UnixMs};

/// Of an owner's first KEK.
const FIRST_VERSION: u32 = 1;

/// An owner whose key lies in the key plane and whose row is not yet written.
#[must_use = "the owner is there once it is recorded"]
pub struct OwnerMade {
    owner: OwnerId,
    email: Zeroizing<String>,
    sealed_profile: Vec<u8>,
    created_at: UnixMs,
    kek: KekRow,
    mirrored: Mirrored,
}

impl Vault {
    /// Makes an owner's KEK, field key, sealed profile and e-mail index, and writes the KEK into the key plane. An address
    /// that is taken is [`VaultError::EmailTaken`].
    pub async fn make_owner(&self, owner: OwnerId, profile: &OwnerProfile) -> Result<OwnerMade, VaultError> {
        let (tenant, now) = (self.tenant(), self.now());
        if self.find_owner(&profile.email).await?.is_some() {
            return Err(VaultError::EmailTaken);
        }
        let field = Secret32::make_random();
        let sealed_profile = keys::seal(&field, tenant, owner.as_bytes(), profile);
        let about = Profile {
            owner: *owner.as_bytes(),
            field_key: field,
            about: ProfileAbout {
                email: profile.email.clone(),
                name: profile.name.clone(),
                created_at: Some(now),
                ..ProfileAbout::default()
            },
        };
        let root = self.inner.root.clone();
        let made = run_blocking(move || make_kek(tenant, root.as_ref(), FIRST_VERSION, &about)).await;
        let kek = made.map_err(from_kek)?;
        Ok(OwnerMade {
            owner,
            email: Zeroizing::new(profile.email.clone()),
            sealed_profile,
            created_at: now,
            mirrored: self.mirror_keks(std::slice::from_ref(&kek)).await?,
            kek,
        })
    }

    /// Adds the owner's rows. An address that was taken meanwhile is [`VaultError::EmailTaken`], and then nothing more can be
    /// done in this transaction.
    pub async fn record_owner(&self, tx: &mut Tx, made: &OwnerMade) -> Result<(), VaultError> {
        let tenant = self.tenant();
        let system = self.hold_system(tx).await?;
        let indexes = system.email_indexes(tenant, &made.email, made.created_at);
        // Whoever has the address may still be found by an older index key only.
        for older in &indexes[1..] {
            if tx.has_email(tenant, older).await? {
                return Err(VaultError::EmailTaken);
            }
        }
        let new = NewOwner {
            id: made.owner,
            tenant,
            email_index: &indexes[0],
            index_version: system.record.index.newest().version,
            sealed_profile: &made.sealed_profile,
            created_at: made.created_at,
        };
        match tx.insert_owner(&new).await {
            Err(CatalogError::Exists(_)) => return Err(VaultError::EmailTaken),
            other => other?,
        }
        tx.insert_kek(self.tenant(), &made.kek, made.created_at).await?;
        self.record_mirror(tx, &made.mirrored).await
    }

    /// The active owner with this e-mail address, however it is written.
    pub async fn find_owner(&self, email: &str) -> Result<Option<OwnerId>, VaultError> {
        self.erased_stay_erased().await?;
        let found = self.find_by_index(email).await?;
        // While the index keys are rotated, whoever is not found may have moved to the new one.
        if found.is_none() && self.refresh_system().await? {
            return self.find_by_index(email).await;
        }
        Ok(found)
    }

    async fn find_by_index(&self, email: &str) -> Result<Option<OwnerId>, VaultError> {
        let tenant = self.tenant();
        // The older keys first: owners move from those to the newest.
        for index in self.system()?.email_indexes(tenant, email, self.now()).iter().rev() {
            let row = self.inner.catalog.owner_by_email(tenant, index).await?;
            if let Some(row) = row.filter(|row| row.state == OwnerState::Active) {
                return Ok(Some(row.id));
            }
        }
        Ok(None)
    }

    /// An owner's keys. The row is read each time, so that another process's erasure takes effect at once; an owner without
    /// one is [`VaultError::Gone`]. While the root key's provider does not answer, keys in memory go on being used for the
    /// grace ([`OwnerKeys::outage_since`]), and all others are [`VaultError::Unavailable`].
    pub async fn owner_keys(&self, owner: OwnerId) -> Result<OwnerKeys, VaultError> {
        self.erased_stay_erased().await?;
        let mut rows = self.inner.catalog.keks_of(owner).await?;
        let Some(row) = rows.pop() else {
            // Erased, perhaps by another process: nothing of it stays here either.
            self.inner.cache.forget(owner);
            return Err(VaultError::Gone);
        };
        let newest = self.opened(&row).await?;
        // While a KEK is being replaced, clips are under the one or the other.
        let mut older = Vec::with_capacity(rows.len());
        for row in &rows {
            older.push((row.version, self.opened(row).await?.keys));
        }
        if newest.outage_since.is_some() {
            self.inner.counts.on_grace();
        }
        Ok(OwnerKeys {
            tenant: self.tenant(),
            owner,
            kek_version: row.version,
            keys: newest.keys,
            older,
            outage_since: newest.outage_since,
        })
    }

    async fn opened(&self, row: &KekRow) -> Result<Found, VaultError> {
        check_revision(row)?;
        let key = Key {
            owner: row.owner,
            id: row.id.as_bytes(),
            version: row.version,
            blob: &row.record,
        };
        let open = async || {
            let (row, root, tenant) = (row.clone(), self.inner.root.clone(), self.tenant());
            let asked = run_blocking(move || open_kek(tenant, root.as_ref(), &row));
            let answer = match tokio::time::timeout(ANSWER_TIME, asked).await {
                Ok(opened) => opened.map_err(judged),
                Err(late) => Err(Failed::Passing(VaultError::Unavailable(late.into()))),
            };
            self.inner.counts.asked(&answer);
            answer
        };
        self.inner.cache.get(&key, self.now(), &self.inner.outage, open).await
    }

    /// Who the owner is.
    pub async fn profile(&self, keys: &OwnerKeys) -> Result<OwnerProfile, VaultError> {
        let row = self.inner.catalog.owner(keys.owner()).await?;
        let sealed = row.and_then(|row| row.sealed_profile).ok_or(VaultError::Gone)?;
        keys.open(keys.owner().as_bytes(), &sealed)
    }

    /// Destroys an owner's wrapped keys, e-mail index and profile: overwritten, deleted, out of the log, then out of the key
    /// plane. May be called again.
    pub async fn erase_owner_keys(&self, owner: OwnerId) -> Result<(), VaultError> {
        let now = self.now();
        let mut tx = self.inner.catalog.begin().await?;
        self.destroy_owner_keys(&mut tx, owner).await?;
        tx.erase_owner(owner, now).await?;
        tx.end_intents(owner.as_bytes(), now - 1).await?;
        tx.commit().await?;
        self.inner.cache.forget(owner);
        self.inner.catalog.checkpoint().await?;
        self.sweep_intents_of(owner.as_bytes(), now).await?;
        self.destroy_mirrors_of_destroyed_keks().await
    }
}

/// A new KEK of the profile's owner, and its record.
pub(super) fn make_kek(
    tenant: TenantId,
    root: &dyn RootKey,
    version: u32,
    profile: &Profile,
) -> Result<KekRow, KekError> {
    let (id, kek) = (KekId::random(), Secret32::make_random());
    let head = KekHead {
        id: *id.as_bytes(),
        version,
        revision: 1,
        state: KekState::Active,
    };
    let wrap = kek::wrap(tenant.as_bytes(), root, head.id, head.version, &kek)?;
    let epoch = wrap.epoch;
    Ok(KekRow {
        id,
        owner: OwnerId::from_bytes(profile.owner),
        version: head.version,
        epoch,
        revision: head.revision,
        least_revision: 0,
        record: kek::seal(tenant.as_bytes(), &head, &kek, &[wrap], profile)?,
    })
}

/// Refuses a record that is older than one that was seen, however well it opens.
fn check_revision(row: &KekRow) -> Result<(), VaultError> {
    let found = SealedKek::parse(&row.record).map_err(from_kek)?.head().revision;
    if found < row.least_revision {
        return Err(VaultError::OldRevision {
            table: "keks",
            found,
            least: row.least_revision,
        });
    }
    Ok(())
}

/// Opens a row's record and holds its clear columns and its owner against what the record itself says.
fn open_kek(tenant: TenantId, root: &dyn RootKey, row: &KekRow) -> Result<OpenedKek, KekError> {
    let sealed = SealedKek::parse(&row.record)?;
    let head = sealed.head();
    if head.id != *row.id.as_bytes() || head.version != row.version {
        return Err(KekError::Refused);
    }
    let kek = sealed.unwrap(tenant.as_bytes(), root)?;
    let profile = sealed.open_profile(tenant.as_bytes(), &kek)?;
    if profile.owner != *row.owner.as_bytes() {
        return Err(KekError::Refused);
    }
    Ok(OpenedKek {
        kek,
        field: profile.field_key,
    })
}
