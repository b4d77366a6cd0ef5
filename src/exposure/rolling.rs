//! The rolling inventory: walks through everything in the buckets, a little each minute, so that it is shown every day that
//! what lies there is sealed and complete. One node walks at a time; whoever goes on begins where the other stopped.
//!
//! What a walk proves it proves without a key, as `dashvault inventory` does; then some clips are opened with their keys, as
//! `dashvault verify` does. Neither changes anything in a bucket.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::ExposureError;
use crate::catalog::{Catalog, CatalogError, NewFinding, NewNotice, Tx, WalkRow};
use crate::model::{Bucket, ClipId, Clock, Severity, UnixMs, WalkId, WalkStage};
use crate::vault::{Flaw, Forms, Inventory, StoredFlaw, StoredUnfit, Vault};

/// From one tick to the next; what is done in a minute is spread over its ticks.
const TICK: Duration = Duration::from_secs(10);
const TICKS_A_MINUTE: u32 = 6;
/// After a failure: store or database are down, and need no more questions.
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Whoever walks keeps the turn by every step; a node that fell silent is replaced after this.
const TURN_MS: i64 = 60_000;
/// A pass through all buckets begins so long after the last one began.
const PASS_MS: i64 = 24 * 3_600 * 1_000;
/// A pass is to take so many minutes: three quarters of a day, so that a node that was away can catch up.
const PASS_MINUTES: u64 = 18 * 60;
/// Without a configured pace no slower, so that a small vault is through in minutes, and no faster, so that the watch crowds
/// out nobody.
const PACES: std::ops::RangeInclusive<u32> = 600..=60_000;
/// Opening one clip counts for as many objects: it is read whole.
const CLIP_COSTS: usize = 50;
/// Looks of one step: each is one transaction, and not more is done twice after a crash.
const STEP: usize = 500;
/// Names in a notice; the rest is in the catalogue.
const NAMES_TOLD: usize = 5;

/// How the inventory walks.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// How fast.
    pub pace: Pace,
    /// Clips that are opened in each pass.
    pub sample: u32,
}

/// How fast the inventory walks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Not at all.
    Off,
    /// As fast as a pass a day needs.
    Daily,
    /// Objects a minute.
    AMinute(u32),
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Another node walks.
    NotOurs,
    /// The last pass is younger than a day.
    NothingDue,
    /// So many looks.
    Looked(usize),
}

/// The inventory that walks. Cheap to clone.
#[derive(Clone)]
pub struct Rolling {
    config: Config,
    catalog: Catalog,
    vault: Vault,
    inventory: Inventory,
    clock: Arc<dyn Clock>,
    holder: WalkId,
    /// Objects a minute that the walk under way needs; 0 before it is reckoned.
    daily_pace: Arc<AtomicU32>,
}

impl Rolling {
    /// Wires it; nothing is looked at before [`Rolling::step`].
    pub fn new(config: Config, catalog: Catalog, vault: Vault) -> Self {
        Self {
            inventory: vault.inventory(),
            clock: vault.clock().clone(),
            config,
            catalog,
            vault,
            holder: WalkId::random(),
            daily_pace: Arc::default(),
        }
    }

    /// With another time between the two looks at what does not fit.
    #[must_use]
    pub fn again_after(mut self, again_after: Duration) -> Self {
        self.inventory = self.inventory.again_after(again_after);
        self
    }

