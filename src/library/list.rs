//! Lists: a page of an owner's clips from the index, each clip's row read anew.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::index::{Entry, Shelf};
use super::view::ClipPage;
use super::{DEFAULT_PAGE, Library, LibraryError, ListQuery, MAX_PAGE};
use crate::access::OwnerSession;
use crate::model::{ClipId, UnixMs};
use crate::vault::{OwnerKeys, Record};

/// The last clip of a page. Sealed, for a cursor stands in addresses, which are logged, and the time in it is not for logs.
#[derive(Serialize, Deserialize)]
struct Cursor {
    at: UnixMs,
    id: ClipId,
}

impl Record for Cursor {
    const TABLE: &'static str = "clips";
    const COLUMN: &'static str = "cursor";
    const PAD_BYTES: usize = 64;
}

impl Library {
    /// A page of an owner's clips, newest first.
    pub async fn list(&self, session: &OwnerSession, query: &ListQuery) -> Result<ClipPage, LibraryError> {
        let keys = Arc::new(self.inner.vault.owner_keys(session.owner()).await?);
        let place = match &query.cursor {
            Some(text) => Some(place(&keys, text)?),
            None => None,
        };
        let limit = query.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
        let (page, more) = {
            let index = self.index(&keys).await?;
            let index = index.lock().await;
            let mut matching = index.after(place).iter().filter(|entry| query.takes(entry));
            let page: Vec<_> = matching.by_ref().take(limit).copied().collect();
            (page, matching.next().is_some())
        };
        let next_cursor = page.last().filter(|_| more).map(|last| {
            let cursor = Cursor {
                at: last.at,
                id: last.id,
            };
            BASE64URL_NOPAD.encode(&keys.seal(session.owner().as_bytes(), &cursor))
        });
        let ids: Vec<_> = page.iter().map(|entry| entry.id).collect();
        let mut rows = self.inner.catalog.clips_by_id(session.owner(), &ids).await?;
        // Trashed or erased since the index was read.
        rows.retain(|row| Shelf::of(row) == query.shelf());
        rows.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
        let clips = self.views(&keys, &rows).await?;
        Ok(ClipPage { clips, next_cursor })
    }
}

impl ListQuery {
    fn shelf(&self) -> Shelf {
        match self.trashed {
            true => Shelf::Trash,
            false => Shelf::Clips,
        }
    }

    fn takes(&self, entry: &Entry) -> bool {
        entry.shelf == self.shelf()
            && self.from.is_none_or(|from| entry.at >= from)
            && self.to.is_none_or(|to| entry.at <= to)
            && self.device.is_none_or(|device| entry.device == Some(device))
    }
}

fn place(keys: &OwnerKeys, text: &str) -> Result<(UnixMs, ClipId), LibraryError> {
    let sealed = BASE64URL_NOPAD
        .decode(text.as_bytes())
        .map_err(|_| LibraryError::Cursor)?;
    let cursor: Cursor = keys
        .open(keys.owner().as_bytes(), &sealed)
        .map_err(|_| LibraryError::Cursor)?;
    Ok((cursor.at, cursor.id))
}
