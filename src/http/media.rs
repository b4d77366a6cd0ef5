//! Bytes of media: whole, in ranges, or not at all because the client has them (RFC 9110, sections 13 and 14).

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderValue, HttpDate};
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use futures_util::{Stream, StreamExt as _, stream};

use super::caller::is_head;
use super::face::Face;
use super::from_rooms::{chain, http_date};
use super::problem::Problem;
use super::routes::digests;
use crate::access::{Access, AccessError, ReadGrant};
use crate::library::{Disposition, LibraryError, Resource, What};
use crate::model::{ByteRange, RangeError, UnixMs};

/// A player that asks from somewhere to the end seeks away before long; curl and wget would take a short answer for the
/// whole file, so only media elements are cut short.
const MAX_OPEN_ENDED_BYTES: u64 = 4 << 20;

/// An answer asks again after so long whether it may go on: a clip of gigabytes takes hours over a bad link, and a
/// revocation is to be felt at once.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Answers a request for media that the grant reaches.
pub(super) async fn send(
    face: web::Data<Face>,
    request: HttpRequest,
    grant: ReadGrant,
    what: What,
) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    let resource = face
        .ask({
            let grant = grant.clone();
            async move { rooms.library.open(&grant, &what).await }
        })
        .await?
        .ok_or_else(Problem::not_found)?;
    let (length, tag, modified) = (resource.length(), resource.etag().to_owned(), resource.last_modified());
    if is_known(request.headers(), &tag, modified) {
        let mut response = HttpResponse::NotModified();
        describe(&mut response, &resource);
        return Ok(response.finish());
    }
    let range = match wanted(&request, length, &tag, modified) {
        Ok(range) => range,
        Err(RangeError::Unsatisfiable { length_bytes }) => {
            let told = HeaderValue::from_str(&format!("bytes */{length_bytes}")).map_err(|_| Problem::internal())?;
            return Err(Problem::range_not_satisfiable()
                .with("length_bytes", length_bytes)
                .header(header::CONTENT_RANGE, told));
        }
        Err(RangeError::Ignored) => None,
    };
    let mut response = HttpResponse::build(if range.is_some() {
        StatusCode::PARTIAL_CONTENT
    } else {
        StatusCode::OK
    });
    describe(&mut response, &resource);
    if let Some(sum) = digests::wanted(request.headers(), resource.sha256()) {
        response.insert_header(sum);
    }
    response.insert_header((header::CONTENT_TYPE, resource.content_type()));
    if let Disposition::Attachment(name) = resource.disposition() {
        response.insert_header((header::CONTENT_DISPOSITION, attachment(name)));
    }
    if let Some(range) = range {
        response.insert_header((
            header::CONTENT_RANGE,
            format!("bytes {}-{}/{length}", range.start, range.end - 1),
        ));
    }
    let range = range.unwrap_or(ByteRange::whole(length));
    if is_head(&request) {
        return Ok(response.body(SizedStream::new(length, stream::empty::<Result<Bytes, LibraryError>>())));
    }
    let rooms = face.rooms.clone();
    let bytes = face
        .ask(async move { rooms.library.stream(resource, range).await })
        .await?;
    let access = face.rooms.access.clone();
    let mut bytes = face.read_ahead(while_granted(access, grant, bytes));
    // The first bytes are here before the head is sent: what is damaged or gone is told as such, not as a broken line.
    let first = match bytes.next().await {
        Some(first) => Some(Ok(first?)),
        None => None,
    };
    let counted = stream::iter(first).chain(bytes).map(move |chunk| match chunk {
        Ok(chunk) => {
            face.metrics.sent(chunk.len() as u64);
            Ok(chunk)
        }
        Err(error) => {
            error.log();
            Err(error)
        }
    });
    Ok(response.body(SizedStream::new(range.len(), counted)))
}

