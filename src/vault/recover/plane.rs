//! What lies in the key plane, read once: which object holds which revision of which record. Nothing is believed yet.

use std::collections::HashMap;

use dashvault_keys::envelope::SealedEnvelope;
use dashvault_keys::kek::SealedKek;
use dashvault_keys::mirror::{MAX_MIRROR_BYTES, MirrorKind, MirrorObject};
use dashvault_keys::system::SystemRecord;
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{Recovered, Stage, Told};
use crate::model::ObjectId;
use crate::store::{Listed, Location, Store, StoreError};
use crate::vault::VaultError;

/// Objects that are read at the same time; each is at most 40 MiB.
const READS_AT_ONCE: usize = 4;

/// One copy of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copied {
    pub revision: u32,
    pub object: ObjectId,
    /// Records in the object.
    pub packed: u32,
}

/// A KEK's copies.
#[derive(Debug, Clone, Default)]
pub(super) struct KekCopies {
    /// Version of the owner's KEK, as the newest copy says.
    pub version: u32,
    pub copies: Vec<Copied>,
}

/// A system record, as it lay there.
pub(super) struct SystemCopy {
    pub system: [u8; 16],
    pub copied: Copied,
    pub record: Vec<u8>,
}

/// What the key plane holds; of each record the newest revision first.
#[derive(Default)]
pub(super) struct Plane {
    pub systems: Vec<SystemCopy>,
    pub keks: HashMap<[u8; 16], KekCopies>,
    pub envelopes: HashMap<[u8; 16], Vec<Copied>>,
}

impl Plane {
    /// Reads every object of the key plane but the tombstones, which are read by themselves.
    pub async fn read(store: &Store, done: &mut Recovered, told: Told<'_>) -> Result<Self, VaultError> {
        let listed: Vec<Listed> = store.list(Location::KeyPlane).try_collect().await?;
        let total = listed.len() as u64;
        let mut plane = Self::default();
        let reads = futures_util::stream::iter(listed).map(|listed| async move {
            if listed.size_bytes > MAX_MIRROR_BYTES as u64 {
                return (listed.id, Ok(None));
            }
            (listed.id, store.get(Location::KeyPlane, listed.id).await.map(Some))
        });
        let mut reads = std::pin::pin!(reads.buffer_unordered(READS_AT_ONCE));
        let mut read = 0;
        while let Some((id, bytes)) = reads.next().await {
            match bytes {
                Ok(Some(bytes)) => plane.take(id, &bytes, done),
                Ok(None) => done.finding(id, "it is longer than any object of the key plane"),
                // Superseded and swept since it was listed.
                Err(StoreError::Missing(_)) => {}
                Err(error) => return Err(error.into()),
            }
            read += 1;
            told(Stage::Reading, read, total);
        }
        plane.order();
        Ok(plane)
    }

    fn take(&mut self, id: ObjectId, bytes: &[u8], done: &mut Recovered) {
        let object = match MirrorObject::parse(bytes, id.as_bytes()) {
            Ok(object) => object,
            Err(error) => return done.finding(id, &error.to_string()),
        };
        let packed = u32::try_from(object.records.len()).unwrap_or(u32::MAX);
        let copied = |revision| Copied {
            revision,
            object: id,
            packed,
        };
        for record in &object.records {
            match object.kind {
                MirrorKind::System => match SystemRecord::revision_of(record) {
                    Some(revision) => self.systems.push(SystemCopy {
                        system: object.system,
                        copied: copied(revision),
                        record: record.to_vec(),
                    }),
                    None => done.finding(id, "it holds no system record"),
                },
                MirrorKind::Keks => match SealedKek::parse(record) {
                    Ok(sealed) => {
                        let head = sealed.head();
                        let kek = self.keks.entry(head.id).or_default();
                        kek.version = kek.version.max(head.version);
                        kek.copies.push(copied(head.revision));
                    }
                    Err(error) => done.finding(id, &error.to_string()),
                },
                MirrorKind::Envelope => match SealedEnvelope::parse(record) {
                    Ok(sealed) => {
                        let copies = self.envelopes.entry(sealed.clip()).or_default();
                        copies.push(copied(sealed.revision()));
                    }
                    Err(error) => done.finding(id, &error.to_string()),
                },
                MirrorKind::Tombstones => done.finding(id, "tombstones lie where they are not looked for"),
            }
        }
    }

    /// However many copies there are, each is tried: whoever can write there must not push the true one out by forgeries.
    fn order(&mut self) {
        self.systems
            .sort_by_key(|system| std::cmp::Reverse(system.copied.revision));
        let lists = self.keks.values_mut().map(|kek| &mut kek.copies);
        for copies in lists.chain(self.envelopes.values_mut()) {
            copies.sort_by_key(|copied| std::cmp::Reverse(copied.revision));
        }
    }
}

/// The object that was read last: records of one pack are asked for one after the other.
#[derive(Default)]
pub(super) struct LastRead {
    object: Option<(ObjectId, bytes::Bytes)>,
}

impl LastRead {
    /// A mirror object's bytes; none when it is gone.
    pub async fn get(&mut self, store: &Store, id: ObjectId) -> Result<Option<bytes::Bytes>, VaultError> {
        if let Some((_, bytes)) = self.object.as_ref().filter(|(held, _)| *held == id) {
            return Ok(Some(bytes.clone()));
        }
        match store.get(Location::KeyPlane, id).await {
            Ok(bytes) => {
                self.object = Some((id, bytes.clone()));
                Ok(Some(bytes))
            }
            Err(StoreError::Missing(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
