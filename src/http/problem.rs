//! RFC 9457 problem documents: every refusal has a stable type, whose last part is a slug that clients compare.
//!
//! A slug is never renamed. What a problem tells is a constant sentence or a number of the request's own; never an
//! identity, a name or a token.

use std::fmt;

use actix_web::body::BoxBody;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value};

use super::security;

/// Before the slug in a problem's `type`.
const TYPE: &str = "urn:dashvault:problem:";
/// The media type of RFC 9457.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";
/// When a dependency is down: long enough not to hammer it, short enough for a person.
const RETRY_SECS: u32 = 5;

/// Why a request was refused, as the client is told.
#[derive(Debug)]
pub(super) struct Problem {
    kind: &'static Kind,
    detail: Option<String>,
    retry_after_secs: Option<u32>,
    members: Map<String, Value>,
    /// Its type where another specification gave it one.
    known_as: Option<&'static str>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One kind of problem: its status, slug and title.
#[derive(Debug)]
pub(super) struct Kind {
    /// The HTTP status.
    pub status: u16,
    /// The last part of the type; never renamed.
    pub slug: &'static str,
    /// A short sentence that is the same for every occurrence.
    pub title: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $status:literal, $slug:literal, $title:literal;)*) => {
        /// Every kind there is, as the OpenAPI description lists them.
        pub(super) static KINDS: &[Kind] = &[$(Kind { status: $status, slug: $slug, title: $title },)*];

        #[expect(non_camel_case_types, reason = "positions in the table above, named as the constructors are")]
        #[derive(Clone, Copy)]
        enum At { $($name,)* }

        impl Problem {
            $(
                #[doc = concat!("`", $slug, "`: ", $title, ".")]
                pub(super) fn $name() -> Self { Self::of(At::$name) }
            )*
        }
    };
}

kinds! {
    bad_request = 400, "bad-request", "The request is not well-formed";
    bad_json = 400, "bad-json", "The body is not the JSON that is expected";
    bad_header = 400, "bad-header", "A header is missing or not well-formed";
    bad_metadata = 400, "bad-upload-metadata", "Upload-Metadata is not well-formed";
    bad_query = 400, "bad-query", "A parameter of the query is not well-formed";
    bad_value = 400, "bad-value", "A value is outside what is allowed";
    empty_upload = 400, "empty-upload", "An empty upload is no clip";
    inconsistent_length = 400, "inconsistent-upload-length", "The upload was said to have another length";
    unknown_checksum = 400, "unknown-checksum-algorithm", "Upload-Checksum names an algorithm that is not known here";
    unauthenticated = 401, "unauthenticated", "Sign in, or send a valid token";
    clock_skew = 401, "clock-skew", "The token's time is too far from the vault's clock";
    forbidden = 403, "forbidden", "This credential may not do that";
    wrong_origin = 403, "wrong-origin", "The request did not come from the vault's own pages";
    not_through_proxy = 403, "not-through-proxy", "The vault is reached through its proxy only";
    not_found = 404, "not-found", "There is nothing here";
    method_not_allowed = 405, "method-not-allowed", "This method is not known here";
    wrong_offset = 409, "mismatching-upload-offset", "The upload stands at another offset";
    fenced = 409, "upload-taken-over", "A newer request goes on with this upload";
    upload_complete = 409, "upload-complete", "The upload is complete: its clip can be deleted";
    part_missing = 409, "partial-upload-unfinished", "A partial upload has not all its bytes yet";
    part_taken = 409, "partial-upload-taken", "A partial upload is part of another upload";
    wrong_state = 409, "wrong-state", "The clip's present state does not allow that";
    held = 409, "held", "The clip is held back from deletion";
    limit_reached = 409, "limit-reached", "There are as many as there may be";
    email_taken = 409, "email-taken", "There is an owner with this address";
    gone = 410, "gone", "It was there, and is no longer";
    upload_gone = 410, "upload-gone", "The upload was ended or has expired";
    link_revoked = 410, "link-revoked", "The link was revoked";
    link_expired = 410, "link-expired", "The link has ended";
    link_used_up = 410, "link-used-up", "The link was opened as often as its owner allowed";
    no_receipt = 409, "no-receipt", "There will be no receipt for this upload";
    tus_version = 412, "unsupported-tus-version", "Tus-Resumable must be 1.0.0";
    too_large = 413, "too-large", "The body or the upload is larger than what is taken";
    unsupported_media_type = 415, "unsupported-media-type", "The body has a media type that is not taken here";
    range_not_satisfiable = 416, "range-not-satisfiable", "The range lies outside what there is";
    checksum_mismatch = 460, "checksum-mismatch", "The bytes do not have the checksum that was sent";
    too_many_tries = 429, "too-many-tries", "The code was tried too often: ask for a new one";
    too_many_requests = 429, "too-many-requests", "Too many requests: wait a moment";
    too_many_clips = 429, "too-many-clips", "Too many clips were opened within an hour: go on later";
    internal = 500, "internal", "The vault has a fault";
    corrupt = 500, "stored-bytes-damaged", "Stored bytes are damaged, and nothing of them is shown";
    unavailable = 503, "unavailable", "The vault cannot answer now: try again";
    busy = 503, "busy", "The vault takes no more now: try again";
    writes_withheld = 503, "writes-withheld", "The vault takes no clips before its storage is known to be private: keep them, and try again";
    storage_filling = 503, "storage-filling", "The vault is nearly full and takes events only: keep the clip, and try again";
    shutting_down = 503, "shutting-down", "The vault is restarting: try again";
    body_stalled = 408, "body-stalled", "The body stopped coming";
    upload_interrupted = 503, "upload-interrupted", "The body stopped coming before its end: ask where the upload stands, and go on from there";
    quota_used_up = 507, "quota-used-up", "As much is kept as may be: keep the clip and come back later";
    storage_full = 507, "storage-full", "The vault is full";
}