/// Why media ends before its end. The head is sent by then: the client sees a connection that broke.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("what was asked for cannot be read on")]
    Library(#[from] LibraryError),
    #[error("whether it may still be read cannot be told")]
    Access(#[from] AccessError),
    #[error("the leave to read it was taken back")]
    TakenBack,
}

impl StreamError {
    fn log(&self) {
        match self {
            Self::TakenBack => tracing::info!("media ended, since the leave to read it was taken back"),
            broken => tracing::error!(causes = chain(broken), "media ended before its end"),
        }
    }
}

impl From<StreamError> for Problem {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Library(error) => error.into(),
            StreamError::Access(error) => error.into(),
            StreamError::TakenBack => Self::not_found(),
        }
    }
}

/// The bytes of a stream for as long as the grant would still be made.
fn while_granted(
    access: Access,
    grant: ReadGrant,
    bytes: impl Stream<Item = Result<Bytes, LibraryError>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, StreamError>> + Send + 'static {
    let asking = Arc::new((access, grant));
    let mut asked = Instant::now();
    bytes.then(move |chunk| {
        let again = asked.elapsed() >= ASK_AGAIN;
        if again {
            asked = Instant::now();
        }
        let asking = asking.clone();
        async move {
            if again && !asking.0.still_reads(&asking.1).await? {
                return Err(StreamError::TakenBack);
            }
            Ok(chunk?)
        }
    })
}

fn describe(response: &mut HttpResponseBuilder, resource: &Resource) {
    response
        .insert_header((header::ACCEPT_RANGES, "bytes"))
        .insert_header((header::LAST_MODIFIED, http_date(resource.last_modified())))
        .insert_header((header::CACHE_CONTROL, "private, no-store"));
    if let Ok(tag) = HeaderValue::from_str(resource.etag()) {
        response.insert_header((header::ETAG, tag));
    }
}

/// `If-None-Match`, and without it `If-Modified-Since`.
fn is_known(headers: &HeaderMap, tag: &str, modified: UnixMs) -> bool {
    if headers.contains_key(header::IF_NONE_MATCH) {
        return knows_tag(headers, tag);
    }
    seconds(headers, header::IF_MODIFIED_SINCE).is_some_and(|since| modified.div_euclid(1000) <= since)
}

