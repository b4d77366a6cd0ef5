//! A vehicle's keys as they follow one another, and what tells that one of them has been copied.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{DeviceId, OwnerId, UnixMs};

const VEHICLES_OF_KEY: &str = "SELECT (SELECT COUNT(*) FROM devices WHERE public_key = $1) + \
     (SELECT COUNT(*) FROM devices WHERE next_key = $1) + (SELECT COUNT(*) FROM device_old_keys WHERE key = $1) AS vehicles";

/// A key that a vehicle had, or that it announced and another one after it.
pub struct OldKey {
    pub key: Vec<u8>,
    /// Since when its vehicle signs with another.
    pub since: UnixMs,
}

/// Where a vehicle's tokens came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePlaces {
    /// Hashes of 8 bytes of the machine's starts, the newest first.
    pub marks: Vec<u8>,
    /// The first token of the newest, by the vehicle's clock; never later than when it came.
    pub since: UnixMs,
    /// New ones within the hour that began at `moves_since`, by the service's clock.
    pub moves: i64,
    pub moves_since: UnixMs,
}

/// A vehicle's row, locked.
pub struct HeldDevice {
    pub public_key: Vec<u8>,
    pub next_key: Option<Vec<u8>>,
    pub key_announced_at: Option<UnixMs>,
}

impl Catalog {
    /// Whether a key is, was or will be some vehicle's, whoever's it is, revoked or not.
    pub async fn is_device_key(&self, key: &[u8; 32]) -> Result<bool, CatalogError> {
        let row = sqlx::query(VEHICLES_OF_KEY).bind(key.to_vec());
        any_vehicle(&row.fetch_one(self.readers()).await?)
    }

    /// The keys that a vehicle no longer has.
    pub async fn old_device_keys(&self, id: DeviceId) -> Result<Vec<OldKey>, CatalogError> {
        let rows = sqlx::query("SELECT key, since FROM device_old_keys WHERE device_id = $1")
            .bind(id.as_bytes().to_vec())
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(old_key).collect()
    }

    /// At most `limit` such keys of all vehicles of an owner, the one that was replaced last first.
    pub async fn old_device_keys_of(
        &self,
        owner: OwnerId,
        limit: u32,
    ) -> Result<Vec<(DeviceId, OldKey)>, CatalogError> {
        let rows = sqlx::query(
            "SELECT k.device_id, k.key, k.since FROM device_old_keys k JOIN devices d ON d.id = k.device_id \
             WHERE d.owner_id = $1 ORDER BY k.since DESC, k.key LIMIT $2",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let device = |row| Row::new("device_old_keys", row).id("device_id");
        rows.iter().map(|row| Ok((device(row)?, old_key(row)?))).collect()
    }
}

impl Tx {
    /// [`Catalog::is_device_key`], as this transaction sees it.
    pub async fn is_device_key(&mut self, key: &[u8; 32]) -> Result<bool, CatalogError> {
        let row = sqlx::query(VEHICLES_OF_KEY).bind(key.to_vec());
        any_vehicle(&row.fetch_one(self.connection()).await?)
    }

    /// Locks the row of a vehicle that is not revoked until the commit, as [`Self::hold_owner`] does an owner's.
    pub async fn hold_device(&mut self, id: DeviceId) -> Result<Option<HeldDevice>, CatalogError> {
        let row = sqlx::query(
            "UPDATE devices SET state = state WHERE id = $1 AND state = 'active' \
             RETURNING public_key, next_key, key_announced_at",
        )
        .bind(id.as_bytes().to_vec())
        .fetch_optional(self.connection())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let row = Row::new("devices", &row);
        Ok(Some(HeldDevice {
            public_key: row.bytes("public_key")?,
            next_key: row.maybe_bytes("next_key")?,
            key_announced_at: row.maybe_int("key_announced_at")?,
        }))
    }

    /// Notes the key that a vehicle will have; one that it announced before and never used is an old key then. False when it
    /// has another key than `current` by now, may no longer speak, or announced one after `since`.
    pub async fn announce_device_key(
        &mut self,
        id: DeviceId,
        current: &[u8],
        next: &[u8; 32],
        now: UnixMs,
        since: UnixMs,
    ) -> Result<bool, CatalogError> {
        let held = self.hold_device(id).await?;
        let Some(held) = held.filter(|held| held.public_key == current) else {
            return Ok(false);
        };
        if held.key_announced_at.is_some_and(|announced| announced > since) {
            return Ok(false);
        }
        if let Some(unused) = &held.next_key {
            self.insert_old_key(id, unused, now).await?;
        }
        sqlx::query("UPDATE devices SET next_key = $1, key_announced_at = $2 WHERE id = $3")
            .bind(next.to_vec())
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(true)
    }

    /// The first use of an announced key: from now on it is the vehicle's, and the one before, which no longer opens
    /// anything, is an old key since `since`. False when it is so already.
    pub async fn use_next_device_key(
        &mut self,
        id: DeviceId,
        next: &[u8],
        since: UnixMs,
    ) -> Result<bool, CatalogError> {
        let held = self.hold_device(id).await?;
        let Some(held) = held.filter(|held| held.next_key.as_deref() == Some(next)) else {
            return Ok(false);
        };
        self.insert_old_key(id, &held.public_key, since).await?;
        sqlx::query("UPDATE devices SET public_key = next_key, next_key = NULL WHERE id = $1")
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(true)
    }

    /// Notes a key that a vehicle no longer has.
    pub async fn insert_old_key(&mut self, id: DeviceId, key: &[u8], since: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO device_old_keys (device_id, key, since) VALUES ($1, $2, $3) ON CONFLICT (device_id, key) DO NOTHING",
        )
        .bind(id.as_bytes().to_vec())
        .bind(key.to_vec())
        .bind(since)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Removes the old keys of an owner's vehicles, before the vehicles.
    pub(super) async fn remove_old_keys_of(&mut self, owner: OwnerId) -> Result<(), CatalogError> {
        sqlx::query("DELETE FROM device_old_keys WHERE device_id IN (SELECT id FROM devices WHERE owner_id = $1)")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Writes down that a vehicle speaks from a new place; false when another request was first.
    pub async fn set_device_places(
        &mut self,
        id: DeviceId,
        before: Option<&[u8]>,
        now: &DevicePlaces,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE devices SET places = $1, place_since = $2, place_moves = $3, place_moves_since = $4 \
             WHERE id = $5 AND coalesce(places, $6) = $7",
        )
        .bind(now.marks.clone())
        .bind(now.since)
        .bind(now.moves)
        .bind(now.moves_since)
        .bind(id.as_bytes().to_vec())
        .bind(Vec::new())
        .bind(before.unwrap_or_default().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that a vehicle's key was seen to be copied, unless that was noted after `since` already.
    pub async fn note_copied_key(&mut self, id: DeviceId, now: UnixMs, since: UnixMs) -> Result<bool, CatalogError> {
        let done =
            sqlx::query("UPDATE devices SET copied_at = $1 WHERE id = $2 AND (copied_at IS NULL OR copied_at <= $3)")
                .bind(now)
                .bind(id.as_bytes().to_vec())
                .bind(since)
                .execute(self.connection())
                .await?;
        Ok(done.rows_affected() == 1)
    }
}

fn old_key(row: &AnyRow) -> Result<OldKey, CatalogError> {
    let row = Row::new("device_old_keys", row);
    Ok(OldKey {
        key: row.bytes("key")?,
        since: row.int("since")?,
    })
}

fn any_vehicle(row: &AnyRow) -> Result<bool, CatalogError> {
    Ok(Row::new("devices", row).size("vehicles")? > 0)
}
