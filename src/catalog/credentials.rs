//! Owners' tokens, sessions and sign-in links, and links' viewing sessions; only hashes.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{CredentialId, CredentialKind, LinkId, OwnerId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.owner_id, c.kind, c.link_id, c.created_at, c.expires_at, c.used_at, c.revoked_at \
             FROM credentials c JOIN owners o ON o.id = c.owner_id AND o.state = 'active' ",
            $rest
        )
    };
}

/// A row to add.
pub struct NewCredential<'a> {
    pub id: CredentialId,
    pub tenant: TenantId,
    pub owner: OwnerId,
    pub kind: CredentialKind,
    /// The link, for a link's session.
    pub link: Option<LinkId>,
    /// SHA-256 of the whole secret text.
    pub secret_hash: &'a [u8; 32],
    pub created_at: UnixMs,
    pub expires_at: Option<UnixMs>,
}

/// A row of `credentials`, without the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialRow {
    pub id: CredentialId,
    pub owner: OwnerId,
    pub kind: CredentialKind,
    pub link: Option<LinkId>,
    pub created_at: UnixMs,
    pub expires_at: Option<UnixMs>,
    pub used_at: Option<UnixMs>,
    pub revoked_at: Option<UnixMs>,
}

impl Catalog {
    /// The credential with this hash, ended or not, of an owner that is active.
    pub async fn credential_by_hash(&self, secret_hash: &[u8; 32]) -> Result<Option<CredentialRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE c.secret_hash = $1"))
            .bind(secret_hash.to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// A credential by its id, ended or not, of an owner that is active.
    pub async fn credential(&self, id: CredentialId) -> Result<Option<CredentialRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE c.id = $1"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }
}

impl Tx {
    /// Adds a credential.
    pub async fn insert_credential(&mut self, credential: &NewCredential<'_>) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO credentials (id, tenant_id, owner_id, kind, link_id, secret_hash, created_at, expires_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(credential.id.as_bytes().to_vec())
        .bind(credential.tenant.as_bytes().to_vec())
        .bind(credential.owner.as_bytes().to_vec())
        .bind(credential.kind.as_str())
        .bind(credential.link.map(|id| id.as_bytes().to_vec()))
        .bind(credential.secret_hash.to_vec())
        .bind(credential.created_at)
        .bind(credential.expires_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Uses a one-time sign-in credential up; its owner, or nobody when it is unknown, used, given up or ended, or its
    /// owner is not active. Of many at once one gets the owner.
    pub async fn use_sign_in(&mut self, secret_hash: &[u8; 32], now: UnixMs) -> Result<Option<OwnerId>, CatalogError> {
        let row = sqlx::query(
            "UPDATE credentials SET used_at = $1 WHERE secret_hash = $2 AND kind = 'sign_in' AND used_at IS NULL \
             AND revoked_at IS NULL AND expires_at > $3 \
             AND owner_id IN (SELECT id FROM owners WHERE state = 'active') RETURNING owner_id",
        )
        .bind(now)
        .bind(secret_hash.to_vec())
        .bind(now)
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| Row::new("credentials", &row).id("owner_id")).transpose()
    }

    /// Moves the end of a credential that was not given up; never to an earlier time.
    pub async fn extend_credential(&mut self, id: CredentialId, expires_at: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE credentials SET expires_at = $1 WHERE id = $2 AND revoked_at IS NULL AND expires_at < $3",
        )
        .bind(expires_at)
        .bind(id.as_bytes().to_vec())
        .bind(expires_at)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Gives a credential up; whether it was not given up before.
    pub async fn revoke_credential(&mut self, id: CredentialId, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query("UPDATE credentials SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes an owner's credentials that ended by themselves before `before`; how many they were.
    pub async fn remove_ended_credentials(&mut self, owner: OwnerId, before: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM credentials WHERE owner_id = $1 AND expires_at < $2")
            .bind(owner.as_bytes().to_vec())
            .bind(before)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Removes every credential of an owner, as the last step of the owner's erasure; how many they were.
    pub async fn remove_credentials_of(&mut self, owner: OwnerId) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM credentials WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<CredentialRow, CatalogError> {
    let row = Row::new("credentials", row);
    Ok(CredentialRow {
        id: row.id("id")?,
        owner: row.id("owner_id")?,
        kind: row.state("kind")?,
        link: row.maybe_id("link_id")?,
        created_at: row.int("created_at")?,
        expires_at: row.maybe_int("expires_at")?,
        used_at: row.maybe_int("used_at")?,
        revoked_at: row.maybe_int("revoked_at")?,
    })
}
