//! The seam between the pipeline and what makes renditions: worker processes, or a fake in tests.

use async_trait::async_trait;

use super::{MakeReport, MediaError, OutputSink, Plan, Probe, Source};

/// Looks into clips and makes renditions of them. A future that is dropped ends the work at once.
#[async_trait]
pub trait Transcoder: Send + Sync {
    /// What is in the clip.
    async fn probe(&self, source: &dyn Source) -> Result<Probe, MediaError>;

    /// Makes the plan's outputs. `progress` is told a share from 0 to 1. On an error every byte that the sink took is to be
    /// thrown away.
    async fn make(
        &self,
        source: &dyn Source,
        plan: &Plan,
        sink: &mut dyn OutputSink,
        progress: &(dyn Fn(f32) + Send + Sync),
    ) -> Result<MakeReport, MediaError>;
}
