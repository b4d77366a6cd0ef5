//! Resumable uploads as the HTTP working group drafts them (draft-ietf-httpbis-resumable-upload), on the same resources as tus.
//!
//! Two interop versions are spoken, each as its own text has it: 6 (drafts 04 and 05, what phones send today) and 8 (drafts 09
//! to 12). A request that names another number is an upload like any other: whole, or nothing of it. There is no 104, since
//! actix-web sends no interim responses; a client learns the address from an empty creation.

use actix_web::http::header::{self, ContentDisposition, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use data_encoding::BASE64;
use sfv::{BareItem, Item, Parser};

use super::uploads::{
    Sent, TUS_RESUMABLE, answer_of, body_bytes, body_of, location, metadata as told_metadata, take, tell,
};
use super::{digests, id};
use crate::access::Principal;
use crate::http::face::Face;
use crate::http::from_rooms::UPLOAD_OFFSET;
use crate::http::problem::Problem;
use crate::ingest::{UploadEnd, UploadStatus};
use crate::model::ClipId;

const INTEROP: &str = "upload-draft-interop-version";
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");
const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
const PARTIAL_UPLOAD: &str = "application/partial-upload";
const MISMATCHING_OFFSET: &str = "https://iana.org/assignments/http-problem-types#mismatching-upload-offset";
const COMPLETED_UPLOAD: &str = "https://iana.org/assignments/http-problem-types#completed-upload";
const INCONSISTENT_LENGTH: &str = "https://iana.org/assignments/http-problem-types#inconsistent-upload-length";
/// Of a body whose file has no name.
const NO_NAME: [&str; 2] = ["application/octet-stream", PARTIAL_UPLOAD];

/// What a request about an upload speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    /// tus, or what should have been.
    Tus,
    /// The draft.
    Draft(Dialect),
    /// A version of the draft that is not known here.
    Unknown,
}

/// A version of the draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Drafts 04 and 05.
    Six,
    /// Drafts 09 to 12.
    Eight,
}

impl Spoken {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(TUS_RESUMABLE) || !headers.contains_key(INTEROP) {
            return Self::Tus;
        }
        match integer(headers, INTEROP) {
            Some(6) => Self::Draft(Dialect::Six),
            Some(8) => Self::Draft(Dialect::Eight),
            _ => Self::Unknown,
        }
    }
}

/// Begins an upload; without `Upload-Complete`, or in a version that is not known here, it is whole or nothing.
pub(super) async fn create(
    face: &web::Data<Face>,
    who: Principal,
    dialect: Option<Dialect>,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let complete = dialect.and(boolean(headers, &UPLOAD_COMPLETE));
    let Some((dialect, complete)) = dialect.zip(complete) else {
        return create_whole(face, who, request, payload).await;
    };
    if dialect == Dialect::Six {
        refuse_header(headers, &UPLOAD_OFFSET)?;
    }
    let announced = body_bytes(request);
    let length = length(dialect, headers, announced.filter(|_| complete))?;
    let (rooms, owner, about) = (face.rooms.clone(), who.clone(), metadata(headers)?);
    let checksum = digests::of_body(headers)?;
    let begun = face
        .ask(async move { rooms.ingest.create(&owner, length, about.as_deref()).await })
        .await
        .map_err(|problem| refused(face, dialect, problem, 0))?;
    let location = location(face, begun.id)?;
    // What was begun before has its first bytes: the answer tells where to go on.
    let status = if announced == Some(0) || begun.offset > 0 {
        begun
    } else {
        let sent = Sent {
            offset: 0,
            checksum,
            end: end(length, complete),
        };
        let taken = take(face, who, begun.id, sent, request, payload).await;
        taken.map_err(|problem| refused(face, dialect, problem, 0).header(header::LOCATION, location.clone()))?
    };
    let mut response = HttpResponse::Created();
    say(face, &mut response, &status);
    response.insert_header((header::LOCATION, location));
    Ok(response.finish())
}

