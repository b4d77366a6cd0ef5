//! Everything that lies in a bucket, whoever put it there and whatever its name: for those who look for what is not ours.

use std::collections::BTreeMap;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _};

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
    /// A type, an encoding, metadata, or tags where the store tells their number, stand beside it; we give none.
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

    fn entry(self, meta: ObjectMeta) -> Entry {
        Entry {
            named: self
                .beside()
                .iter()
                .find_map(|at| at.id(&meta.location).map(|id| (*at, id))),
            path: meta.location.into(),
            size_bytes: meta.size,
        }
    }
}

/// A folder tells its files in no order, so it is gone through folder by folder, by their names; of each at most `most` are
/// held.
async fn first_in_folder(
    objects: &dyn ObjectStore,
    after: Option<&Path>,
    most: usize,
) -> object_store::Result<Vec<ObjectMeta>> {
    let top = objects.list_with_delimiter(None).await?;
    let mut places: BTreeMap<Vec<String>, Option<ObjectMeta>> = BTreeMap::new();
    places.extend(top.common_prefixes.into_iter().map(|folder| (parts(&folder), None)));
    places.extend(top.objects.into_iter().map(|meta| (parts(&meta.location), Some(meta))));
    let after = after.map(parts).unwrap_or_default();
    let mut found = Vec::new();
    for (place, file) in places {
        let room = most - found.len();
        if room == 0 {
            break;
        }
        match file {
            Some(meta) if place > after => found.push(meta),
            // Everything beneath it was passed.
            None if after.first().is_some_and(|passed| place[0] < *passed) => {}
            None => found.extend(first_beneath(objects, &Path::from_iter(place), &after, room).await?),
            Some(_) => {}
        }
    }
    Ok(found)
}

async fn first_beneath(
    objects: &dyn ObjectStore,
    folder: &Path,
    after: &[String],
    most: usize,
) -> object_store::Result<Vec<ObjectMeta>> {
    let mut first: BTreeMap<Vec<String>, ObjectMeta> = BTreeMap::new();
    let mut listing = objects.list(Some(folder));
    while let Some(meta) = listing.try_next().await? {
        let name = parts(&meta.location);
        if name.as_slice() > after {
            first.insert(name, meta);
            if first.len() > most {
                first.pop_last();
            }
        }
    }
    Ok(first.into_values().collect())
}

/// A name as its parts: so a folder and what lies in it stand together, whatever comes before and behind.
fn parts(path: &Path) -> Vec<String> {
    path.parts().map(|part| part.as_ref().to_owned()).collect()
}

impl Store {
    /// Everything in a location's bucket, in no order.
    pub fn entries(&self, location: Location) -> BoxStream<'static, Result<Entry, StoreError>> {
        let listing = self.at(location).objects.list(None);
        listing
            .map(move |entry| match entry {
                Ok(meta) => Ok(location.entry(meta)),
                Err(error) => Err(StoreError::from_listing(error, location.as_str())),
            })
            .boxed()
    }

    /// At most `most` things in a location's bucket that come after the one called `after`, in an order of the store's own
    /// that stands still: so a walk through everything can be cut off anywhere and go on.
    pub async fn entries_after(
        &self,
        location: Location,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let failed = |error| StoreError::from_listing(error, location.as_str());
        let backend = self.at(location);
        let after = after
            .map(Path::parse)
            .transpose()
            .map_err(|error| failed(error.into()))?;
        let found = match (&backend.folder, &after) {
            (Some(_), after) => first_in_folder(backend.objects.as_ref(), after.as_ref(), most).await,
            (None, Some(after)) => {
                backend
                    .objects
                    .list_with_offset(None, after)
                    .take(most)
                    .try_collect()
                    .await
            }
            (None, None) => backend.objects.list(None).take(most).try_collect().await,
        };
        let found: Vec<ObjectMeta> = found.map_err(failed)?;
        Ok(found.into_iter().map(|meta| location.entry(meta)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Config;

    async fn walked(store: &Store, most: usize) -> Vec<String> {
        let (mut names, mut after) = (Vec::new(), None::<String>);
        for _ in 0..100 {
            let some = store
                .entries_after(Location::Data, after.as_deref(), most)
                .await
                .unwrap();
            assert!(some.len() <= most);
            let Some(last) = some.last() else { return names };
            after = Some(last.path.clone());
            names.extend(some.into_iter().map(|entry| entry.path));
        }
        panic!("no end: {names:?}");
    }

    #[tokio::test]
    async fn a_folder_is_walked_in_steps_of_any_size_and_nothing_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::Folder {
            dir: dir.path().to_owned(),
        };
        let store = Store::open(&config).await.unwrap();
        let mut all = Vec::new();
        for _ in 0..20 {
            let id = ObjectId::random();
            store
                .put(Location::Data, id, bytes::Bytes::from_static(b"x"))
                .await
                .unwrap();
            all.push(Location::Data.name(id));
        }
        // Names that sort before and behind the slash, folders in folders, a file beside a folder of nearly its name.
        for name in ["a.mp4", "a/b", "a/b-c/d", "a/b.c", "a-b/c", "zz/zz/zz", "0"] {
            let path = dir.path().join("objects").join(name);
            let path = if name == "a/b" { path.join("e") } else { path };
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "x").unwrap();
            all.push(if name == "a/b" {
                "a/b/e".to_owned()
            } else {
                name.to_owned()
            });
        }
        all.sort();
        for most in [1, 2, 3, 7, 100] {
            let mut names = walked(&store, most).await;
            names.sort();
            assert_eq!(names, all, "{most} at a time");
        }
    }
}
