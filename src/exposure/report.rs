//! The report of an exposure: what strangers could reach in a window of time, from when to when, and what shows that it was
//! ciphertext. It holds the facts that a notification of a breach asks for, and nothing that tells of an owner.

mod markdown;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use super::ExposureError;
use super::known::look_lasts_ms;
use crate::catalog::{Catalog, FindingRow, MOST_ROWS, Reachable, SpanRow, VerdictChangeRow, WalkRow};
use crate::model::{Bucket, ObjectId, UnixMs, Verdict};
use crate::vault::{StoredFlaw, object_path};

/// Rows that are asked for at once.
const PAGE: u32 = 500;
/// Objects that a report names, some ten MiB; past them it counts, and says so.
const MOST_NAMED: usize = 100_000;
/// Statements whose epochs are read; a day has one and each change of a verdict another.
const MOST_STATEMENTS: u32 = 10_000;
/// What became a row so soon after the end may have lain there before it: a clip's renditions are sealed, then published.
const JUST_AFTER_MS: i64 = 3_600_000;

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The window; unix milliseconds, as every time here.
    pub from_ms: UnixMs,
    pub to_ms: UnixMs,
    pub made_ms: UnixMs,
    /// The version of the program that made it.
    pub service: &'static str,
    /// Times in which a bucket was open, or not proven shut after it was.
    pub exposures: Vec<Exposure>,
    /// Times in which nobody can tell, for the watch could not.
    pub not_told: Vec<NotTold>,
    /// The signed statements made in the window.
    pub attestations: Attestations,
    /// There was more than one report holds: make several of shorter windows.
    pub is_cut: bool,
}

/// One time in which a bucket was open.
#[derive(Debug, Clone, Serialize)]
pub struct Exposure {
    pub bucket: Bucket,
    /// Last proven private before; from then on it may have been open. None: never.
    pub last_private_ms: Option<UnixMs>,
    pub first_seen_open_ms: UnixMs,
    /// First proven private again. None: not yet.
    pub closed_ms: Option<UnixMs>,
    pub ways: Vec<Way>,
    pub reached: Reached,
    pub ciphertext: Ciphertext,
    /// Root epochs that were in force, by the signed statements around it, and those that wrap what was reachable today.
    pub key_epochs: BTreeSet<u32>,
}

/// A way in that was open.
#[derive(Debug, Clone, Serialize)]
pub struct Way {
    pub form: String,
    pub probe: String,
    pub object: Option<String>,
    pub watcher: String,
    pub first_seen_ms: UnixMs,
    pub last_seen_ms: UnixMs,
    pub shut_ms: Option<UnixMs>,
}

/// What lay there.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Reached {
    /// Objects, the vault's own canary left out.
    pub objects: u64,
    pub bytes: u64,
    /// Clips and owners that they belong to: records and data subjects.
    pub clips: u64,
    pub owners: u64,
    pub by_suite: BTreeMap<String, u64>,
    /// Objects by size: the power of two below.
    pub size_classes: BTreeMap<u64, u64>,
    pub first_written_ms: Option<UnixMs>,
    pub last_written_ms: Option<UnixMs>,
    /// Became objects within an hour after the end: they may have lain there, sealed, before it.
    pub just_after: u64,
    /// Clips and owners erased since: what they had may have lain there.
    pub erased_since: u64,
    /// Uploads that were under way; their pieces go when they end. Of the staging bucket only.
    pub uploads: Option<u64>,
    pub named: Vec<Named>,
    /// There are more than are named.
    pub is_cut: bool,
}

/// An object that was reachable.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    pub object: String,
    pub kind: String,
    pub size_bytes: Option<u64>,
    pub suite: Option<u8>,
    pub epoch: Option<u32>,
    pub written_ms: UnixMs,
}

/// What shows that it was ciphertext.
#[derive(Debug, Clone, Serialize)]
pub struct Ciphertext {
    pub shown: Shown,
    /// The last whole walk that ended before, those that ended within, and the first that began after.
    pub walks: Vec<Walk>,
    /// What stood, or was found by the walk after.
    pub findings: Vec<Found>,
}

