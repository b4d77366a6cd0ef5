//! Two transactions that want the same rows: one of them is told, and soon.

use std::time::{Duration, Instant};

use dashvault::catalog::{Catalog, CatalogError, Config};
use dashvault::model::{OwnerId, Trouble};
use dashvault_test_support::Postgres;

use crate::rows::{an_owner, another_owner};

async fn two_owners(catalog: &Catalog) -> [OwnerId; 2] {
    let (tenant, first) = an_owner(catalog).await;
    let mut tx = catalog.begin().await.unwrap();
    let second = another_owner(&mut tx, tenant).await;
    tx.commit().await.unwrap();
    [first, second]
}

async fn connect() -> Catalog {
    let url = Postgres::shared().database();
    Catalog::connect(&Config::Postgres { url }).await.unwrap()
}

#[tokio::test]
async fn a_row_that_is_held_for_too_long_is_told_as_contention() {
    let catalog = connect().await;
    let [owner, _] = two_owners(&catalog).await;
    let mut holder = catalog.begin().await.unwrap();
    assert!(holder.hold_owner(owner).await.unwrap());
    let mut waiting = catalog.begin().await.unwrap();
    let began = Instant::now();
    let error = waiting.hold_owner(owner).await.expect_err("the row is another's");
    assert!(matches!(error, CatalogError::Contended(_)), "{error:?}");
    assert_eq!(
        error.trouble(),
        Trouble::Unavailable,
        "whoever asks is told to come again"
    );
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    holder.rollback().await.unwrap();
    let mut again = catalog.begin().await.unwrap();
    assert!(again.hold_owner(owner).await.unwrap());
}

#[tokio::test]
async fn of_two_that_wait_for_each_other_one_goes_on() {
    let catalog = connect().await;
    let [one, other] = two_owners(&catalog).await;
    let crosswise = async |first, second| {
        let mut tx = catalog.begin().await.unwrap();
        assert!(tx.hold_owner(first).await.unwrap());
        tokio::time::sleep(Duration::from_millis(300)).await;
        tx.hold_owner(second).await
    };
    let (left, right) = tokio::join!(crosswise(one, other), crosswise(other, one));
    let (won, lost): (Vec<_>, Vec<_>) = [left, right].into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 1), "{lost:?}");
    assert!(matches!(lost[0], Err(CatalogError::Contended(_))), "{lost:?}");
}
