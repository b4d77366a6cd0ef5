//! Reads how our own buckets are configured, and tells of every change: a drift is one even if the bucket is still private.

use super::configuration::ALL;
use super::{ExposureError, Watch, Watched};
use crate::catalog::{BucketSetting, NewNotice};
use crate::model::{Grade, Severity};

/// The state of a setting that could not be read this time.
const NOT_NOW: &str = "no answer this time";

impl Watch {
    /// Reads every setting of a bucket and takes it down. Empty where the vault's own key is not given, or it is no bucket of a
    /// service.
    pub(super) async fn read_settings(&self, one: &Watched) -> Result<Vec<BucketSetting>, ExposureError> {
        let inner = &self.inner;
        let address = one.addresses.iter().find(|address| address.form.is_s3());
        let (Some(own), Some(address)) = (&inner.config.own, address) else {
            return Ok(Vec::new());
        };
        let until = self.deadline();
        let read = ALL.map(|setting| async move {
            let answer = inner.stranger.read(address, setting.query(), own, until).await;
            let read = answer.and_then(|(status, body)| setting.read(status, &body));
            let (grade, state) = match read {
                Some(read) => (read.grade, read.state),
                None => (Grade::NotCheckable, NOT_NOW.to_owned()),
            };
            BucketSetting {
                bucket: one.bucket,
                setting: setting.as_str().to_owned(),
                grade,
                state,
            }
        });
        let settings = futures_util::future::join_all(read).await;
        let now = inner.clock.now_ms();
        let mut tx = inner.catalog.begin().await?;
        // One without an answer is not taken down: it was what it was, and tomorrow it says so again.
        for read in settings.iter().filter(|read| read.state != NOT_NOW) {
            if let Some(before) = tx.set_bucket_setting(read, now).await? {
                tracing::warn!(
                    bucket = read.bucket.as_str(),
                    setting = read.setting,
                    before,
                    state = read.state,
                    "a bucket is configured otherwise than before"
                );
                tx.raise_notice(&drift(read, &before), now).await?;
            }
        }
        tx.commit().await?;
        Ok(settings)
    }
}

fn drift(read: &BucketSetting, before: &str) -> NewNotice {
    NewNotice {
        kind: "bucket-configuration",
        severity: match read.grade {
            Grade::Fine => Severity::Info,
            Grade::Finding | Grade::NotCheckable => Severity::Warning,
        },
        subject: format!("{} of the {} bucket was changed", read.setting, read.bucket),
        facts: format!(
            "Before: {before}\nNow: {} ({})\nThe verdict over the bucket is told apart from this. If nobody of yours changed it, \
             somebody else may configure your buckets.",
            read.state, read.grade
        ),
        once_for: None,
    }
}
