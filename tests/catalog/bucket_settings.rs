//! How our own buckets are configured: the first reading is no drift, every other state is, and the same again is none.

use dashvault::catalog::BucketSetting;
use dashvault::model::{Bucket, Grade};

use crate::both;
use crate::in_tx;

fn read(setting: &str, grade: Grade, state: &str) -> BucketSetting {
    BucketSetting {
        bucket: Bucket::Data,
        setting: setting.to_owned(),
        grade,
        state: state.to_owned(),
    }
}

#[tokio::test]
async fn a_drift_is_told_once_with_what_it_was_before() {
    both(async |catalog| {
        let (none, open) = (
            read("policy", Grade::Fine, "none"),
            read("policy", Grade::Finding, "open"),
        );
        let mut drifts = Vec::new();
        for (now, setting) in [(10, &none), (20, &none), (30, &open), (40, &open), (50, &none)] {
            drifts.push(in_tx!(catalog, tx => tx.set_bucket_setting(setting, now)));
        }
        let of = |word: &str| Some(word.to_owned());
        assert_eq!(drifts, [None, None, of("none"), None, of("open")]);
        let other = read("acl", Grade::NotCheckable, "");
        assert_eq!(in_tx!(catalog, tx => tx.set_bucket_setting(&other, 60)), None);
        assert_eq!(catalog.bucket_settings().await.unwrap(), [other.clone(), none.clone()]);
        let changes = catalog.bucket_setting_changes(10, 60).await.unwrap();
        let told: Vec<_> = changes
            .iter()
            .map(|c| (c.at, c.previous.as_deref(), &c.setting))
            .collect();
        assert_eq!(
            told,
            [(10, None, &none), (30, Some("none"), &open), (50, Some("open"), &none)]
        );
        assert_eq!(catalog.bucket_setting_changes(60, 61).await.unwrap().len(), 1);
    })
    .await;
}
