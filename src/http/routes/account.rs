//! The owner's account, and what happened to what is in it.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::health::ProblemBody;
use super::{id, query};
use crate::audit::{ActivityCursor, Happened};
use crate::http::caller::Owner;
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::library::{ErasureView, MeView, Time};
use crate::model::{ClipId, ErasureId, EventId, LinkId};

/// Events of one page when the query names no number, and the most there may be.
const DEFAULT_PAGE: u32 = 50;
const MAX_PAGE: u32 = 200;

/// Which part of the activity to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ActivityParams {
    /// At most this many; 50 when absent, 200 at most.
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct EventBody {
    #[schema(value_type = String)]
    id: EventId,
    #[schema(value_type = String, format = DateTime)]
    at: Time,
    /// A stable word.
    kind: &'static str,
    /// What the kind does not say.
    text: Option<String>,
    #[schema(value_type = Option<String>)]
    clip_id: Option<ClipId>,
    #[schema(value_type = Option<String>)]
    link_id: Option<LinkId>,
    /// When a viewing was last seen to go on.
    #[schema(value_type = String, format = DateTime)]
    last_at: Time,
    /// How many minutes of a viewing were seen.
    count: u64,
}

/// A page of what happened.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ActivityBody {
    /// Newest first.
    events: Vec<EventBody>,
    /// Brings the next page; none after the last.
    next_cursor: Option<String>,
}

impl From<Happened> for EventBody {
    fn from(event: Happened) -> Self {
        Self {
            id: event.id,
            at: Time(event.at),
            kind: event.kind.as_str(),
            text: event.text,
            clip_id: event.clip,
            link_id: event.link,
            last_at: Time(event.last_at),
            count: event.count,
        }
    }
}

/// What happened: signed in, paired, uploaded, viewed, shared, refused, erased.
#[utoipa::path(
    get, path = "/v1/activity", tag = "account", params(ActivityParams),
    responses((status = 200, body = ActivityBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn activity(
    face: web::Data<Face>,
    Owner(session): Owner,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked: ActivityParams = query(&request)?;
    let limit = asked.limit.unwrap_or(DEFAULT_PAGE).clamp(1, MAX_PAGE);
    let after: Option<ActivityCursor> = match &asked.cursor {
        Some(text) => Some(text.parse()?),
        None => None,
    };
    let rooms = face.rooms.clone();
    let page = face
        .ask(async move { rooms.audit.activity(session.owner(), after, limit).await })
        .await?;
    Ok(HttpResponse::Ok().json(ActivityBody {
        events: page.events.into_iter().map(EventBody::from).collect(),
        next_cursor: page.next.map(|cursor| cursor.to_string()),
    }))
}

/// The owner's account.
#[utoipa::path(
    get, path = "/v1/me", tag = "account",
    responses((status = 200, body = MeView), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn me(face: web::Data<Face>, Owner(session): Owner) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    let me = face.ask(async move { rooms.library.me(&session).await }).await?;
    Ok(HttpResponse::Ok().json(me))
}

/// How the receipt of an account's erasure is asked for.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ErasureBody {
    /// For `/v1/erasures/{id}`, which needs no account.
    #[schema(value_type = String)]
    erasure_id: ErasureId,
}

/// Erases the account: every session, vehicle and link is dead at once, and all clips are erased.
#[utoipa::path(
    delete, path = "/v1/me", tag = "account",
    responses((status = 202, body = ErasureBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn erase(face: web::Data<Face>, Owner(session): Owner) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    let erasure_id = face
        .ask(async move { rooms.access.erase_owner(session.owner()).await })
        .await?;
    Ok(HttpResponse::Accepted().json(ErasureBody { erasure_id }))
}

/// Whether an account is erased, and the signed receipt of it; the random id is told by the account's erasure alone.
#[utoipa::path(
    get, path = "/v1/erasures/{id}", tag = "account", params(("id" = String, Path)),
    responses((status = 200, body = ErasureView), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn erasure(
    face: web::Data<Face>,
    erasure: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let erasure: ErasureId = id(&erasure)?;
    let rooms = face.rooms.clone();
    let erasure = face
        .ask(async move { rooms.library.owner_erasure(erasure).await })
        .await?;
    Ok(HttpResponse::Ok().json(erasure.ok_or_else(Problem::not_found)?))
}
