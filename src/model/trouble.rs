//! What a failure beneath the rooms means to whoever asked, whichever store or database it came from.

/// A failure that is nobody's refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// Something does not answer: try again later.
    Unavailable,
    /// No room on a disk or in a bucket.
    Full,
    /// What was stored is not what was sealed; nothing of it was released.
    Damaged,
    /// What was asked for has been erased.
    Gone,
    /// The root key is not to be had before somebody gives it back; nothing is lost.
    Locked,
    /// Whoever asked has had enough for now.
    Braked {
        /// When there is more.
        retry_after_secs: u32,
    },
    /// The bucket that it would be written into is not known to be private; nothing is lost.
    Withheld {
        /// When to ask again.
        retry_after_secs: u32,
    },
    /// A defect, or a configuration that somebody has to look at.
    Defect,
}
