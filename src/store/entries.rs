//! Everything that lies in a bucket, whoever put it there and whatever its name: for those who look for what is not ours.

use std::collections::BTreeMap;
use std::io;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path;
use object_store::{Attribute, GetOptions, GetRange, ObjectMeta, ObjectStoreExt as _};

use super::{Location, Store, StoreError, error, names};
use crate::model::ObjectId;

/// Entries of a folder that are held at once.
const PAGE: usize = 1_000;
/// Ours lie in folders of one level; what is deeper than this is told of as one thing.
const MOST_DEEP: usize = 32;

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

    fn entry(self, path: String, size_bytes: u64) -> Entry {
        let named = Path::parse(&path).ok().and_then(|path| {
            let mut beside = self.beside().iter();
            beside.find_map(|at| at.id(&path).map(|id| (*at, id)))
        });
        Entry {
            path,
            named,
            size_bytes,
        }
    }
}

/// A folder tells its files in no order, so it is gone through folder by folder, by their names. The store's client ends a
/// listing at the first name that it cannot read, so it is not asked.
struct Walk {
    after: Vec<String>,
    most: usize,
    found: Vec<Entry>,
}

impl Walk {
    /// Gathers what lies in `folder` behind the last one; `above` are the names that lead to it.
    fn gather(&mut self, location: Location, folder: &std::path::Path, above: &[String]) -> io::Result<()> {
        let mut names = BTreeMap::new();
        let here = match std::fs::read_dir(folder) {
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            here => here?,
        };
        for entry in here {
            let (entry, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            let kind = match std::fs::symlink_metadata(&entry) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                about => about?,
            };
            let is_folder = kind.is_dir() && above.len() < MOST_DEEP;
            let name = match is_folder || kind.is_file() {
                true => names::of_file(&name),
                // We make no links: what it leads to is not looked for, and that it is there is told.
                false => names::marked(name.as_encoded_bytes()),
            };
            names.insert(name, (entry, is_folder, kind.len()));
        }
        for (name, (path, is_folder, size_bytes)) in names {
            if self.found.len() == self.most {
                break;
            }
            let place = [above, &[name]].concat();
            if !is_folder {
                if place > self.after && !is_half_file(&place) {
                    self.found.push(location.entry(place.join("/"), size_bytes));
                }
                continue;
            }
            // Everything beneath it was passed.
            let passed = self.after.get(..place.len());
            if passed.is_none_or(|passed| place.as_slice() >= passed) {
                self.gather(location, &path, &place)?;
            }
        }
        Ok(())
    }
}

/// Of one of our objects, under way; those of a killed process go at the next start.
fn is_half_file(place: &[String]) -> bool {
    let name = place.last().and_then(|name| name.rsplit_once('#'));
    name.is_some_and(|(name, number)| {
        number.bytes().all(|byte| byte.is_ascii_digit()) && name.parse::<ObjectId>().is_ok()
    })
}

/// A name as its parts: so a folder and what lies in it stand together, whatever comes before and behind.
fn parts(path: &Path) -> Vec<String> {
    path.parts().map(|part| part.as_ref().to_owned()).collect()
}

