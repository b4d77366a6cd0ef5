//! Resumable uploads: tus 1.0.0 with creation, creation-with-upload, creation-defer-length, expiration, checksum,
//! termination and concatenation (`concat`); `resumable` has the draft of the HTTP working group.

use actix_web::http::Version;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use data_encoding::BASE64URL_NOPAD;
use futures_util::Stream;
use serde::Serialize;
use utoipa::ToSchema;

use super::concat::Wish;
use super::resumable::{self, Spoken};
use super::{concat, digests, health::ProblemBody, id};
use crate::access::Principal;
use crate::http::body::{self, BodyError};
use crate::http::caller::Uploader;
use crate::http::cut;
use crate::http::face::Face;
use crate::http::from_rooms::{UPLOAD_OFFSET, http_date};
use crate::http::problem::Problem;
use crate::ingest::{Body, Checksum, IngestError, ReceiptState, UploadEnd, UploadStatus};
use crate::model::{ClipId, Concat};

pub(super) const TUS_RESUMABLE: HeaderName = HeaderName::from_static("tus-resumable");
const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: &str =
    "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,concatenation";
const ACCEPT_PATCH: &str = "application/offset+octet-stream, application/partial-upload";
const BODY_TYPE: &[u8] = b"application/offset+octet-stream";
/// While the original is being sealed; usually it takes a second or two.
const RECEIPT_RETRY_SECS: u32 = 1;

/// A receipt, or that there is none yet.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(in crate::http) enum ReceiptBody {
    /// The original is sealed and was read back.
    Signed {
        /// One line: clip, SHA-256, length and time, signed as keys/FORMAT.md says.
        receipt: String,
    },
    /// Not yet.
    Pending {
        /// `pending`.
        state: &'static str,
    },
}

/// Every receipt key.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ReceiptKeysBody {
    keys: Vec<ReceiptKeyBody>,
}

/// A receipt key.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ReceiptKeyBody {
    /// Counts up from 1.
    version: u32,
    /// Signs from then on; unix milliseconds.
    since_ms: i64,
    /// Ed25519, base64url.
    public_key: String,
    /// The signature of the key before, base64url; zeros for the first.
    endorsement: String,
}

/// What this server speaks.
#[utoipa::path(
    options, path = "/v1/uploads", tag = "uploads", responses((status = 204))
)]
pub(in crate::http) async fn options(face: web::Data<Face>) -> HttpResponse {
    let mut response = HttpResponse::NoContent();
    response
        .insert_header((TUS_RESUMABLE, VERSION))
        .insert_header(("tus-version", VERSION))
        .insert_header(("tus-extension", EXTENSIONS))
        .insert_header(("tus-max-size", face.rooms.ingest.max_upload_bytes()))
        .insert_header(("tus-checksum-algorithm", Checksum::ALGORITHMS))
        .insert_header(("upload-limit", resumable::limits(&face, None)))
        .insert_header(("accept-patch", ACCEPT_PATCH));
    for wanted in digests::WANTED {
        response.insert_header(wanted);
    }
    response.finish()
}

/// What this server speaks, asked of an upload.
#[utoipa::path(
    options, path = "/v1/uploads/{id}", tag = "uploads", params(("id" = String, Path)), responses((status = 204))
)]
#[expect(
    dead_code,
    reason = "stands for `options` at its second path in the OpenAPI description"
)]
fn options_of_one() {}

