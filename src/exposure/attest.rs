//! Attestations: once a day, and whenever a verdict changes, what is known of every bucket is stated, signed and chained to
//! the statement before. Who has the lines can show later what was known when, and that none of them was put in afterwards.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ExposureError;
use crate::catalog::{AttestationRow, Catalog, CatalogError, WalkRow, WatchedRow};
use crate::model::UnixMs;
use crate::vault::{BucketStatement, InventoryStatement, Seen, Vault};

/// How often it is looked whether a statement is due: two rows are read.
const LOOK: Duration = Duration::from_secs(10);
/// Without a change one is due after so long.
const DAILY_MS: i64 = 24 * 3_600 * 1_000;
/// Verdicts that come and go in every round fill no disk: what changed meanwhile stands in the next one's counts.
const LEAST_MS: i64 = 60_000;

/// States and signs. Cheap to clone.
#[derive(Clone)]
pub struct Attestor {
    catalog: Catalog,
    vault: Vault,
}

impl Attestor {
    /// Over the catalogue that holds the chain.
    pub fn new(catalog: Catalog, vault: Vault) -> Self {
        Self { catalog, vault }
    }

    /// States what is due, until `ending`.
    pub async fn run(&self, ending: CancellationToken) {
        loop {
            if let Err(error) = self.attest_if_due().await {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "what is known of the buckets cannot be attested now; it is tried again"
                );
            }
            tokio::select! {
                () = ending.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Adds a statement to the chain if one is due; its number.
    pub async fn attest_if_due(&self) -> Result<Option<u64>, ExposureError> {
        let watched = self.catalog.watched().await?;
        let before = self.catalog.newest_attestation().await?;
        let changes = watched.iter().map(|row| row.changes).sum();
        if watched.is_empty() || !is_due(before.as_ref(), changes, self.vault.clock().now_ms()) {
            return Ok(None);
        }
        let mut buckets = Vec::with_capacity(watched.len());
        for row in watched {
            let walk = self.catalog.last_walk(row.verdict.bucket).await?;
            buckets.push(state(&row, walk));
        }
        let seen = Seen {
            service: env!("CARGO_PKG_VERSION").to_owned(),
            buckets,
        };
        let attested = self.vault.attest(before.as_ref().map(|row| row.line.as_str()), seen)?;
        let row = AttestationRow {
            seq: attested.seq,
            at: attested.at,
            sha256: attested.sha256,
            changes,
            line: attested.line,
        };
        let mut tx = self.catalog.begin().await?;
        match tx.add_attestation(&row).await {
            // Another node was faster, and has stated the same.
            Err(CatalogError::Exists(_)) => Ok(None),
            Err(error) => Err(error.into()),
            Ok(()) => {
                tx.commit().await?;
                Ok(Some(row.seq))
            }
        }
    }
}

fn is_due(before: Option<&AttestationRow>, changes: u64, now: UnixMs) -> bool {
    before.is_none_or(|row| {
        let age = now - row.at;
        age >= DAILY_MS || (changes != row.changes && age >= LEAST_MS)
    })
}

fn state(row: &WatchedRow, walk: Option<WalkRow>) -> BucketStatement {
    let verdict = &row.verdict;
    BucketStatement {
        bucket: verdict.bucket.as_str().to_owned(),
        verdict: verdict.verdict.as_str().to_owned(),
        since_ms: verdict.since,
        checked_ms: verdict.checked_at,
        private_ms: verdict.private_at,
        rounds: row.rounds,
        changes: row.changes,
        inventory: walk.map(|walk| InventoryStatement {
            began_ms: walk.began_at,
            ended_ms: walk.ended_at.unwrap_or(walk.moved_at),
            objects: walk.objects,
            bytes: walk.bytes,
            rows: walk.rows,
            findings: walk.findings,
            not_sealed: walk.not_sealed,
            clips_opened: walk.clips_opened,
            objects_opened: walk.objects_opened,
            forms: serde_json::from_str(&walk.forms).unwrap_or_default(),
        }),
    }
}
