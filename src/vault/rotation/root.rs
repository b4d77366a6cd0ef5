//! Every KEK record under the newest root key: the KEK is unwrapped, wrapped anew, and the record sealed as its next revision.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use dashvault_keys::kek::{self, KekError, KekHead, SealedKek, SoleWrap};
use dashvault_keys::provider::RootKey;

use super::super::custody::from_kek;
use super::super::{Vault, VaultError, run_blocking};
use super::{BATCH, Failures, MAX_WALKS, Phase, Progress, Tell};
use crate::catalog::{CatalogError, KekAge, KekRow};
use crate::model::TenantId;

/// A mirror pack is read whole; KEK records have one or two KiB, so it rarely cuts a batch.
const PACK_BYTES: usize = 8 << 20;
/// Threads that wrap at once: a token has few sessions (eight are opened at most), and the service beside it needs some.
const MAX_LANES: usize = 4;
/// How often a step is tried that others get in the way of.
const TRIES: usize = 10;

/// What was re-wrapped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rewrapped {
    /// KEK records that got a new wrap.
    pub rewrapped: u64,
    /// Those that had one already.
    pub already: u64,
    /// What does not open and was left as it is.
    pub failures: Failures,
    /// How long was waited for the key plane alone, of the whole: without what was wrapped meanwhile.
    pub mirror_time: Duration,
}

/// A record with its new wrap, and the revision that it replaces.
struct Change {
    row: KekRow,
    before: u32,
}

/// What became of the records of a batch, in their order.
#[derive(Default)]
struct Wrapped {
    changes: Vec<Change>,
    already: u64,
    failed: Vec<(KekRow, KekError)>,
}

impl Wrapped {
    fn and(mut self, next: Self) -> Self {
        self.changes.extend(next.changes);
        self.already += next.already;
        self.failed.extend(next.failed);
        self
    }
}

/// How a walk ended.
#[derive(Default)]
struct Walked {
    /// Records that somebody else changed first.
    lost: u64,
    /// Those that do not open and are under another root key still.
    left: u64,
}

/// A batch that waits to be written.
struct Batch {
    wrapped: Wrapped,
    /// Of those that failed, the ones under another root key.
    left: u64,
    last: KekAge,
    seen: u64,
    wrapped_at: Instant,
}

/// How a batch was written.
#[derive(Default)]
struct Stored {
    lost: u64,
    mirroring: Vec<Span>,
}

/// From when to when.
struct Span {
    began: Instant,
    ended: Instant,
}

impl Span {
    fn since(began: Instant) -> Self {
        Self {
            began,
            ended: Instant::now(),
        }
    }

    /// What of it lies after a time; all of it without one.
    fn after(&self, time: Option<Instant>) -> Duration {
        let from = time.map_or(self.began, |time| time.max(self.began));
        self.ended.saturating_duration_since(from)
    }
}

impl Vault {
    /// Adds a root key in the same epoch and re-wraps everything under it: the system record last, so that a run that was cut
    /// off is told by it and goes on without another key.
    pub async fn rotate_root(&self, tell: Tell<'_>) -> Result<Rewrapped, VaultError> {
        self.refresh_system().await?;
        if self.root_epoch().await? != self.system()?.epoch {
            return Err(unfinished_roll());
        }
        let root = self.inner.root.clone();
        if self.system_wrap_is_newest().await? {
            run_blocking(move || root.add_version()).await.map_err(root_says)?;
        }
        let done = self.rewrap_keks(tell).await?;
        self.replace_system(|_, _| Ok(())).await?;
        Ok(done)
    }

    /// Walks over the KEK records until every one is under the newest root key, or was not to be opened.
    pub async fn rewrap_keks(&self, tell: Tell<'_>) -> Result<Rewrapped, VaultError> {
        let mut report = Rewrapped::default();
        for _ in 0..MAX_WALKS {
            let before = report.rewrapped;
            report.already = 0;
            report.failures = Failures::default();
            let walked = self.rewrap_walk(tell, &mut report).await?;
            if walked.lost == 0 && self.keks_under_others().await? == walked.left {
                // The last walk saw those of the walks before it, too.
                report.already -= before.min(report.already);
                return Ok(report);
            }
        }
        Err(VaultError::Superseded)
    }

    /// How many records have another wrap than one of the newest root key: also those that came behind a walk.
    async fn keks_under_others(&self) -> Result<u64, VaultError> {
        let root = self.inner.root.clone();
        let newest = run_blocking(move || root.state()).await.map_err(root_says)?;
        let wrap = SoleWrap::by(&newest.reference, newest.epoch);
        let counted = self.inner.catalog.count_keks_without(
            self.tenant(),
            (SoleWrap::COUNT_AT, 1),
            (SoleWrap::NAMED_AT, wrap.named()),
        );
        Ok(counted.await?)
    }

