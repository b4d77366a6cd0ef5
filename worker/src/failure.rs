//! libav's errors in the words that the vault tells a clip's owner.

use dashvault_worker_protocol::Failure;
use ffmpeg_next::Error;

use crate::libav;

/// A failure where libav says nothing about whose fault it is.
pub struct Failed(pub Failure);

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<Error> for Failed {
    /// Names the place in the worker, since libav's errors are few and the calls that return them many.
    #[track_caller]
    fn from(error: Error) -> Self {
        let place = std::panic::Location::caller();
        Self(match error {
            Error::Other { errno: libc::ENOMEM } => Failure::OutOfMemory,
            Error::InvalidData => Failure::Invalid(error.to_string()),
            Error::DecoderNotFound => Failure::Unsupported(error.to_string()),
            _ => Failure::Internal(format!(
                "{error} ({}:{}: {})",
                place.file(),
                place.line(),
                libav::complaint()
            )),
        })
    }
}

/// Results of the worker's own functions.
pub type Result<T> = std::result::Result<T, Failed>;
