//! Signed links: made, listed and revoked by their owner, redeemed by their holder.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::health::ProblemBody;
use super::session::TokenBody;
use super::{id, query};
use crate::access::{Link, LinkSpan, LinkWish};
use crate::http::body;
use crate::http::caller::{Owner, wants_cookie};
use crate::http::cookies::Session;
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::library::{SharedView, Time};
use crate::model::{ClipId, LinkId, Place};

/// Links of a page when nothing is said.
const DEFAULT_PAGE: u32 = 100;
/// How often a link may be opened when nothing is said.
const DEFAULT_OPENS: u32 = 10;

/// What an owner wants to share.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct LinkWishBody {
    /// For whom; shown to the owner alone.
    recipient: String,
    /// At least 1, at most 30 days.
    expires_in_s: u64,
    /// Begin of the span in the clip.
    from_ms: u64,
    /// End of the span in the clip.
    to_ms: u64,
    /// With sound.
    #[serde(default)]
    audio: bool,
    /// With the places of the span.
    #[serde(default)]
    location: bool,
    /// Whether the page offers a download.
    #[serde(default)]
    download: bool,
    /// How often it may be opened.
    #[serde(default = "default_opens")]
    max_opens: u32,
}

fn default_opens() -> u32 {
    DEFAULT_OPENS
}

/// A new link.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LinkMadeBody {
    #[schema(value_type = String)]
    id: LinkId,
    /// To be sent to the recipient. Its secret stands after the `#` and is not kept.
    url: String,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
    /// `preparing`: its media are being made.
    state: &'static str,
}

/// A link, for its owner.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LinkBody {
    #[schema(value_type = String)]
    id: LinkId,
    #[schema(value_type = String)]
    clip_id: ClipId,
    /// `preparing`, `ready`, `failed`, `revoked`, `expired` or `used_up`.
    state: &'static str,
    recipient: Option<String>,
    from_ms: Option<u64>,
    to_ms: Option<u64>,
    audio: bool,
    location: bool,
    download: bool,
    opens: u32,
    max_opens: u32,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Time>,
}

/// Which links to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct LinkListParams {
    /// At most this many; 100 when absent, 1,000 at most.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of an owner's links.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct LinkListBody {
    /// Newest first.
    links: Vec<LinkBody>,
    /// Brings the next page; none after the last.
    next_cursor: Option<String>,
}

/// A link that was redeemed.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RedeemedBody {
    /// The session's secret, for `Authorization: Bearer`; left out where a cookie was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    #[serde(flatten)]
    shared: SharedView,
}

impl From<Link> for LinkBody {
    fn from(link: Link) -> Self {
        let span = link.span;
        Self {
            id: link.id,
            clip_id: link.clip,
            state: link.state.as_str(),
            recipient: link.recipient,
            from_ms: span.map(|s| s.from_ms),
            to_ms: span.map(|s| s.to_ms),
            audio: span.is_some_and(|s| s.audio),
            location: span.is_some_and(|s| s.location),
            download: span.is_some_and(|s| s.download),
            opens: link.opens,
            max_opens: link.max_opens,
            created_at: Time(link.created_at),
            expires_at: Time(link.expires_at),
            revoked_at: link.revoked_at.map(Time),
        }
    }
}

/// Makes a link to a span of a clip.
#[utoipa::path(
    post, path = "/v1/clips/{id}/links", tag = "links", params(("id" = String, Path)), request_body = LinkWishBody,
    responses((status = 201, body = LinkMadeBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn make(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let wish: LinkWishBody = body::json(&request, payload).await?;
    let wish = LinkWish {
        recipient: wish.recipient,
        expires_in_s: wish.expires_in_s,
        span: LinkSpan {
            from_ms: wish.from_ms,
            to_ms: wish.to_ms,
            audio: wish.audio,
            location: wish.location,
            download: wish.download,
        },
        max_opens: wish.max_opens,
    };
    let rooms = face.rooms.clone();
    let made = face
        .ask(async move { rooms.access.make_link(&session, clip, wish).await })
        .await?;
    Ok(HttpResponse::Created().json(LinkMadeBody {
        id: made.id,
        url: face.public_url.join(&format!("/s/{}#{}", made.id, made.token)),
        expires_at: Time(made.expires_at),
        state: made.state.as_str(),
    }))
}

/// The owner's links.
#[utoipa::path(
    get, path = "/v1/links", tag = "links", params(LinkListParams),
    responses((status = 200, body = LinkListBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn list(
    face: web::Data<Face>,
    Owner(session): Owner,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked: LinkListParams = query(&request)?;
    let limit = asked.limit.unwrap_or(DEFAULT_PAGE);
    let after: Option<Place<LinkId>> = asked.cursor.as_deref().map(str::parse).transpose()?;
    let rooms = face.rooms.clone();
    let page = face
        .ask(async move { rooms.access.links(&session, after, limit).await })
        .await?;
    Ok(HttpResponse::Ok().json(LinkListBody {
        links: page.links.into_iter().map(LinkBody::from).collect(),
        next_cursor: page.next.map(|place| place.to_string()),
    }))
}

/// Revokes a link: its next request is refused.
#[utoipa::path(
    delete, path = "/v1/links/{id}", tag = "links", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn revoke(
    face: web::Data<Face>,
    Owner(session): Owner,
    link: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let link: LinkId = id(&link)?;
    let rooms = face.rooms.clone();
    face.ask(async move { rooms.access.revoke_link(&session, link).await })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Redeems a link's token and counts the opening.
#[utoipa::path(
    post, path = "/v1/links/redeem", tag = "links", request_body = TokenBody,
    params(("Accept-Session" = Option<String>, Header, description = "`cookie`: the session comes as a cookie and not in the body; only from the vault's own pages")),
    responses((status = 200, body = RedeemedBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn redeem(
    face: web::Data<Face>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let cookie = wants_cookie(&request, &face)?;
    let TokenBody { token } = body::json(&request, payload).await?;
    let rooms = face.rooms.clone();
    let redeemed = face.ask(async move { rooms.access.redeem_link(&token).await }).await?;
    let left_ms = redeemed.session.expires_at() - face.rooms.clock.now_ms();
    let rooms = face.rooms.clone();
    let shared = face
        .ask(async move { rooms.library.shared(&redeemed.session).await })
        .await?;
    let mut response = HttpResponse::Ok();
    let mut session = None;
    if cookie {
        response.insert_header((
            header::SET_COOKIE,
            Session::Link.set(&redeemed.secret, left_ms / 1000, &face.public_url),
        ));
    } else {
        session = Some(redeemed.secret);
    }
    Ok(response.json(RedeemedBody { session, shared }))
}
