//! Wrapped system records: one a root epoch, the newest counts.

use dashvault::catalog::{CatalogError, SystemRecordRow};

use crate::in_tx;
use crate::{both, rows};

fn record(epoch: u32) -> SystemRecordRow {
    SystemRecordRow {
        epoch,
        revision: epoch + 10,
        record: vec![epoch as u8; 64],
    }
}

#[tokio::test]
async fn the_record_of_the_newest_epoch_counts() {
    both(async |catalog| {
        let (tenant, _) = rows::an_owner(&catalog).await;
        let (other, _) = rows::an_owner(&catalog).await;
        assert!(catalog.system_record(tenant).await.unwrap().is_none());
        for epoch in [2, 1] {
            in_tx!(catalog, tx => tx.insert_system_record(tenant, &record(epoch), 5));
        }
        let newest = catalog.system_record(tenant).await.unwrap().unwrap();
        assert_eq!((newest.epoch, newest.revision, newest.record), (2, 12, vec![2; 64]));
        assert!(catalog.system_record(other).await.unwrap().is_none());
        let mut tx = catalog.begin().await.unwrap();
        let again = tx.insert_system_record(tenant, &record(2), 5).await;
        assert!(matches!(again, Err(CatalogError::Exists(_))), "{again:?}");
    })
    .await;
}