/// Begins an upload; a body is its first bytes.
#[utoipa::path(
    post, path = "/v1/uploads", tag = "uploads",
    params(
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Length" = u64, Header, description = "Bytes there will be"),
        ("Upload-Metadata" = Option<String>, Header, description = "filename filetype sha256 recorded_at camera kind lat lon clip rendition; others are ignored"),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and the addresses of partial uploads, in place of a length"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1`, `sha256`, `sha512` or `crc32c`, a space, and the body's sum in base64"),
    ),
    responses((status = 201, description = "Location, Upload-Offset, Upload-Expires"), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn create(
    face: web::Data<Face>,
    Uploader(who): Uploader,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    match Spoken::of(request.headers()) {
        Spoken::Tus => tus(create_upload(&face, who, &request, payload).await),
        Spoken::Draft(dialect) => resumable::create(&face, who, Some(dialect), &request, payload).await,
        Spoken::Unknown => resumable::create(&face, who, None, &request, payload).await,
    }
}

/// Where an upload stands.
#[utoipa::path(
    head, path = "/v1/uploads/{id}", tag = "uploads",
    params(("id" = String, Path), ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses((status = 200, description = "Upload-Offset, Upload-Length, Upload-Expires"), (status = 404), (status = 410))
)]
pub(in crate::http) async fn status(
    face: web::Data<Face>,
    Uploader(who): Uploader,
    upload: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    match Spoken::of(request.headers()) {
        Spoken::Tus => {}
        Spoken::Draft(dialect) => return resumable::status(&face, who, dialect, &upload, &request).await,
        Spoken::Unknown => return Err(unknown_draft()),
    }
    let asked = async {
        require_tus(request.headers())?;
        let upload: ClipId = id(&upload)?;
        let rooms = face.rooms.clone();
        let asked = async move {
            let status = rooms.ingest.offset(&who, upload).await?;
            let parts = match status.concat {
                Concat::Final => rooms.ingest.parts(&who, upload).await?,
                Concat::Whole | Concat::Partial => Vec::new(),
            };
            Ok::<_, IngestError>((status, parts))
        };
        let (status, parts) = face.ask(asked).await?;
        let mut response = HttpResponse::Ok();
        tell(&mut response, &status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(concat) = concat::told(&face, status.concat, &parts)? {
            response.insert_header((concat::UPLOAD_CONCAT, concat));
        }
        if let Some(sum) = digests::wanted(request.headers(), status.sha256) {
            response.insert_header(sum);
        }
        match status.length {
            Some(length) => response.insert_header(("upload-length", length)),
            None => response.insert_header(("upload-defer-length", "1")),
        };
        Ok(response.finish())
    };
    tus(asked.await)
}

/// Appends bytes at an offset.
#[utoipa::path(
    patch, path = "/v1/uploads/{id}", tag = "uploads",
    params(
        ("id" = String, Path),
        ("Tus-Resumable" = String, Header, description = "`1.0.0`"),
        ("Upload-Offset" = u64, Header, description = "Where the body belongs"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1`, `sha256`, `sha512` or `crc32c`, a space, and the body's sum in base64"),
    ),
    responses(
        (status = 204, description = "Upload-Offset, Upload-Expires"), (status = 409, body = ProblemBody),
        (status = 410, body = ProblemBody), (status = 460, body = ProblemBody), (status = "4XX", body = ProblemBody),
        (status = 503, body = ProblemBody), (status = 507, body = ProblemBody),
    )
)]
pub(in crate::http) async fn append(
    face: web::Data<Face>,
    Uploader(who): Uploader,
    upload: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    match Spoken::of(request.headers()) {
        Spoken::Tus => {}
        Spoken::Draft(dialect) => return resumable::append(&face, who, dialect, &upload, &request, payload).await,
        Spoken::Unknown => return Err(unknown_draft()),
    }
    let asked = async {
        require_tus(request.headers())?;
        if !is_bytes(request.headers()) {
            return Err(Problem::unsupported_media_type().detail("send Content-Type: application/offset+octet-stream"));
        }
        let upload: ClipId = id(&upload)?;
        let offset = number(request.headers(), "upload-offset")?.ok_or_else(|| {
            Problem::bad_header()
                .with("field", "Upload-Offset")
                .detail("Upload-Offset is missing")
        })?;
        let sent = Sent {
            offset,
            checksum: digests::of_body(request.headers())?,
            end: told_length(request.headers())?,
        };
        let status = take(&face, who, upload, sent, &request, payload).await?;
        let mut response = HttpResponse::NoContent();
        tell(&mut response, &status);
        Ok(response.finish())
    };
    tus(asked.await)
}

/// Ends an upload that is not complete; the owner's to do, never a vehicle's.
#[utoipa::path(
    delete, path = "/v1/uploads/{id}", tag = "uploads",
    params(("id" = String, Path), ("Tus-Resumable" = String, Header, description = "`1.0.0`")),
    responses((status = 204), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn terminate(
    face: web::Data<Face>,
    Uploader(who): Uploader,
    upload: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked = async {
        if matches!(who, Principal::Device(_)) {
            return Err(Problem::forbidden().detail("a vehicle deletes nothing"));
        }
        match Spoken::of(request.headers()) {
            Spoken::Tus => require_tus(request.headers())?,
            Spoken::Draft(dialect) => resumable::check_cancellation(dialect, request.headers())?,
            Spoken::Unknown => return Err(unknown_draft()),
        }
        let upload: ClipId = id(&upload)?;
        let rooms = face.rooms.clone();
        face.ask(async move { rooms.ingest.terminate(&who, upload).await })
            .await?;
        Ok(HttpResponse::NoContent().finish())
    };
    tus(asked.await)
}

/// The receipt that lets a vehicle delete its copy.
#[utoipa::path(
    get, path = "/v1/uploads/{id}/receipt", tag = "uploads", params(("id" = String, Path)),
    responses((status = 200, body = ReceiptBody), (status = 202, body = ReceiptBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn receipt(
    face: web::Data<Face>,
    Uploader(who): Uploader,
    upload: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let upload: ClipId = id(&upload)?;
    let rooms = face.rooms.clone();
    match face
        .ask(async move { rooms.ingest.receipt(&who, upload).await })
        .await?
    {
        ReceiptState::Signed(receipt) => Ok(HttpResponse::Ok().json(ReceiptBody::Signed { receipt })),
        ReceiptState::Pending => Ok(HttpResponse::Accepted()
            .insert_header((header::RETRY_AFTER, RECEIPT_RETRY_SECS))
            .json(ReceiptBody::Pending { state: "pending" })),
        ReceiptState::Refused(reason) => Err(Problem::no_receipt().with("reason", reason)),
    }
}

/// The keys that receipts were ever signed with, the newest last. Each is endorsed by the one before it, so that a vehicle
/// follows from the key of its pairing, however it came by this list.
#[utoipa::path(
    get, path = "/v1/receipt-keys", tag = "uploads", responses((status = 200, body = ReceiptKeysBody))
)]
pub(in crate::http) async fn receipt_keys(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let keys = face.rooms.ingest.receipt_keys()?;
    let keys = keys.iter().map(|key| ReceiptKeyBody {
        version: key.version,
        since_ms: key.since,
        public_key: BASE64URL_NOPAD.encode(&key.public_key),
        endorsement: BASE64URL_NOPAD.encode(&key.endorsement),
    });
    Ok(HttpResponse::Ok().json(ReceiptKeysBody { keys: keys.collect() }))
}

async fn create_upload(
    face: &web::Data<Face>,
    who: Principal,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let headers = request.headers();
    require_tus(headers)?;
    let concat = concat::wish(headers)?;
    if let Some(Wish::Final(parts)) = concat {
        return concat::join(face, who, parts, headers).await;
    }
    let length = match (number(headers, "upload-length")?, headers.get("upload-defer-length")) {
        (Some(length), None) => Some(length),
        (None, Some(deferred)) if deferred == "1" => None,
        (_, Some(_)) => {
            return Err(Problem::bad_header()
                .with("field", "Upload-Defer-Length")
                .detail("Upload-Defer-Length is 1, in place of Upload-Length, or left out"));
        }
        (None, None) => {
            return Err(Problem::bad_header()
                .with("field", "Upload-Length")
                .detail("Upload-Length is missing"));
        }
    };
    let metadata = digests::with_repr_digest(headers, metadata(headers)?)?;
    // Read before the upload exists, so that a wrong one leaves nothing behind.
    let checksum = digests::of_body(headers)?;
    let (rooms, owner) = (face.rooms.clone(), who.clone());
    let begun = face
        .ask(async move {
            match concat {
                Some(_) => rooms.ingest.create_partial(&owner, length, metadata.as_deref()).await,
                None => rooms.ingest.create(&owner, length, metadata.as_deref()).await,
            }
        })
        .await?;
    let location = location(face, begun.id)?;
    // What was begun before has its first bytes: the answer tells where to go on.
    let status = if is_bytes(headers) && body_bytes(request) != Some(0) && begun.offset == 0 {
        // Whatever becomes of its first bytes, the upload is there.
        let sent = Sent {
            offset: 0,
            checksum,
            end: UploadEnd::Unsaid,
        };
        let taken = take(face, who, begun.id, sent, request, payload).await;
        taken.map_err(|problem| problem.header(header::LOCATION, location.clone()))?
    } else {
        begun
    };
    let mut response = HttpResponse::Created();
    tell(&mut response, &status);
    response.insert_header((header::LOCATION, location));
    Ok(response.finish())
}

/// The header of both protocols that tus has its metadata in.
pub(super) fn metadata(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    match headers.get("upload-metadata") {
        None => Ok(None),
        Some(value) => Ok(Some(value.to_str().map_err(|_| Problem::bad_metadata())?.to_owned())),
    }
}

/// Where an upload is asked for.
pub(super) fn location(face: &Face, upload: ClipId) -> Result<HeaderValue, Problem> {
    let url = face.public_url.join(&format!("/v1/uploads/{upload}"));
    HeaderValue::from_str(&url).map_err(|_| Problem::internal())
}

/// What a request's head says of its body.
pub(super) struct Sent {
    pub(super) offset: u64,
    pub(super) checksum: Option<Checksum>,
    pub(super) end: UploadEnd,
}

/// Gives a body to ingest.
pub(super) async fn take(
    face: &web::Data<Face>,
    who: Principal,
    upload: ClipId,
    sent: Sent,
    request: &HttpRequest,
    payload: web::Payload,
) -> Result<UploadStatus, Problem> {
    let body = body_of(face, sent, request, payload);
    let rooms = face.rooms.clone();
    let appended = async move { Ok::<_, Problem>(rooms.ingest.append(&who, upload, body).await) };
    answer_of(face, request, face.ask(appended).await?)
}

/// The body of a request.
pub(super) fn body_of(
    face: &web::Data<Face>,
    sent: Sent,
    request: &HttpRequest,
    payload: web::Payload,
) -> Body<impl Stream<Item = Result<Bytes, BodyError>> + Send + use<>> {
    Body {
        offset: sent.offset,
        announced_bytes: body_bytes(request),
        checksum: sent.checksum,
        end: sent.end,
        stream: body::upload(face.clone(), request, payload),
    }
}

/// What became of a body. A service that ends is told as what it is: the client is to come back. Of a vehicle that was revoked
/// nothing more is read.
pub(super) fn answer_of(
    face: &Face,
    request: &HttpRequest,
    appended: Result<UploadStatus, IngestError>,
) -> Result<UploadStatus, Problem> {
    match appended {
        Err(IngestError::Revoked) => {
            cut::after_the_answer(request);
            Err(IngestError::Revoked.into())
        }
        Err(IngestError::Interrupted { offset }) if face.ending.is_cancelled() => {
            Err(Problem::shutting_down().header(UPLOAD_OFFSET, HeaderValue::from(offset)))
        }
        appended => Ok(appended?),
    }
}

/// What every answer about an upload tells.
pub(super) fn tell(response: &mut HttpResponseBuilder, status: &UploadStatus) {
    response.insert_header((UPLOAD_OFFSET, status.offset));
    if let Some(at) = status.expires_at {
        response.insert_header(("upload-expires", http_date(at)));
    }
}

/// Every answer of the protocol says its version, refusals too.
fn tus(answer: Result<HttpResponse, Problem>) -> Result<HttpResponse, Problem> {
    match answer {
        Ok(mut response) => {
            response.headers_mut().insert(TUS_RESUMABLE, VERSION);
            Ok(response)
        }
        Err(problem) => Err(problem.header(TUS_RESUMABLE, VERSION)),
    }
}

fn require_tus(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.get(TUS_RESUMABLE) == Some(&VERSION) {
        return Ok(());
    }
    Err(Problem::tus_version().header(HeaderName::from_static("tus-version"), VERSION))
}

fn is_bytes(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(BODY_TYPE))
}

/// The length of an upload that was begun without one.
fn told_length(headers: &HeaderMap) -> Result<UploadEnd, Problem> {
    Ok(match number(headers, "upload-length")? {
        Some(length) => UploadEnd::At(length),
        None => UploadEnd::Unsaid,
    })
}

fn unknown_draft() -> Problem {
    Problem::bad_header()
        .with("field", "Upload-Draft-Interop-Version")
        .detail("interop versions 6 and 8 are spoken here, and tus 1.0.0")
}

/// The length of the body, where the request tells it. In HTTP/1 a request that says nothing of a body has none (RFC 9112, 6.3).
pub(super) fn body_bytes(request: &HttpRequest) -> Option<u64> {
    let headers = request.headers();
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        None => {
            (request.version() <= Version::HTTP_11 && !headers.contains_key(header::TRANSFER_ENCODING)).then_some(0)
        }
    }
}

pub(super) fn checksum(headers: &HeaderMap) -> Result<Option<Checksum>, Problem> {
    // A trailer is not read: what relies on one must not be taken without a look at it.
    let trailers = headers.get_all(header::TRAILER).filter_map(|value| value.to_str().ok());
    let mut names = trailers.flat_map(|names| names.split(','));
    if names.any(|name| name.trim().eq_ignore_ascii_case("upload-checksum")) {
        return Err(Problem::bad_header()
            .with("field", "Trailer")
            .detail("send Upload-Checksum before the body: trailers are not read here"));
    }
    let Some(value) = headers.get("upload-checksum") else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| IngestError::InvalidChecksum)?;
    Ok(Some(Checksum::parse(text)?))
}

/// A header that is a number of bytes: digits and nothing else.
fn number(headers: &HeaderMap, name: &'static str) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let wrong = || {
        Problem::bad_header()
            .with("field", name)
            .detail(format!("{name} is no number of bytes"))
    };
    let text = value.to_str().map_err(|_| wrong())?;
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    text.parse()
        .map(Some)
        .map_err(|_| Problem::too_large().with("field", name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError as _;
    use actix_web::http::StatusCode;
    use actix_web::test::TestRequest;

    fn length(text: &str) -> Result<Option<u64>, u16> {
        let request = TestRequest::default()
            .insert_header(("upload-length", text))
            .to_http_request();
        number(request.headers(), "upload-length").map_err(|p| p.status_code().as_u16())
    }

    #[test]
    fn a_length_is_digits_and_fits() {
        assert_eq!(length("0"), Ok(Some(0)));
        assert_eq!(length("18446744073709551615"), Ok(Some(u64::MAX)));
        assert_eq!(length("18446744073709551616"), Err(413));
        for text in ["", "-1", "+1", "1.0", " 1", "0x10", "1e3"] {
            assert_eq!(length(text), Err(400), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_of_the_protocol_says_its_version() {
        let refused = tus(Err(Problem::not_found())).err().unwrap().error_response();
        assert_eq!(refused.headers().get(TUS_RESUMABLE).unwrap(), VERSION);
        assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    }
}
