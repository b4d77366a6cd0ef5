//! Everything that is asked of one bucket in a round: its canary looked after, every question through every address, and what
//! a stranger could write taken back.

use std::time::Duration;

use super::ask::{Address, Questions};
use super::judge::{Answer, Asked, Judged, Probe, beside_strangers, judge};
use super::{ExposureError, Watch, Watched};
use crate::model::{Bucket, ObjectId, Trouble};
use crate::store::Signer;
use crate::vault::object_path;

/// Objects of ours that are asked for in a round, beside the canary.
const OBJECTS: u32 = 3;
/// Probe writes that one round takes back.
const TAKEN_BACK: u32 = 32;
/// A write that was noted so long ago is no other watcher's that is still asking.
const WRITE_LASTS_MS: i64 = 60_000;
/// What the vault does in its own store for a round, a canary put or a write removed: behind it, the round goes on without.
const OWN_LIMIT: Duration = Duration::from_secs(4);

impl Watch {
    /// Every question through every address of a bucket; what is asked seldom too, if it is `seldom`.
    pub(super) async fn ask_all(&self, one: &Watched, seldom: bool) -> Result<Vec<Judged>, ExposureError> {
        let inner = &self.inner;
        let no_canary = self.plant_canary(one.bucket).await;
        let from = ObjectId::random();
        let mut known = inner.catalog.some_objects(one.bucket, from, OBJECTS).await?;
        if known.is_empty() {
            let first = ObjectId::from_bytes([0; 16]);
            known = inner.catalog.some_objects(one.bucket, first, OBJECTS).await?;
        }
        let canaries = inner.catalog.canaries().await?;
        let canary = canaries.iter().find(|canary| canary.bucket == one.bucket);
        let canary = canary.map(|canary| canary.object).or_else(|| known.first().copied());
        let write = (seldom && inner.config.tries_writes).then(ObjectId::random);
        let path = |id| object_path(one.bucket, id);
        let questions = Questions {
            canary: canary.map(path),
            objects: known
                .iter()
                .copied()
                .filter(|id| Some(*id) != canary)
                .map(path)
                .collect(),
            missing: path(ObjectId::random()),
            write: write.map(path),
        };
        if let Some(name) = write {
            let mut tx = inner.catalog.begin().await?;
            tx.note_probe_write(name, one.bucket, inner.clock.now_ms()).await?;
            tx.commit().await?;
        }
        let (asked, accounts) = tokio::join!(
            self.ask_everywhere(&one.addresses, &questions, None),
            self.ask_as_any_account(one, &questions, seldom)
        );
        let may_lie_there = asked.iter().flatten().any(may_have_written);
        let judged = one.addresses.iter().zip(&asked);
        let mut judged: Vec<_> = judged.map(|(address, asked)| judge(address.form, asked)).collect();
        let why = no_canary.or_else(|| {
            let nothing = "there is no object to ask for yet: run `dashvault serve` once";
            canary.is_none().then(|| nothing.to_owned())
        });
        judged.extend(why.map(Judged::unclear));
        let beside = beside_strangers(accounts, &judged);
        judged.extend(beside);
        if let Some(name) = write {
            self.after_write(one.bucket, name, may_lie_there).await?;
        }
        Ok(judged)
    }

    /// Through all addresses at once: none waits for another that is slow.
    async fn ask_everywhere(
        &self,
        addresses: &[Address],
        questions: &Questions,
        account: Option<&Signer>,
    ) -> Vec<Vec<Asked>> {
        let until = self.deadline();
        let stranger = &self.inner.stranger;
        let asked = addresses
            .iter()
            .map(|address| stranger.ask(address, questions, account, until));
        futures_util::future::join_all(asked).await
    }

