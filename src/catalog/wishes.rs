//! What owners ask their vehicles for: at most one wish a clip, ids alone.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, DeviceId, OwnerId, UnixMs, WishState};

/// A wish to write down; it begins open.
#[derive(Debug, Clone, Copy)]
pub struct NewWish {
    /// The clip of which there is more on the vehicle.
    pub clip: ClipId,
    pub owner: OwnerId,
    /// The vehicle that sent it.
    pub device: DeviceId,
    pub created_at: UnixMs,
    pub expires_at: UnixMs,
}

/// A row of `wishes`.
#[derive(Debug, Clone, Copy)]
pub struct WishRow {
    pub clip: ClipId,
    pub device: DeviceId,
    pub state: WishState,
    /// The clip that came for it.
    pub answer: Option<ClipId>,
    pub created_at: UnixMs,
    pub expires_at: UnixMs,
    /// When the vehicle first heard of it.
    pub told_at: Option<UnixMs>,
    pub answered_at: Option<UnixMs>,
}

/// A wish as its vehicle is told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenWish {
    pub clip: ClipId,
    /// Whether the vehicle has heard of it before.
    pub is_told: bool,
}

impl Catalog {
    /// What an owner asked for with this clip.
    pub async fn wish(&self, owner: OwnerId, clip: ClipId) -> Result<Option<WishRow>, CatalogError> {
        let row = sqlx::query(
            "SELECT clip_id, device_id, state, answer_id, created_at, expires_at, told_at, answered_at FROM wishes \
             WHERE clip_id = $1 AND owner_id = $2",
        )
        .bind(clip.as_bytes().to_vec())
        .bind(owner.as_bytes().to_vec())
        .fetch_optional(self.readers())
        .await?;
        row.as_ref().map(read).transpose()
    }

    /// At most `limit` clips that a vehicle is asked for now, the first wish first. One whose clip lies in the trash rests.
    pub async fn wishes_of(&self, device: DeviceId, now: UnixMs, limit: u32) -> Result<Vec<OpenWish>, CatalogError> {
        let rows = sqlx::query(
            "SELECT w.clip_id, w.told_at FROM wishes w JOIN clips c ON c.id = w.clip_id WHERE w.device_id = $1 AND w.state = 'open' \
             AND w.expires_at > $2 AND c.state NOT IN ('trashed', 'erasing') ORDER BY w.created_at, w.clip_id LIMIT $3",
        )
        .bind(device.as_bytes().to_vec())
        .bind(now)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        let told = |row| {
            let row = Row::new("wishes", row);
            Ok(OpenWish {
                clip: row.id("clip_id")?,
                is_told: row.maybe_int("told_at")?.is_some(),
            })
        };
        rows.iter().map(told).collect()
    }
}

