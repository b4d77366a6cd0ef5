//! The key plane's mirror, written: every record of the catalogue a second time, as an object under a random name.
//!
//! The object is whole in the key plane before the transaction that writes the row: a crash between the two leaves an object
//! under an intent, which the sweep removes. Packs hold records in the order of their random ids, so that neither a name nor
//! a place in a pack tells which records belong to one owner.

use std::time::Duration;

use dashvault_keys::mirror::{self, MirrorKind};

use super::{Holder, Vault, VaultError};
use crate::catalog::{IntentRow, KekRow, MirrorRow, MirrorState, MirrorSubject, SystemRecordRow, Tx};
use crate::model::{ClipId, ObjectId};
use crate::store::Location;

/// How long an object may be on its way into the key plane before the sweep takes it: a few megabytes, and the transaction
/// behind them.
const LEASE: Duration = Duration::from_secs(10 * 60);

/// A record on its way into the key plane.
pub(super) struct Entry<'a> {
    pub subject: [u8; 16],
    pub revision: u32,
    pub bytes: &'a [u8],
}

/// Records that lie in the key plane and count from the transaction on in which [`Vault::record_mirror`] is called. Dropped
/// without it, the sweep removes them.
#[must_use = "it counts only once it is recorded"]
pub struct Mirrored {
    object: ObjectId,
    rows: Vec<MirrorRow>,
}

impl Mirrored {
    /// The object in the key plane.
    pub fn object(&self) -> ObjectId {
        self.object
    }

    /// Makes the record of `subject` count for nothing, because its row could not be written: it goes with the next pack that
    /// is written anew.
    pub fn give_up(&mut self, subject: &[u8; 16]) {
        for row in self.rows.iter_mut().filter(|row| row.subject == *subject) {
            row.state = MirrorState::Old;
        }
    }
}

impl Vault {
    /// Writes a clip's envelope into the key plane, whole and durable. `holder` writes it: the job, or the clip, so that the
    /// clip's erasure ends what is on its way.
    pub async fn mirror_envelope(
        &self,
        clip: ClipId,
        revision: u32,
        envelope: &[u8],
        holder: Holder,
    ) -> Result<Mirrored, VaultError> {
        let entry = Entry {
            subject: *clip.as_bytes(),
            revision,
            bytes: envelope,
        };
        self.write_mirror(MirrorSubject::Envelope, holder, vec![entry]).await
    }

    /// Takes an object back that is not to be recorded.
    pub(super) async fn remove_unrecorded(&self, mirrored: Mirrored) -> Result<(), VaultError> {
        let Some(kind) = mirrored.rows.first().map(|row| row.kind) else {
            return Ok(());
        };
        self.inner.store.delete(location(kind), mirrored.object).await?;
        let mut tx = self.inner.catalog.begin().await?;
        tx.remove_intent(mirrored.object).await?;
        Ok(tx.commit().await?)
    }

    /// Writes KEK records into the key plane as one pack, at most [`mirror::MAX_RECORDS`] and
    /// [`mirror::MAX_MIRROR_BYTES`].
    pub async fn mirror_keks(&self, keks: &[KekRow]) -> Result<Mirrored, VaultError> {
        let entries = keks.iter().map(|kek| Entry {
            subject: *kek.id.as_bytes(),
            revision: kek.revision,
            bytes: &kek.record,
        });
        let entries = entries.collect();
        let holder = match keks {
            // So that the owner's erasure ends what is on its way.
            [one] => Holder::of(one.owner.as_bytes()),
            _ => Holder::nobody(),
        };
        self.write_mirror(MirrorSubject::Kek, holder, entries).await
    }

    /// Writes a system record into the key plane. Its revision must be higher than that of every epoch's before.
    pub async fn mirror_system(&self, system: &SystemRecordRow) -> Result<Mirrored, VaultError> {
        let entry = Entry {
            subject: *self.tenant().as_bytes(),
            revision: system.revision,
            bytes: &system.record,
        };
        self.write_mirror(MirrorSubject::System, Holder::nobody(), vec![entry])
            .await
    }