/// Whether all of it was ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shown {
    /// A whole walk that began after it was open found nothing else, and neither did any other.
    Ciphertext,
    /// Something lay there that may be plaintext.
    NotAllCiphertext,
    /// No whole walk has shown it yet.
    NotYet,
}

/// A whole walk through the bucket.
#[derive(Debug, Clone, Serialize)]
pub struct Walk {
    pub began_ms: UnixMs,
    pub ended_ms: UnixMs,
    pub objects: u64,
    pub findings: u64,
    pub not_sealed: u64,
    pub clips_opened: u64,
    pub objects_opened: u64,
    pub forms: BTreeMap<String, u64>,
}

/// What a walk found.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    pub object: String,
    pub finding: String,
    pub is_not_ciphertext: bool,
    pub first_seen_ms: UnixMs,
    pub last_seen_ms: UnixMs,
    pub gone_ms: Option<UnixMs>,
}

/// A time in which it could not be told what strangers got of a bucket.
#[derive(Debug, Clone, Serialize)]
pub struct NotTold {
    pub bucket: Bucket,
    pub why: Why,
    pub from_ms: UnixMs,
    /// None: not within the window.
    pub to_ms: Option<UnixMs>,
    pub reason: String,
}

/// Why it could not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Nobody had looked yet.
    NotLookedYet,
    /// No watch ran, or it could not write down what it saw.
    NoWatch,
    /// A watch looked, and could not tell.
    Unknown,
}

/// Signed statements that belong to the window.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Attestations {
    pub first_seq: Option<u64>,
    pub last_seq: Option<u64>,
    /// SHA-256 of the last one.
    pub head: Option<String>,
}

impl Report {
    /// Reads what is known of a window that ends before `to`.
    pub async fn make(catalog: &Catalog, from: UnixMs, to: UnixMs, now: UnixMs) -> Result<Self, ExposureError> {
        let mut exposures = Vec::new();
        for span in catalog.exposure_spans(from, to).await? {
            exposures.push(exposure(catalog, &span, now).await?);
        }
        let mut changes = Vec::new();
        for &bucket in Bucket::ALL {
            changes.extend(catalog.verdict_before(bucket, from).await?);
        }
        changes.extend(catalog.verdict_changes(from, to).await?);
        let first = catalog.attested_before(from).await?;
        let statements = catalog.attestations_after(first, MOST_STATEMENTS).await?;
        let within: Vec<_> = statements.iter().filter(|row| row.at < to).collect();
        Ok(Self {
            from_ms: from,
            to_ms: to,
            made_ms: now,
            service: env!("CARGO_PKG_VERSION"),
            is_cut: changes.len() as i64 >= MOST_ROWS || exposures.len() as i64 >= MOST_ROWS,
            exposures,
            not_told: not_told(catalog, &changes, from, to.min(now)).await?,
            attestations: Attestations {
                first_seq: within.first().map(|row| row.seq),
                last_seq: within.last().map(|row| row.seq),
                head: within.last().map(|row| hex(&row.sha256)),
            },
        })
    }

    /// For people.
    pub fn markdown(&self) -> String {
        markdown::write(self)
    }
}

async fn exposure(catalog: &Catalog, span: &SpanRow, now: UnixMs) -> Result<Exposure, ExposureError> {
    let began = span.private_before.unwrap_or(UnixMs::MIN);
    let ended = span.closed_at.unwrap_or(now.saturating_add(1));
    let (reached, wraps) = reached(catalog, span.bucket, began, ended).await?;
    let ciphertext = ciphertext(catalog, span, ended).await?;
    let mut key_epochs = epochs_stated(catalog, span.opened_at, ended).await?;
    key_epochs.extend(wraps);
    let ways = catalog.exposures(span.opened_at, ended).await?;
    let ways = ways.into_iter().filter(|way| way.bucket == span.bucket).map(|way| Way {
        form: way.opening.form,
        probe: way.opening.probe,
        object: way.opening.object,
        watcher: way.watcher,
        first_seen_ms: way.began_at,
        last_seen_ms: way.seen_at,
        shut_ms: way.ended_at,
    });
    Ok(Exposure {
        bucket: span.bucket,
        last_private_ms: span.private_before,
        first_seen_open_ms: span.opened_at,
        closed_ms: span.closed_at,
        ways: ways.collect(),
        reached,
        ciphertext,
        key_epochs,
    })
}

