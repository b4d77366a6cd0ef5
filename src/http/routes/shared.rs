//! What the holder of a link sees, with nothing but the link's session.

use actix_web::{HttpRequest, HttpResponse, web};

use super::health::ProblemBody;
use super::id;
use crate::access::LinkSession;
use crate::http::caller::Viewer;
use crate::http::face::Face;
use crate::http::media;
use crate::http::problem::Problem;
use crate::library::{SharedView, What};

/// What the link shows, and whether it can be watched yet.
#[utoipa::path(
    get, path = "/v1/shared", tag = "shared",
    responses((status = 200, body = SharedView), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn get(face: web::Data<Face>, Viewer(session): Viewer) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    let shared = face.ask(async move { rooms.library.shared(&session).await }).await?;
    Ok(HttpResponse::Ok().json(shared))
}

/// A still picture from the span.
#[utoipa::path(
    get, path = "/v1/shared/poster.jpg", tag = "shared",
    responses((status = 200, content_type = "image/jpeg"), (status = 206), (status = 304), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn poster(
    face: web::Data<Face>,
    Viewer(session): Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    watch(face, session, What::Poster, request).await
}

/// The span as an ordinary MP4.
#[utoipa::path(
    get, path = "/v1/shared/renditions/{name}.mp4", tag = "shared", params(("name" = String, Path)),
    responses((status = 200, content_type = "video/mp4"), (status = 206), (status = 304), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn rendition(
    face: web::Data<Face>,
    Viewer(session): Viewer,
    name: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    watch(face, session, What::Rendition(id(&name)?), request).await
}

/// HLS of the span: `main.m3u8` and what it names.
#[utoipa::path(
    get, path = "/v1/shared/hls/{file}", tag = "shared", params(("file" = String, Path)),
    responses((status = 200, content_type = "application/vnd.apple.mpegurl"), (status = 206), (status = 304), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn hls(
    face: web::Data<Face>,
    Viewer(session): Viewer,
    file: web::Path<String>,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let what = What::from_hls_file(&file).ok_or_else(Problem::not_found)?;
    watch(face, session, what, request).await
}

async fn watch(
    face: web::Data<Face>,
    session: LinkSession,
    what: What,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    let grant = face.ask(async move { rooms.access.grant_link(&session).await }).await?;
    media::send(face, request, grant, what).await
}
