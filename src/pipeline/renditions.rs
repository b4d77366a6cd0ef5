//! Makes what a plan says from a sealed original, and seals it: each output, each output's index, all read back.

use std::sync::Arc;

use super::error::JobError;
use super::lease::Held;
use super::sink::SealingSink;
use super::source::SealedSource;
use super::{Inner, Made};
use crate::media::{MadeOutput, MediaError, Plan, Probe};
use crate::model::ObjectKind;
use crate::vault::{ClipKeys, ObjectAbout, SealedObject, StoredObject, VaultError};

/// Sealing the original is the first tenth of a clip's progress; publishing is the end.
const MAKING: std::ops::Range<f32> = 100.0..980.0;

/// Why nothing was made.
pub(super) enum MakeError {
    /// The clip's own fault: it fails for good, with a reason that its owner can read.
    Clip(MediaError),
    /// Not the clip's fault.
    Job(JobError),
}

impl<E: Into<JobError>> From<E> for MakeError {
    fn from(error: E) -> Self {
        Self::Job(error.into())
    }
}

impl Inner {
    /// Probes the original, makes what `plan` says of it, seals and reads back all that was made. On an error nothing of it
    /// is kept.
    pub(super) async fn make(
        &self,
        held: &Held,
        keys: &Arc<ClipKeys>,
        original: StoredObject,
        plan: impl FnOnce(&Probe) -> Plan + Send,
    ) -> Result<Made, MakeError> {
        let source = SealedSource::new(self.vault.clone(), keys.clone(), original);
        let probe = match self.transcoder.probe(&source).await {
            Ok(probe) => probe,
            Err(error) => return Err(blame(held, error, source.take_failure())),
        };
        let plan = plan(&probe);
        let mut sink = SealingSink::new(self.vault.clone(), keys.clone(), self.holder(held), &plan);
        let progress = |share: f32| {
            let per_mille = MAKING.start + (MAKING.end - MAKING.start) * share.clamp(0.0, 1.0);
            held.set_progress(per_mille as u32);
        };
        let made = match self.transcoder.make(&source, &plan, &mut sink, &progress).await {
            Ok(report) => {
                let sealed = self.seal_outputs(held, keys, &mut sink, &report.outputs).await;
                sealed.map_err(MakeError::Job).map(|objects| Made {
                    objects,
                    incomplete: report.incomplete,
                    has_audio: report.has_audio,
                    duration_ms: report
                        .outputs
                        .iter()
                        .map(|output| output.duration_ms)
                        .max()
                        .unwrap_or(0),
                    width: largest(&report.outputs).map(|output| output.width),
                    height: largest(&report.outputs).map(|output| output.height),
                })
            }
            Err(error) => Err(blame(
                held,
                error,
                source.take_failure().or_else(|| sink.take_failure()),
            )),
        };
        // Dropped outputs of a run that went well, or every output of one that did not.
        sink.abort().await;
        made
    }

    async fn seal_outputs(
        &self,
        held: &Held,
        keys: &Arc<ClipKeys>,
        sink: &mut SealingSink,
        outputs: &[MadeOutput],
    ) -> Result<Vec<(SealedObject, ObjectAbout)>, JobError> {
        let mut objects = Vec::with_capacity(outputs.len() * 2);
        for output in outputs {
            let sealed = sink.finish(output.output).await?;
            let sealed = sealed.ok_or_else(|| JobError::internal("an output of the report has no bytes"))?;
            if sealed.length != output.bytes {
                return Err(JobError::internal("an output has another length than its report says"));
            }
            let mut about = sealed.about();
            about.width = Some(output.width);
            about.height = Some(output.height);
            about.codec = Some(output.codec.clone());
            about.duration_ms = output.index.is_some().then_some(output.duration_ms);
            objects.push((sealed, about));
            if let Some(index) = &output.index {
                let name = format!("{}.index", output.name);
                let created = self
                    .vault
                    .create_object(keys, ObjectKind::Index, &name, self.holder(held));
                let mut writer = created.await?;
                writer.write(&index.to_bytes()).await?;
                let sealed = writer.finish().await?;
                let about = sealed.about();
                objects.push((sealed, about));
            }
        }
        for (sealed, _) in &objects {
            self.vault.verify(keys, sealed).await?;
        }
        Ok(objects)
    }
}

fn largest(outputs: &[MadeOutput]) -> Option<&MadeOutput> {
    let videos = outputs.iter().filter(|output| output.index.is_some());
    videos.max_by_key(|output| u64::from(output.width) * u64::from(output.height))
}

/// Whose fault an error of the media room is; `failure` is what the vault said when it could not read or write.
fn blame(held: &Held, error: MediaError, failure: Option<VaultError>) -> MakeError {
    match failure {
        Some(failure) => MakeError::Job(failure.into()),
        // Whatever ends a service may end its workers first, and nothing that they say then is held against the clip.
        None if error.is_passing() || held.is_ending() => MakeError::Job(JobError::Passing(error.into())),
        None if error.is_doubtful() => MakeError::Job(JobError::Failed {
            code: error.code(),
            source: error.into(),
        }),
        None => MakeError::Clip(error),
    }
}
