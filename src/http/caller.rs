//! Who calls: an owner, a link's holder, or whoever may upload, as typed arguments of the routes.
//!
//! A route that takes [`Owner`] cannot be reached with a link's session or a vehicle's token, and one that takes [`Viewer`]
//! with nothing else: the wrong kind of credential is refused before the path is looked at, so that no answer depends on
//! whether a thing exists.

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use futures_util::future::LocalBoxFuture;

use super::cookies::Session;
use super::face::Face;
use super::problem::Problem;
use crate::access::{LinkSession, OwnerSession, Principal};

/// An owner, by bearer token or cookie.
pub(super) struct Owner(pub(super) OwnerSession);

/// The holder of a link's session, by bearer text or cookie.
pub(super) struct Viewer(pub(super) LinkSession);

/// An owner or a vehicle.
pub(super) struct Uploader(pub(super) Principal);

/// A cookie that is to be set anew, because the session's end has moved.
pub(super) struct RenewedCookie(pub(super) String);

impl FromRequest for Owner {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match authenticate(&request, Session::Owner).await? {
                Principal::Owner(session) => Ok(Self(session)),
                _ => Err(Problem::forbidden()),
            }
        })
    }
}

impl FromRequest for Viewer {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match authenticate(&request, Session::Link).await? {
                Principal::Link(session) => Ok(Self(session)),
                _ => Err(Problem::forbidden()),
            }
        })
    }
}

impl FromRequest for Uploader {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            match authenticate(&request, Session::Owner).await? {
                Principal::Link(_) => Err(Problem::forbidden()),
                principal => Ok(Self(principal)),
            }
        })
    }
}

/// The state that all routes share.
pub(super) fn face(request: &HttpRequest) -> Result<web::Data<Face>, Problem> {
    request
        .app_data::<web::Data<Face>>()
        .cloned()
        .ok_or_else(Problem::internal)
}

async fn authenticate(request: &HttpRequest, session: Session) -> Result<Principal, Problem> {
    let face = face(request)?;
    let shown = match bearer(request.headers()) {
        Some(text) => text?.to_owned(),
        None => {
            let secret = session
                .secret(request.headers(), &face.public_url)
                .ok_or_else(Problem::unauthenticated)?;
            if !request.method().is_safe() {
                require_own_origin(request, &face)?;
            }
            secret.to_owned()
        }
    };
    let by_cookie = !request.headers().contains_key(header::AUTHORIZATION);
    let rooms = face.rooms.clone();
    let (principal, secret) = face
        .ask(async move {
            rooms
                .access
                .authenticate(&shown)
                .await
                .map(|principal| (principal, shown))
        })
        .await?;
    if let (true, Principal::Owner(owner)) = (by_cookie, &principal)
        && owner.is_renewed()
        && let Some(end) = owner.expires_at()
    {
        let seconds = (end - face.rooms.clock.now_ms()) / 1000;
        let cookie = session.set(&secret, seconds, &face.public_url);
        request.extensions_mut().insert(RenewedCookie(cookie));
    }
    Ok(principal)
}

/// The text after `Bearer`; an error when there is an `Authorization` of another kind.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, Problem>> {
    let value = headers.get(header::AUTHORIZATION)?;
    let text = value.to_str().ok().and_then(|text| text.split_once(' '));
    Some(match text {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Problem::unauthenticated()),
    })
}

/// A cookie comes along with whatever page sends a request: what changes something must come from the vault's own pages.
pub(super) fn require_own_origin(request: &HttpRequest, face: &Face) -> Result<(), Problem> {
    let origin = request.headers().get(header::ORIGIN).and_then(|v| v.to_str().ok());
    match origin {
        Some(origin) if face.public_url.is_own_origin(origin) => Ok(()),
        _ => Err(Problem::wrong_origin()),
    }
}

/// Whether a client that redeems something wants a cookie instead of the secret in the body.
pub(super) fn wants_cookie(request: &HttpRequest, face: &Face) -> Result<bool, Problem> {
    let asked = request.headers().get("accept-session").map(|v| v.as_bytes());
    match asked {
        None => Ok(false),
        Some(b"cookie") => require_own_origin(request, face).map(|()| true),
        Some(_) => Err(Problem::bad_header().detail("Accept-Session knows the one word cookie")),
    }
}

/// Whether a request is answered without its body.
pub(super) fn is_head(request: &HttpRequest) -> bool {
    request.method() == Method::HEAD
}