    /// What an account gets that has nothing to do with us, where a key pair of one is given: asked seldom, and every round
    /// as long as it is not a clear no.
    async fn ask_as_any_account(&self, one: &Watched, questions: &Questions, seldom: bool) -> Vec<Judged> {
        // What is no S3 service knows no accounts.
        let addresses: Vec<_> = one.addresses.iter().filter(|a| a.form.is_s3()).cloned().collect();
        if addresses.is_empty() {
            return Vec::new();
        }
        let Some(account) = &self.inner.config.account else {
            let unchecked = "not checked: what any other account of the store's service gets (--watch-account-file)";
            return vec![Judged {
                warnings: vec![unchecked.to_owned()],
                // No address was found by this.
                is_absent: true,
                ..Judged::default()
            }];
        };
        if !seldom && let Some(known) = self.known_of_accounts(one.bucket) {
            return known;
        }
        let reads = Questions {
            write: None,
            ..questions.clone()
        };
        let asked = self.ask_everywhere(&addresses, &reads, Some(account)).await;
        let judged = addresses.iter().zip(&asked);
        let judged: Vec<_> = judged.map(|(address, asked)| judge(address.form, asked)).collect();
        self.keep_of_accounts(one.bucket, &judged);
        judged
    }

    /// Puts the bucket's canary where it is not there, and tells why it could not: then a refusal of it proves nothing, for
    /// one that is not there is refused too.
    async fn plant_canary(&self, bucket: Bucket) -> Option<String> {
        let vault = self.inner.vault.as_ref()?;
        let why = match tokio::time::timeout(OWN_LIMIT, vault.plant_canaries(&[bucket])).await {
            Ok(Ok(())) => return None,
            Err(_) => "the store does not answer the vault",
            Ok(Err(error)) => {
                tracing::warn!(
                    bucket = bucket.as_str(),
                    error = &error as &dyn std::error::Error,
                    "the watch could not put its canary into a bucket; strangers are asked without it"
                );
                match error.trouble() {
                    Trouble::Full => "the store is full",
                    Trouble::Unavailable => "the store does not answer the vault",
                    _ => "the store refused the vault",
                }
            }
        };
        Some(format!("there is no canary, for {why}"))
    }

    async fn after_write(&self, bucket: Bucket, name: ObjectId, may_lie_there: bool) -> Result<(), ExposureError> {
        let inner = &self.inner;
        if may_lie_there {
            self.remove_write(bucket, name).await;
            return Ok(());
        }
        let mut tx = inner.catalog.begin().await?;
        tx.forget_probe_write(name).await?;
        Ok(tx.commit().await?)
    }

    /// Removes what a stranger could write. Where there is no vault, the next watch that has one does; where it fails, the
    /// next round.
    async fn remove_write(&self, bucket: Bucket, name: ObjectId) {
        let inner = &self.inner;
        let Some(vault) = &inner.vault else { return };
        let removed = async {
            vault.remove_probe_write(bucket, name).await?;
            let mut tx = inner.catalog.begin().await?;
            tx.probe_write_removed(name, inner.clock.now_ms()).await?;
            tx.commit().await?;
            Ok::<_, crate::vault::VaultError>(())
        };
        let why = match tokio::time::timeout(OWN_LIMIT, removed).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::error!(
            bucket = bucket.as_str(),
            object = object_path(bucket, name),
            why,
            "what the watch may have written as a stranger could not be removed yet; it is tried again in a minute"
        );
    }

    /// Removes what earlier rounds left.
    pub(super) async fn take_back(&self) {
        if self.inner.vault.is_none() {
            return;
        }
        let before = self.inner.clock.now_ms() - WRITE_LASTS_MS;
        match self.inner.catalog.probe_writes_left(TAKEN_BACK).await {
            Ok(left) => {
                let old = left.iter().filter(|left| left.at < before);
                let removed = old.map(|left| self.remove_write(left.bucket, left.name));
                futures_util::future::join_all(removed).await;
            }
            Err(error) => tracing::error!(
                error = &error as &dyn std::error::Error,
                "it cannot be told whether the watch left something in a bucket"
            ),
        }
    }
}

/// Whether a write has landed, or may have.
fn may_have_written(asked: &Asked) -> bool {
    asked.probe == Probe::Write
        && match asked.answer {
            Answer::Http { status, .. } => !(400..500).contains(&status),
            Answer::None(_) => true,
        }
}