impl Store {
    /// Everything in a location's bucket, in no order.
    pub fn entries(&self, location: Location) -> BoxStream<'static, Result<Entry, StoreError>> {
        let failed = move |error| StoreError::from_listing(error, location.as_str());
        if self.at(location).folder.is_none() {
            let listing = self.at(location).objects.list(None).map_err(failed);
            return listing
                .map_ok(move |meta| location.entry(meta.location.into(), meta.size))
                .boxed();
        }
        let pages = futures_util::stream::try_unfold(
            (self.clone(), None),
            move |(store, after): (Self, Option<String>)| async move {
                let page = store.entries_after(location, after.as_deref(), PAGE).await?;
                let after = page.last().map(|entry| entry.path.clone());
                Ok::<_, StoreError>(after.map(|after| (page, (store, Some(after)))))
            },
        );
        pages
            .map_ok(|page| futures_util::stream::iter(page.into_iter().map(Ok)))
            .try_flatten()
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
        if let Some(folder) = backend.folder.clone() {
            let mut walk = Walk {
                after: after.as_ref().map(parts).unwrap_or_default(),
                most,
                found: Vec::new(),
            };
            let walked = tokio::task::spawn_blocking(move || walk.gather(location, &folder, &[]).map(|()| walk.found));
            let walked = walked.await.map_err(|error| StoreError::Unavailable(error.into()))?;
            return walked.map_err(|error| StoreError::Unavailable(error.into()));
        }
        let found: Result<Vec<ObjectMeta>, _> = match &after {
            Some(after) => {
                let listing = backend.objects.list_with_offset(None, after);
                listing.take(most).try_collect().await
            }
            None => backend.objects.list(None).take(most).try_collect().await,
        };
        let found = found.map_err(failed)?.into_iter();
        Ok(found
            .map(|meta| location.entry(meta.location.into(), meta.size))
            .collect())
    }

    /// The first `most` bytes of something that was listed; none when it is gone.
    pub async fn look(&self, location: Location, path: &str, most: u64) -> Result<Option<Looked>, StoreError> {
        let objects = &self.at(location).objects;
        let failed = |error| StoreError::from_listing(error, location.as_str());
        if names::is_marked(path) {
            // It was listed, and cannot be asked for.
            return Ok(Some(Looked {
                head: bytes::Bytes::new(),
                size_bytes: 0,
                is_labelled: false,
            }));
        }
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
    async fn a_file_whose_name_cannot_be_read_ends_no_walk_and_is_handed_on() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let config = Config::Folder {
            dir: dir.path().to_owned(),
        };
        let store = Store::open(&config).await.unwrap();
        let id = ObjectId::random();
        store
            .put(Location::Data, id, bytes::Bytes::from_static(b"x"))
            .await
            .unwrap();
        let ours = Location::Data.name(id);
        let shelf = dir.path().join("objects").join(&ours[..2]);
        for (round, place) in [shelf, dir.path().join("objects")].into_iter().enumerate() {
            for odd in [&b"a\nb.mp4"[..], b"not \xff UTF-8.mp4"] {
                std::fs::write(place.join(std::ffi::OsStr::from_bytes(odd)), "plain").unwrap();
            }
            for most in [1, 2, 100] {
                let walked = walked(&store, most).await;
                assert_eq!(walked.len(), 1 + 2 * (round + 1), "{most} at a time: {walked:?}");
                assert_eq!(walked.iter().filter(|name| **name == ours).count(), 1);
                let odd = walked.iter().filter(|name| names::is_marked(name));
                assert_eq!(odd.count(), 2 * (round + 1), "{walked:?}");
            }
            for name in walked(&store, 100).await {
                assert!(store.look(Location::Data, &name, 8).await.unwrap().is_some(), "{name}");
            }
            let all: Vec<_> = store.entries(Location::Data).try_collect().await.unwrap();
            assert_eq!(all.len(), 1 + 2 * (round + 1));
            // A half file of ours is under way; of anything else it is something that lies there.
            std::fs::write(place.join(format!("{}#1", ObjectId::random())), "x").unwrap();
            assert_eq!(walked(&store, 100).await.len(), all.len());
            std::fs::write(place.join("clip.mp4#1"), "x").unwrap();
            assert_eq!(walked(&store, 100).await.len(), all.len() + 1);
            std::fs::remove_file(place.join("clip.mp4#1")).unwrap();
            std::os::unix::fs::symlink(dir.path(), place.join("circle")).unwrap();
            assert_eq!(
                walked(&store, 100).await.len(),
                all.len() + 1,
                "a link is told of, and not followed"
            );
            std::fs::remove_file(place.join("circle")).unwrap();
        }
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
