//! What each room's refusal is to a client. Failures beneath are told to the log once, here, and to nobody else.

use std::error::Error;

use actix_web::http::header::{self, HeaderName, HeaderValue, HttpDate};
use tracing::{error, warn};

use super::problem::Problem;
use crate::access::AccessError;
use crate::audit::AuditError;
use crate::exposure::ExposureError;
use crate::ingest::IngestError;
use crate::library::LibraryError;
use crate::model::{PlaceError, Trouble, UnixMs};

/// Somebody has to do something first.
const LOCKED_RETRY_SECS: u32 = 60;
/// Somebody has to delete something, or to allow more.
const QUOTA_RETRY_SECS: u32 = 3600;
/// Whose body broke off may come back as soon as its link can carry one.
const INTERRUPTED_RETRY_SECS: u32 = 1;
/// The header of both upload protocols that tells where the next byte belongs.
pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        match &error {
            AccessError::Unauthenticated => Self::unauthenticated(),
            AccessError::ClockSkew { now } => {
                let problem = Self::clock_skew().detail("compare your clock with this answer's Date");
                problem.header(header::DATE, http_date(*now))
            }
            AccessError::Forbidden => Self::forbidden(),
            AccessError::NotFound => Self::not_found(),
            AccessError::LinkEnded => Self::link_expired(),
            AccessError::LinkRevoked => Self::link_revoked(),
            AccessError::LinkUsedUp => Self::link_used_up(),
            AccessError::TooManyTries => Self::too_many_tries(),
            AccessError::LimitReached { what, limit } => Self::limit_reached()
                .with("limit", *limit)
                .detail(format!("at most {limit} {what}: end one first")),
            AccessError::ClipNotReady { state } => Self::wrong_state()
                .with("state", state.as_str())
                .detail(format!("the clip is {state}, not ready")),
            AccessError::ClipHeld => Self::held(),
            AccessError::EmailTaken => Self::email_taken(),
            AccessError::Invalid { field, reason } => Self::bad_value()
                .with("field", *field)
                .detail(format!("{field}: {reason}")),
            AccessError::Vault(beneath) => from_trouble(beneath.trouble(), &error),
            AccessError::Catalog(beneath) => from_trouble(beneath.trouble(), &error),
            AccessError::Audit(beneath) => from_trouble(beneath.trouble(), &error),
        }
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        from_trouble(error.trouble(), &error)
    }
}

impl From<ExposureError> for Problem {
    fn from(error: ExposureError) -> Self {
        from_trouble(error.trouble(), &error)
    }
}

impl From<PlaceError> for Problem {
    fn from(_: PlaceError) -> Self {
        Self::bad_query()
            .with("field", "cursor")
            .detail("cursor: none that this list gave")
    }
}

impl From<LibraryError> for Problem {
    fn from(error: LibraryError) -> Self {
        match &error {
            LibraryError::Held { .. } => Self::held(),
            LibraryError::WrongState { state, .. } => Self::wrong_state()
                .with("state", state.as_str())
                .detail(format!("the clip is {state}")),
            LibraryError::Cursor => Self::bad_query().with("field", "cursor"),
            beneath => from_trouble(beneath.trouble(), &error),
        }
    }
}

