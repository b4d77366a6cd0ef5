//! Object storage behind one struct: a folder, an S3 service, or memory.
//!
//! Nothing here knows what an object holds. Names are random ids, so creating is asked for as create-only where a store can
//! do that, and nothing relies upon it.

mod entries;
mod error;
mod facts;
mod folder;
mod names;
mod parts;
mod pieces;
mod s3;
mod sign;
mod tags;

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::memory::InMemory;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};

pub use entries::{Entry, Looked};
pub use error::{Cause, StoreError};
pub use facts::Facts;
pub use parts::Parts;
pub use sign::Signer;

use crate::model::{Bucket, ObjectId, UnixMs};

/// How long a location may take to say that it is there.
const PING_LIMIT: Duration = Duration::from_secs(5);
/// Objects removed at the same time: more gains nothing on a folder and crowds a small S3 service.
const DELETES_AT_ONCE: usize = 8;

/// Which store.
#[derive(Clone)]
pub enum Config {
    /// A folder that holds `objects`, `staging` and `keyplane`.
    Folder {
        /// The folder; made when absent.
        dir: PathBuf,
    },
    /// An S3 service.
    S3(S3),
    /// Memory, for tests.
    Memory,
}

impl Config {
    /// False when opening it would make a new store. A service is taken to be there: it tells when it is not.
    pub fn may_be_there(&self) -> bool {
        match self {
            Self::Folder { dir } => dir.join(Location::Data.as_str()).is_dir(),
            Self::S3(_) | Self::Memory => true,
        }
    }
}

/// How to reach an S3 service. The three buckets are different ones, so that the data bucket holds nothing but objects.
#[derive(Clone)]
pub struct S3 {
    /// `http://host:port` or `https://…`; none for AWS.
    pub endpoint: Option<String>,
    pub region: String,
    pub data_bucket: String,
    pub staging_bucket: String,
    pub keyplane_bucket: String,
    pub access_key_id: String,
    pub secret_access_key: String,
}

/// Where an object lies. The only place where an object's name is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Location {
    /// Sealed objects, and nothing else.
    Data,
    /// Sealed pieces of uploads, swept.
    Staging,
    /// Wrapped keys' mirror.
    KeyPlane,
    /// The key plane's tombstones: a folder of their own beside the mirror, so that a start lists them and nothing else.
    Tombstones,
}

/// What a listing tells of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub id: ObjectId,
    pub size_bytes: u64,
    /// When the store says that it was written.
    pub modified_ms: UnixMs,
}

/// A part of an object, and how large the store says that the whole is.
#[derive(Debug, Clone)]
pub struct Ranged {
    pub bytes: Bytes,
    pub object_size: u64,
}

/// What lies behind one location.
#[derive(Clone)]
pub struct Backend {
    objects: Arc<dyn ObjectStore>,
    /// Uploads in parts that have a name, so that another process can end them.
    multipart: Option<Arc<dyn MultipartStore>>,
    /// Cleared by the first answer that says that the store cannot create only.
    create_only: Arc<AtomicBool>,
    /// Where removals have to be made durable by hand.
    folder: Option<Arc<std::path::Path>>,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    data: Backend,
    staging: Backend,
    keyplane: Backend,
}

/// The folder of a bucket beneath the data.
pub fn folder_of(data: &std::path::Path, bucket: Bucket) -> PathBuf {
    data.join(Location::of(bucket).as_str())
}

impl Location {
    /// Where a bucket's objects lie.
    pub const fn of(bucket: Bucket) -> Self {
        match bucket {
            Bucket::Data => Self::Data,
            Bucket::Staging => Self::Staging,
            Bucket::KeyPlane => Self::KeyPlane,
        }
    }

    /// Every location that is a place of its own.
    pub const ALL: [Self; 3] = [Self::Data, Self::Staging, Self::KeyPlane];

    /// The folder's name, and what messages call it.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Data => "objects",
            Self::Staging => "staging",
            Self::KeyPlane => "keyplane",
            Self::Tombstones => "tombstones",
        }
    }

    /// Two characters, a slash, and the id: an even spread, and nothing of owner, vehicle, clip or time.
    fn path(self, id: ObjectId) -> Path {
        let name = id.to_string();
        match self {
            Self::Tombstones => Path::from_iter([self.as_str(), name.as_str()]),
            _ => Path::from_iter([&name[..2], name.as_str()]),
        }
    }

    /// An object's path as strangers would have to know it.
    pub fn name(self, id: ObjectId) -> String {
        self.path(id).to_string()
    }

    /// What every object's path begins with, where others lie beside them.
    fn prefix(self) -> Option<Path> {
        (self == Self::Tombstones).then(|| Path::from(self.as_str()))
    }

    fn id(self, path: &Path) -> Option<ObjectId> {
        let id = path.filename()?.parse().ok()?;
        (self.path(id) == *path).then_some(id)
    }
}