    /// One walk. While a batch is written the next one is wrapped: two of them are
    /// in memory at most.
    async fn rewrap_walk(&self, tell: Tell<'_>, report: &mut Rewrapped) -> Result<Walked, VaultError> {
        let total = self.inner.catalog.count_keks(self.tenant()).await?;
        let (mut seen, mut walked) = (0, Walked::default());
        let mut ready = self.wrap_batch(None).await?;
        while let Some(batch) = ready {
            seen += batch.seen;
            walked.left += batch.left;
            let after = Some(batch.last);
            let (stored, next) = tokio::join!(self.store_batch(batch, report), self.wrap_batch(after));
            let stored = stored?;
            walked.lost += stored.lost;
            ready = next?;
            // What was wrapped meanwhile was not waiting for the key plane.
            let wrapped_at = ready.as_ref().map(|batch| batch.wrapped_at);
            report.mirror_time += stored
                .mirroring
                .iter()
                .map(|span| span.after(wrapped_at))
                .sum::<Duration>();
            tell(Progress {
                phase: Phase::Rewrap,
                done: seen.min(total),
                total,
            });
        }
        Ok(walked)
    }

    /// The next batch of rows, wrapped anew and not yet written; none at the end.
    async fn wrap_batch(&self, after: Option<KekAge>) -> Result<Option<Batch>, VaultError> {
        let tenant = self.tenant();
        let (rows, last) = self.inner.catalog.keks_after(tenant, after, BATCH).await?;
        let Some(last) = last else {
            return Ok(None);
        };
        let root = self.inner.root.clone();
        run_blocking(move || rewrap(tenant, root.as_ref(), &rows, last))
            .await
            .map(Some)
    }

    /// Writes a batch pack by pack, each mirrored before it is committed.
    async fn store_batch(&self, batch: Batch, report: &mut Rewrapped) -> Result<Stored, VaultError> {
        report.already += batch.wrapped.already;
        for (row, error) in &batch.wrapped.failed {
            report.failures.kek(row.id, row.owner, error);
        }
        let mut done = Stored::default();
        for pack in packs(batch.wrapped.changes) {
            let asked = pack.len() as u64;
            let stored = self.store_rewrapped(&pack, &mut done.mirroring).await?;
            report.rewrapped += stored;
            done.lost += asked - stored;
        }
        Ok(done)
    }

    /// Mirrors a pack and puts it into the rows; how many of its records were still what they were.
    async fn store_rewrapped(&self, pack: &[Change], mirroring: &mut Vec<Span>) -> Result<u64, VaultError> {
        let rows: Vec<_> = pack.iter().map(|change| change.row.clone()).collect();
        let began = Instant::now();
        let mut mirrored = self.mirror_keks(&rows).await?;
        mirroring.push(Span::since(began));
        let mut tx = self.inner.catalog.begin().await?;
        let epoch = rows.iter().map(|row| row.epoch).min().unwrap_or_default();
        match tx.hold_epoch(self.tenant(), epoch).await {
            // Another command rolls: what was wrapped here is wrapped again under its key.
            Err(CatalogError::Superseded) => return Ok(0),
            other => other?,
        }
        let swaps: Vec<_> = pack.iter().map(|change| (&change.row, change.before)).collect();
        let stored: HashSet<_> = tx.rewrap_keks(&swaps).await?.into_iter().collect();
        for row in rows.iter().filter(|row| !stored.contains(&row.id)) {
            mirrored.give_up(row.id.as_bytes());
        }
        let began = Instant::now();
        match self.record_mirror(&mut tx, &mirrored).await {
            Ok(()) => {}
            // Somebody mirrored a newer revision of one of them and has not told the row yet, or the sweep took the pack.
            Err(VaultError::Superseded | VaultError::LeaseLost { .. }) => return Ok(0),
            Err(error) => return Err(error),
        }
        mirroring.push(Span::since(began));
        tx.commit().await?;
        Ok(stored.len() as u64)
    }

    pub(super) async fn root_epoch(&self) -> Result<u32, VaultError> {
        let root = self.inner.root.clone();
        run_blocking(move || root.epoch()).await.map_err(root_says)
    }

    async fn system_wrap_is_newest(&self) -> Result<bool, VaultError> {
        let (root, system) = (self.inner.root.clone(), self.system()?);
        let state = run_blocking(move || root.state()).await.map_err(root_says)?;
        Ok(system.wrap_reference() == Some(state.reference))
    }