/// Where an upload stands.
pub(super) async fn status(
    face: &web::Data<Face>,
    who: Principal,
    dialect: Dialect,
    upload: &str,
    request: &HttpRequest,
) -> Result<HttpResponse, Problem> {
    if dialect == Dialect::Six {
        refuse_header(request.headers(), &UPLOAD_OFFSET)?;
        refuse_header(request.headers(), &UPLOAD_COMPLETE)?;
    }
    let upload: ClipId = id(upload)?;
    let rooms = face.rooms.clone();
    let status = face.ask(async move { rooms.ingest.offset(&who, upload).await }).await;
    let status = status.map_err(|problem| refused(face, dialect, problem, 0))?;
    let mut response = HttpResponse::NoContent();
    say(face, &mut response, &status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    if let Some(sum) = digests::wanted(request.headers(), status.sha256) {
        response.insert_header(sum);
    }
    if let (Dialect::Eight, Some(length)) = (dialect, status.length) {
        response.insert_header((UPLOAD_LENGTH, length));
    }
    Ok(response.finish())
}

/// Appends bytes at an offset.
pub(super) async fn append(
    face: &web::Data<Face>,
    who: Principal,
    dialect: Dialect,
    upload: &str,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    if !media_type.is_some_and(|text| text.trim().eq_ignore_ascii_case(PARTIAL_UPLOAD)) {
        let accepted = HeaderValue::from_static(PARTIAL_UPLOAD);
        return Err(Problem::unsupported_media_type()
            .detail("send Content-Type: application/partial-upload")
            .header(HeaderName::from_static("accept-patch"), accepted));
    }
    let upload: ClipId = id(upload)?;
    let offset = integer(headers, UPLOAD_OFFSET.as_str()).ok_or_else(|| missing(&UPLOAD_OFFSET))?;
    let complete = match (boolean(headers, &UPLOAD_COMPLETE), dialect) {
        (Some(complete), _) => complete,
        // Left out where more is to come.
        (None, Dialect::Six) => false,
        (None, Dialect::Eight) => return Err(missing(&UPLOAD_COMPLETE)),
    };
    let last = body_bytes(request)
        .filter(|_| complete)
        .map(|bytes| offset.saturating_add(bytes));
    let sent = Sent {
        offset,
        checksum: digests::of_body(headers)?,
        end: end(length(dialect, headers, last)?, complete),
    };
    let taken = take(face, who, upload, sent, request, payload).await;
    let status = taken.map_err(|problem| refused(face, dialect, problem, offset))?;
    let mut response = match (dialect, status.is_complete()) {
        (Dialect::Six, _) => HttpResponse::Created(),
        (Dialect::Eight, true) => HttpResponse::Ok(),
        (Dialect::Eight, false) => HttpResponse::NoContent(),
    };
    say(face, &mut response, &status);
    Ok(response.finish())
}

/// Whether a request to end an upload is one of the draft's.
pub(super) fn check_cancellation(dialect: Dialect, headers: &HeaderMap) -> Result<(), Problem> {
    if dialect == Dialect::Six {
        refuse_header(headers, &UPLOAD_OFFSET)?;
        refuse_header(headers, &UPLOAD_COMPLETE)?;
    }
    Ok(())
}

/// The limits, for OPTIONS and for every answer that tells an upload's address.
pub(super) fn limits(face: &Face, expires_in_secs: Option<i64>) -> String {
    let most = face.rooms.ingest.max_upload_bytes();
    match expires_in_secs {
        Some(seconds) => format!("max-size={most}, min-size=1, max-age={}", seconds.max(0)),
        None => format!("max-size={most}, min-size=1"),
    }
}

/// An upload in one request, by a client that cannot resume: what did not come whole is not kept. All of it is one task,
/// since a connection that is reset takes its handler with it and nobody comes back to such an upload.
async fn create_whole(
    face: &web::Data<Face>,
    who: Principal,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    let (announced, about) = (body_bytes(request), metadata(headers)?);
    let sent = Sent {
        offset: 0,
        checksum: digests::of_body(headers)?,
        end: end(announced, true),
    };
    let body = body_of(face, sent, request, payload);
    let rooms = face.rooms.clone();
    let taken = async move {
        let begun = rooms.ingest.create_plain(&who, announced, about.as_deref()).await?;
        let appended = rooms.ingest.append(&who, begun.id, body).await;
        if appended.is_err() {
            rooms.ingest.discard(&who, begun.id).await?;
        }
        Ok::<_, Problem>((begun.id, appended))
    };
    let (upload, appended) = face.ask(taken).await?;
    answer_of(face, request, appended)?;
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location(face, upload)?))
        .finish())
}

fn end(length: Option<u64>, complete: bool) -> UploadEnd {
    match (length, complete) {
        (Some(length), _) => UploadEnd::At(length),
        (None, true) => UploadEnd::WithBody,
        (None, false) => UploadEnd::Unsaid,
    }
}

