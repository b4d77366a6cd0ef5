//! Supervises the media worker and plans what to make of a clip.

mod error;
mod plan;
mod source;
mod supervisor;
mod transcoder;

pub use dashvault_worker_protocol::{Audio, Encode, Output, OutputKind, Plan, Probe, Span, Video};
pub use error::MediaError;
pub use plan::{plan, plan_link};
pub use source::{OutputSink, Source};
pub use supervisor::{Config, MadeOutput, MakeReport, Media};
pub use transcoder::Transcoder;
