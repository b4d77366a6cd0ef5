//! Wishes: an owner asks the vehicle for the rest of a clip of which the small rendition came; the vehicle answers.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::health::ProblemBody;
use super::id;
use crate::access::{Principal, Wish};
use crate::http::body;
use crate::http::caller::{Owner, Uploader};
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::library::Time;
use crate::model::{ClipId, WishState};

/// What an owner asked a vehicle for.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WishBody {
    /// The clip of which there is more on the vehicle.
    #[schema(value_type = String)]
    clip_id: ClipId,
    /// `open`, `come`, `missing` (the vehicle does not hold it) or `expired`.
    state: &'static str,
    /// The clip that came for it.
    #[schema(value_type = Option<String>)]
    answer_clip_id: Option<ClipId>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Time,
    /// It ends by itself then.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
    /// When the vehicle first heard of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    told_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    answered_at: Option<Time>,
}

/// A vehicle's answer to a wish.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct WishAnswerBody {
    /// The clip that came for it; none when the vehicle does not hold what was asked for.
    #[schema(value_type = Option<String>)]
    clip_id: Option<ClipId>,
}

impl From<Wish> for WishBody {
    fn from(wish: Wish) -> Self {
        Self {
            clip_id: wish.clip,
            state: wish.state.map_or("expired", WishState::as_str),
            answer_clip_id: wish.answer,
            created_at: Time(wish.created_at),
            expires_at: Time(wish.expires_at),
            told_at: wish.told_at.map(Time),
            answered_at: wish.answered_at.map(Time),
        }
    }
}

/// Asks the vehicle that sent this clip for the rest of it, before everything else: the full clip, where this is its small
/// rendition. While such a wish is open, another is the same.
#[utoipa::path(
    post, path = "/v1/clips/{id}/wish", tag = "vehicles", params(("id" = String, Path)),
    responses((status = 200, body = WishBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn make(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let rooms = face.rooms.clone();
    let made = face
        .ask(async move { rooms.access.make_wish(&session, clip).await })
        .await?;
    Ok(HttpResponse::Ok().json(WishBody::from(made)))
}

/// What became of the wish with this clip.
#[utoipa::path(
    get, path = "/v1/clips/{id}/wish", tag = "vehicles", params(("id" = String, Path)),
    responses((status = 200, body = WishBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn get(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let rooms = face.rooms.clone();
    let found = face.ask(async move { rooms.access.wish(&session, clip).await }).await?;
    let found = found.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(WishBody::from(found)))
}

/// Takes a wish back.
#[utoipa::path(
    delete, path = "/v1/clips/{id}/wish", tag = "vehicles", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn take_back(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let rooms = face.rooms.clone();
    face.ask(async move { rooms.access.take_wish_back(&session, clip).await })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A vehicle's answer to a wish of its policy: what came for it, or that it does not hold it. 404 when nobody wishes it any
/// more.
#[utoipa::path(
    post, path = "/v1/vehicle/wishes/{id}", tag = "vehicles", request_body = WishAnswerBody,
    params(("id" = String, Path, description = "The clip that the policy names")),
    responses((status = 204), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn answer(
    face: web::Data<Face>,
    Uploader(principal): Uploader,
    clip: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    // No owner has a policy that names a wish.
    let Principal::Device(session) = principal else {
        return Err(Problem::not_found());
    };
    let clip: ClipId = id(&clip)?;
    let WishAnswerBody { clip_id } = body::json(&request, payload).await?;
    let rooms = face.rooms.clone();
    face.ask(async move { rooms.access.answer_wish(&session, clip, clip_id).await })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}