    /// Makes what was written into the key plane count, in the transaction that writes the rows. A newer revision that
    /// somebody recorded meanwhile is [`VaultError::Superseded`], and an object that the sweep took
    /// [`VaultError::LeaseLost`]: then the transaction must not be committed.
    pub async fn record_mirror(&self, tx: &mut Tx, mirrored: &Mirrored) -> Result<(), VaultError> {
        let now = self.now();
        if !tx.remove_intent(mirrored.object).await? {
            return Err(VaultError::LeaseLost {
                object: mirrored.object,
            });
        }
        let (old, newest): (Vec<_>, Vec<_>) = mirrored
            .rows
            .iter()
            .copied()
            .partition(|row: &MirrorRow| row.state == MirrorState::Old);
        for row in &old {
            tx.insert_mirror(self.tenant(), row, now).await?;
        }
        match tx.record_mirrors(self.tenant(), &newest, now).await? {
            true => Ok(()),
            false => Err(VaultError::Superseded),
        }
    }

    /// The revision that the next writing of a record has: one more than any that was ever seen.
    pub(super) async fn next_revision(
        &self,
        kind: MirrorSubject,
        subject: &[u8; 16],
        current: u32,
    ) -> Result<u32, VaultError> {
        let rows = self.inner.catalog.mirrors_of(kind, subject).await?;
        let seen = rows.iter().map(|row| row.revision).max().unwrap_or(0);
        Ok(seen.max(current).saturating_add(1))
    }

    /// One object of the key plane: its intent committed, then its bytes durable.
    pub(super) async fn write_mirror(
        &self,
        kind: MirrorSubject,
        holder: Holder,
        mut entries: Vec<Entry<'_>>,
    ) -> Result<Mirrored, VaultError> {
        entries.sort_by_key(|entry| entry.subject);
        let (object, now) = (ObjectId::random(), self.now());
        let records: Vec<&[u8]> = entries.iter().map(|entry| entry.bytes).collect();
        let bytes =
            mirror::make(self.sys(), object.as_bytes(), frame(kind), &records).map_err(|_| VaultError::OverLimit {
                limit_bytes: mirror::MAX_MIRROR_BYTES as u64,
            })?;
        let mut tx = self.inner.catalog.begin().await?;
        let lease_ms = i64::try_from(holder.lease.as_millis()).unwrap_or(i64::MAX);
        let intent = IntentRow {
            object,
            location: kind.location(),
            holder: holder.id,
            multipart_id: None,
            lease_until: now.saturating_add(lease_ms),
        };
        tx.insert_intent(self.tenant(), &intent, now).await?;
        tx.commit().await?;
        self.inner.store.put(location(kind), object, bytes.into()).await?;
        let packed = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        let rows = entries.iter().map(|entry| MirrorRow {
            object,
            kind,
            subject: entry.subject,
            revision: entry.revision,
            state: MirrorState::Newest,
            packed,
        });
        Ok(Mirrored {
            object,
            rows: rows.collect(),
        })
    }
}

impl Holder {
    /// Whoever writes for a moment and has no job.
    pub(super) fn nobody() -> Self {
        Self {
            id: *ObjectId::random().as_bytes(),
            lease: LEASE,
        }
    }

    /// A clip or an owner, for what is written about it outside a job.
    pub(super) fn of(id: &[u8; 16]) -> Self {
        Self { id: *id, lease: LEASE }
    }
}

pub(super) fn location(kind: MirrorSubject) -> Location {
    match kind {
        MirrorSubject::Tombstone => Location::Tombstones,
        MirrorSubject::Envelope | MirrorSubject::Kek | MirrorSubject::System => Location::KeyPlane,
    }
}

fn frame(kind: MirrorSubject) -> MirrorKind {
    match kind {
        MirrorSubject::Envelope => MirrorKind::Envelope,
        MirrorSubject::Kek => MirrorKind::Keks,
        MirrorSubject::System => MirrorKind::System,
        MirrorSubject::Tombstone => MirrorKind::Tombstones,
    }
}