impl From<IngestError> for Problem {
    fn from(error: IngestError) -> Self {
        match &error {
            IngestError::NotFound => Self::not_found(),
            IngestError::Forbidden => Self::forbidden(),
            IngestError::Mismatch { offset } => at(Self::wrong_offset(), *offset),
            IngestError::Revoked => Self::unauthenticated().detail("this vehicle was revoked"),
            IngestError::Fenced => Self::fenced().detail("ask where the upload stands"),
            IngestError::Complete => Self::upload_complete(),
            IngestError::Interrupted { offset } => {
                at(Self::upload_interrupted(), *offset).retry_after(INTERRUPTED_RETRY_SECS)
            }
            IngestError::Inconsistent => Self::inconsistent_length(),
            IngestError::TooLarge { limit } => Self::too_large().with("limit_bytes", *limit),
            IngestError::Gone => Self::upload_gone(),
            IngestError::Checksum => Self::checksum_mismatch().detail("nothing of the body was kept"),
            IngestError::InvalidChecksum => Self::bad_header().with("field", "Upload-Checksum"),
            IngestError::Unsupported => Self::unknown_checksum(),
            IngestError::InvalidMetadata { key, reason } => Self::bad_metadata()
                .with("field", *key)
                .detail(format!("{key}: {reason}")),
            IngestError::Empty => Self::empty_upload().with("field", "Upload-Length"),
            IngestError::InvalidParts { reason } => Self::bad_header().with("field", "Upload-Concat").detail(*reason),
            IngestError::PartMissing => Self::part_missing(),
            IngestError::PartTaken => Self::part_taken(),
            IngestError::Busy { retry_after_secs } => Self::busy().retry_after(*retry_after_secs),
            IngestError::Filling { retry_after_secs } => Self::storage_filling().retry_after(*retry_after_secs),
            IngestError::Withheld { retry_after_secs, .. } => {
                let retry_after_secs = *retry_after_secs;
                from_trouble(Trouble::Withheld { retry_after_secs }, &error)
            }
            IngestError::OverQuota { quota, limit } => Self::quota_used_up()
                .with("quota", quota.as_str())
                .with("limit", *limit)
                .retry_after(QUOTA_RETRY_SECS),
            IngestError::Full(_) => from_trouble(Trouble::Full, &error),
            IngestError::Unavailable(_) => from_trouble(Trouble::Unavailable, &error),
            IngestError::Broken(_) => from_trouble(Trouble::Defect, &error),
        }
    }
}

/// A failure that is nobody's refusal; its causes go to the log.
fn from_trouble(trouble: Trouble, error: &(dyn Error + 'static)) -> Problem {
    let causes = chain(error);
    match trouble {
        Trouble::Unavailable => {
            warn!(causes, "something beneath does not answer");
            Problem::unavailable()
        }
        Trouble::Full => {
            error!(causes, "no room is left: make some, or nothing more is taken");
            Problem::storage_full()
        }
        Trouble::Gone => Problem::gone(),
        Trouble::Locked => {
            error!(causes, "the root key is not to be had: somebody has to give it back");
            Problem::unavailable().retry_after(LOCKED_RETRY_SECS)
        }
        Trouble::Braked { retry_after_secs } => {
            warn!("one session or token opens very many clips");
            Problem::too_many_clips().retry_after(retry_after_secs)
        }
        Trouble::Withheld { retry_after_secs } => {
            error!(causes, "a write is withheld: a bucket is not known to be private");
            Problem::writes_withheld().retry_after(retry_after_secs)
        }
        Trouble::Damaged => {
            error!(causes, "stored bytes are damaged");
            Problem::corrupt()
        }
        Trouble::Defect => {
            error!(causes, "a request met a defect");
            Problem::internal()
        }
    }
}

fn at(problem: Problem, offset: u64) -> Problem {
    problem
        .with("offset", offset)
        .header(UPLOAD_OFFSET, HeaderValue::from(offset))
}

/// An error and its causes, the nearest first.
pub(super) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A time as HTTP headers write it, to the second.
pub(super) fn http_date(ms: UnixMs) -> HeaderValue {
    let since = std::time::Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    let date = HttpDate::from(std::time::SystemTime::UNIX_EPOCH + since);
    HeaderValue::from_str(&date.to_string())
        .unwrap_or_else(|_| HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError as _;

    #[test]
    fn a_wrong_offset_tells_the_right_one() {
        let answer = Problem::from(IngestError::Mismatch { offset: 7 }).error_response();
        assert_eq!(answer.status().as_u16(), 409);
        assert_eq!(answer.headers().get(UPLOAD_OFFSET).unwrap(), "7");
    }

    #[test]
    fn whose_body_broke_off_comes_back_and_goes_on() {
        let answer = Problem::from(IngestError::Interrupted { offset: 7 }).error_response();
        assert_eq!(answer.status().as_u16(), 503, "widespread clients give up on 408");
        assert_eq!(answer.headers().get(UPLOAD_OFFSET).unwrap(), "7");
        assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "1");
    }

    #[test]
    fn what_failed_beneath_is_not_told() {
        let error = IngestError::Unavailable("postgres://vault:secret@database".into());
        let answer = Problem::from(error).error_response();
        assert_eq!(answer.status().as_u16(), 503);
        let shown = format!("{answer:?}");
        assert!(!shown.contains("postgres"), "{shown}");
    }

    #[test]
    fn a_time_is_written_as_http_does() {
        assert_eq!(http_date(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
