//! Published objects: a clip's own and its links' are apart.

use dashvault::catalog::{CatalogError, ObjectRow};
use dashvault::model::{ClipId, LinkId, ObjectId};

use crate::in_tx;
use crate::{both, rows};

fn object(clip: ClipId, link: Option<LinkId>, created_at: i64) -> ObjectRow {
    ObjectRow {
        id: ObjectId::random(),
        clip,
        link,
        suite: 1,
        log2_segment: 18,
        padded_size: 60 << 30,
        size_bytes: 61 << 30,
        commitment: [9; 32],
        sealed_about: vec![1, 2, 3],
        created_at,
    }
}

#[tokio::test]
async fn a_row_comes_back_as_it_was_added_oldest_first() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let clip = rows::a_ready_clip(&catalog, tenant, owner).await;
        let (new, old) = (object(clip, None, 20), object(clip, None, 10));
        in_tx!(catalog, tx => tx.insert_object(tenant, &new));
        in_tx!(catalog, tx => tx.insert_object(tenant, &old));
        assert_eq!(catalog.objects_of(clip, None).await.unwrap(), [old, new.clone()]);
        let mut tx = catalog.begin().await.unwrap();
        let again = tx.insert_object(tenant, &new).await;
        assert!(matches!(again, Err(CatalogError::Exists(_))), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn a_links_media_are_not_the_clips_and_an_erasure_finds_both() {
    both(async |catalog| {
        let (tenant, owner) = rows::an_owner(&catalog).await;
        let clip = rows::a_ready_clip(&catalog, tenant, owner).await;
        let other = rows::a_ready_clip(&catalog, tenant, owner).await;
        let (one, two) = (LinkId::random(), LinkId::random());
        let rows = [
            object(clip, None, 1),
            object(clip, Some(one), 2),
            object(clip, Some(two), 3),
            object(other, None, 4),
        ];
        for row in &rows {
            in_tx!(catalog, tx => tx.insert_object(tenant, row));
        }
        assert_eq!(catalog.objects_of(clip, None).await.unwrap(), rows[..1]);
        assert_eq!(catalog.objects_of(clip, Some(one)).await.unwrap(), rows[1..2]);
        assert_eq!(catalog.objects_of(other, Some(one)).await.unwrap(), []);
        let stranger = ClipId::random();
        let mut of_both = catalog.objects_of_clips(&[clip, other, stranger]).await.unwrap();
        of_both.sort_by_key(|row| row.created_at);
        assert_eq!(of_both, [rows[0].clone(), rows[3].clone()]);
        assert_eq!(catalog.objects_of_clips(&[]).await.unwrap(), []);
        let mut all = catalog.all_objects_of(clip).await.unwrap();
        all.sort();
        let mut expected: Vec<_> = rows[..3].iter().map(|row| row.id).collect();
        expected.sort();
        assert_eq!(all, expected);
        assert_eq!(in_tx!(catalog, tx => tx.delete_objects(&all)), 3);
        assert_eq!(in_tx!(catalog, tx => tx.delete_objects(&all)), 0);
        assert_eq!(catalog.objects_of(other, None).await.unwrap().len(), 1);
    })
    .await;
}