/// Whether `If-None-Match` names the tag (RFC 9110, 13.1.2).
pub(super) fn knows_tag(headers: &HeaderMap, tag: &str) -> bool {
    let texts = headers.get_all(header::IF_NONE_MATCH).filter_map(|v| v.to_str().ok());
    let mut tags = texts.flat_map(|text| text.split(',')).map(str::trim);
    tags.any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// The range that a GET asks for, if it still means these bytes.
fn wanted(request: &HttpRequest, length: u64, tag: &str, modified: UnixMs) -> Result<Option<ByteRange>, RangeError> {
    let headers = request.headers();
    let Some(text) = headers.get(header::RANGE).and_then(|v| v.to_str().ok()) else {
        return Ok(None);
    };
    // Only GET has ranges, and a range of other bytes than the client's is of no use.
    if is_head(request) || !still_the_same(headers, tag, modified) {
        return Ok(None);
    }
    let mut range = ByteRange::parse(text, length)?;
    let by_player = headers
        .get("sec-fetch-dest")
        .is_some_and(|dest| matches!(dest.as_bytes(), b"video" | b"audio"));
    if by_player && ByteRange::is_open_ended(text) {
        range.end = range.end.min(range.start + MAX_OPEN_ENDED_BYTES);
    }
    Ok(Some(range))
}

/// `If-Range`: a strong tag, or the exact time.
fn still_the_same(headers: &HeaderMap, tag: &str, modified: UnixMs) -> bool {
    let Some(condition) = headers.get(header::IF_RANGE) else {
        return true;
    };
    match condition.to_str() {
        Ok(text) if text.starts_with('"') => text == tag,
        Ok(text) if text.starts_with("W/") => false,
        _ => seconds(headers, header::IF_RANGE) == Some(modified.div_euclid(1000)),
    }
}

fn seconds(headers: &HeaderMap, name: header::HeaderName) -> Option<i64> {
    let date: HttpDate = headers.get(name)?.to_str().ok()?.parse().ok()?;
    let since = std::time::SystemTime::from(date)
        .duration_since(std::time::UNIX_EPOCH)
        .ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// RFC 6266: a plain name for old clients, the exact one for others.
fn attachment(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || " .-_()".contains(c) {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut exact = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => exact.push(char::from(byte)),
            other => exact.push_str(&format!("%{other:02X}")),
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{exact}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::Method;
    use actix_web::test::TestRequest;

    const TAG: &str = "\"abc\"";
    /// Sun, 06 Nov 1994 08:49:37 GMT and a bit.
    const MODIFIED: UnixMs = 784_111_777_400;

    fn ask(headers: &[(&str, &str)]) -> Result<Option<(u64, u64)>, RangeError> {
        let mut request = TestRequest::default();
        for header in headers {
            request = request.append_header(*header);
        }
        wanted(&request.to_http_request(), 10_000_000, TAG, MODIFIED).map(|r| r.map(|r| (r.start, r.end)))
    }

    #[test]
    fn a_range_holds_only_for_the_bytes_it_was_meant_for() {
        let range = ("range", "bytes=5-9");
        assert_eq!(ask(&[range]), Ok(Some((5, 10))));
        assert_eq!(ask(&[range, ("if-range", TAG)]), Ok(Some((5, 10))));
        assert_eq!(ask(&[range, ("if-range", "\"other\"")]), Ok(None));
        assert_eq!(
            ask(&[range, ("if-range", "W/\"abc\"")]),
            Ok(None),
            "weak tags never match here"
        );
        assert_eq!(
            ask(&[range, ("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")]),
            Ok(Some((5, 10)))
        );
        assert_eq!(ask(&[range, ("if-range", "Sun, 06 Nov 1994 08:49:38 GMT")]), Ok(None));
        assert_eq!(ask(&[range, ("if-range", "rubbish")]), Ok(None));
    }

    #[test]
    fn only_a_player_is_cut_short() {
        let range = ("range", "bytes=100-");
        assert_eq!(ask(&[range]), Ok(Some((100, 10_000_000))));
        for dest in ["video", "audio"] {
            assert_eq!(
                ask(&[range, ("sec-fetch-dest", dest)]),
                Ok(Some((100, 100 + (4 << 20))))
            );
        }
        assert_eq!(ask(&[range, ("sec-fetch-dest", "empty")]), Ok(Some((100, 10_000_000))));
        assert_eq!(
            ask(&[("range", "bytes=0-9999999"), ("sec-fetch-dest", "video")]),
            Ok(Some((0, 10_000_000))),
            "a closed range is what it says"
        );
    }

    #[test]
    fn head_has_no_ranges() {
        let request = TestRequest::with_uri("/")
            .method(Method::HEAD)
            .insert_header(("range", "bytes=5-9"));
        assert_eq!(
            wanted(&request.to_http_request(), 10, TAG, MODIFIED).map(|r| r.is_some()),
            Ok(false)
        );
    }

    #[test]
    fn what_a_client_has_is_not_sent_again() {
        let known = |name: &str, value: &str| {
            is_known(
                TestRequest::default()
                    .insert_header((name, value))
                    .to_http_request()
                    .headers(),
                TAG,
                MODIFIED,
            )
        };
        assert!(known("if-none-match", TAG) && known("if-none-match", "W/\"abc\"") && known("if-none-match", "*"));
        assert!(known("if-none-match", "\"x\", \"abc\"") && !known("if-none-match", "\"x\""));
        assert!(known("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT"));
        assert!(!known("if-modified-since", "Sun, 06 Nov 1994 08:49:36 GMT"));
    }

    #[test]
    fn a_senders_file_name_breaks_out_of_nothing() {
        assert_eq!(
            attachment("a\"; b=\r\n/é.mp4"),
            "attachment; filename=\"a__ b_____.mp4\"; filename*=UTF-8''a%22%3B%20b%3D%0D%0A%2F%C3%A9.mp4"
        );
    }
}