impl Backend {
    /// A backend whose uploads in parts have no names.
    pub fn new(objects: Arc<dyn ObjectStore>) -> Self {
        Self {
            objects,
            multipart: None,
            create_only: Arc::new(AtomicBool::new(true)),
            folder: None,
        }
    }

    /// A backend that names its uploads in parts.
    pub fn with_multipart<T: ObjectStore + MultipartStore>(store: Arc<T>) -> Self {
        let multipart: Arc<dyn MultipartStore> = store.clone();
        Self {
            multipart: Some(multipart),
            ..Self::new(store)
        }
    }

    async fn ping(&self, location: Location) -> Result<(), StoreError> {
        // No object's name begins so: an empty answer from a store that is there.
        let nothing = Path::from("-");
        let mut listing = self.objects.list(Some(&nothing));
        let answer = tokio::time::timeout(PING_LIMIT, listing.next()).await;
        match answer {
            Ok(None | Some(Ok(_))) => Ok(()),
            Ok(Some(Err(error))) => Err(StoreError::from_listing(error, location.as_str())),
            Err(late) => Err(StoreError::Unavailable(late.into())),
        }
    }
}

impl Store {
    /// Opens the store. One that refuses is an error; one that does not answer now may answer later.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        let store = match config {
            Config::Folder { dir } => folder::open(dir).await?,
            Config::S3(config) => s3::open(config)?,
            Config::Memory => {
                let [data, staging, keyplane] =
                    std::array::from_fn(|_| Backend::with_multipart(Arc::new(InMemory::new())));
                Self::over(data, staging, keyplane)
            }
        };
        match store.ping().await {
            Err(StoreError::Unavailable(_)) => tracing::warn!("the object store does not answer yet"),
            other => other?,
        }
        Ok(store)
    }

    /// A store over backends of one's own; tests put faults in between.
    pub fn over(data: Backend, staging: Backend, keyplane: Backend) -> Self {
        Self {
            data,
            staging,
            keyplane,
        }
    }

    /// Whether every location answers now.
    pub async fn ping(&self) -> Result<(), StoreError> {
        for location in Location::ALL {
            self.at(location).ping(location).await?;
        }
        Ok(())
    }

    /// Of a thousand parts of the fullest disk that clips are written to, how many are used; none where that is a service's matter.
    pub async fn used_permille(&self) -> Result<Option<u32>, StoreError> {
        let mut most = None;
        for location in [Location::Data, Location::Staging] {
            if let Some(folder) = &self.at(location).folder {
                most = most.max(Some(folder::used_permille(folder).await?));
            }
        }
        Ok(most)
    }

    /// Stores a whole object; it is durable afterwards.
    pub async fn put(&self, location: Location, id: ObjectId, bytes: Bytes) -> Result<(), StoreError> {
        let backend = self.at(location);
        let path = location.path(id);
        if backend.create_only.load(Ordering::Relaxed) {
            let payload = PutPayload::from(bytes.clone());
            match backend.objects.put_opts(&path, payload, PutMode::Create.into()).await {
                Ok(_) => return Ok(()),
                Err(object_store::Error::AlreadyExists { .. }) => return self.expect_same(location, id, &bytes).await,
                Err(error) if error::cannot_create_only(&error) => backend.create_only.store(false, Ordering::Relaxed),
                Err(error) => return Err(StoreError::from_object_store(error, id)),
            }
        }
        let written = backend.objects.put(&path, PutPayload::from(bytes)).await;
        written.map(drop).map_err(|e| StoreError::from_object_store(e, id))
    }

    /// How many bytes each part of an object has, but the last.
    pub fn part_bytes(&self, location: Location) -> usize {
        Parts::part_bytes_of(self.at(location))
    }

    /// Begins an object of unknown length.
    pub async fn begin(&self, location: Location, id: ObjectId) -> Result<Parts, StoreError> {
        Parts::begin(self.at(location), id, location.path(id)).await
    }

    /// Ends an upload in parts by its name; one that is gone is fine.
    pub async fn abort_multipart(&self, location: Location, id: ObjectId, name: &str) -> Result<(), StoreError> {
        let Some(store) = &self.at(location).multipart else {
            // Half files of a folder are removed at the next start.
            return Ok(());
        };
        match store.abort_multipart(&location.path(id), &name.to_owned()).await {
            Ok(()) => Ok(()),
            Err(error) if error::is_gone(&error) => Ok(()),
            Err(error) => Err(StoreError::from_object_store(error, id)),
        }
    }

    /// How many bytes the store says that the object has.
    pub async fn size(&self, location: Location, id: ObjectId) -> Result<u64, StoreError> {
        let head = self.at(location).objects.head(&location.path(id)).await;
        Ok(head.map_err(|e| StoreError::from_object_store(e, id))?.size)
    }

    /// A range of an object, with the size of the whole. Fewer bytes than asked for are an error.
    pub async fn get_range(&self, location: Location, id: ObjectId, range: Range<u64>) -> Result<Ranged, StoreError> {
        let expected = range.end - range.start;
        let options = GetOptions {
            range: Some(GetRange::Bounded(range)),
            ..GetOptions::default()
        };
        self.get_opts(location, id, options, Some(expected)).await
    }

    /// A whole object.
    pub async fn get(&self, location: Location, id: ObjectId) -> Result<Bytes, StoreError> {
        let whole = self.get_opts(location, id, GetOptions::default(), None).await?;
        Ok(whole.bytes)
    }

    /// Removes an object, and it stays so after a power cut; one that is gone is fine.
    pub async fn delete(&self, location: Location, id: ObjectId) -> Result<(), StoreError> {
        let backend = self.at(location);
        let path = location.path(id);
        match backend.objects.delete(&path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(StoreError::from_object_store(error, id)),
        }
        // Also for one that is gone: whoever removed it may have died before this.
        match &backend.folder {
            Some(folder) => folder::sync_removal(folder, &path).await,
            None => Ok(()),
        }
    }

    /// Removes objects; those that are gone are fine.
    pub async fn delete_all(&self, location: Location, ids: &[ObjectId]) -> Result<(), StoreError> {
        // Owned ids: with borrowed ones the future is not `Send` for every lifetime.
        futures_util::stream::iter(ids.to_vec())
            .map(|id| self.delete(location, id))
            .buffer_unordered(DELETES_AT_ONCE)
            .try_collect()
            .await
    }

    /// Every object of a location, in no order. Files that are not named as ours are passed over.
    pub fn list(&self, location: Location) -> BoxStream<'static, Result<Listed, StoreError>> {
        let listing = self.at(location).objects.list(location.prefix().as_ref());
        listing
            .filter_map(move |entry| async move {
                match entry {
                    Ok(meta) => location.id(&meta.location).map(|id| {
                        Ok(Listed {
                            id,
                            size_bytes: meta.size,
                            modified_ms: meta.last_modified.timestamp_millis(),
                        })
                    }),
                    Err(error) => Some(Err(StoreError::from_listing(error, location.as_str()))),
                }
            })
            .boxed()
    }

    fn at(&self, location: Location) -> &Backend {
        match location {
            Location::Data => &self.data,
            Location::Staging => &self.staging,
            Location::KeyPlane | Location::Tombstones => &self.keyplane,
        }
    }

    async fn get_opts(
        &self,
        location: Location,
        id: ObjectId,
        options: GetOptions,
        expected: Option<u64>,
    ) -> Result<Ranged, StoreError> {
        let short = |got, expected| StoreError::Short {
            object: id,
            expected,
            got,
        };
        let failed = |error| match expected {
            Some(expected) if error::is_outside(&error) => short(0, expected),
            _ => StoreError::from_object_store(error, id),
        };
        let answer = self.at(location).objects.get_opts(&location.path(id), options).await;
        let answer = answer.map_err(failed)?;
        let object_size = answer.meta.size;
        let promised = answer.range.end - answer.range.start;
        let expected = expected.unwrap_or(promised);
        let bytes = answer.bytes().await.map_err(failed)?;
        let got = bytes.len() as u64;
        if got != expected {
            return Err(short(got, expected));
        }
        Ok(Ranged { bytes, object_size })
    }

    /// An answer may be lost after its write has landed, and then the store's own retry finds the name taken: by ourselves.
    async fn expect_same(&self, location: Location, id: ObjectId, bytes: &Bytes) -> Result<(), StoreError> {
        if self.get(location, id).await? == *bytes {
            return Ok(());
        }
        Err(StoreError::Exists(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_two_characters_a_slash_and_the_id() {
        let id = ObjectId::from_bytes([0xff; 16]);
        assert_eq!(Location::Data.path(id).as_ref(), "77/77777777777777777777777774");
        assert_eq!(Location::Data.id(&Location::Data.path(id)), Some(id));
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "77777777777777777777777774",
            "aa/77777777777777777777777774",
            "77/abc",
            "x",
        ] {
            assert_eq!(Location::Data.id(&Path::from(name)), None, "{name}");
        }
    }
}
