//! Opens what is stored and compares it: rows with the manifest, sizes, every segment, length and SHA-256. Nothing is changed.

use std::collections::HashMap;

use data_encoding::HEXLOWER;
use futures_util::TryStreamExt as _;

use super::objects::StoredObject;
use super::{SealedObject, Vault, VaultError};
use crate::catalog::{ClipRow, ObjectRow};
use crate::model::{ClipId, ObjectId, ObjectKind};
use crate::store::{Listed, Location, StoreError};

/// Objects of the bucket that are looked up in the catalogue at once.
const LOOKED_UP_AT_ONCE: usize = 500;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flaw {
    /// The store does not hold the object.
    Missing,
    /// It does not open, has another size, or is not what was sealed.
    Damaged,
    /// Row and manifest say different things of it.
    Differs,
    /// The clip's envelope does not open, or is an older one.
    Envelope,
    /// Nothing knows of the object.
    Orphan,
}

/// Something that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfit {
    pub flaw: Flaw,
    pub clip: Option<ClipId>,
    pub object: Option<ObjectId>,
}

impl Flaw {
    /// A stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Differs => "differs",
            Self::Envelope => "envelope",
            Self::Orphan => "orphan",
        }
    }
}

impl Vault {
    /// Opens everything of one clip, its links' media too; what does not fit, and how many objects were opened. A clip that
    /// was erased meanwhile has nothing wrong with it.
    pub async fn verify_clip(&self, clip: ClipId) -> Result<(Vec<Unfit>, u64), VaultError> {
        let Some(row) = self.inner.catalog.clip_any(clip).await? else {
            return Ok((Vec::new(), 0));
        };
        if row.envelope.is_none() {
            // Not received whole yet, or erased.
            return Ok((Vec::new(), 0));
        }
        let (unfit, opened) = self.look_at(&row).await?;
        if unfit.is_empty() {
            return Ok((unfit, opened));
        }
        // The clip may have changed while it was looked at, or a link have ended with its media: what is still wrong counts.
        let now = self.inner.catalog.clip_any(clip).await?;
        let Some(now) = now.filter(|row| row.envelope.is_some()) else {
            return Ok((Vec::new(), opened));
        };
        let (still, _) = self.look_at(&now).await?;
        Ok((unfit.into_iter().filter(|one| still.contains(one)).collect(), opened))
    }

    async fn look_at(&self, row: &ClipRow) -> Result<(Vec<Unfit>, u64), VaultError> {
        let clip = row.id;
        let of_clip = |flaw, object| Unfit {
            flaw,
            clip: Some(clip),
            object,
        };
        let keys = match self.read_clip_keys(row.owner, clip).await {
            Ok(Some(keys)) => keys,
            Ok(None) => return Ok((Vec::new(), 0)),
            Err(error) if error.is_passing() => return Err(error),
            Err(error @ (VaultError::Keyring { .. } | VaultError::Refused(_))) => return Err(error),
            Err(_) => return Ok((vec![of_clip(Flaw::Envelope, None)], 0)),
        };
        let Ok(manifest) = self.manifest(&keys, row.envelope.as_deref().unwrap_or_default()) else {
            return Ok((vec![of_clip(Flaw::Envelope, None)], 0));
        };
        let mut named: HashMap<_, _> = manifest.objects.iter().map(|object| (object.id, object)).collect();
        let (mut unfit, mut opened) = (Vec::new(), 0);
        for row in self.object_rows(clip).await? {
            let (id, told) = (row.id, Some(row.id));
            // One row that does not open must not hide what else is wrong.
            let Some(object) = Self::open_objects(&keys, vec![row]).ok().and_then(|mut one| one.pop()) else {
                named.remove(id.as_bytes());
                unfit.push(of_clip(Flaw::Differs, told));
                continue;
            };
            let agrees = match (object.link, object.in_manifest()) {
                // A link's media are in no manifest.
                (Some(_), Ok(_)) => true,
                (None, Ok(here)) => named.remove(object.id.as_bytes()).is_some_and(|there| {
                    (
                        (here.suite, here.log2_segment),
                        here.commitment,
                        here.sha256,
                        here.length,
                        here.padded_length,
                        &here.rendition,
                        here.kind,
                    ) == (
                        (there.suite, there.log2_segment),
                        there.commitment,
                        there.sha256,
                        there.length,
                        there.padded_length,
                        &there.rendition,
                        there.kind,
                    )
                }),
                (_, Err(_)) => false,
            };
            if !agrees {
                unfit.push(of_clip(Flaw::Differs, told));
            }
            let Some(sealed) = sealed(&object) else { continue };
            match self.verify(&keys, &sealed).await {
                Ok(()) => opened += 1,
                Err(VaultError::Missing { .. }) => unfit.push(of_clip(Flaw::Missing, told)),
                Err(VaultError::Damaged { .. }) => unfit.push(of_clip(Flaw::Damaged, told)),
                Err(error) => return Err(error),
            }
        }
        unfit.extend(
            named
                .into_keys()
                .map(|id| of_clip(Flaw::Differs, Some(ObjectId::from_bytes(id)))),
        );
        Ok((unfit, opened))
    }

    async fn object_rows(&self, clip: ClipId) -> Result<Vec<ObjectRow>, VaultError> {
        let catalog = &self.inner.catalog;
        let mut rows = catalog.objects_of(clip, None).await?;
        for link in catalog.links_with_objects(clip).await? {
            rows.extend(catalog.objects_of(clip, Some(link)).await?);
        }
        Ok(rows)
    }

    /// Objects of the data bucket that neither a row nor an intent names. `told` hears how many were looked at.
    pub async fn orphans(&self, told: &(dyn Fn(u64) + Send + Sync)) -> Result<Vec<Unfit>, VaultError> {
        let mut listing = self.inner.store.list(Location::Data).try_chunks(LOOKED_UP_AT_ONCE);
        let (mut unfit, mut looked) = (Vec::new(), 0);
        while let Some(batch) = listing.try_next().await.map_err(|error| error.1)? {
            let ids: Vec<_> = batch.iter().map(|listed: &Listed| listed.id).collect();
            let known = self.inner.catalog.known_objects(&ids).await?;
            for id in ids.iter().filter(|id| !known.contains(id)) {
                match self.inner.store.size(Location::Data, *id).await {
                    // Erased since it was listed.
                    Err(StoreError::Missing(_)) => {}
                    Err(error) => return Err(error.into()),
                    Ok(_) => unfit.push(Unfit {
                        flaw: Flaw::Orphan,
                        clip: None,
                        object: Some(*id),
                    }),
                }
            }
            looked += ids.len() as u64;
            told(looked);
        }
        Ok(unfit)
    }
}

/// What the row says was sealed; none when its hash is no hash, which is told as a difference.
fn sealed(object: &StoredObject) -> Option<SealedObject> {
    let sha256 = HEXLOWER.decode(object.about.sha256.as_bytes()).ok()?;
    Some(SealedObject {
        id: object.id,
        kind: ObjectKind::try_from(object.about.kind).ok()?,
        rendition: object.about.rendition.clone(),
        suite: object.suite,
        log2_segment: object.log2_segment,
        padded_size: object.padded_size,
        size_bytes: object.size_bytes,
        commitment: object.commitment,
        length: object.about.length,
        sha256: sha256.try_into().ok()?,
    })
}
