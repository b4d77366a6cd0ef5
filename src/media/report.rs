//! What a make run made.

use crate::model::index::RenditionIndex;

/// The outputs of a plan that came to be.
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
