//! Whoever uses a decoy is told of to people, once an hour, with the place where it was planted and without the decoy.

use std::time::{Duration, Instant};

use dashvault::access::DecoySecret;
use dashvault::catalog::NoticeRow;
use dashvault::model::{DecoyKind, Severity};

use super::{HOUR, House};

/// What is written about a use is written beside the request.
const WRITTEN: Duration = Duration::from_secs(20);

async fn told(house: &House, count: usize, uses: u64) -> Vec<NoticeRow> {
    let began = Instant::now();
    loop {
        let rows = house.catalog.newest_notices(9).await.unwrap();
        let used = house.access.decoys().await.unwrap()[0].uses;
        if rows.len() >= count && used == uses {
            return rows;
        }
        assert!(
            began.elapsed() < WRITTEN,
            "{count} notices, {uses} uses: {rows:?}, {used}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_decoys_use_is_a_notice_that_names_its_place_and_again_only_in_the_next_hour() {
    for house in House::both().await {
        let place = "wiki page on backups";
        let made = house.access.add_decoy(DecoyKind::OwnerToken, place).await.unwrap();
        let DecoySecret::Text(token) = made.secret else {
            panic!("a token is a text")
        };
        for uses in 1..=3 {
            assert!(house.access.authenticate(&token).await.is_err());
            let rows = told(&house, 1, uses).await;
            assert_eq!(rows.len(), 1, "{rows:?}");
            assert_eq!(
                (rows[0].kind.as_str(), rows[0].severity),
                ("decoy-used", Severity::Page)
            );
            assert!(rows[0].subject.contains(place) && rows[0].facts.contains(place));
            assert!(!format!("{rows:?}").contains(&token), "the decoy itself is told");
        }
        house.clock.advance(HOUR);
        assert!(house.access.authenticate(&token).await.is_err());
        assert_eq!(told(&house, 2, 4).await.len(), 2);
    }
}
