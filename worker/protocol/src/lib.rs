//! What the vault and its media worker say to each other: what a clip is, what to make of it, and the frames of the control socket.

mod clip;
mod plan;

pub use clip::{Audio, Probe, Video};
pub use plan::{Encode, Output, OutputKind, Plan, Span};
