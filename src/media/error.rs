//! Why a clip could not be made into renditions: one variant for each thing that its owner reads or the pipeline does.

/// What went wrong with a probe or a make.
#[derive(Debug, thiserror::Error)]
pub enum MediaError {
    /// The worker ended by itself in a way it should not, or said what cannot be.
    #[error("the media worker failed: {0}")]
    Crashed(String),
    /// Somebody else ended the worker: a service manager, a person, the kernel when the machine had no memory left. Try
    /// again, but not for ever: a clip may be what fills the memory.
    #[error("the media worker was ended from outside: {0}")]
    Killed(String),
    /// The clip needs more memory than a worker gets.
    #[error("the media worker ran out of memory")]
    OutOfMemory,
    /// The clip took longer than its duration allows.
    #[error("the media worker took too long: {0}")]
    TimedOut(&'static str),
    /// Reading the original and writing the outputs took too long: a store that hangs, or a worker that asks for ever.
    #[error("reading the original and writing the outputs took too long")]
    Stalled,
    /// Not a container or a codec that is read here.
    #[error("the format is not supported: {0}")]
    Unsupported(String),
    /// Nothing to see in it.
    #[error("the file holds no video")]
    NoVideo,
    /// More streams, pixels or hours than are taken.
    #[error("beyond the limits: {0}")]
    OverLimits(String),
    /// Broken or cut so that no picture could be decoded.
    #[error("no picture could be decoded: {0}")]
    Invalid(String),
    /// The original could not be read; try again.
    #[error("the original could not be read")]
    Source(#[source] std::io::Error),
    /// An output could not be written; try again.
    #[error("an output could not be written")]
    Sink(#[source] std::io::Error),
    /// The worker does not start, or not in its sandbox; someone must look.
    #[error("the media worker is not available: {0}")]
    Unavailable(String),
}

impl MediaError {
    /// The stable word that a failed clip carries.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Crashed(_) => "worker_crashed",
            Self::Killed(_) => "worker_killed",
            Self::OutOfMemory => "out_of_memory",
            Self::TimedOut(_) | Self::Stalled => "timed_out",
            Self::Unsupported(_) => "unsupported_format",
            Self::NoVideo => "no_video",
            Self::OverLimits(_) => "over_limits",
            Self::Invalid(_) => "invalid",
            Self::Source(_) => "source_unreadable",
            Self::Sink(_) => "store_unwritable",
            Self::Unavailable(_) => "worker_unavailable",
        }
    }

    /// Whether it cannot be told if the clip was at fault: try again, but not for ever.
    pub fn is_doubtful(&self) -> bool {
        matches!(self, Self::Killed(_) | Self::Stalled)
    }

    /// Whether the same clip may succeed later: the fault was not in it.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Sink(_) | Self::Unavailable(_))
    }
}
