//! Signed links: their span and recipient sealed, their openings counted, their media's state.

use sqlx::any::AnyRow;

use super::row::{Row, cursor};
use super::{Catalog, CatalogError, OwnerState, Tx};
use crate::model::{ClipId, ClipState, LinkId, LinkMediaState, OwnerId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT l.id, l.tenant_id, l.owner_id, l.clip_id, l.secret_hash, l.sealed_about, l.media_state, l.error_code, l.opens, \
             l.max_opens, l.created_at, l.expires_at, l.revoked_at, c.state AS clip_state, o.state AS owner_state \
             FROM links l JOIN clips c ON c.id = l.clip_id JOIN owners o ON o.id = l.owner_id ",
            $rest
        )
    };
}

/// A row to add; its media are being prepared.
pub struct NewLink<'a> {
    pub id: LinkId,
    pub tenant: TenantId,
    pub owner: OwnerId,
    pub clip: ClipId,
    /// SHA-256 of the token's random bytes.
    pub secret_hash: &'a [u8; 32],
    pub sealed_about: &'a [u8],
    pub max_opens: u32,
    pub created_at: UnixMs,
    pub expires_at: UnixMs,
}

/// A row of `links`, and the states of its clip and its owner.
#[derive(Clone)]
pub struct LinkRow {
    pub id: LinkId,
    pub tenant: TenantId,
    pub owner: OwnerId,
    pub clip: ClipId,
    pub secret_hash: Vec<u8>,
    /// Under the clip's DEK.
    pub sealed_about: Vec<u8>,
    pub media_state: LinkMediaState,
    pub error_code: Option<String>,
    pub opens: u32,
    pub max_opens: u32,
    pub created_at: UnixMs,
    pub expires_at: UnixMs,
    pub revoked_at: Option<UnixMs>,
    /// A link shows a clip that is ready, and no other.
    pub clip_state: ClipState,
    /// And of an owner that is active.
    pub owner_state: OwnerState,
}

/// How many links could still be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveLinks {
    /// Of the clip.
    pub of_clip: u32,
    /// Of the owner, this clip's included.
    pub of_owner: u32,
}

impl Catalog {
    /// A link, whoever owns it.
    pub async fn link_any(&self, id: LinkId) -> Result<Option<LinkRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE l.id = $1"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// At most `limit` links of an owner, newest first, from the first behind `after`.
    pub async fn links_of(
        &self,
        owner: OwnerId,
        after: Option<(UnixMs, LinkId)>,
        limit: u32,
    ) -> Result<Vec<LinkRow>, CatalogError> {
        // Nothing is newer than the largest time, so that the first page is a page like the others.
        let (time, id) = after.map_or((UnixMs::MAX, Vec::new()), |(time, id)| (time, id.as_bytes().to_vec()));
        let rows = sqlx::query(select!(
            "WHERE l.owner_id = $1 AND (l.created_at < $2 OR (l.created_at = $2 AND l.id > $3)) \
             ORDER BY l.created_at DESC, l.id LIMIT $4"
        ))
        .bind(owner.as_bytes().to_vec())
        .bind(time)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }

    /// At most `limit` links that are over (revoked, past their end, or their clip in the trash or being erased) and whose
    /// media are not removed yet, by their ends, from the first behind `after`. A link that is used up is not over: its
    /// sessions go on.
    pub async fn links_to_clear(
        &self,
        now: UnixMs,
        after: Option<(UnixMs, LinkId)>,
        limit: u32,
    ) -> Result<Vec<LinkRow>, CatalogError> {
        let (time, id) = cursor(after.map(|(time, id)| (time, *id.as_bytes())));
        let rows = sqlx::query(select!(
            "WHERE l.media_state <> 'removed' AND (l.expires_at <= $1 OR l.revoked_at IS NOT NULL \
             OR c.state IN ('trashed', 'erasing')) \
             AND (l.expires_at > $2 OR (l.expires_at = $2 AND l.id > $3)) \
             ORDER BY l.expires_at, l.id LIMIT $4"
        ))
        .bind(now)
        .bind(time)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Adds a link.
    pub async fn insert_link(&mut self, link: &NewLink<'_>) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO links (id, tenant_id, owner_id, clip_id, secret_hash, sealed_about, media_state, opens, \
             max_opens, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, 'preparing', 0, $7, $8, $9)",
        )
        .bind(link.id.as_bytes().to_vec())
        .bind(link.tenant.as_bytes().to_vec())
        .bind(link.owner.as_bytes().to_vec())
        .bind(link.clip.as_bytes().to_vec())
        .bind(link.secret_hash.to_vec())
        .bind(link.sealed_about.to_vec())
        .bind(i64::from(link.max_opens))
        .bind(link.created_at)
        .bind(link.expires_at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// How many links of the clip, and of its owner, could still be opened.
    pub async fn count_live_links(
        &mut self,
        owner: OwnerId,
        clip: ClipId,
        now: UnixMs,
    ) -> Result<LiveLinks, CatalogError> {
        let row = sqlx::query(
            "SELECT COUNT(*) AS of_owner, COUNT(CASE WHEN clip_id = $1 THEN 1 END) AS of_clip FROM links \
             WHERE owner_id = $2 AND revoked_at IS NULL AND expires_at > $3 AND opens < max_opens",
        )
        .bind(clip.as_bytes().to_vec())
        .bind(owner.as_bytes().to_vec())
        .bind(now)
        .fetch_one(self.connection())
        .await?;
        let row = Row::new("links", &row);
        Ok(LiveLinks {
            of_clip: row.count("of_clip")?,
            of_owner: row.count("of_owner")?,
        })
    }

    /// Counts an opening: one statement, so that of any number at once no more than `max_opens` succeed. False when the
    /// link is unknown, the secret wrong, the link over or used up, its clip not ready, or its owner not active.
    pub async fn open_link(&mut self, id: LinkId, secret_hash: &[u8; 32], now: UnixMs) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE links SET opens = opens + 1 WHERE id = $1 AND secret_hash = $2 AND revoked_at IS NULL \
             AND expires_at > $3 AND opens < max_opens \
             AND clip_id IN (SELECT id FROM clips WHERE id = links.clip_id AND state = 'ready') \
             AND owner_id IN (SELECT id FROM owners WHERE id = links.owner_id AND state = 'active')",
        )
        .bind(id.as_bytes().to_vec())
        .bind(secret_hash.to_vec())
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes a link of this owner; whether it was not revoked before.
    pub async fn revoke_link(&mut self, owner: OwnerId, id: LinkId, now: UnixMs) -> Result<bool, CatalogError> {
        let done =
            sqlx::query("UPDATE links SET revoked_at = $1 WHERE id = $2 AND owner_id = $3 AND revoked_at IS NULL")
                .bind(now)
                .bind(id.as_bytes().to_vec())
                .bind(owner.as_bytes().to_vec())
                .execute(self.connection())
                .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes every link of a clip, when the clip goes to the trash: a restored clip does not share itself again. How many
    /// were not revoked before.
    pub async fn revoke_links_of_clip(&mut self, clip: ClipId, now: UnixMs) -> Result<u64, CatalogError> {
        let done = sqlx::query("UPDATE links SET revoked_at = $1 WHERE clip_id = $2 AND revoked_at IS NULL")
            .bind(now)
            .bind(clip.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Moves a link's media from the state `from` to `to`. False when they are in another state; a revoked link's media
    /// never become ready.
    pub async fn set_link_media(
        &mut self,
        id: LinkId,
        from: LinkMediaState,
        to: LinkMediaState,
        error_code: Option<&str>,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE links SET media_state = $1, error_code = $2 WHERE id = $3 AND media_state = $4 \
             AND (revoked_at IS NULL OR $5 <> 'ready')",
        )
        .bind(to.as_str())
        .bind(error_code.map(str::to_owned))
        .bind(id.as_bytes().to_vec())
        .bind(from.as_str())
        .bind(to.as_str())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Removes every link of a clip and their sessions, before the clip's row goes; how many links they were.
    pub async fn delete_links_of(&mut self, clip: ClipId) -> Result<u64, CatalogError> {
        sqlx::query("DELETE FROM credentials WHERE link_id IN (SELECT id FROM links WHERE clip_id = $1)")
            .bind(clip.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        let done = sqlx::query("DELETE FROM links WHERE clip_id = $1")
            .bind(clip.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<LinkRow, CatalogError> {
    let row = Row::new("links", row);
    Ok(LinkRow {
        id: row.id("id")?,
        tenant: row.id("tenant_id")?,
        owner: row.id("owner_id")?,
        clip: row.id("clip_id")?,
        secret_hash: row.bytes("secret_hash")?,
        sealed_about: row.bytes("sealed_about")?,
        media_state: row.state("media_state")?,
        error_code: row.maybe_text("error_code")?,
        opens: row.count("opens")?,
        max_opens: row.count("max_opens")?,
        created_at: row.int("created_at")?,
        expires_at: row.int("expires_at")?,
        revoked_at: row.maybe_int("revoked_at")?,
        clip_state: row.state("clip_state")?,
        owner_state: row.state("owner_state")?,
    })
}