    /// Walks until `ending`.
    pub async fn run(&self, ending: CancellationToken) {
        if self.config.pace == Pace::Off {
            return;
        }
        let mut pause = TICK;
        loop {
            tokio::select! {
                () = ending.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
            let ticked = tokio::select! {
                () = ending.cancelled() => break,
                ticked = self.tick() => ticked,
            };
            pause = match ticked {
                Ok(()) => TICK,
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "the inventory cannot go on now; it is tried again, from where it is"
                    );
                    AFTER_FAILURE
                }
            };
        }
        // The next node need not wait for the turn to end by itself.
        let left = async {
            let mut tx = self.catalog.begin().await?;
            tx.leave_walking_turn(self.holder).await?;
            tx.commit().await
        };
        let _: Result<(), CatalogError> = left.await;
    }

    async fn tick(&self) -> Result<(), ExposureError> {
        let mut left = (self.pace().await?.div_ceil(TICKS_A_MINUTE)) as usize;
        while left > 0 {
            match self.step(left.min(STEP)).await? {
                Step::Looked(looks) => left = left.saturating_sub(looks.max(1)),
                Step::NotOurs | Step::NothingDue => return Ok(()),
            }
        }
        Ok(())
    }

    /// Objects a minute.
    async fn pace(&self) -> Result<u32, ExposureError> {
        match self.config.pace {
            Pace::Off => return Ok(0),
            Pace::AMinute(objects) => return Ok(objects),
            Pace::Daily => {}
        }
        let known = self.daily_pace.load(Ordering::Relaxed);
        if known > 0 {
            return Ok(known);
        }
        let mut looks = 0;
        for &bucket in Bucket::ALL {
            let counted = self.catalog.count_objects(bucket).await?;
            // Foreign objects cost time too, and no row counts them.
            let last = self.catalog.last_walk(bucket).await?.map_or(0, |walk| walk.objects);
            looks += counted + counted.max(last);
        }
        let pace = u32::try_from(looks / PASS_MINUTES).unwrap_or(u32::MAX);
        let pace = pace.clamp(*PACES.start(), *PACES.end());
        self.daily_pace.store(pace, Ordering::Relaxed);
        Ok(pace)
    }

    /// Goes on by `most` looks at most, if it is this node's turn and a walk is due.
    pub async fn step(&self, most: usize) -> Result<Step, ExposureError> {
        let now = self.clock.now_ms();
        let mut tx = self.catalog.begin().await?;
        if !self.keep_turn(&mut tx, now).await? {
            return Ok(Step::NotOurs);
        }
        tx.commit().await?;
        let mut walk = match self.catalog.open_walk().await? {
            Some(walk) => walk,
            None => match self.due(now).await? {
                None => return Ok(Step::NothingDue),
                Some(bucket) => {
                    self.daily_pace.store(0, Ordering::Relaxed);
                    let mut tx = self.catalog.begin().await?;
                    let walk = tx.begin_walk(bucket, now).await?;
                    tx.commit().await?;
                    walk
                }
            },
        };
        match walk.stage {
            WalkStage::Objects => self.step_objects(&mut walk, most).await,
            WalkStage::Rows => self.step_rows(&mut walk, most).await,
            WalkStage::Sample => self.step_sample(&mut walk).await,
            WalkStage::Done => Ok(Step::NothingDue),
        }
    }

    async fn keep_turn(&self, tx: &mut Tx, now: UnixMs) -> Result<bool, CatalogError> {
        tx.take_walking_turn(self.holder, now, now + TURN_MS).await
    }

    /// The bucket whose turn it is: none was walked through longer ago. One that was opened or shut since its last walk began
    /// is due at once, so that it is soon known what strangers could reach.
    async fn due(&self, now: UnixMs) -> Result<Option<Bucket>, CatalogError> {
        let mut due: Option<(UnixMs, Bucket)> = None;
        for &bucket in Bucket::ALL {
            let began = match self.catalog.last_walk(bucket).await? {
                None => UnixMs::MIN,
                Some(walk) => walk.began_at,
            };
            let opened_or_shut = self.catalog.last_opened_or_shut(bucket).await?;
            let is_due = began == UnixMs::MIN || now - began >= PASS_MS || opened_or_shut.is_some_and(|at| at > began);
            if is_due && due.is_none_or(|(oldest, _)| began < oldest) {
                due = Some((began, bucket));
            }
        }
        Ok(due.map(|(_, bucket)| bucket))
    }

    async fn step_objects(&self, walk: &mut WalkRow, most: usize) -> Result<Step, ExposureError> {
        let step = self
            .inventory
            .step_objects(walk.bucket, walk.cursor.as_deref(), most)
            .await?;
        walk.objects += step.objects;
        walk.bytes += step.bytes;
        add_forms(walk, step.forms);
        go_on(walk, step.last, WalkStage::Rows);
        self.write(walk, &found(&step.unfit), None).await?;
        Ok(Step::Looked(step.objects as usize))
    }

    async fn step_rows(&self, walk: &mut WalkRow, most: usize) -> Result<Step, ExposureError> {
        let after = walk.cursor.as_deref().and_then(|id| id.parse().ok());
        let step = self.inventory.step_rows(walk.bucket, after, most).await?;
        walk.rows += step.rows;
        let next = match walk.bucket {
            Bucket::Data => WalkStage::Sample,
            Bucket::Staging | Bucket::KeyPlane => WalkStage::Done,
        };
        go_on(walk, step.last.map(|id| id.to_string()), next);
        self.write(walk, &found(&step.unfit), None).await?;
        Ok(Step::Looked(step.rows as usize))
    }

    /// Opens one clip: first those that did not open before, then any.
    async fn step_sample(&self, walk: &mut WalkRow) -> Result<Step, ExposureError> {
        let clip = match self.catalog.clip_with_findings(walk.id).await? {
            Some(clip) => Some(clip),
            None => self.catalog.some_clip(ClipId::random()).await?,
        };
        let is_left = walk.clips_opened < u64::from(self.config.sample);
        let Some(clip) = clip.filter(|_| is_left) else {
            go_on(walk, None, WalkStage::Done);
            self.write(walk, &[], None).await?;
            return Ok(Step::Looked(1));
        };
        let (unfit, opened) = match self.vault.verify_clip(clip).await {
            Ok(opened) => opened,
            Err(error) => {
                // Most often the root key does not answer. What needs no key goes on.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the inventory cannot open clips now; this walk ends with fewer"
                );
                go_on(walk, None, WalkStage::Done);
                self.write(walk, &[], None).await?;
                return Ok(Step::Looked(1));
            }
        };
        walk.clips_opened += 1;
        walk.objects_opened += opened;
        let found: Vec<_> = unfit
            .iter()
            .map(|one| Found {
                row: NewFinding {
                    flaw: one.flaw.as_str(),
                    name: one.object.map_or_else(|| clip.to_string(), |id| id.to_string()),
                    clip: Some(clip),
                },
                severity: Severity::Page,
                may_be_plaintext: false,
                sentence: opened_sentence(one.flaw),
            })
            .collect();
        self.write(walk, &found, Some(clip)).await?;
        Ok(Step::Looked(CLIP_COSTS))
    }

    /// Writes down how far the walk is and what it found, and tells of it; nothing when another node has the turn by now.
    async fn write(&self, walk: &mut WalkRow, found: &[Found], opened: Option<ClipId>) -> Result<(), ExposureError> {
        let now = self.clock.now_ms();
        walk.moved_at = now;
        walk.findings += found.len() as u64;
        walk.not_sealed += found.iter().filter(|one| one.may_be_plaintext).count() as u64;
        let is_over = walk.stage == WalkStage::Done;
        walk.ended_at = is_over.then_some(now);
        let mut tx = self.catalog.begin().await?;
        if !self.keep_turn(&mut tx, now).await? {
            return Ok(());
        }
        let mut new = Vec::new();
        for one in found {
            if tx.note_finding(walk, &one.row, now).await? {
                new.push(one);
            }
        }
        for notice in notices(walk, &new) {
            tx.raise_notice(&notice, now).await?;
        }
        let mut ended = 0;
        if let Some(clip) = opened {
            ended += tx.end_findings_of(walk, clip, now).await?;
        }
        if is_over {
            ended += tx.end_findings_before(walk, now).await?;
        }
        tx.move_walk(walk).await?;
        tx.commit().await?;
        let bucket = walk.bucket.as_str();
        for one in &new {
            tracing::error!(
                bucket,
                finding = one.row.flaw,
                object = one.row.name,
                "the inventory found something in a bucket: {}; nothing was changed",
                one.sentence
            );
        }
        if ended > 0 {
            tracing::info!(
                bucket,
                ended,
                "what the inventory had found in a bucket is there no more"
            );
        }
        if is_over {
            tell_end(walk);
        }
        Ok(())
    }
}

