//! Keeps the key plane in order: packs KEK records and tombstones, and takes out what is superseded or destroyed.
//!
//! Every KEK revision comes as an object of its own; small objects are written together again until they are packs of
//! hundreds. A pack is made from the catalogue's rows, never from other packs, so nothing that the key plane holds is believed
//! for it. An object goes once no row calls one of its records the newest.

use std::collections::BTreeSet;

use dashvault_keys::mirror::MAX_RECORDS;

use super::mirror::{Entry, location};
use super::{Holder, Vault, VaultError};
use crate::catalog::{MirrorRow, MirrorState, MirrorSubject};
use crate::model::{KekId, ObjectId};

/// A pack with at least this many records is left as it is.
const WHOLE_PACK: u32 = MAX_RECORDS as u32 / 2;
/// Small objects that are worth being written together: each record is then written some ten times in its life.
const MIN_OBJECTS: usize = 16;
/// A pack is read whole by whoever rebuilds from it; KEK records have one or two KiB, so a thousand of them fit.
pub(super) const PACK_BYTES: usize = 8 << 20;
/// Packs of a kind that one step writes: ten thousand records, some seconds of work.
const PACKS_A_STEP: usize = 10;
/// Objects removed, and packs written anew, in one step; the next sweep goes on.
const BATCH: u32 = 200;
/// Times that a pack is written anew while records in it change, before whoever asked has to come back.
const TURNS: usize = 5;

/// What a step of the sweep did in the key plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyPlaneSwept {
    /// Records that were written into larger packs.
    pub packed: u64,
    /// Objects that were removed.
    pub removed: u64,
}

impl Vault {
    /// One bounded step: small objects become packs, and what nobody needs any more goes.
    pub async fn sweep_key_plane(&self) -> Result<KeyPlaneSwept, VaultError> {
        let mut packed = 0;
        for kind in [MirrorSubject::Kek, MirrorSubject::Tombstone] {
            for _ in 0..PACKS_A_STEP {
                match self.pack(kind).await? {
                    0 => break,
                    records => packed += records,
                }
            }
        }
        self.destroy_mirrors_of_destroyed_keks().await?;
        let removed = self.remove_idle().await?;
        Ok(KeyPlaneSwept { packed, removed })
    }

    /// Takes every record of a subject out of the key plane, whatever else is in the same packs; the subject's rows in the
    /// catalogue are gone or overwritten already. May be called again.
    pub async fn destroy_mirrors(&self, kind: MirrorSubject, subject: &[u8; 16]) -> Result<(), VaultError> {
        let mut tx = self.inner.catalog.begin().await?;
        tx.retire_mirrors_of(kind, subject).await?;
        tx.commit().await?;
        for _ in 0..TURNS {
            let rows = self.inner.catalog.mirrors_of(kind, subject).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for object in objects(&rows) {
                self.rewrite_without_old(object).await?;
                self.remove_if_idle(kind, object).await?;
            }
        }
        Err(VaultError::Superseded)
    }

    /// Takes every KEK record out of the key plane whose row in the catalogue is destroyed.
    pub(super) async fn destroy_mirrors_of_destroyed_keks(&self) -> Result<(), VaultError> {
        for _ in 0..TURNS {
            let rows = self.inner.catalog.mirrors_of_destroyed_keks(BATCH).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for object in objects(&rows) {
                self.rewrite_without_old(object).await?;
                self.remove_if_idle(MirrorSubject::Kek, object).await?;
            }
        }
        Err(VaultError::Superseded)
    }

    /// Writes small objects of a kind into one pack; how many records it holds.
    async fn pack(&self, kind: MirrorSubject) -> Result<u64, VaultError> {
        let small = self
            .inner
            .catalog
            .mirrors_in_small_packs(kind, WHOLE_PACK, MAX_RECORDS as u32)
            .await?;
        if objects(&small).len() < MIN_OBJECTS {
            return Ok(0);
        }
        self.write_together(kind, &small, MIN_OBJECTS).await
    }

