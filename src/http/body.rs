//! Bodies: JSON of a known small size, and uploads as a stream that outlives its connection.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{Bytes, Payload};
use futures_util::{Stream, StreamExt as _, stream};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::cut::Unread;
use super::face::Face;
use super::problem::Problem;
use super::window::Window;
use actix_web::web;

/// Every JSON body we take is a few fields of a few hundred bytes.
const MAX_JSON_BYTES: usize = 16 * 1024;
/// A client that sends nothing for so long has gone; over a bad cellular link gaps of ten seconds are common.
const IDLE: Duration = Duration::from_secs(30);
/// A JSON body is a packet or two; one that drips a byte at a time is not waited for.
const JSON_WHOLE: Duration = Duration::from_secs(60);
/// Chunks read ahead of the writer; the connection's window says how many bytes they may be.
const CHUNKS_AHEAD: usize = 16;

/// Reads a JSON body.
pub(super) async fn json<T: DeserializeOwned>(request: &HttpRequest, mut payload: Payload) -> Result<T, Problem> {
    let media_type = request
        .headers()
        .get(header::CONTENT_TYPE)
        .and_then(|v| v.to_str().ok());
    let is_json = media_type.is_some_and(|text| {
        text.split(';')
            .next()
            .is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
    });
    if !is_json {
        return Err(Problem::unsupported_media_type().detail("send Content-Type: application/json"));
    }
    // It may hold a token.
    let mut body = Zeroizing::new(Vec::with_capacity(1024));
    let end = tokio::time::Instant::now() + JSON_WHOLE;
    loop {
        let within = end.min(tokio::time::Instant::now() + IDLE);
        match tokio::time::timeout_at(within, payload.next()).await {
            Err(_) => return Err(Problem::body_stalled()),
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Problem::bad_request().detail("the body ended early")),
            Ok(Some(Ok(chunk))) if body.len() + chunk.len() > MAX_JSON_BYTES => {
                return Err(Problem::too_large().with("limit_bytes", MAX_JSON_BYTES));
            }
            Ok(Some(Ok(chunk))) => body.extend_from_slice(&chunk),
        }
    }
    serde_json::from_slice(&body).map_err(|error| {
        let problem = Problem::bad_json()
            .with("line", error.line())
            .with("column", error.column());
        // Other texts repeat what was sent, which may be a secret.
        let text = error.to_string();
        match text.split(" at line ").next() {
            Some(known) if known.starts_with("missing field") => problem.detail(known),
            _ => problem,
        }
    })
}

/// Why an upload's body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the connection was cut")]
    Cut,
    #[error("nothing came for {} seconds", IDLE.as_secs())]
    Stalled,
    #[error("the service ends")]
    Ending,
}

/// The body of an upload. It is read by a task of its own: whatever arrived before the connection was reset reaches the
/// writer, and nothing is held but a few chunks. Once nobody wants more of it, it is put back as it stands.
pub(super) fn upload(
    face: web::Data<Face>,
    request: &HttpRequest,
    mut payload: Payload,
) -> impl Stream<Item = Result<Bytes, BodyError>> + Send + use<> {
    let unread = Unread::of(request);
    let (into, mut out) = mpsc::channel(CHUNKS_AHEAD);
    let window = request.conn_data::<Arc<Window>>().cloned();
    // The framing of a chunked body is read and never taken.
    let is_chunked = request.headers().contains_key(header::TRANSFER_ENCODING);
    let drained = window.clone().filter(|_| is_chunked);
    actix_web::rt::spawn(async move {
        // The place in the channel comes first: while there is none, the bytes wait in the socket.
        while let Ok(place) = into.reserve().await {
            let next = tokio::select! {
                () = into.closed() => None,
                () = face.ending.cancelled() => Some(Err(BodyError::Ending)),
                next = tokio::time::timeout(IDLE, next_chunk(&mut payload, drained.as_deref())) => match next {
                    Err(_) => Some(Err(BodyError::Stalled)),
                    Ok(None) => None,
                    Ok(Some(Err(_))) => Some(Err(BodyError::Cut)),
                    Ok(Some(Ok(chunk))) => Some(Ok(chunk)),
                },
            };
            let Some(next) = next else { break };
            let next = next.map(|chunk| {
                face.metrics.received(chunk.len() as u64);
                match &window {
                    Some(window) => window.take(chunk),
                    None => chunk,
                }
            });
            let last = next.is_err();
            place.send(next);
            if last {
                break;
            }
        }
        unread.put(payload);
    });
    stream::poll_fn(move |context| out.poll_recv(context))
}

/// What comes next; tells the window when there is nothing.
async fn next_chunk(payload: &mut Payload, drained: Option<&Window>) -> Option<Result<Bytes, PayloadError>> {
    poll_fn(|context| {
        let next = payload.poll_next_unpin(context);
        if let (Poll::Pending, Some(window)) = (&next, drained) {
            window.is_drained();
        }
        next
    })
    .await
}

#[cfg(test)]
mod tests {
    use actix_web::FromRequest as _;
    use actix_web::test::TestRequest;

    use super::*;

    /// Reads a body of which a byte comes every ten seconds; how long that took, and what came of it.
    async fn dripped(bytes: &'static [u8]) -> (Duration, Result<serde_json::Value, Problem>) {
        let drips = stream::iter(bytes).then(async |byte| {
            tokio::time::sleep(Duration::from_secs(10)).await;
            Ok(Bytes::copy_from_slice(&[*byte]))
        });
        let drips: std::pin::Pin<Box<dyn Stream<Item = _>>> = Box::pin(drips);
        let request = TestRequest::default()
            .insert_header((header::CONTENT_TYPE, "application/json"))
            .to_http_request();
        let mut payload = actix_web::dev::Payload::Stream { payload: drips };
        let payload = Payload::from_request(&request, &mut payload).await.expect("a payload");
        let began = tokio::time::Instant::now();
        let read = json(&request, payload).await;
        (began.elapsed(), read)
    }

    #[actix_web::test]
    async fn a_json_body_that_drips_is_waited_for_a_minute_in_all() {
        tokio::time::pause();
        let (took, read) = dripped(br#"{"a":1}  "#).await;
        assert_eq!(took.as_secs(), JSON_WHOLE.as_secs());
        assert!(read.is_err(), "a body that took longer than its minute");
        let (took, read) = dripped(br"[12]").await;
        assert_eq!(took.as_secs(), 40);
        assert!(read.is_ok(), "a slow body within its minute");
    }
}
