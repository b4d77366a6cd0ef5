//! An owner's clips: listed, watched, trashed, restored, erased.

use actix_web::{HttpRequest, HttpResponse, web};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::health::ProblemBody;
use super::{id, query};
use crate::access::OwnerSession;
use crate::http::caller::Owner;
use crate::http::face::Face;
use crate::http::media;
use crate::http::problem::Problem;
use crate::library::{ClipPage, ClipView, ErasureView, ListQuery, What};
use crate::model::ClipId;

/// Which clips to list.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct ListParams {
    /// At most this many; 24 when absent, 100 at most.
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Recorded at this time or later (RFC 3339).
    from: Option<String>,
    /// Recorded at this time or earlier (RFC 3339).
    to: Option<String>,
    /// Sent by this vehicle.
    device: Option<String>,
    /// `trashed`: those in the trash instead of those that are not.
    state: Option<String>,
}

/// How to delete.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct DeleteParams {
    /// Erase at once, instead of after seven days in the trash.
    now: Option<bool>,
}

/// The owner's clips, newest first.
#[utoipa::path(
    get, path = "/v1/clips", tag = "clips", params(ListParams),
    responses((status = 200, body = ClipPage), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn list(
    face: web::Data<Face>,
    Owner(session): Owner,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let asked: ListParams = query(&request)?;
    let wrong = |field: &'static str| {
        Problem::bad_query()
            .with("field", field)
            .detail(format!("{field} cannot be read"))
    };
    let trashed = match asked.state.as_deref() {
        None => false,
        Some("trashed") => true,
        Some(_) => return Err(wrong("state")),
    };
    let device = match &asked.device {
        Some(text) => Some(text.parse().map_err(|_| wrong("device"))?),
        None => None,
    };
    let asked = ListQuery {
        limit: asked.limit,
        cursor: asked.cursor,
        from: time(asked.from.as_deref()).map_err(|()| wrong("from"))?,
        to: time(asked.to.as_deref()).map_err(|()| wrong("to"))?,
        device,
        trashed,
    };
    let rooms = face.rooms.clone();
    let page = face
        .ask(async move { rooms.library.list(&session, &asked).await })
        .await?;
    Ok(HttpResponse::Ok().json(page))
}

/// One clip.
#[utoipa::path(
    get, path = "/v1/clips/{id}", tag = "clips", params(("id" = String, Path)),
    responses((status = 200, body = ClipView), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn get(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let rooms = face.rooms.clone();
    shown(
        face.ask(async move { rooms.library.clip(&session, clip).await })
            .await?,
    )
}

/// Moves a clip to the trash for seven days, or erases it at once.
#[utoipa::path(
    delete, path = "/v1/clips/{id}", tag = "clips", params(("id" = String, Path), DeleteParams),
    responses((status = 200, body = ClipView), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn delete(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let now = query::<DeleteParams>(&request)?.now.unwrap_or(false);
    let rooms = face.rooms.clone();
    let deleted = async move {
        if now {
            rooms.library.erase_now(&session, clip).await
        } else {
            rooms.library.trash(&session, clip).await
        }
    };
    shown(face.ask(deleted).await?)
}

/// Whether a clip is erased, and the signed receipt of it: also when the clip itself is not there any more.
#[utoipa::path(
    get, path = "/v1/clips/{id}/erasure", tag = "clips", params(("id" = String, Path)),
    responses((status = 200, body = ErasureView), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn erasure(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let rooms = face.rooms.clone();
    let erasure = face
        .ask(async move { rooms.library.clip_erasure(&session, clip).await })
        .await?;
    Ok(HttpResponse::Ok().json(erasure.ok_or_else(Problem::not_found)?))
}

/// Takes a clip out of the trash.
#[utoipa::path(
    post, path = "/v1/clips/{id}/restore", tag = "clips", params(("id" = String, Path)),
    responses((status = 200, body = ClipView), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn restore(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(&clip)?;
    let rooms = face.rooms.clone();
    shown(
        face.ask(async move { rooms.library.restore(&session, clip).await })
            .await?,
    )
}

/// The uploaded bytes, exactly.
#[utoipa::path(
    get, path = "/v1/clips/{id}/original", tag = "media", params(("id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 206), (status = 304), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn original(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    watch(face, session, &clip, What::Original, request).await
}

/// A still picture of a clip.
#[utoipa::path(
    get, path = "/v1/clips/{id}/poster.jpg", tag = "media", params(("id" = String, Path)),
    responses((status = 200, content_type = "image/jpeg"), (status = 206), (status = 304), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn poster(
    face: web::Data<Face>,
    Owner(session): Owner,
    clip: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    watch(face, session, &clip, What::Poster, request).await
}

/// A rendition as an ordinary MP4.
#[utoipa::path(
    get, path = "/v1/clips/{id}/renditions/{name}.mp4", tag = "media",
    params(("id" = String, Path), ("name" = String, Path)),
    responses((status = 200, content_type = "video/mp4"), (status = 206), (status = 304), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn rendition(
    face: web::Data<Face>,
    Owner(session): Owner,
    path: web::Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (clip, name) = path.into_inner();
    watch(face, session, &clip, What::Rendition(id(&name)?), request).await
}

/// HLS: `main.m3u8` and what it names.
#[utoipa::path(
    get, path = "/v1/clips/{id}/hls/{file}", tag = "media", params(("id" = String, Path), ("file" = String, Path)),
    responses((status = 200, content_type = "application/vnd.apple.mpegurl"), (status = 206), (status = 304), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn hls(
    face: web::Data<Face>,
    Owner(session): Owner,
    path: web::Path<(String, String)>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let (clip, file) = path.into_inner();
    let what = What::from_hls_file(&file).ok_or_else(Problem::not_found)?;
    watch(face, session, &clip, what, request).await
}

async fn watch(
    face: web::Data<Face>,
    session: OwnerSession,
    clip: &str,
    what: What,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let clip: ClipId = id(clip)?;
    let rooms = face.rooms.clone();
    let grant = face
        .ask(async move { rooms.access.grant_owner(&session, clip).await })
        .await?;
    media::send(face, request, grant.ok_or_else(Problem::not_found)?, what).await
}

fn shown(clip: Option<ClipView>) -> Result<HttpResponse, Problem> {
    clip.map(|clip| HttpResponse::Ok().json(clip))
        .ok_or_else(Problem::not_found)
}

/// An RFC 3339 time in milliseconds.
fn time(text: Option<&str>) -> Result<Option<i64>, ()> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => text
            .parse::<Timestamp>()
            .map(|t| Some(t.as_millisecond()))
            .map_err(|_| ()),
    }
}
