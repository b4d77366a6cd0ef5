//! What an owner's list is ordered and filtered by, opened from the sealed summaries and kept in memory.
//!
//! Recorded times are sealed, so no SQL can order by them. One cheap statement tells whether any row of the owner has
//! changed, here or in another process; then only the changed rows are opened again.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::Mutex;
use zeroize::Zeroize as _;

use super::recent::Recent;
use super::{Library, LibraryError};
use crate::catalog::{ClipRow, ClipsStamp};
use crate::model::{ClipId, ClipState, DeviceId, NOT_AS_DECLARED, UnixMs};
use crate::vault::{ClipSummary, OwnerKeys, Vault};

/// Entries of all owners together, of about 64 bytes each: 32 MiB.
pub(super) const MAX_ENTRIES: usize = 500_000;
/// Rows, each with an envelope of some KiB, that are in memory at once while an index is built.
const ROWS_AT_ONCE: usize = 500;

/// The indexes of the owners that listed lately.
pub(super) type Indexes = Recent<crate::model::OwnerId, Mutex<OwnerIndex>>;

/// One owner's clips, newest first. Zeroed when dropped.
#[derive(Default)]
pub(super) struct OwnerIndex {
    entries: Vec<Entry>,
    /// What the catalogue's stamp is while these entries hold.
    stamp: ClipsStamp,
}

/// What a clip is ordered and filtered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Recorded, or received where that is unknown.
    pub at: UnixMs,
    pub id: ClipId,
    pub device: Option<DeviceId>,
    pub shelf: Shelf,
    updated_at: UnixMs,
    mark: i64,
}

/// In which list a clip stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    Clips,
    Trash,
    /// It is being erased, or came with other bytes than were declared and is kept apart.
    None,
}

impl Shelf {
    pub fn of(row: &ClipRow) -> Self {
        match row.state {
            ClipState::Trashed => Self::Trash,
            ClipState::Erasing => Self::None,
            ClipState::Failed if row.error_code.as_deref() == Some(NOT_AS_DECLARED) => Self::None,
            _ => Self::Clips,
        }
    }
}

impl Entry {
    /// Newest first; the id settles it between clips of one millisecond.
    fn order(&self) -> Reverse<(UnixMs, ClipId)> {
        Reverse((self.at, self.id))
    }
}

impl OwnerIndex {
    /// The entries behind a place, or all, in order.
    pub fn after(&self, place: Option<(UnixMs, ClipId)>) -> &[Entry] {
        let from = place.map_or(0, |place| {
            self.entries.partition_point(|entry| (entry.at, entry.id) >= place)
        });
        &self.entries[from..]
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Replaces what is known of the clips that `fresh` is about, and leaves out those of `gone`.
    fn apply(&mut self, fresh: Vec<Entry>, gone: &HashSet<ClipId>) {
        let changed: HashSet<_> = fresh.iter().map(|entry| entry.id).collect();
        let stays = |entry: &&Entry| !changed.contains(&entry.id) && !gone.contains(&entry.id);
        // A new vector of the right size: growing one would leave copies in freed memory.
        let mut entries = Vec::with_capacity(self.entries.len() + fresh.len());
        entries.extend(self.entries.iter().filter(stays));
        entries.extend(&fresh);
        entries.sort_unstable_by_key(Entry::order);
        wipe(&mut self.entries);
        self.entries = entries;
        self.stamp = ClipsStamp {
            count: i64::try_from(self.entries.len()).unwrap_or(i64::MAX),
            sum: self.entries.iter().map(|entry| entry.updated_at + entry.mark).sum(),
        };
        let mut fresh = fresh;
        wipe(&mut fresh);
    }
}

impl Drop for OwnerIndex {
    fn drop(&mut self) {
        wipe(&mut self.entries);
    }
}

fn wipe(entries: &mut [Entry]) {
    for entry in entries {
        entry.at.zeroize();
        entry.device = None;
    }
}

impl Library {
    /// The owner's index as the rows are now.
    pub(super) async fn index(&self, keys: &Arc<OwnerKeys>) -> Result<Arc<Mutex<OwnerIndex>>, LibraryError> {
        let owner = keys.owner();
        let shared = self.inner.indexes.get(owner).unwrap_or_default();
        let mut index = shared.lock().await;
        let stamp = self.inner.catalog.clips_stamp(owner).await?;
        if index.stamp != stamp {
            self.refresh(keys, &mut index, stamp).await?;
        }
        let weight = index.len().max(1);
        drop(index);
        self.inner.indexes.put(owner, &shared, weight);
        Ok(shared)
    }

    async fn refresh(
        &self,
        keys: &Arc<OwnerKeys>,
        index: &mut OwnerIndex,
        stamp: ClipsStamp,
    ) -> Result<(), LibraryError> {
        let (catalog, owner) = (&self.inner.catalog, keys.owner());
        // Most often a clip or two have come or changed, and their times are the newest.
        if let Some(newest) = index.entries.iter().map(|entry| entry.updated_at).max() {
            let rows = catalog.clips_changed_since(owner, newest).await?;
            if rows.len() <= ROWS_AT_ONCE {
                index.apply(self.entries(keys, rows).await, &HashSet::new());
            }
            if index.stamp == stamp {
                return Ok(());
            }
        }
        // Some went, or a clock that is behind wrote: compare them all.
        let known: HashMap<_, _> = index.entries.iter().map(|e| (e.id, e.updated_at)).collect();
        let versions = catalog.clip_versions(owner).await?;
        let there: HashSet<_> = versions.iter().map(|(id, _)| *id).collect();
        let gone = known.keys().filter(|id| !there.contains(id)).copied().collect();
        let changed: Vec<_> = versions
            .into_iter()
            .filter(|(id, version)| known.get(id) != Some(version))
            .map(|(id, _)| id)
            .collect();
        let mut fresh = Vec::with_capacity(changed.len());
        for ids in changed.chunks(ROWS_AT_ONCE) {
            let rows = catalog.clips_by_id(owner, ids).await?;
            fresh.extend(self.entries(keys, rows).await);
        }
        index.apply(fresh, &gone);
        Ok(())
    }

    /// Opens the summaries of rows; away from the tasks that wait for sockets, for it computes.
    async fn entries(&self, keys: &Arc<OwnerKeys>, rows: Vec<ClipRow>) -> Vec<Entry> {
        let (vault, keys) = (self.inner.vault.clone(), Arc::clone(keys));
        let opened = tokio::task::spawn_blocking(move || rows.iter().map(|row| entry(&vault, &keys, row)).collect());
        // It cannot fail but by a panic in there, which is passed on.
        opened
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

fn entry(vault: &Vault, keys: &OwnerKeys, row: &ClipRow) -> Entry {
    Entry {
        at: recorded_at(vault, keys, row).unwrap_or(row.created_at),
        id: row.id,
        device: row.device,
        shelf: Shelf::of(row),
        updated_at: row.updated_at,
        mark: row.mark,
    }
}

/// None too when the summary does not open: one damaged row must not hide the other clips, and its view says so.
fn recorded_at(vault: &Vault, keys: &OwnerKeys, row: &ClipRow) -> Option<UnixMs> {
    let (envelope, sealed) = (row.envelope.as_deref()?, row.sealed_summary.as_deref()?);
    let keys = vault.clip_keys(keys, row.id, envelope, row.least_revision).ok()?;
    let summary: ClipSummary = keys.open(row.id.as_bytes(), sealed).ok()?;
    summary.recorded_at
}