impl Problem {
    fn of(at: At) -> Self {
        let kind = &KINDS[at as usize];
        let retry_after_secs = matches!(kind.status, 429 | 503).then_some(RETRY_SECS);
        Self {
            kind,
            detail: None,
            retry_after_secs,
            members: Map::new(),
            known_as: None,
            headers: Vec::new(),
        }
    }

    /// Says more about this occurrence.
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// When to try again.
    pub(super) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_secs = Some(seconds.max(1));
        self
    }

    /// A member of its own in the document, for example the field or the offset that is wrong.
    pub(super) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// A header of the answer.
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// A member that was set.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// The type that a protocol has for it in a registry.
    pub(super) fn known_as(mut self, kind: &'static str) -> Self {
        self.known_as = Some(kind);
        self
    }

    /// 405 with the methods that are known at the path.
    pub(super) fn method_not_allowed_but(allowed: &[Method]) -> Self {
        let list: Vec<_> = allowed.iter().map(Method::as_str).collect();
        let problem = Self::method_not_allowed();
        match HeaderValue::from_str(&list.join(", ")) {
            Ok(value) => problem.header(header::ALLOW, value),
            Err(_) => problem,
        }
    }

    /// The slug, for the log.
    pub(super) fn slug(&self) -> &'static str {
        self.kind.slug
    }

    /// The document.
    fn document(&self) -> Value {
        let mut document = self.members.clone();
        let kind = self
            .known_as
            .map_or_else(|| format!("{TYPE}{}", self.kind.slug), str::to_owned);
        document.insert("type".into(), kind.into());
        document.insert("title".into(), self.kind.title.into());
        document.insert("status".into(), self.kind.status.into());
        if let Some(detail) = &self.detail {
            document.insert("detail".into(), detail.as_str().into());
        }
        Value::Object(document)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.title)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse<BoxBody> {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((header::CONTENT_TYPE, MEDIA_TYPE));
        if self.kind.status == 401 {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.retry_after_secs {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        let mut response = response.body(self.document().to_string());
        security::protect(response.headers_mut());
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_slug_is_one_of_its_kind_and_every_status_can_be_sent() {
        let slugs: HashSet<_> = KINDS.iter().map(|k| k.slug).collect();
        assert_eq!(slugs.len(), KINDS.len());
        for kind in KINDS {
            assert!(StatusCode::from_u16(kind.status).is_ok(), "{}", kind.slug);
        }
    }

    #[test]
    fn a_problem_says_its_type_title_status_and_what_is_special() {
        let problem = Problem::wrong_offset().with("offset", 7).detail("send the rest");
        let document = problem.document();
        assert_eq!(document["type"], "urn:dashvault:problem:mismatching-upload-offset");
        assert_eq!(document["status"], 409);
        assert_eq!(document["offset"], 7);
        assert_eq!(document["detail"], "send the rest");
        let answer = problem.error_response();
        assert_eq!(answer.headers().get(header::CONTENT_TYPE).unwrap(), MEDIA_TYPE);
    }

    #[test]
    fn what_passes_by_itself_says_when_to_come_again() {
        let answer = Problem::unavailable().error_response();
        assert_eq!(answer.headers().get(header::RETRY_AFTER).unwrap(), "5");
        assert!(
            Problem::not_found()
                .error_response()
                .headers()
                .get(header::RETRY_AFTER)
                .is_none()
        );
    }
}