/// What rows name that was written before the end, and the epochs of the wraps that lead to it today.
async fn reached(
    catalog: &Catalog,
    bucket: Bucket,
    began: UnixMs,
    ended: UnixMs,
) -> Result<(Reached, BTreeSet<u32>), ExposureError> {
    let canaries = catalog.canaries().await?;
    let is_canary = |id: ObjectId| canaries.iter().any(|canary| canary.object == id);
    let mut reached = Reached {
        erased_since: catalog.erased_since(began).await?,
        uploads: match bucket {
            Bucket::Staging => Some(catalog.uploads_between(began, ended).await?),
            Bucket::Data | Bucket::KeyPlane => None,
        },
        ..Reached::default()
    };
    let (mut epochs, mut clips, mut owners) = (BTreeSet::new(), HashSet::new(), HashSet::new());
    let mut after = None;
    loop {
        let rows = catalog.reachable(bucket, ended + JUST_AFTER_MS, after, PAGE).await?;
        let Some(last) = rows.last() else { break };
        after = Some(last.id);
        for row in rows.into_iter().filter(|row| !is_canary(row.id)) {
            if row.created_at >= ended {
                reached.just_after += 1;
                continue;
            }
            clips.extend(row.clip);
            owners.extend(row.owner);
            epochs.extend(row.epoch);
            reached.add(bucket, row);
        }
    }
    (reached.clips, reached.owners) = (clips.len() as u64, owners.len() as u64);
    Ok((reached, epochs))
}

impl Reached {
    fn add(&mut self, bucket: Bucket, row: Reachable) {
        self.objects += 1;
        if let Some(size_bytes) = row.size_bytes {
            self.bytes += size_bytes;
            *self.size_classes.entry(1 << size_bytes.max(1).ilog2()).or_default() += 1;
        }
        let suite = row
            .suite
            .map_or_else(|| row.kind.clone(), |suite| format!("suite {suite}"));
        *self.by_suite.entry(suite).or_default() += 1;
        let at = row.created_at;
        self.first_written_ms = Some(self.first_written_ms.map_or(at, |first| first.min(at)));
        self.last_written_ms = Some(self.last_written_ms.map_or(at, |last| last.max(at)));
        if self.named.len() == MOST_NAMED {
            self.is_cut = true;
            return;
        }
        self.named.push(Named {
            object: match row.kind.as_str() {
                "tombstone" => format!("tombstones/{}", row.id),
                _ => object_path(bucket, row.id),
            },
            kind: row.kind,
            size_bytes: row.size_bytes,
            suite: row.suite,
            epoch: row.epoch,
            written_ms: at,
        });
    }
}

async fn ciphertext(catalog: &Catalog, span: &SpanRow, ended: UnixMs) -> Result<Ciphertext, ExposureError> {
    let all = catalog.walks(span.bucket, UnixMs::MIN, UnixMs::MAX).await?;
    let before = all.iter().rfind(|walk| ended_at(walk) < span.opened_at);
    let within = all
        .iter()
        .filter(|walk| ended_at(walk) >= span.opened_at && walk.began_at < ended);
    let after = all.iter().find(|walk| walk.began_at >= ended);
    // What the walk after it found may have lain there all the time.
    let until = after.map_or(UnixMs::MAX, |walk| ended_at(walk).saturating_add(1));
    let from = span.private_before.unwrap_or(UnixMs::MIN);
    let findings = catalog.findings(from, until).await?;
    let findings: Vec<_> = findings
        .iter()
        .filter(|one| one.bucket == span.bucket)
        .map(found)
        .collect();
    let walks: Vec<_> = before.into_iter().chain(within).chain(after).map(walk).collect();
    let is_plain = findings.iter().any(|one| one.is_not_ciphertext) || walks.iter().any(|walk| walk.not_sealed > 0);
    // One that began before it was open has not looked at what came in since.
    let is_shown = walks.iter().any(|walk| walk.began_ms >= span.opened_at);
    Ok(Ciphertext {
        shown: match (is_plain, is_shown) {
            (true, _) => Shown::NotAllCiphertext,
            (false, true) => Shown::Ciphertext,
            (false, false) => Shown::NotYet,
        },
        walks,
        findings,
    })
}

