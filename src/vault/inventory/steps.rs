//! The inventory in steps, for a walk that takes a day and outlives the process.

use dashvault_keys::digest::sha256;
use data_encoding::HEXLOWER;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::super::Vault;
use super::{BATCH, Forms, Inventory, LOOKS_AT_ONCE, StoredFlaw, StoredUnfit, VaultError, place};
use crate::model::{Bucket, ObjectId};

/// Some of what lies in a bucket, after a look.
#[derive(Debug, Clone)]
pub struct ObjectsStep {
    pub objects: u64,
    pub bytes: u64,
    /// How many of each format.
    pub forms: Forms,
    /// What was wrong at both looks.
    pub unfit: Vec<StoredUnfit>,
    /// Where the next step goes on; none at the end.
    pub last: Option<String>,
}

/// Some rows, after their objects were asked for.
#[derive(Debug, Clone)]
pub struct RowsStep {
    pub rows: u64,
    /// What is missing, at both looks.
    pub unfit: Vec<StoredUnfit>,
    /// Where the next step goes on; none at the end.
    pub last: Option<ObjectId>,
}

impl StoredFlaw {
    /// The flaw of a word.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flaw| flaw.as_str() == word)
    }

    /// What lies there may be readable to whoever gets it.
    pub const fn may_be_plaintext(self) -> bool {
        match self {
            Self::ForeignName | Self::IllFormed | Self::Labelled => true,
            Self::OtherName | Self::OtherSize | Self::OtherCommitment | Self::Unknown | Self::Missing => false,
        }
    }
}

impl StoredUnfit {
    /// The SHA-256 of its name, in place of a name that is not ours and may tell of somebody.
    pub fn hidden_name(&self) -> String {
        format!("sha256:{}", HEXLOWER.encode(&sha256(self.path.as_bytes())))
    }
}

impl Vault {
    /// An inventory over this vault's catalogue and store.
    pub fn inventory(&self) -> Inventory {
        Inventory::new(self.inner.catalog.clone(), self.inner.store.clone())
    }
}

impl Inventory {
    /// Looks at no more than `most` of what lies in a bucket behind `after`.
    pub async fn step_objects(
        &self,
        bucket: Bucket,
        after: Option<&str>,
        most: usize,
    ) -> Result<ObjectsStep, VaultError> {
        let entries = self.store.entries_after(place(bucket), after, most.min(BATCH)).await?;
        let (objects, last) = (entries.len() as u64, entries.last().map(|entry| entry.path.clone()));
        let bytes = entries.iter().map(|entry| entry.size_bytes).sum();
        let judged = self.judge(bucket, entries).await?;
        let suspects = judged.unfit.into_iter().map(|(entry, _)| entry).collect();
        Ok(ObjectsStep {
            objects,
            bytes,
            forms: judged.forms,
            unfit: self.look_again(bucket, suspects, Vec::new()).await?,
            last,
        })
    }

    /// Asks for the objects of no more than `most` rows behind `after`.
    pub async fn step_rows(
        &self,
        bucket: Bucket,
        after: Option<ObjectId>,
        most: usize,
    ) -> Result<RowsStep, VaultError> {
        let most = u32::try_from(most.min(BATCH)).unwrap_or(u32::MAX);
        let expected = self.expected(bucket, after, most).await?;
        let (rows, last) = (expected.len() as u64, expected.last().map(|(_, id)| *id));
        let missing: Vec<_> = futures_util::stream::iter(expected)
            .map(|at| async move { Ok::<_, VaultError>(self.is_missing(at).await?.then_some(at)) })
            .buffer_unordered(LOOKS_AT_ONCE)
            .try_filter_map(|missing| async move { Ok(missing) })
            .try_collect()
            .await?;
        Ok(RowsStep {
            rows,
            unfit: self.look_again(bucket, Vec::new(), missing).await?,
            last,
        })
    }
}
