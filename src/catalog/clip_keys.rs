//! Clips' wrapped keys: written anew, held, destroyed.

use super::clips::{COLUMNS, ClipRow, RAISE, clip_row};
use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, OwnerId, UnixMs};

impl Catalog {
    /// At most `limit` clips of an owner whose envelope is sealed under an older key than `version`, in the order of their
    /// ids, after `after`.
    pub async fn clips_under_older_keks(
        &self,
        owner: OwnerId,
        version: u32,
        after: Option<ClipId>,
        limit: u32,
    ) -> Result<Vec<ClipRow>, CatalogError> {
        let text = format!(
            "SELECT {COLUMNS} FROM clips WHERE owner_id = $1 AND envelope IS NOT NULL AND kek_version < $2 AND id > $3 \
             ORDER BY id LIMIT $4"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(owner.as_bytes().to_vec())
            .bind(i64::from(version))
            .bind(after.map_or_else(Vec::new, |id| id.as_bytes().to_vec()))
            .bind(i64::from(limit))
            .fetch_all(self.readers())
            .await?;
        rows.iter().map(clip_row).collect()
    }
}

impl Tx {
    /// Puts an envelope under a newer key of the owner into a clip's row, with the index that the key makes, if the row holds
    /// `before` still. What the clip says and when it changed stays as it is.
    pub async fn rewrap_clip(
        &mut self,
        id: ClipId,
        before: &[u8],
        kek_version: u32,
        envelope: &[u8],
        sha256_index: Option<&[u8; 32]>,
    ) -> Result<bool, CatalogError> {
        self.hold_kek_of(id, kek_version.into()).await?;
        let done = sqlx::query(
            "UPDATE clips SET kek_version = $1, envelope = $2, sha256_index = $3 WHERE id = $4 AND envelope = $5",
        )
        .bind(i64::from(kek_version))
        .bind(envelope.to_vec())
        .bind(sha256_index.map(|index| index.to_vec()))
        .bind(id.as_bytes().to_vec())
        .bind(before.to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Puts another revision of the envelope into a clip's row if it holds `before` still; a retry with the same bytes is
    /// fine.
    pub async fn replace_envelope(
        &mut self,
        id: ClipId,
        before: &[u8],
        kek_version: u32,
        envelope: &[u8],
    ) -> Result<bool, CatalogError> {
        self.hold_kek_of(id, kek_version.into()).await?;
        let done = sqlx::query(
            "UPDATE clips SET kek_version = $1, envelope = $2 WHERE id = $3 AND envelope = $4 AND state <> 'erasing'",
        )
        .bind(i64::from(kek_version))
        .bind(envelope.to_vec())
        .bind(id.as_bytes().to_vec())
        .bind(before.to_vec())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Holds a clip, as for a dispute, or lets it go: a held clip is neither trashed nor erased.
    pub async fn hold_clip(&mut self, id: ClipId, held: bool, now: UnixMs) -> Result<bool, CatalogError> {
        let text = format!("UPDATE clips SET held = $3, {RAISE} WHERE id = $2 AND state <> 'erasing'");
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .bind(i64::from(held))
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Lets go every clip of an owner, held or not: for an owner whose erasure was ordered when nothing was held.
    pub async fn let_go_clips_of(&mut self, owner: OwnerId, now: UnixMs) -> Result<u64, CatalogError> {
        let text = format!("UPDATE clips SET held = 0, {RAISE} WHERE owner_id = $2 AND held <> 0");
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Destroys a clip's wrapped key and all that is sealed about it; the state becomes erasing. Repeating it does no
    /// harm. False when the clip is held or not there. [`Catalog::checkpoint`] after the commit takes the old values
    /// out of SQLite's log.
    pub async fn erase_clip_keys(&mut self, id: ClipId, now: UnixMs) -> Result<bool, CatalogError> {
        // First with as many zeros, so that the page that held the wrap is written over where the database works in
        // place, then with nothing.
        let kept = sqlx::query("SELECT envelope FROM clips WHERE id = $1 AND held = 0")
            .bind(id.as_bytes().to_vec())
            .fetch_optional(&mut *self.connection())
            .await?;
        let Some(kept) = kept else { return Ok(false) };
        if let Some(envelope) = Row::new("clips", &kept).maybe_bytes("envelope")? {
            sqlx::query("UPDATE clips SET envelope = $1 WHERE id = $2 AND held = 0")
                .bind(vec![0_u8; envelope.len()])
                .bind(id.as_bytes().to_vec())
                .execute(&mut *self.connection())
                .await?;
        }
        let text = format!(
            "UPDATE clips SET state = 'erasing', state_before = NULL, progress = 0, error_code = NULL, \
             kek_version = NULL, envelope = NULL, sealed_summary = NULL, sealed_details = NULL, sha256_index = NULL, \
             {RAISE} WHERE id = $2 AND held = 0"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(text))
            .bind(now)
            .bind(id.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }
}
