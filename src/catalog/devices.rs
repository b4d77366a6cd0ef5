//! Vehicles: a public key, a state, and what their owner calls them, sealed.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{DeviceId, DeviceState, OwnerId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT d.id, d.owner_id, d.state, d.public_key, d.next_key, d.key_announced_at, d.places, d.place_since, d.place_moves, \
             d.place_moves_since, d.copied_at, d.sealed_about, d.paired_at, d.last_seen_at, d.revoked_at FROM devices d ",
            $rest
        )
    };
}

/// A row to add; it begins active.
pub struct NewDevice<'a> {
    pub id: DeviceId,
    pub tenant: TenantId,
    pub owner: OwnerId,
    /// Ed25519.
    pub public_key: &'a [u8; 32],
    /// One that it announced: in a record of the key plane.
    pub next_key: Option<&'a [u8; 32]>,
    pub sealed_about: &'a [u8],
    /// HMAC of the VIN inside one owner.
    pub vin_index: Option<&'a [u8; 32]>,
    pub paired_at: UnixMs,
}

/// A row of `devices`.
#[derive(Clone)]
pub struct DeviceRow {
    pub id: DeviceId,
    pub owner: OwnerId,
    pub state: DeviceState,
    pub public_key: Vec<u8>,
    /// Announced, and not used yet.
    pub next_key: Option<Vec<u8>>,
    /// When it last announced one.
    pub key_announced_at: Option<UnixMs>,
    /// Hashes of 8 bytes of the machine's starts that its tokens came from, the newest first.
    pub places: Option<Vec<u8>>,
    /// The first token of the newest, by the vehicle's clock; never later than when it came.
    pub place_since: Option<UnixMs>,
    /// New places within the hour that began at `place_moves_since`, by the service's clock.
    pub place_moves: Option<i64>,
    pub place_moves_since: Option<UnixMs>,
    /// When its owner was last told that there is a copy of its key.
    pub copied_at: Option<UnixMs>,
    pub sealed_about: Vec<u8>,
    pub paired_at: UnixMs,
    pub last_seen_at: Option<UnixMs>,
    pub revoked_at: Option<UnixMs>,
}

impl Catalog {
    /// A vehicle that may speak: it and its owner are active.
    pub async fn active_device(&self, id: DeviceId) -> Result<Option<DeviceRow>, CatalogError> {
        let row = sqlx::query(select!(
            "JOIN owners o ON o.id = d.owner_id AND o.state = 'active' WHERE d.id = $1 AND d.state = 'active'"
        ))
        .bind(id.as_bytes().to_vec())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// A vehicle of this owner, revoked or not.
    pub async fn device(&self, owner: OwnerId, id: DeviceId) -> Result<Option<DeviceRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE d.id = $1 AND d.owner_id = $2"))
            .bind(id.as_bytes().to_vec())
            .bind(owner.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// At most `limit` vehicles of an owner: those that may speak before those that were revoked, the one paired last first.
    pub async fn devices_of(&self, owner: OwnerId, limit: u32) -> Result<Vec<DeviceRow>, CatalogError> {
        let rows = sqlx::query(select!(
            "WHERE d.owner_id = $1 ORDER BY CASE d.state WHEN 'active' THEN 0 ELSE 1 END, d.paired_at DESC, d.id LIMIT $2"
        ))
        .bind(owner.as_bytes().to_vec())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// How many vehicles of an owner may speak.
    pub async fn count_active_devices(&mut self, owner: OwnerId) -> Result<u32, CatalogError> {
        let row = sqlx::query("SELECT COUNT(*) AS devices FROM devices WHERE owner_id = $1 AND state = 'active'")
            .bind(owner.as_bytes().to_vec())
            .fetch_one(self.connection())
            .await?;
        Row::new("devices", &row).count("devices")
    }

    /// Adds a vehicle.
    pub async fn insert_device(&mut self, device: &NewDevice<'_>) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO devices (id, tenant_id, owner_id, state, public_key, sealed_about, vin_index, paired_at, next_key) \
             VALUES ($1, $2, $3, 'active', $4, $5, $6, $7, $8)",
        )
        .bind(device.id.as_bytes().to_vec())
        .bind(device.tenant.as_bytes().to_vec())
        .bind(device.owner.as_bytes().to_vec())
        .bind(device.public_key.to_vec())
        .bind(device.sealed_about.to_vec())
        .bind(device.vin_index.map(|index| index.to_vec()))
        .bind(device.paired_at)
        .bind(device.next_key.map(|key| key.to_vec()))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Writes anew what a vehicle is called; false when it is not this owner's.
    pub async fn set_device_about(
        &mut self,
        owner: OwnerId,
        id: DeviceId,
        sealed_about: &[u8],
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query("UPDATE devices SET sealed_about = $1 WHERE id = $2 AND owner_id = $3")
            .bind(sealed_about.to_vec())
            .bind(id.as_bytes().to_vec())
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that a vehicle spoke, unless that was noted after `since` already.
    pub async fn set_device_seen(&mut self, id: DeviceId, now: UnixMs, since: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE devices SET last_seen_at = $1 WHERE id = $2 AND (last_seen_at IS NULL OR last_seen_at <= $3)",
        )
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .bind(since)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Revokes a vehicle of this owner; whether it was active.
    pub async fn revoke_device(&mut self, owner: OwnerId, id: DeviceId, now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE devices SET state = 'revoked', revoked_at = $1 WHERE id = $2 AND owner_id = $3 AND state = 'active'",
        )
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .bind(owner.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes every vehicle of an owner, for the owner's erasure; how many they were.
    pub async fn remove_devices_of(&mut self, owner: OwnerId) -> Result<u64, CatalogError> {
        self.remove_old_keys_of(owner).await?;
        let done = sqlx::query("DELETE FROM devices WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<DeviceRow, CatalogError> {
    let row = Row::new("devices", row);
    Ok(DeviceRow {
        id: row.id("id")?,
        owner: row.id("owner_id")?,
        state: row.state("state")?,
        public_key: row.bytes("public_key")?,
        next_key: row.maybe_bytes("next_key")?,
        key_announced_at: row.maybe_int("key_announced_at")?,
        places: row.maybe_bytes("places")?,
        place_since: row.maybe_int("place_since")?,
        place_moves: row.maybe_int("place_moves")?,
        place_moves_since: row.maybe_int("place_moves_since")?,
        copied_at: row.maybe_int("copied_at")?,
        sealed_about: row.bytes("sealed_about")?,
        paired_at: row.int("paired_at")?,
        last_seen_at: row.maybe_int("last_seen_at")?,
        revoked_at: row.maybe_int("revoked_at")?,
    })
}
