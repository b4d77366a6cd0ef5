//! The ciphertext proof: reads the clear head of everything in a bucket and holds it against the catalogue, both ways. No key
//! is needed, and nothing is changed.
//!
//! How random the bytes look proves nothing. What counts is the form (magic, version, suite, a size that an object can have),
//! the name, and the commitment and size that were kept when the object was sealed.

mod steps;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use dashvault_keys::envelope::SealedEnvelope;
use dashvault_keys::kek::SealedKek;
use dashvault_keys::mirror::{MAX_MIRROR_BYTES, MirrorError, MirrorKind, MirrorObject};
use dashvault_keys::object::{PRELUDE_BYTES, kind, structure};
use dashvault_keys::tombstone::TOMBSTONE_BYTES;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::VaultError;
use super::mirror::location;
use crate::catalog::{Catalog, ShapeRow};
use crate::model::{Bucket, ObjectId};
use crate::store::{Entry, Location, Looked, Store, StoreError};

/// What lies in a bucket and should not, or the other way round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoredFlaw {
    /// Its name is none of ours.
    ForeignName,
    /// It has not the form of what belongs there: it may be plaintext.
    IllFormed,
    /// A sealed object, under a name that is not its own.
    OtherName,
    /// A type, an encoding or metadata stand beside it.
    Labelled,
    /// It has another size than when it was sealed.
    OtherSize,
    /// It is sealed under another key than when it was written.
    OtherCommitment,
    /// Nothing knows of it.
    Unknown,
    /// A row names it, and it is not there.
    Missing,
}

/// A finding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredUnfit {
    pub bucket: Bucket,
    pub flaw: StoredFlaw,
    /// Its name has the form of ours, and so tells of nobody.
    pub is_ours: bool,
    /// Its whole name.
    pub path: String,
}

pub use steps::{ObjectsStep, RowsStep};

/// What an inventory of a bucket came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryTotals {
    /// Objects that were listed and looked at.
    pub objects: u64,
    /// Bytes that they have together.
    pub bytes: u64,
    /// What was wrong at both looks; so many at most as are kept.
    pub unfit: Vec<StoredUnfit>,
    /// More was wrong at the first look than is kept to look again.
    pub is_cut: bool,
}

/// Takes inventories. Cheap to clone.
#[derive(Clone)]
pub struct Inventory {
    catalog: Catalog,
    store: Store,
    again_after: Duration,
}

/// How many of each format, version and suite, such as `DCVO 1.1`.
pub type Forms = BTreeMap<String, u64>;

/// A batch after a look.
#[derive(Default)]
struct Judged {
    unfit: Vec<(Entry, StoredFlaw)>,
    /// Of what has the form of what is sealed.
    forms: Forms,
}

/// How long after the first look a suspect is looked at again: an erasure or a publication that was caught half-way is over
/// by then, for each is a request and a transaction.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Suspects that are kept for the second look, some MiB; whoever has more needs no list of all.
const MAX_SUSPECTS: usize = 10_000;
/// Objects that are looked up in the catalogue at once.
const BATCH: usize = 500;
/// Rows that are asked for at once.
const PAGE: u32 = 500;
/// Objects that are read at the same time: of the key plane whole ones, each at most 40 MiB and nearly always some KiB.
const LOOKS_AT_ONCE: usize = 4;
/// Ids that are kept to see what is missing, some 64 MiB; past them the store is asked for each one.
const MAX_LISTED: usize = 2 << 20;

impl StoredFlaw {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ForeignName,
        Self::IllFormed,
        Self::OtherName,
        Self::Labelled,
        Self::OtherSize,
        Self::OtherCommitment,
        Self::Unknown,
        Self::Missing,
    ];

    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForeignName => "foreign-name",
            Self::IllFormed => "ill-formed",
            Self::OtherName => "other-name",
            Self::Labelled => "labelled",
            Self::OtherSize => "other-size",
            Self::OtherCommitment => "other-commitment",
            Self::Unknown => "unknown",
            Self::Missing => "missing",
        }
    }
}

impl Inventory {
    /// Over catalogue and store.
    pub fn new(catalog: Catalog, store: Store) -> Self {
        Self {
            catalog,
            store,
            again_after: AGAIN_AFTER,
        }
    }

    /// With another time between the looks.
    #[must_use]
    pub fn again_after(self, again_after: Duration) -> Self {
        Self { again_after, ..self }
    }

