//! Owners: a state, an index of the e-mail address, a sealed profile.

use std::fmt;
use std::str::FromStr;

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{OwnerId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, state, email_index, sealed_profile, created_at, erased_at FROM owners ",
            $rest
        )
    };
}

const BY_EMAIL: &str = select!("WHERE tenant_id = $1 AND email_index = $2");

/// Where an owner is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerState {
    /// Its clips can be read and added.
    Active,
    /// Erasure has begun; nothing can be read.
    Erasing,
    /// Its keys are destroyed.
    Erased,
}

/// A row of `owners`.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnerRow {
    pub id: OwnerId,
    pub state: OwnerState,
    pub email_index: Option<Vec<u8>>,
    pub sealed_profile: Option<Vec<u8>>,
    pub created_at: UnixMs,
    pub erased_at: Option<UnixMs>,
}

/// A row to add.
pub struct NewOwner<'a> {
    pub id: OwnerId,
    pub tenant: TenantId,
    pub email_index: &'a [u8; 32],
    /// The version of the index key that made `email_index`.
    pub index_version: u32,
    pub sealed_profile: &'a [u8],
    pub created_at: UnixMs,
}

impl OwnerState {
    /// The word in the row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Erasing => "erasing",
            Self::Erased => "erased",
        }
    }
}

impl fmt::Display for OwnerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for OwnerState {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Active, Self::Erasing, Self::Erased]
            .into_iter()
            .find(|state| state.as_str() == word)
            .ok_or(())
    }
}

impl Catalog {
    /// One owner.
    pub async fn owner(&self, id: OwnerId) -> Result<Option<OwnerRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE id = $1"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The owner with this index of an e-mail address.
    pub async fn owner_by_email(
        &self,
        tenant: TenantId,
        email_index: &[u8; 32],
    ) -> Result<Option<OwnerRow>, CatalogError> {
        let row = sqlx::query(BY_EMAIL)
            .bind(tenant.as_bytes().to_vec())
            .bind(email_index.to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// At most `limit` active owners whose e-mail index is of an older index key than `index_version`, in the order of their
    /// ids, after `after`.
    pub async fn owners_with_old_index(
        &self,
        tenant: TenantId,
        index_version: u32,
        after: Option<OwnerId>,
        limit: u32,
    ) -> Result<Vec<OwnerRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE tenant_id = $1 AND id > $2 AND state = 'active' AND index_epoch <> $3 ORDER BY id LIMIT $4"
        ))
        .bind(tenant.as_bytes().to_vec())
        .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
        .bind(i64::from(index_version))
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// Every owner in a state.
    pub async fn owners_in(&self, tenant: TenantId, state: OwnerState) -> Result<Vec<OwnerId>, CatalogError> {
        let rows = sqlx::query("SELECT id FROM owners WHERE tenant_id = $1 AND state = $2 ORDER BY id")
            .bind(tenant.as_bytes().to_vec())
            .bind(state.as_str())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(|row| Row::new("owners", row).id("id")).collect()
    }

    /// How many owners there are, the erased included.
    pub async fn count_owners(&self, tenant: TenantId) -> Result<u64, CatalogError> {
        let row = sqlx::query("SELECT count(*) AS owners FROM owners WHERE tenant_id = $1")
            .bind(tenant.as_bytes().to_vec())
            .fetch_one(self.readers())
            .await?;
        Row::new("owners", &row).size("owners")
    }

    /// At most `limit` owners in the order of their ids, after `after`.
    pub async fn owners(
        &self,
        tenant: TenantId,
        after: Option<OwnerId>,
        limit: u32,
    ) -> Result<Vec<OwnerRow>, CatalogError> {
        let rows = sqlx::query(select!("WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3"))
            .bind(tenant.as_bytes().to_vec())
            .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Whether an owner has this index of an e-mail address, read in this transaction.
    pub async fn has_email(&mut self, tenant: TenantId, email_index: &[u8; 32]) -> Result<bool, CatalogError> {
        let row = sqlx::query(BY_EMAIL)
            .bind(tenant.as_bytes().to_vec())
            .bind(email_index.to_vec())
            .fetch_optional(self.connection())
            .await?;
        Ok(row.is_some())
    }

    /// Puts the index of a newer index key into an owner's row; false when the owner is not active any more.
    pub async fn set_email_index(
        &mut self,
        id: OwnerId,
        email_index: &[u8; 32],
        index_version: u32,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE owners SET email_index = $1, index_epoch = $2 WHERE id = $3 AND state = $4 AND index_epoch <= $2",
        )
        .bind(email_index.to_vec())
        .bind(i64::from(index_version))
        .bind(id.as_bytes().to_vec())
        .bind(OwnerState::Active.as_str())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Adds an active owner; an index that another owner has is [`CatalogError::Exists`].
    pub async fn insert_owner(&mut self, owner: &NewOwner<'_>) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO owners (id, tenant_id, state, email_index, index_epoch, sealed_profile, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(owner.id.as_bytes().to_vec())
        .bind(owner.tenant.as_bytes().to_vec())
        .bind(OwnerState::Active.as_str())
        .bind(owner.email_index.to_vec())
        .bind(i64::from(owner.index_version))
        .bind(owner.sealed_profile.to_vec())
        .bind(owner.created_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Locks an active owner's row until the commit, so that what is counted of the owner's stays true; false when the
    /// owner is not there or not active. (An update that changes nothing: SQLite has no `FOR UPDATE`.)
    pub async fn hold_owner(&mut self, id: OwnerId) -> Result<bool, CatalogError> {
        let done = sqlx::query("UPDATE owners SET state = state WHERE id = $1 AND state = $2")
            .bind(id.as_bytes().to_vec())
            .bind(OwnerState::Active.as_str())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Begins an owner's erasure; whether the owner was active.
    pub async fn begin_owner_erasure(&mut self, id: OwnerId) -> Result<bool, CatalogError> {
        let done = sqlx::query("UPDATE owners SET state = $1 WHERE id = $2 AND state = $3")
            .bind(OwnerState::Erasing.as_str())
            .bind(id.as_bytes().to_vec())
            .bind(OwnerState::Active.as_str())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Clears the index and the profile and marks the owner erased.
    pub async fn erase_owner(&mut self, id: OwnerId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE owners SET state = $1, email_index = NULL, sealed_profile = NULL, erased_at = $2 \
             WHERE id = $3 AND state <> $1",
        )
        .bind(OwnerState::Erased.as_str())
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<OwnerRow, CatalogError> {
    let row = Row::new("owners", row);
    Ok(OwnerRow {
        id: row.id("id")?,
        state: row.state("state")?,
        email_index: row.maybe_bytes("email_index")?,
        sealed_profile: row.maybe_bytes("sealed_profile")?,
        created_at: row.int("created_at")?,
        erased_at: row.maybe_int("erased_at")?,
    })
}