/// The length that a request tells: by where a body that ends the upload ends, and in version 8 by a header too.
fn length(dialect: Dialect, headers: &HeaderMap, by_body: Option<u64>) -> Result<Option<u64>, Problem> {
    let by_header = integer(headers, UPLOAD_LENGTH.as_str()).filter(|_| dialect == Dialect::Eight);
    match (by_body, by_header) {
        (Some(body), Some(header)) if body != header => Err(inconsistent(Problem::inconsistent_length())),
        (body, header) => Ok(body.or(header)),
    }
}

/// What every answer about an upload tells.
fn say(face: &Face, response: &mut HttpResponseBuilder, status: &UploadStatus) {
    tell(response, status);
    let complete = if status.is_complete() { "?1" } else { "?0" };
    response.insert_header((UPLOAD_COMPLETE, complete));
    let left = status.expires_at.map(|end| (end - face.rooms.clock.now_ms()) / 1000);
    response.insert_header((UPLOAD_LIMIT, limits(face, left)));
}

/// A refusal in the draft's words.
fn refused(face: &Face, dialect: Dialect, problem: Problem, provided_offset: u64) -> Problem {
    match (problem.slug(), dialect) {
        ("mismatching-upload-offset", _) => {
            let expected = problem.member("offset").cloned().unwrap_or_default();
            incomplete(problem)
                .known_as(MISMATCHING_OFFSET)
                .with("expected-offset", expected)
                .with("provided-offset", provided_offset)
        }
        ("inconsistent-upload-length", _) => inconsistent(problem),
        // More bytes for an upload that has all of them.
        ("too-large", _) if problem.member("limit_bytes").is_some_and(|limit| limit == 0) => {
            let problem = Problem::bad_request().detail("the upload is complete: nothing was added");
            incomplete(problem).known_as(COMPLETED_UPLOAD)
        }
        ("too-large", _) => match HeaderValue::from_str(&limits(face, None)) {
            Ok(limits) => problem.header(UPLOAD_LIMIT, limits),
            Err(_) => problem,
        },
        // An upload that is over is not active.
        ("upload-gone", Dialect::Six) => Problem::not_found(),
        ("upload-interrupted" | "shutting-down", _) => incomplete(problem),
        _ => problem,
    }
}

fn incomplete(problem: Problem) -> Problem {
    problem.header(UPLOAD_COMPLETE, HeaderValue::from_static("?0"))
}

fn inconsistent(problem: Problem) -> Problem {
    incomplete(problem).known_as(INCONSISTENT_LENGTH)
}

fn missing(name: &HeaderName) -> Problem {
    Problem::bad_header()
        .with("field", name.as_str())
        .detail(format!("{name} is missing or not well-formed"))
}

fn refuse_header(headers: &HeaderMap, name: &HeaderName) -> Result<(), Problem> {
    if headers.contains_key(name) {
        return Err(Problem::bad_header()
            .with("field", name.as_str())
            .detail(format!("{name} does not belong into this request")));
    }
    Ok(())
}

/// A structured field (RFC 9651) that is one item; what is not well-formed counts as absent.
fn item(headers: &HeaderMap, name: &str) -> Option<BareItem> {
    let mut values = headers.get_all(name);
    let value = values.next().filter(|_| values.next().is_none())?;
    let item: Item = Parser::new(value.as_bytes()).parse().ok()?;
    Some(item.bare_item)
}

fn boolean(headers: &HeaderMap, name: &HeaderName) -> Option<bool> {
    item(headers, name.as_str())?.as_boolean()
}

fn integer(headers: &HeaderMap, name: &str) -> Option<u64> {
    u64::try_from(i64::from(item(headers, name)?.as_integer()?)).ok()
}

