//! What happened, append-only but for a viewing's last time.

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, EventId, EventKind, LinkId, OwnerId, TenantId, UnixMs};

/// A row to add.
pub struct NewEventRow {
    pub id: EventId,
    pub tenant: TenantId,
    pub owner: OwnerId,
    pub kind: EventKind,
    pub clip: Option<ClipId>,
    pub link: Option<LinkId>,
    /// For a viewing that may go on: who reads what (session, clip, kind of media).
    pub viewing: Option<[u8; 33]>,
    /// Under the owner's field key.
    pub sealed_text: Option<Vec<u8>>,
    pub at: UnixMs,
}

/// A row of `events`.
#[derive(Clone)]
pub struct EventRow {
    pub id: EventId,
    pub kind: EventKind,
    pub clip: Option<ClipId>,
    pub link: Option<LinkId>,
    pub sealed_text: Option<Vec<u8>>,
    pub at: UnixMs,
    pub last_at: UnixMs,
    pub count: u64,
}

/// What [`Tx::extend_viewing`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewingExtended {
    /// The viewing goes on, and its row says so.
    GoesOn,
    /// There is none, or its pause was too long: it has ended, and a new one may be added.
    Ended,
}

impl Catalog {
    /// At most `limit` events of an owner, newest first, those before the event `before`.
    pub async fn events_of(
        &self,
        owner: OwnerId,
        before: Option<(UnixMs, EventId)>,
        limit: u32,
    ) -> Result<Vec<EventRow>, CatalogError> {
        let (at, id) = before.map_or((UnixMs::MAX, vec![0xff; 17]), |(at, id)| (at, id.as_bytes().to_vec()));
        let rows = sqlx::query(
            "SELECT id, kind, clip_id, link_id, sealed_text, at, last_at, count FROM events \
             WHERE owner_id = $1 AND (at < $2 OR (at = $3 AND id < $4)) ORDER BY at DESC, id DESC LIMIT $5",
        )
        .bind(owner.as_bytes().to_vec())
        .bind(at)
        .bind(at)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(self.readers())
        .await?;
        rows.iter().map(read).collect()
    }
}

impl Tx {
    /// Adds an event. One whose viewing is there already (another request of the same viewing was first) extends that.
    pub async fn insert_event(&mut self, event: &NewEventRow) -> Result<(), CatalogError> {
        sqlx::query(
            "INSERT INTO events (id, tenant_id, owner_id, kind, clip_id, link_id, viewing, sealed_text, at, last_at, \
             count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1) \
             ON CONFLICT (viewing) DO UPDATE SET last_at = excluded.last_at WHERE events.last_at < excluded.last_at",
        )
        .bind(event.id.as_bytes().to_vec())
        .bind(event.tenant.as_bytes().to_vec())
        .bind(event.owner.as_bytes().to_vec())
        .bind(event.kind.as_str())
        .bind(event.clip.map(|id| id.as_bytes().to_vec()))
        .bind(event.link.map(|id| id.as_bytes().to_vec()))
        .bind(event.viewing.map(|digest| digest.to_vec()))
        .bind(event.sealed_text.clone())
        .bind(event.at)
        .bind(event.at)
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Extends a viewing that was seen after `pause_since`, counting once for each `step_ms` at most. One whose last time
    /// is longer ago ends here: its row keeps what it says and takes no more.
    pub async fn extend_viewing(
        &mut self,
        viewing: &[u8; 33],
        now: UnixMs,
        pause_since: UnixMs,
        step_ms: i64,
    ) -> Result<ViewingExtended, CatalogError> {
        let extended = sqlx::query(
            "UPDATE events SET count = count + CASE WHEN last_at <= $1 THEN 1 ELSE 0 END, \
             last_at = CASE WHEN last_at <= $2 THEN $3 ELSE last_at END WHERE viewing = $4 AND last_at > $5",
        )
        .bind(now - step_ms)
        .bind(now - step_ms)
        .bind(now)
        .bind(viewing.to_vec())
        .bind(pause_since)
        .execute(self.connection())
        .await?;
        if extended.rows_affected() > 0 {
            return Ok(ViewingExtended::GoesOn);
        }
        sqlx::query("UPDATE events SET viewing = NULL WHERE viewing = $1 AND last_at <= $2")
            .bind(viewing.to_vec())
            .bind(pause_since)
            .execute(self.connection())
            .await?;
        Ok(ViewingExtended::Ended)
    }

    /// Removes every event of an owner, as the last step of the owner's erasure; how many they were.
    pub async fn remove_events_of(&mut self, owner: OwnerId) -> Result<u64, CatalogError> {
        let done = sqlx::query("DELETE FROM events WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<EventRow, CatalogError> {
    let row = Row::new("events", row);
    Ok(EventRow {
        id: row.id("id")?,
        kind: row.state("kind")?,
        clip: row.maybe_id("clip_id")?,
        link: row.maybe_id("link_id")?,
        sealed_text: row.maybe_bytes("sealed_text")?,
        at: row.int("at")?,
        last_at: row.int("last_at")?,
        count: row.size("count")?,
    })
}