    /// Writes the newest records of an object into another one, so that nothing but old ones is left in it.
    async fn rewrite_without_old(&self, object: ObjectId) -> Result<u64, VaultError> {
        let rows = self.inner.catalog.mirrors_in(object).await?;
        let newest: Vec<_> = rows
            .into_iter()
            .filter(|row| row.state == MirrorState::Newest)
            .collect();
        match newest.first().map(|row| row.kind) {
            Some(kind) => self.write_together(kind, &newest, 1).await,
            None => Ok(0),
        }
    }

    /// One pack of the rows' records as the catalogue holds them now, unless what fits it comes from fewer than `least` objects:
    /// large records would be written for ever. A record that changes meanwhile stays where it is.
    async fn write_together(&self, kind: MirrorSubject, rows: &[MirrorRow], least: usize) -> Result<u64, VaultError> {
        let mut records = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in rows {
            let Some(record) = self.record_of(row).await? else {
                continue;
            };
            bytes += record.len();
            if bytes > PACK_BYTES && !records.is_empty() {
                break;
            }
            records.push((*row, record));
        }
        let from: BTreeSet<_> = records.iter().map(|(row, _)| row.object).collect();
        if from.len() < least {
            return Ok(0);
        }
        let entries = records.iter().map(|(row, record)| Entry {
            subject: row.subject,
            revision: row.revision,
            bytes: record,
        });
        let mirrored = self.write_mirror(kind, Holder::nobody(), entries.collect()).await?;
        let (to, now) = (mirrored.object(), self.now());
        let packed = u32::try_from(records.len()).unwrap_or(u32::MAX);
        let mut moved = 0;
        let mut tx = self.inner.catalog.begin().await?;
        if !tx.remove_intent(to).await? {
            return Err(VaultError::LeaseLost { object: to });
        }
        for (row, _) in &records {
            let still = tx.retire_mirror(row).await?;
            moved += u64::from(still);
            let state = if still { MirrorState::Newest } else { MirrorState::Old };
            let row = MirrorRow {
                object: to,
                packed,
                state,
                ..*row
            };
            tx.insert_mirror(self.tenant(), &row, now).await?;
        }
        tx.commit().await?;
        Ok(moved)
    }

    /// A record's bytes as the catalogue holds them, if it is at the revision that is mirrored.
    async fn record_of(&self, row: &MirrorRow) -> Result<Option<Vec<u8>>, VaultError> {
        let catalog = &self.inner.catalog;
        match row.kind {
            MirrorSubject::Kek => {
                let kek = catalog.kek(KekId::from_bytes(row.subject)).await?;
                Ok(kek.filter(|kek| kek.revision == row.revision).map(|kek| kek.record))
            }
            MirrorSubject::Tombstone => {
                let stone = catalog.tombstone(&row.subject).await?;
                Ok(stone)
            }
            // Never in a pack.
            MirrorSubject::Envelope | MirrorSubject::System => Ok(None),
        }
    }

    async fn remove_idle(&self) -> Result<u64, VaultError> {
        let idle = self.inner.catalog.idle_mirrors(BATCH).await?;
        let mut removed = 0;
        for kind in [
            MirrorSubject::Envelope,
            MirrorSubject::Kek,
            MirrorSubject::System,
            MirrorSubject::Tombstone,
        ] {
            let of_kind: Vec<_> = idle.iter().filter(|row| row.kind == kind).copied().collect();
            for object in objects(&of_kind) {
                removed += u64::from(self.remove_if_idle(kind, object).await?);
            }
        }
        Ok(removed)
    }

    /// Bytes first: a crash between the two leaves rows, and the next walk removes them again.
    async fn remove_if_idle(&self, kind: MirrorSubject, object: ObjectId) -> Result<bool, VaultError> {
        let rows = self.inner.catalog.mirrors_in(object).await?;
        if rows.iter().any(|row| row.state != MirrorState::Old) {
            return Ok(false);
        }
        self.inner.store.delete(location(kind), object).await?;
        let mut tx = self.inner.catalog.begin().await?;
        tx.forget_mirrors_in(object).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn objects(rows: &[MirrorRow]) -> BTreeSet<ObjectId> {
    rows.iter().map(|row| row.object).collect()
}