/// The root epochs that the statements around a time name: the last one before it, and those within.
async fn epochs_stated(catalog: &Catalog, from: UnixMs, to: UnixMs) -> Result<BTreeSet<u32>, ExposureError> {
    let before = catalog.attested_before(from).await?.saturating_sub(1);
    let statements = catalog.attestations_after(before, MOST_STATEMENTS).await?;
    let within = statements.iter().take_while(|row| row.at < to);
    let epoch = |line: &str| -> Option<u32> {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        u32::try_from(line["statement"]["key_epoch"].as_u64()?).ok()
    };
    Ok(within.filter_map(|row| epoch(&row.line)).collect())
}

/// Every time of a window in which it could not be told, bucket by bucket in the order of time. `until` is the window's end, or
/// now where that is before it.
async fn not_told(
    catalog: &Catalog,
    changes: &[VerdictChangeRow],
    from: UnixMs,
    until: UnixMs,
) -> Result<Vec<NotTold>, ExposureError> {
    let mut times = unknown(changes);
    for &bucket in Bucket::ALL {
        let first = catalog.first_look(bucket).await?;
        if first.is_none_or(|at| at > from) {
            times.push(NotTold {
                bucket,
                why: Why::NotLookedYet,
                from_ms: from,
                to_ms: first.filter(|at| *at < until),
                reason: "nobody had looked at it yet".to_owned(),
            });
        }
    }
    let silence = |bucket, from_ms, to_ms| NotTold {
        bucket,
        why: Why::NoWatch,
        from_ms,
        to_ms,
        reason: "no watch looked at it".to_owned(),
    };
    let gaps = catalog.watch_gaps(from, until).await?;
    times.extend(gaps.iter().map(|gap| silence(gap.bucket, gap.from, Some(gap.to))));
    // A silence that goes on has no row yet: whoever looks next writes it.
    let lasts = look_lasts_ms(&catalog.watchers().await?);
    let rows = catalog.verdicts().await?;
    let silent = rows.iter().filter(|row| until - row.checked_at > lasts);
    times.extend(silent.map(|row| silence(row.bucket, row.checked_at, None)));
    times.sort_by_key(|time| (time.bucket.as_str(), time.from_ms, time.why));
    Ok(times)
}

/// Times of unknown verdicts: of the changes in a window, and of the last one before it for each bucket.
fn unknown(changes: &[VerdictChangeRow]) -> Vec<NotTold> {
    let unknown = changes
        .iter()
        .enumerate()
        .filter(|(_, change)| change.verdict == Verdict::Unknown);
    let times = unknown.map(|(at, change)| NotTold {
        bucket: change.bucket,
        why: Why::Unknown,
        from_ms: change.at,
        to_ms: changes[at + 1..]
            .iter()
            .find(|next| next.bucket == change.bucket)
            .map(|next| next.at),
        reason: change.reason.clone(),
    });
    times.collect()
}

fn ended_at(walk: &WalkRow) -> UnixMs {
    walk.ended_at.unwrap_or(walk.moved_at)
}

fn walk(row: &WalkRow) -> Walk {
    Walk {
        began_ms: row.began_at,
        ended_ms: ended_at(row),
        objects: row.objects,
        findings: row.findings,
        not_sealed: row.not_sealed,
        clips_opened: row.clips_opened,
        objects_opened: row.objects_opened,
        forms: serde_json::from_str(&row.forms).unwrap_or_default(),
    }
}

fn found(row: &FindingRow) -> Found {
    Found {
        object: row.name.clone(),
        is_not_ciphertext: StoredFlaw::of(&row.flaw).is_some_and(StoredFlaw::may_be_plaintext),
        finding: row.flaw.clone(),
        first_seen_ms: row.began_at,
        last_seen_ms: row.seen_at,
        gone_ms: row.ended_at,
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