    /// Changes the system record and puts it in the place of the one it was read from; begins anew when another process was
    /// faster. What `change` gets is the record and the time.
    pub(super) async fn replace_system(
        &self,
        change: impl Fn(&mut dashvault_keys::system::SystemRecord, i64) -> Result<(), VaultError>,
    ) -> Result<(), VaultError> {
        for _ in 0..TRIES {
            let held = self.newest_system_row().await?;
            let mut record = self.open_system_row(&held).await?;
            let now = self.now();
            record.forget_ended(now);
            change(&mut record, now)?;
            let next = self.seal_system(record, held.revision).await?;
            if next.epoch != held.epoch {
                return Err(unfinished_roll());
            }
            let mirrored = self.mirror_system(&next).await?;
            let mut tx = self.inner.catalog.begin().await?;
            if !tx.replace_system_record(self.tenant(), &next, held.revision).await? {
                continue;
            }
            match self.record_mirror(&mut tx, &mirrored).await {
                Err(VaultError::Superseded | VaultError::LeaseLost { .. }) => continue,
                other => other?,
            }
            tx.commit().await?;
            self.refresh_system().await?;
            return Ok(());
        }
        Err(VaultError::Superseded)
    }
}

/// Wraps anew what a batch of rows holds, in as many threads as the machine has cores for.
fn rewrap(tenant: TenantId, root: &dyn RootKey, rows: &[KekRow], last: KekAge) -> Result<Batch, VaultError> {
    let newest = root.state().map_err(root_says)?;
    let newest = SoleWrap::by(&newest.reference, newest.epoch);
    let held = root.batch().map_err(root_says)?;
    let root = held.as_deref().unwrap_or(root);
    let lanes = thread::available_parallelism().map_or(1, usize::from).min(MAX_LANES);
    let wrapped = thread::scope(|scope| {
        let lanes: Vec<_> = rows
            .chunks(rows.len().div_ceil(lanes).max(1))
            .map(|rows| scope.spawn(|| rewrap_some(tenant, root, rows, &newest)))
            .collect();
        lanes.into_iter().try_fold(Wrapped::default(), |all, lane| {
            let wrapped = lane.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            Ok::<_, VaultError>(all.and(wrapped))
        })
    })?;
    let left = wrapped.failed.iter().filter(|(row, _)| !newest.is_in(&row.record));
    Ok(Batch {
        left: left.count() as u64,
        wrapped,
        last,
        seen: rows.len() as u64,
        wrapped_at: Instant::now(),
    })
}

fn rewrap_some(
    tenant: TenantId,
    root: &dyn RootKey,
    rows: &[KekRow],
    newest: &SoleWrap,
) -> Result<Wrapped, VaultError> {
    let mut wrapped = Wrapped::default();
    for row in rows {
        match rewrap_one(tenant, root, row, newest) {
            Ok(Some(change)) => wrapped.changes.push(change),
            Ok(None) => wrapped.already += 1,
            Err(KekError::Provider(error)) if error.is_passing() => {
                return Err(from_kek(KekError::Provider(error)));
            }
            Err(error) => wrapped.failed.push((row.clone(), error)),
        }
    }
    Ok(wrapped)
}

fn rewrap_one(
    tenant: TenantId,
    root: &dyn RootKey,
    row: &KekRow,
    newest: &SoleWrap,
) -> Result<Option<Change>, KekError> {
    let sys = tenant.as_bytes();
    let sealed = SealedKek::parse(&row.record)?;
    let head = sealed.head();
    let stands = head.id == *row.id.as_bytes() && head.version == row.version && head.revision == row.revision;
    if !stands || row.revision < row.least_revision {
        return Err(KekError::Refused);
    }
    if newest.is_in(&row.record) {
        return Ok(None);
    }
    let kek = sealed.unwrap(sys, root)?;
    let profile = sealed.open_profile(sys, &kek)?;
    if profile.owner != *row.owner.as_bytes() {
        return Err(KekError::Refused);
    }
    let head = KekHead {
        revision: row.revision.saturating_add(1),
        ..head
    };
    let wrap = kek::wrap(sys, root, head.id, head.version, &kek)?;
    let row = KekRow {
        epoch: wrap.epoch,
        revision: head.revision,
        record: kek::seal(sys, &head, &kek, &[wrap], &profile)?,
        ..row.clone()
    };
    Ok(Some(Change {
        before: head.revision - 1,
        row,
    }))
}

fn packs(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let (mut packs, mut bytes) = (Vec::new(), PACK_BYTES);
    for change in changes {
        bytes += change.row.record.len();
        if bytes > PACK_BYTES {
            packs.push(Vec::new());
            bytes = change.row.record.len();
        }
        if let Some(pack) = packs.last_mut() {
            pack.push(change);
        }
    }
    packs
}

pub(super) fn root_says(error: dashvault_keys::provider::ProviderError) -> VaultError {
    match error {
        dashvault_keys::provider::ProviderError::NotChanged(why) => VaultError::Keyring { reason: why },
        other => from_kek(KekError::Provider(other)),
    }
}

fn unfinished_roll() -> VaultError {
    VaultError::Keyring {
        reason: "a roll of the root epoch has begun and not ended: run `dashvault keys roll-epoch` first, it goes on"
            .to_owned(),
    }
}
