//! Everything that lies in a bucket, whoever put it there and whatever its name: for those who look for what is not ours.

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, ObjectStoreExt as _};

use super::{Location, Store, StoreError, error};
use crate::model::ObjectId;

/// Types that a service names when nobody told it one.
const NO_TYPES: [&str; 2] = ["application/octet-stream", "binary/octet-stream"];

/// Something in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its whole name.
    pub path: String,
    /// Where it lies and what it is called, if the name is one of ours.
    pub named: Option<(Location, ObjectId)>,
    pub size_bytes: u64,
}

/// What lies there, from its beginning.
#[derive(Debug, Clone)]
pub struct Looked {
    /// As many bytes as were asked for, or all.
    pub head: bytes::Bytes,
    pub size_bytes: u64,
    /// A type, an encoding or metadata stand beside it; we give none.
    pub is_labelled: bool,
}

impl Location {
    /// Every location in the same bucket or folder.
    fn beside(self) -> &'static [Self] {
        match self {
            Self::Data => &[Self::Data],
            Self::Staging => &[Self::Staging],
            Self::KeyPlane | Self::Tombstones => &[Self::KeyPlane, Self::Tombstones],
        }
    }
}

impl Store {
    /// Everything in a location's bucket, in no order.
    pub fn entries(&self, location: Location) -> BoxStream<'static, Result<Entry, StoreError>> {
        let listing = self.at(location).objects.list(None);
        listing
            .map(move |entry| match entry {
                Ok(meta) => Ok(Entry {
                    named: location
                        .beside()
                        .iter()
                        .find_map(|at| at.id(&meta.location).map(|id| (*at, id))),
                    path: meta.location.into(),
                    size_bytes: meta.size,
                }),
                Err(error) => Err(StoreError::from_listing(error, location.as_str())),
            })
            .boxed()
    }

    /// The first `most` bytes of something that was listed; none when it is gone.
    pub async fn look(&self, location: Location, path: &str, most: u64) -> Result<Option<Looked>, StoreError> {
        let objects = &self.at(location).objects;
        let failed = |error| StoreError::from_listing(error, location.as_str());
        let path = Path::parse(path).map_err(|error| failed(error.into()))?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(0..most)),
            ..GetOptions::default()
        };
        let answer = match objects.get_opts(&path, options).await {
            Ok(answer) => answer,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            // It is empty; that it is there at all is asked once more.
            Err(error) if error::is_outside(&error) => return self.look_at_nothing(location, &path).await,
            Err(error) => return Err(failed(error)),
        };
        let is_labelled = answer.attributes.iter().any(|(attribute, value)| match attribute {
            Attribute::ContentType => !NO_TYPES.contains(&value.as_ref()),
            _ => true,
        });
        let size_bytes = answer.meta.size;
        let head = answer.bytes().await.map_err(failed)?;
        Ok(Some(Looked {
            head,
            size_bytes,
            is_labelled,
        }))
    }

    async fn look_at_nothing(&self, location: Location, path: &Path) -> Result<Option<Looked>, StoreError> {
        match self.at(location).objects.head(path).await {
            Ok(meta) => Ok(Some(Looked {
                head: bytes::Bytes::new(),
                size_bytes: meta.size,
                is_labelled: false,
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StoreError::from_listing(error, location.as_str())),
        }
    }
}