impl Tx {
    /// How many wishes a vehicle has not answered, others than with `but`.
    pub async fn count_open_wishes(&mut self, device: DeviceId, but: ClipId, now: UnixMs) -> Result<u32, CatalogError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS wishes FROM wishes WHERE device_id = $1 AND state = 'open' AND expires_at > $2 \
             AND clip_id <> $3",
        )
        .bind(device.as_bytes().to_vec())
        .bind(now)
        .bind(but.as_bytes().to_vec())
        .fetch_one(self.connection())
        .await?;
        Row::new("wishes", &row).count("wishes")
    }

    /// Writes a wish down, in the place of one with the same clip that has ended; false when the clip is not this owner's any
    /// more, is in the trash, or there is a wish with it that is open.
    pub async fn insert_wish(&mut self, wish: &NewWish) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "INSERT INTO wishes (clip_id, owner_id, device_id, state, created_at, expires_at) \
             SELECT c.id, c.owner_id, c.device_id, 'open', $1, $2 FROM clips c WHERE c.id = $3 AND c.owner_id = $4 \
             AND c.device_id = $5 AND c.state NOT IN ('uploading', 'trashed', 'erasing') \
             ON CONFLICT (clip_id) DO UPDATE SET state = 'open', answer_id = NULL, told_at = NULL, answered_at = NULL, \
             created_at = excluded.created_at, expires_at = excluded.expires_at \
             WHERE wishes.state <> 'open' OR wishes.expires_at <= $6",
        )
        .bind(wish.created_at)
        .bind(wish.expires_at)
        .bind(wish.clip.as_bytes().to_vec())
        .bind(wish.owner.as_bytes().to_vec())
        .bind(wish.device.as_bytes().to_vec())
        .bind(wish.created_at)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Notes that a vehicle has heard of a wish, the first time.
    pub async fn note_wish_told(&mut self, device: DeviceId, clip: ClipId, now: UnixMs) -> Result<(), CatalogError> {
        sqlx::query(
            "UPDATE wishes SET told_at = $1 WHERE clip_id = $2 AND device_id = $3 AND state = 'open' AND told_at IS NULL",
        )
        .bind(now)
        .bind(clip.as_bytes().to_vec())
        .bind(device.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Ends an open wish of this vehicle: with the clip that came for it, which must be the vehicle's, or with none. False when
    /// there is no such wish, or no such clip.
    pub async fn answer_wish(
        &mut self,
        device: DeviceId,
        clip: ClipId,
        answer: Option<ClipId>,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let state = match answer {
            Some(_) => WishState::Come,
            None => WishState::Missing,
        };
        // Without an answer the clip itself is looked for, which is there.
        let looked_for = answer.unwrap_or(clip);
        let done = sqlx::query(
            "UPDATE wishes SET state = $1, answer_id = $2, answered_at = $3 WHERE clip_id = $4 AND device_id = $5 \
             AND state = 'open' AND EXISTS (SELECT 1 FROM clips c WHERE c.id = $6 AND c.device_id = $7 \
             AND c.owner_id = wishes.owner_id)",
        )
        .bind(state.as_str())
        .bind(answer.map(|answer| answer.as_bytes().to_vec()))
        .bind(now)
        .bind(clip.as_bytes().to_vec())
        .bind(device.as_bytes().to_vec())
        .bind(looked_for.as_bytes().to_vec())
        .bind(device.as_bytes().to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Takes a wish back; whether there was one of this owner's with the clip.
    pub async fn remove_wish(&mut self, owner: OwnerId, clip: ClipId) -> Result<bool, CatalogError> {
        let done = sqlx::query("DELETE FROM wishes WHERE clip_id = $1 AND owner_id = $2")
            .bind(clip.as_bytes().to_vec())
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes every wish of a vehicle that is revoked: nobody is there to answer it.
    pub async fn remove_wishes_of_device(&mut self, owner: OwnerId, device: DeviceId) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM wishes WHERE device_id = $1 AND owner_id = $2")
            .bind(device.as_bytes().to_vec())
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Removes what names a clip that is erased: the wish with it, and its id in the answer to another.
    pub async fn remove_wishes_of_clip(&mut self, clip: ClipId) -> Result<(), CatalogError> {
        for text in [
            "DELETE FROM wishes WHERE clip_id = $1",
            "UPDATE wishes SET answer_id = NULL WHERE answer_id = $1",
        ] {
            sqlx::query(text)
                .bind(clip.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
        }
        Ok(())
    }
}

fn read(row: &AnyRow) -> Result<WishRow, CatalogError> {
    let row = Row::new("wishes", row);
    Ok(WishRow {
        clip: row.id("clip_id")?,
        device: row.id("device_id")?,
        state: row.state("state")?,
        answer: row.maybe_id("answer_id")?,
        created_at: row.int("created_at")?,
        expires_at: row.int("expires_at")?,
        told_at: row.maybe_int("told_at")?,
        answered_at: row.maybe_int("answered_at")?,
    })
}
