//! A vehicle's keys as they follow one another, and what tells that one of them has been copied.

use super::row::Row;
use super::{CatalogError, Tx};
use crate::model::{DeviceId, UnixMs};

impl Tx {
    /// Whether a key is, was or will be some vehicle's, whoever's it is, revoked or not.
    pub async fn is_device_key(&mut self, key: &[u8; 32]) -> Result<bool, CatalogError> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM devices WHERE public_key = $1) + (SELECT COUNT(*) FROM devices WHERE next_key = $1) \
             + (SELECT COUNT(*) FROM devices WHERE previous_key = $1) AS vehicles",
        )
        .bind(key.to_vec())
        .fetch_one(self.connection())
        .await?;
        Ok(Row::new("devices", &row).size("vehicles")? > 0)
    }

    /// Notes the key that a vehicle will have; false when it has another key than `current` by now, may no longer speak, or
    /// announced one after `since`.
    pub async fn announce_device_key(
        &mut self,
        id: DeviceId,
        current: &[u8],
        next: &[u8; 32],
        now: UnixMs,
        since: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE devices SET next_key = $1, key_announced_at = $2 WHERE id = $3 AND public_key = $4 AND state = 'active' \
             AND (key_announced_at IS NULL OR key_announced_at <= $5)",
        )
        .bind(next.to_vec())
        .bind(now)
        .bind(id.as_bytes().to_vec())
        .bind(current.to_vec())
        .bind(since)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// The first use of an announced key: from now on it is the vehicle's, and the one before opens nothing. False when it
    /// is so already.
    pub async fn use_next_device_key(
        &mut self,
        id: DeviceId,
        next: &[u8],
        issued_at: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE devices SET previous_key = public_key, public_key = next_key, next_key = NULL, key_since = $1 \
             WHERE id = $2 AND next_key = $3 AND state = 'active'",
        )
        .bind(issued_at)
        .bind(id.as_bytes().to_vec())
        .bind(next.to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Writes down that a vehicle speaks from a new place; false when another request was first.
    pub async fn set_device_places(
        &mut self,
        id: DeviceId,
        before: Option<&[u8]>,
        places: &[u8],
        since: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done =
            sqlx::query("UPDATE devices SET places = $1, place_since = $2 WHERE id = $3 AND coalesce(places, $4) = $5")
                .bind(places.to_vec())
                .bind(since)
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
