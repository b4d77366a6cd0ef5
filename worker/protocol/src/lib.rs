//! What the vault and its media worker say to each other: what a clip is, what to make of it, and the frames of the control socket.

mod clip;
mod frame;
mod job;
mod plan;

pub use clip::{Audio, Packets, Probe, Video};
pub use frame::{FrameError, FromWorker, MAX_ANSWER_BYTES, MAX_DATA_BYTES, MAX_FRAME_BYTES, ToWorker, frame_length};
pub use job::{Failure, Job, Limits, Made, MadeFile, Start};
pub use plan::{Encode, Output, OutputKind, Plan, Span};

/// The descriptor of the control socket in the worker.
pub const CONTROL_FD: i32 = 3;
/// The descriptor of the first output's pipe in the worker; the others follow in the order of the plan.
pub const FIRST_OUTPUT_FD: i32 = 4;
/// A plan has no more outputs: with the control socket and the three standard ones they stay below the worker's 16 descriptors.
pub const MAX_OUTPUTS: usize = 8;
/// The longest clip: a claim beyond it is cut to it, and pictures beyond it end the run.
pub const MAX_DURATION_MS: u64 = 6 * 3_600_000;
