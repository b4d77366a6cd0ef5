//! Erasures that were ordered: a signed tombstone before anything is destroyed, a signed receipt when nothing is left.

use std::fmt;
use std::str::FromStr;

use sqlx::any::AnyRow;

use super::row::Row;
use super::{Catalog, CatalogError, Tx};
use crate::model::{ClipId, ErasureId, OwnerId, TenantId, UnixMs};

/// A query of this table; `concat!` keeps every text constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, kind, subject_id, owner_id, tombstone, ordered_at, receipt, done_at FROM erasures ",
            $rest
        )
    };
}

/// What is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErasureKind {
    /// A clip.
    Clip,
    /// An owner with everything of theirs.
    Owner,
    /// A root epoch.
    Epoch,
}

/// A row of `erasures`.
#[derive(Debug, Clone, PartialEq)]
pub struct ErasureRow {
    /// Random; an owner's receipt is fetched by it.
    pub id: ErasureId,
    pub kind: ErasureKind,
    /// The clip's or the owner's id, or 12 zero bytes and the epoch.
    pub subject: [u8; 16],
    /// Of a clip, unless the owner is erased too.
    pub owner: Option<OwnerId>,
    /// Signed.
    pub tombstone: Vec<u8>,
    pub ordered_at: UnixMs,
    /// Signed, once nothing is left.
    pub receipt: Option<String>,
    pub done_at: Option<UnixMs>,
}

impl ErasureKind {
    /// The word in the row.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::Owner => "owner",
            Self::Epoch => "epoch",
        }
    }
}

impl fmt::Display for ErasureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ErasureKind {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        [Self::Clip, Self::Owner, Self::Epoch]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or(())
    }
}

impl Catalog {
    /// One erasure by its own id.
    pub async fn erasure(&self, id: ErasureId) -> Result<Option<ErasureRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE id = $1"))
            .bind(id.as_bytes().to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The erasure of a subject.
    pub async fn erasure_of(&self, kind: ErasureKind, subject: &[u8; 16]) -> Result<Option<ErasureRow>, CatalogError> {
        let row = sqlx::query(select!("WHERE subject_id = $1 AND kind = $2"))
            .bind(subject.to_vec())
            .bind(kind.as_str())
            .fetch_optional(self.readers())
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The signed tombstone of a subject, whatever it is.
    pub async fn tombstone(&self, subject: &[u8; 16]) -> Result<Option<Vec<u8>>, CatalogError> {
        let row = sqlx::query("SELECT tombstone FROM erasures WHERE subject_id = $1 LIMIT 1")
            .bind(subject.to_vec())
            .fetch_optional(self.readers())
            .await?;
        row.map(|row| Row::new("erasures", &row).bytes("tombstone")).transpose()
    }

    /// The erasure of one of an owner's clips.
    pub async fn erasure_of_clip(&self, owner: OwnerId, clip: ClipId) -> Result<Option<ErasureRow>, CatalogError> {
        let row = self.erasure_of(ErasureKind::Clip, clip.as_bytes()).await?;
        Ok(row.filter(|row| row.owner == Some(owner)))
    }
}

impl Tx {
    /// Adds an erasure that has just been ordered; false when the subject's was ordered before.
    pub async fn insert_erasure(&mut self, tenant: TenantId, erasure: &ErasureRow) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "INSERT INTO erasures (id, tenant_id, kind, subject_id, owner_id, tombstone, ordered_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (subject_id, kind) DO NOTHING",
        )
        .bind(erasure.id.as_bytes().to_vec())
        .bind(tenant.as_bytes().to_vec())
        .bind(erasure.kind.as_str())
        .bind(erasure.subject.to_vec())
        .bind(erasure.owner.map(|owner| owner.as_bytes().to_vec()))
        .bind(erasure.tombstone.clone())
        .bind(erasure.ordered_at)
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Keeps the receipt of a finished erasure; the first one stands.
    pub async fn finish_erasure(
        &mut self,
        kind: ErasureKind,
        subject: &[u8; 16],
        receipt: &str,
        now: UnixMs,
    ) -> Result<bool, CatalogError> {
        let done = sqlx::query(
            "UPDATE erasures SET receipt = $1, done_at = $2 WHERE subject_id = $3 AND kind = $4 AND done_at IS NULL",
        )
        .bind(receipt)
        .bind(now)
        .bind(subject.to_vec())
        .bind(kind.as_str())
        .execute(self.connection())
        .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Unties the erasures of an erased owner's clips from the owner.
    pub async fn untie_erasures_of(&mut self, owner: OwnerId) -> Result<u64, CatalogError> {
        let done = sqlx::query("UPDATE erasures SET owner_id = NULL WHERE owner_id = $1")
            .bind(owner.as_bytes().to_vec())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }
}

fn read(row: &AnyRow) -> Result<ErasureRow, CatalogError> {
    let row = Row::new("erasures", row);
    Ok(ErasureRow {
        id: row.id("id")?,
        kind: row.state("kind")?,
        subject: row.array("subject_id")?,
        owner: row.maybe_id("owner_id")?,
        tombstone: row.bytes("tombstone")?,
        ordered_at: row.int("ordered_at")?,
        receipt: row.maybe_text("receipt")?,
        done_at: row.maybe_int("done_at")?,
    })
}