    /// Looks at everything in a bucket. `told` hears how much was looked at.
    pub async fn take(
        &self,
        bucket: Bucket,
        told: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<InventoryTotals, VaultError> {
        let mut totals = InventoryTotals {
            objects: 0,
            bytes: 0,
            unfit: Vec::new(),
            is_cut: false,
        };
        let (mut seen, mut suspects) = (HashSet::new(), Vec::new());
        let mut listing = self.store.entries(place(bucket)).try_chunks(BATCH);
        while let Some(batch) = listing.try_next().await.map_err(|error| error.1)? {
            totals.objects += batch.len() as u64;
            totals.bytes += batch.iter().map(|entry| entry.size_bytes).sum::<u64>();
            let room = MAX_LISTED.saturating_sub(seen.len());
            seen.extend(batch.iter().filter_map(|entry| entry.named).take(room));
            for (entry, _) in self.judge(bucket, batch).await?.unfit {
                keep(&mut suspects, entry, &mut totals.is_cut);
            }
            told(totals.objects);
        }
        let mut missing = Vec::new();
        let mut after = None;
        loop {
            let expected = self.expected(bucket, after, PAGE).await?;
            let Some((_, last)) = expected.last() else { break };
            after = Some(*last);
            for at in expected.iter().filter(|at| !seen.contains(at)) {
                if self.is_missing(*at).await? {
                    keep(&mut missing, *at, &mut totals.is_cut);
                }
            }
        }
        totals.unfit = self.look_again(bucket, suspects, missing).await?;
        Ok(totals)
    }

    /// What is still wrong after a while: the rest was under way.
    async fn look_again(
        &self,
        bucket: Bucket,
        suspects: Vec<Entry>,
        missing: Vec<(Location, ObjectId)>,
    ) -> Result<Vec<StoredUnfit>, VaultError> {
        let mut still = Vec::new();
        if suspects.is_empty() && missing.is_empty() {
            return Ok(still);
        }
        tokio::time::sleep(self.again_after).await;
        for batch in suspects.chunks(BATCH) {
            let unfit = self.judge(bucket, batch.to_vec()).await?.unfit;
            let unfit = unfit.into_iter().map(|(entry, flaw)| StoredUnfit {
                bucket,
                flaw,
                is_ours: entry.named.is_some(),
                path: entry.path,
            });
            still.extend(unfit);
        }
        for at in missing {
            if self.is_missing(at).await? && self.is_expected(bucket, at.1).await? {
                still.push(StoredUnfit {
                    bucket,
                    flaw: StoredFlaw::Missing,
                    is_ours: true,
                    path: at.0.name(at.1),
                });
            }
        }
        Ok(still)
    }

    /// What does not fit of a batch, with its first flaw; what is gone fits.
    async fn judge(&self, bucket: Bucket, batch: Vec<Entry>) -> Result<Judged, VaultError> {
        let looked: Vec<_> = futures_util::stream::iter(batch)
            .map(|entry| async move {
                let looked = self.store.look(place(bucket), &entry.path, head_bytes(bucket)).await?;
                Ok::<_, VaultError>((entry, looked))
            })
            .buffer_unordered(LOOKS_AT_ONCE)
            .try_collect()
            .await?;
        // The catalogue after the store: what is being written has its intent before its first byte.
        let ids: Vec<_> = looked.iter().filter_map(|(entry, _)| Some(entry.named?.1)).collect();
        let known: HashSet<_> = match bucket {
            Bucket::Data => self.catalog.known_objects(&ids).await?,
            Bucket::Staging => self.catalog.known_pieces(&ids).await?,
            Bucket::KeyPlane => self.catalog.known_mirrors(&ids).await?,
        }
        .into_iter()
        .collect();
        let shapes = self.catalog.shapes_of(bucket, &ids).await?;
        let shapes: HashMap<_, _> = shapes.into_iter().map(|shape| (shape.id, shape)).collect();
        let mut judged = Judged::default();
        for (entry, looked) in looked {
            let Some(looked) = looked else { continue };
            let flaw = match entry.named {
                None => Some(StoredFlaw::ForeignName),
                Some((at, id)) => {
                    let formed = form(at, id, &looked);
                    if let Ok(word) = &formed {
                        *judged.forms.entry(word.clone()).or_default() += 1;
                    }
                    formed
                        .err()
                        .or_else(|| shapes.get(&id).and_then(|shape| differs(shape, &looked)))
                        .or_else(|| (!known.contains(&id)).then_some(StoredFlaw::Unknown))
                }
            };
            if let Some(flaw) = flaw {
                judged.unfit.push((entry, flaw));
            }
        }
        Ok(judged)
    }

    /// What the catalogue counts on, in the order of the ids, after `after`.
    async fn expected(
        &self,
        bucket: Bucket,
        after: Option<ObjectId>,
        most: u32,
    ) -> Result<Vec<(Location, ObjectId)>, VaultError> {
        if bucket == Bucket::KeyPlane {
            let objects = self.catalog.mirror_objects(after, most).await?;
            return Ok(objects.into_iter().map(|(id, kind)| (location(kind), id)).collect());
        }
        let from = match after.map(|id| u128::from_be_bytes(*id.as_bytes()).checked_add(1)) {
            None => 0,
            Some(Some(next)) => next,
            Some(None) => return Ok(Vec::new()),
        };
        let from = ObjectId::from_bytes(from.to_be_bytes());
        let objects = self.catalog.some_objects(bucket, from, most).await?;
        Ok(objects.into_iter().map(|id| (place(bucket), id)).collect())
    }

    async fn is_missing(&self, (at, id): (Location, ObjectId)) -> Result<bool, VaultError> {
        match self.store.size(at, id).await {
            Ok(_) => Ok(false),
            Err(StoreError::Missing(_)) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a row still names it that is not on its way out.
    async fn is_expected(&self, bucket: Bucket, id: ObjectId) -> Result<bool, VaultError> {
        match bucket {
            Bucket::KeyPlane => Ok(!self.catalog.mirrors_in(id).await?.is_empty()),
            Bucket::Data | Bucket::Staging => Ok(!self.catalog.shapes_of(bucket, &[id]).await?.is_empty()),
        }
    }
}

const fn place(bucket: Bucket) -> Location {
    match bucket {
        Bucket::Data => Location::Data,
        Bucket::Staging => Location::Staging,
        Bucket::KeyPlane => Location::KeyPlane,
    }
}

const fn head_bytes(bucket: Bucket) -> u64 {
    match bucket {
        Bucket::Data | Bucket::Staging => PRELUDE_BYTES as u64,
        // One more, so that a longer one shows.
        Bucket::KeyPlane => MAX_MIRROR_BYTES as u64 + 1,
    }
}

fn keep<T>(kept: &mut Vec<T>, one: T, is_cut: &mut bool) {
    if kept.len() < MAX_SUSPECTS {
        kept.push(one);
    } else {
        *is_cut = true;
    }
}

/// Its format, version and suite, if it has the form of what belongs there.
fn form(at: Location, id: ObjectId, looked: &Looked) -> Result<String, StoredFlaw> {
    let (own_id, word) = match at {
        Location::Data | Location::Staging => {
            let found = structure(&looked.head, looked.size_bytes).ok_or(StoredFlaw::IllFormed)?;
            let padded_as = if at == Location::Data { kind::VIDEO } else { kind::PIECE };
            if !found.is_padded_as(padded_as) {
                return Err(StoredFlaw::IllFormed);
            }
            let word = format!("DCVO {}.{}", found.version, found.suite);
            (found.object_id == *id.as_bytes(), word)
        }
        Location::KeyPlane | Location::Tombstones => match MirrorObject::parse(&looked.head, id.as_bytes()) {
            Ok(object) if is_sealed(&object, at) => (true, format!("DCVM 1 {}", mirrored(object.kind))),
            Err(MirrorError::OtherName) => return Err(StoredFlaw::OtherName),
            Ok(_) | Err(_) => return Err(StoredFlaw::IllFormed),
        },
    };
    match (own_id, looked.is_labelled) {
        (false, _) => Err(StoredFlaw::OtherName),
        (true, true) => Err(StoredFlaw::Labelled),
        (true, false) => Ok(word),
    }
}

const fn mirrored(kind: MirrorKind) -> &'static str {
    match kind {
        MirrorKind::Envelope => "envelopes",
        MirrorKind::Keks => "owners' keys",
        MirrorKind::System => "system record",
        MirrorKind::Tombstones => "tombstones",
    }
}

/// Whether every record has the form of its kind: a frame with a right sum may hold anything.
fn is_sealed(object: &MirrorObject<'_>, at: Location) -> bool {
    let belongs = (object.kind == MirrorKind::Tombstones) == (at == Location::Tombstones);
    belongs
        && object.records.iter().all(|record| match object.kind {
            MirrorKind::Envelope => SealedEnvelope::parse(record).is_ok(),
            MirrorKind::Keks => SealedKek::parse(record).is_ok(),
            MirrorKind::System => record.starts_with(b"DCVS"),
            MirrorKind::Tombstones => record.len() == TOMBSTONE_BYTES,
        })
}

fn differs(shape: &ShapeRow, looked: &Looked) -> Option<StoredFlaw> {
    let commitment = structure(&looked.head, looked.size_bytes).map(|found| found.commitment);
    if shape
        .size_bytes
        .is_some_and(|size_bytes| size_bytes != looked.size_bytes)
    {
        Some(StoredFlaw::OtherSize)
    } else if commitment != Some(shape.commitment) {
        Some(StoredFlaw::OtherCommitment)
    } else {
        None
    }
}