/// A finding, and how it is told.
struct Found {
    row: NewFinding,
    severity: Severity,
    may_be_plaintext: bool,
    sentence: &'static str,
}

fn found(unfit: &[StoredUnfit]) -> Vec<Found> {
    let found = unfit.iter().map(|one| Found {
        row: NewFinding {
            flaw: one.flaw.as_str(),
            name: match one.is_ours {
                true => one.path.clone(),
                false => one.hidden_name(),
            },
            clip: None,
        },
        severity: match one.flaw.may_be_plaintext() {
            true => Severity::Page,
            false => Severity::Warning,
        },
        may_be_plaintext: one.flaw.may_be_plaintext(),
        sentence: stored_sentence(one.flaw),
    });
    found.collect()
}

/// One notice a kind of finding in each walk, however many there are.
fn notices(walk: &WalkRow, new: &[&Found]) -> Vec<NewNotice> {
    let mut flaws: Vec<_> = new.iter().map(|one| one.row.flaw).collect();
    flaws.sort_unstable();
    flaws.dedup();
    let of_flaw = flaws.into_iter().map(|flaw| {
        let these: Vec<_> = new.iter().filter(|one| one.row.flaw == flaw).collect();
        let names: Vec<_> = these.iter().take(NAMES_TOLD).map(|one| one.row.name.as_str()).collect();
        let bucket = walk.bucket.as_str();
        NewNotice {
            kind: "inventory-finding",
            severity: these[0].severity,
            subject: format!("{bucket} bucket: {}", these[0].sentence),
            facts: format!(
                "The inventory found this in the {bucket} bucket ({flaw}), {} in one step, the first: {}\n\
                 Nothing was changed or removed. `dashvault inventory` names everything; see who can write into the bucket.",
                these.len(),
                names.join(", ")
            ),
            once_for: Some(format!("inventory {bucket} {flaw} {}", walk.id)),
        }
    });
    of_flaw.collect()
}

