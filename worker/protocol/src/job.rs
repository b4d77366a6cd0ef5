//! What the worker is told to do, and what it says at the end.

use serde::{Deserialize, Serialize};

use crate::Plan;

/// The first frame the worker gets, before its sandbox closes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// What to do.
    pub job: Job,
    /// Bytes of the input.
    pub input_bytes: u64,
    /// What the kernel enforces.
    pub limits: Limits,
    /// Go on where the kernel gives no sandbox.
    pub allow_unsandboxed: bool,
}

/// The runs there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Job {
    /// Try what the sandbox answers with an error.
    SelfTest,
    /// Try what the sandbox answers with death.
    SelfTestFatal,
    /// Say what is in the input.
    Probe,
    /// Make the outputs of a plan.
    Make(Plan),
}

/// Resource limits of one worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Seconds of CPU over all threads.
    pub cpu_secs: u64,
    /// Address space.
    pub memory_bytes: u64,
}

/// What a make run says it made; the parent has counted for itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// One for each output of the plan; `None` was dropped because it grew beyond the limit.
    pub files: Vec<Option<MadeFile>>,
    /// Sound was written.
    pub has_audio: bool,
}

/// One output that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeFile {
    /// Its length.
    pub bytes: u64,
    /// Its pictures.
    pub frames: u64,
}

/// Why a run ended without a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failure {
    /// An allocation failed.
    OutOfMemory,
    /// Not a container or codec that is read here.
    Unsupported(String),
    /// No stream with pictures.
    NoVideo,
    /// More streams, pixels or hours than are taken.
    OverLimits(String),
    /// No picture could be decoded.
    Invalid(String),
    /// The kernel does not give what the sandbox needs.
    Sandbox(String),
    /// What should not happen.
    Internal(String),
}
