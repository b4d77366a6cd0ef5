//! Vehicles' pairing codes: found by their first characters, so that a wrong guess counts against the code it meant.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{CatalogError, Tx};
use crate::model::{OwnerId, PairingId, TenantId, UnixMs};

/// A row to add.
pub struct NewPairingCode<'a> {
    pub id: PairingId,
    pub tenant: TenantId,
    pub owner: OwnerId,
    /// The code's first characters. They find the row and are no secret.
    pub finder: &'a str,
    /// HMAC of the whole code.
    pub code_hash: &'a [u8; 32],
    pub sealed_about: &'a [u8],
    pub tries: u32,
    pub created_at: UnixMs,
    pub expires_at: UnixMs,
}

/// A row of `pairing_codes`.
#[derive(Clone)]
pub struct PairingCodeRow {
    pub id: PairingId,
    pub owner: OwnerId,
    pub code_hash: Vec<u8>,
    pub sealed_about: Vec<u8>,
    pub tries_left: u32,
    pub expires_at: UnixMs,
    pub used_at: Option<UnixMs>,
}

impl Tx {
    /// How many codes of an owner could still be used.
    pub async fn count_live_pairing_codes(&mut self, owner: OwnerId, now: UnixMs) -> Result<u32, CatalogError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS codes FROM pairing_codes WHERE owner_id = $1 AND used_at IS NULL AND tries_left > 0 \
             AND expires_at > $2",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(now)
        .fetch_one(self.connection())
        .await?;
        Row::new("pairing_codes", &row).count("codes")
    }

    /// Adds a code; false when another code has its finder, and nothing was added.
    pub async fn insert_pairing_code(&mut self, code: &NewPairingCode<'_>) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "INSERT INTO pairing_codes (id, tenant_id, owner_id, finder, code_hash, sealed_about, tries_left, \
             created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
             ON CONFLICT (tenant_id, finder) DO NOTHING",
        )
        .bind(code.id.as_bytes().to_vec())
        .bind(code.tenant.as_bytes().to_vec())
        .bind(code.owner.as_bytes().to_vec())
        .bind(code.finder.to_owned())
        .bind(code.code_hash.to_vec())
        .bind(code.sealed_about.to_vec())
        .bind(i64::from(code.tries))
        .bind(code.created_at)
        .bind(code.expires_at)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes one try of the code with this finder and gives the row as it was before: with `tries_left` 0 when it had none
    /// left. Tries are taken before the code is compared, so that a thousand guesses at once get no more than five.
    pub async fn try_pairing_code(
        &mut self,
        tenant: TenantId,
        finder: &str,
    ) -> Result<Option<PairingCodeRow>, CatalogError> {
        let tried = sqlx::query(
            "UPDATE pairing_codes SET tries_left = tries_left - 1 WHERE tenant_id = $1 AND finder = $2 AND tries_left > 0 \
             RETURNING id, owner_id, code_hash, sealed_about, tries_left + 1 AS tries_left, expires_at, used_at",
        )
        .bind(tenant.as_bytes().to_vec())
        .bind(finder.to_owned())
        .fetch_optional(self.connection())
        .await?;
        if let Some(row) = tried {
            return read(&row).map(Some);
        }
        let dead = sqlx::query(
            "SELECT id, owner_id, code_hash, sealed_about, tries_left, expires_at, used_at FROM pairing_codes \
             WHERE tenant_id = $1 AND finder = $2",
        )
        .bind(tenant.as_bytes().to_vec())
        .bind(finder.to_owned())
        .fetch_optional(self.connection())
        .await?;
        dead.as_ref().map(read).transpose()
    }

    /// Uses a code up; whether it was unused and not ended.
    pub async fn use_pairing_code(&mut self, id: PairingId, now: UnixMs) -> Result<bool, CatalogError> {
        let done =
            sqlx::query("UPDATE pairing_codes SET used_at = $1 WHERE id = $2 AND used_at IS NULL AND expires_at > $3")
                .bind(now)
                .bind(id.as_bytes().to_vec())
                .bind(now)
                .execute(self.connection())
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes codes that ended before `before`, whosever they are: their finders are free again. How many they were.
    pub async fn remove_ended_pairing_codes(&mut self, before: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM pairing_codes WHERE expires_at < $1")
            .bind(before)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Removes every code of an owner, for the owner's erasure; how many they were.
    pub async fn remove_pairing_codes_of(&mut self, owner: OwnerId) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM pairing_codes WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<PairingCodeRow, CatalogError> {
    let row = Row::new("pairing_codes", row);
    Ok(PairingCodeRow {
        id: row.id("id")?,
        owner: row.id("owner_id")?,
        code_hash: row.bytes("code_hash")?,
        sealed_about: row.bytes("sealed_about")?,
        tries_left: row.count("tries_left")?,
        expires_at: row.int("expires_at")?,
        used_at: row.maybe_int("used_at")?,
    })
}
