//! Starts the worker, feeds it, drains it, and believes nothing it says that was not counted here.

use std::path::PathBuf;

use super::{MediaError, OutputSink, Plan, Probe, Source};
use crate::model::index::RenditionIndex;

/// Where the worker is and what it may do.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The program; `None` is `dashvault-worker` beside the running program.
    pub worker: Option<PathBuf>,
    /// Run it where the kernel gives no sandbox. Every clip is then a stranger's program in the service's own rights.
    pub allow_unsandboxed: bool,
}

/// Makes probes and renditions, each in a worker of its own.
#[derive(Debug, Clone)]
pub struct Media {}

/// What a make run made.
#[derive(Debug, Clone)]
pub struct MakeReport {
    /// The outputs to keep. An output of the plan that is not here was dropped (it grew beyond the source) and its bytes
    /// are to be thrown away.
    pub outputs: Vec<MadeOutput>,
    /// Less than 80 % of the duration that the clip claims could be decoded.
    pub incomplete: bool,
    /// The renditions have sound.
    pub has_audio: bool,
}

/// One output that is complete.
#[derive(Debug, Clone)]
pub struct MadeOutput {
    /// Its place in the plan.
    pub output: usize,
    /// Its name in the plan.
    pub name: String,
    /// Its length, as counted here.
    pub bytes: u64,
    /// Its pictures, as counted here.
    pub frames: u64,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// RFC 6381, for example `avc1.64001f,mp4a.40.2`; `jpeg` for a poster.
    pub codec: String,
    /// 0 for a poster.
    pub duration_ms: u64,
    /// `None` for a poster.
    pub index: Option<RenditionIndex>,
}

impl Media {
    /// Looks for the worker; nothing is started.
    pub fn new(_config: Config) -> Self {
        Self {}
    }

    /// Starts a worker that tries its own sandbox.
    pub async fn self_test(&self) -> Result<(), MediaError> {
        todo!()
    }

    /// What is in the clip.
    pub async fn probe(&self, _source: &dyn Source) -> Result<Probe, MediaError> {
        todo!()
    }

    /// Makes the plan's outputs. `progress` is told a share from 0 to 1. On an error every byte that the sink took is to be
    /// thrown away.
    pub async fn make(
        &self,
        _source: &dyn Source,
        _plan: &Plan,
        _sink: &mut dyn OutputSink,
        _progress: impl Fn(f32) + Send + Sync,
    ) -> Result<MakeReport, MediaError> {
        todo!()
    }
}
