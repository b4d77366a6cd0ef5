//! What happens around every request: its id, its place in the log and the numbers, limits, and headers of the answer.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _, HttpResponse, web};
use futures_util::FutureExt as _;
use tracing::{Instrument as _, debug, error, info, info_span};

use super::caller::RenewedCookie;
use super::client_address::{client, shortened};
use super::cut;
use super::face::Face;
use super::problem::Problem;
use super::security;
use super::window::Window;

/// What stands in log and numbers for a path that no route has.
const NO_ROUTE: &str = "-";

/// The middleware.
pub(super) async fn around<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    override_method(&mut request);
    let Some(face) = request.app_data::<web::Data<Face>>().cloned() else {
        return Err(Problem::internal().into());
    };
    let began = Instant::now();
    // Before anything is waited for: while somebody looks who asks, the body comes.
    let _window = request.conn_data::<Arc<Window>>().map(Window::open);
    let id = request_id();
    let peer = request
        .peer_addr()
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |a| a.ip());
    let address = client(peer, request.headers(), &face.proxies);
    let method = known_method(request.method());
    let span = info_span!("request", id = %id, client = %shortened(address));
    face.metrics.opened();
    let _closed = Closing(&face);
    let answer = async {
        if !face.admits(peer) {
            return Ok(refuse(request, Problem::not_through_proxy()));
        }
        if let Err(problem) = face.limits.check(request.method(), request.path(), address) {
            return Ok(refuse(request, problem));
        }
        match AssertUnwindSafe(next.call(request)).catch_unwind().await {
            Ok(answer) => answer.map(ServiceResponse::map_into_left_body),
            // What panicked was told by the panic hook; the client learns that it was not its own fault.
            Err(_) => Err(Problem::internal().into()),
        }
    }
    .instrument(span.clone())
    .await;
    let took = began.elapsed();
    let _entered = span.enter();
    let mut answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let status = error.as_response_error().status_code().as_u16();
            face.metrics.answered(method, NO_ROUTE, status, took);
            error!(method, status, "a request ended in a fault");
            return Err(error);
        }
    };
    let status = answer.status().as_u16();
    let route = answer.request().match_pattern().unwrap_or_else(|| NO_ROUTE.to_owned());
    let problem = answer
        .response()
        .error()
        .and_then(|e| e.as_error::<Problem>())
        .map(Problem::slug);
    face.metrics.answered(method, &route, status, took);
    if let Some(problem) = problem {
        face.metrics.refused(problem);
    }
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    if matches!(route.as_str(), "/livez" | "/readyz") {
        debug!(method, route, status, ms, "answered a look");
    } else if let Some(problem) = problem {
        info!(method, route, status, ms, problem, "refused a request");
    } else {
        info!(method, route, status, ms, "answered a request");
    }
    let renewed = answer.request().extensions_mut().remove::<RenewedCookie>();
    finish(answer.headers_mut(), &id, renewed, face.public_url.is_secure());
    Ok(cut::finish(answer))
}

/// Counts a request as closed however it ends, also when its client goes away in the middle.
struct Closing<'a>(&'a Face);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.metrics.closed();
    }
}

/// tus 1.0.0: a client that cannot send every method says which one it means in a header, and the one that it sends counts for
/// nothing.
fn override_method(request: &mut ServiceRequest) {
    if !request.path().starts_with("/v1/uploads/") {
        return;
    }
    let meant = match request
        .headers()
        .get("x-http-method-override")
        .map(HeaderValue::as_bytes)
    {
        Some(b"PATCH") => Method::PATCH,
        Some(b"DELETE") => Method::DELETE,
        Some(b"HEAD") => Method::HEAD,
        _ => return,
    };
    request.head_mut().method = meant;
}

fn refuse<B>(request: ServiceRequest, problem: Problem) -> ServiceResponse<EitherBody<B>> {
    // The response keeps the problem, as it does for those of routes: the log tells it.
    request.into_response(HttpResponse::from_error(problem).map_into_right_body())
}

fn finish(headers: &mut HeaderMap, id: &str, renewed: Option<RenewedCookie>, secure: bool) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    // What the route said of its session (signed in, signed out) counts for more.
    if let Some(RenewedCookie(cookie)) = renewed
        && !headers.contains_key(header::SET_COOKIE)
        && let Ok(value) = HeaderValue::from_str(&cookie)
    {
        headers.append(header::SET_COOKIE, value);
    }
    if secure {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    security::protect(headers);
}

/// A random name for one request, for people who compare an answer with the log.
fn request_id() -> String {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    data_encoding::HEXLOWER.encode(&bytes)
}

/// A method as a label; what clients make up is one word.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "PUT" => "PUT",
        _ => "other",
    }
}
