//! What the store at hand really does: whether it creates only, and whether it answers a range with the range.

use bytes::Bytes;
use object_store::{GetOptions, GetRange, ObjectStoreExt as _, PutMode, PutPayload};

use super::{Location, Store, StoreError};
use crate::model::ObjectId;

/// Longer than a range within it, and nothing else.
const BYTES: &[u8] = b"dashvault looks what this store does; this object may be removed";
const RANGE: std::ops::Range<u64> = 3..9;

/// What a store does with an object of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// A second write of a name is refused, where it is asked for.
    pub creates_only: bool,
    /// Nothing but the range that was asked for is sent.
    pub honours_ranges: bool,
}

impl Store {
    /// Writes an object of no meaning to a location, looks what becomes of it, and removes it.
    pub async fn facts(&self, location: Location) -> Result<Facts, StoreError> {
        let id = ObjectId::random();
        self.put(location, id, Bytes::from_static(BYTES)).await?;
        let looked = self.look_at(location, id).await;
        self.delete(location, id).await?;
        looked
    }

    async fn look_at(&self, location: Location, id: ObjectId) -> Result<Facts, StoreError> {
        let (objects, path) = (&self.at(location).objects, location.path(id));
        let other = PutPayload::from_static(b"another");
        let creates_only = objects.put_opts(&path, other, PutMode::Create.into()).await.is_err();
        objects
            .put(&path, PutPayload::from_static(BYTES))
            .await
            .map_err(|error| StoreError::from_object_store(error, id))?;
        let options = GetOptions {
            range: Some(GetRange::Bounded(RANGE)),
            ..GetOptions::default()
        };
        let honours_ranges = match objects.get_opts(&path, options).await {
            Ok(answer) => answer.range == RANGE && answer.bytes().await.is_ok_and(|bytes| bytes == BYTES[3..9]),
            Err(object_store::Error::Generic { .. } | object_store::Error::NotSupported { .. }) => false,
            Err(error) => return Err(StoreError::from_object_store(error, id)),
        };
        Ok(Facts {
            creates_only,
            honours_ranges,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Config;
    use futures_util::StreamExt as _;

    #[tokio::test]
    async fn a_folder_creates_only_and_honours_ranges_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::Folder {
            dir: dir.path().to_owned(),
        };
        let store = Store::open(&config).await.unwrap();
        let facts = store.facts(Location::Staging).await.unwrap();
        assert_eq!(
            facts,
            Facts {
                creates_only: true,
                honours_ranges: true
            }
        );
        assert!(store.list(Location::Staging).next().await.is_none());
    }
}