/// What is said about the file: `Upload-Metadata` as tus has it, and what the draft has in other fields.
fn metadata(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let told = digests::with_repr_digest(headers, told_metadata(headers)?)?.unwrap_or_default();
    let coded = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if coded.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(Problem::unsupported_media_type().detail("a clip is sent without a Content-Encoding"));
    }
    let is_told = |key: &str| told.split(',').any(|pair| pair.trim().split(' ').next() == Some(key));
    let name = headers.get(header::CONTENT_DISPOSITION).and_then(|value| {
        let disposition = ContentDisposition::from_raw(value).ok()?;
        let exact = disposition.get_filename_ext().map(|name| name.value.clone());
        exact
            .unwrap_or_else(|| disposition.get_filename().unwrap_or_default().as_bytes().to_vec())
            .into()
    });
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_vec());
    let kind = kind.filter(|kind| !NO_NAME.iter().any(|plain| kind.eq_ignore_ascii_case(plain.as_bytes())));
    let mut pairs: Vec<String> = Vec::from_iter((!told.trim().is_empty()).then(|| told.clone()));
    for (key, value) in [("filename", name), ("filetype", kind)] {
        if let Some(value) = value.filter(|value| !value.is_empty() && !is_told(key)) {
            pairs.push(format!("{key} {}", BASE64.encode(&value)));
        }
    }
    Ok(Some(pairs.join(",")).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    fn with(headers: &[(&str, &str)]) -> HeaderMap {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.append_header(*header);
        }
        request.to_http_request().headers().clone()
    }

    #[test]
    fn a_version_is_spoken_only_by_its_number() {
        let spoken = |headers: &[(&str, &str)]| Spoken::of(&with(headers));
        assert_eq!(spoken(&[(INTEROP, "6")]), Spoken::Draft(Dialect::Six));
        assert_eq!(spoken(&[(INTEROP, "8")]), Spoken::Draft(Dialect::Eight));
        for other in ["5", "7", "9", "-6", "six", "6.0", "\"6\"", "6, 8", ""] {
            assert_eq!(spoken(&[(INTEROP, other)]), Spoken::Unknown, "{other:?}");
        }
        assert_eq!(spoken(&[]), Spoken::Tus);
        assert_eq!(spoken(&[("tus-resumable", "1.0.0"), (INTEROP, "6")]), Spoken::Tus);
    }

    #[test]
    fn fields_are_structured_or_absent() {
        let complete = |text: &str| boolean(&with(&[("upload-complete", text)]), &UPLOAD_COMPLETE);
        assert_eq!((complete("?1"), complete("?0")), (Some(true), Some(false)));
        for other in ["1", "true", "?2", "", "\"?1\"", "?1, ?0"] {
            assert_eq!(complete(other), None, "{other:?}");
        }
        let offset = |text: &str| integer(&with(&[("upload-offset", text)]), "upload-offset");
        assert_eq!(
            (offset("0"), offset("999999999999999")),
            (Some(0), Some(999_999_999_999_999))
        );
        for other in ["-1", "1.0", "1000000000000000", "0x1", "", "1, 1"] {
            assert_eq!(offset(other), None, "{other:?}");
        }
        let twice = with(&[("upload-offset", "1"), ("upload-offset", "1")]);
        assert_eq!(integer(&twice, "upload-offset"), None);
    }

    #[test]
    fn both_ways_to_tell_a_length_must_agree() {
        let told = |dialect, header: &str, by_body| {
            length(dialect, &with(&[("upload-length", header)]), by_body).map_err(|problem| problem.slug())
        };
        assert_eq!(told(Dialect::Eight, "150", Some(150)), Ok(Some(150)));
        assert_eq!(told(Dialect::Eight, "150", None), Ok(Some(150)));
        assert_eq!(told(Dialect::Six, "150", None), Ok(None), "version 6 has no such field");
        assert_eq!(
            told(Dialect::Eight, "151", Some(150)),
            Err("inconsistent-upload-length")
        );
        assert_eq!(told(Dialect::Six, "151", Some(150)), Ok(Some(150)));
        assert_eq!(told(Dialect::Eight, "a", None), Ok(None));
    }

    #[test]
    fn what_the_draft_says_elsewhere_is_metadata_too() {
        let said = metadata(&with(&[
            (
                "content-disposition",
                "inline; filename=\"a.mp4\"; filename*=UTF-8''%c3%a4.mp4",
            ),
            ("content-type", "video/mp4"),
            (
                "repr-digest",
                "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, md5=:AAAA:",
            ),
        ]));
        let said = said.ok().flatten().expect("metadata");
        let pair = |key: &str, value: &str| format!("{key} {}", BASE64.encode(value.as_bytes()));
        let sum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(
            said,
            [
                pair("sha256", sum),
                pair("filename", "ä.mp4"),
                pair("filetype", "video/mp4")
            ]
            .join(",")
        );
        let told = with(&[
            ("upload-metadata", "filename YQ=="),
            ("content-disposition", "inline; filename=b"),
        ]);
        assert_eq!(metadata(&told).ok().flatten().as_deref(), Some("filename YQ=="));
        assert!(metadata(&with(&[("content-encoding", "gzip")])).is_err());
        assert_eq!(
            metadata(&with(&[("content-type", "application/octet-stream")]))
                .ok()
                .flatten(),
            None
        );
    }
}