fn tell_end(walk: &WalkRow) {
    let (bucket, objects, findings) = (walk.bucket.as_str(), walk.objects, walk.findings);
    if findings == 0 {
        tracing::info!(
            bucket,
            objects,
            clips_opened = walk.clips_opened,
            "the inventory has walked through a bucket: everything in it is sealed, known and there"
        );
    } else {
        tracing::error!(
            bucket,
            objects,
            findings,
            not_sealed = walk.not_sealed,
            "the inventory has walked through a bucket and found what needs somebody to look: run `dashvault inventory`"
        );
    }
}

fn go_on(walk: &mut WalkRow, last: Option<String>, next: WalkStage) {
    if last.is_none() {
        walk.stage = next;
    }
    walk.cursor = last;
}

fn add_forms(walk: &mut WalkRow, more: Forms) {
    let mut forms: Forms = serde_json::from_str(&walk.forms).unwrap_or_default();
    for (form, count) in more {
        *forms.entry(form).or_default() += count;
    }
    walk.forms = serde_json::to_string(&forms).unwrap_or_default();
}

const fn stored_sentence(flaw: StoredFlaw) -> &'static str {
    match flaw {
        StoredFlaw::ForeignName => "something lies there whose name is none of ours, and may be plaintext",
        StoredFlaw::IllFormed => "an object has not the form of what is sealed, and may be plaintext",
        StoredFlaw::OtherName => "an object lies there under another one's name",
        StoredFlaw::Labelled => "a type, an encoding, metadata or tags stand beside an object, and tell of it",
        StoredFlaw::OtherSize => "an object has another size than when it was sealed",
        StoredFlaw::OtherCommitment => "an object is sealed under another key than when it was written",
        StoredFlaw::Unknown => "an object lies there that nothing knows of",
        StoredFlaw::Missing => "an object that the database names is not there",
    }
}

const fn opened_sentence(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Missing => "an object of a clip is not there",
        Flaw::Damaged => "an object of a clip is not what was sealed",
        Flaw::Differs => "an object's row and its clip's manifest say different things",
        Flaw::Envelope => "a clip's envelope does not open, or is an older one",
        Flaw::Orphan => "an object lies there that nothing knows of",
    }
}
