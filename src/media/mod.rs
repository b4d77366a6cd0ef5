//! Supervises the media worker and plans what to make of a clip.

mod boxes;
mod error;
mod indexer;
mod movie;
mod outputs;
mod plan;
mod process;
mod report;
mod source;
mod supervisor;
mod transcoder;
mod watch;

pub use dashvault_worker_protocol::{Audio, Encode, Output, OutputKind, Packets, Plan, Probe, Span, Video};
pub use error::MediaError;
pub use plan::{plan, plan_link};
pub use report::{MadeOutput, MakeReport};
pub use source::{OutputSink, Source};
pub use supervisor::{Config, Media};
pub use transcoder::Transcoder;
