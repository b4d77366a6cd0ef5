//! The web pages, embedded in the program: the owner's app and the insurer's page.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::{Bytes, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route, web};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::problem::Problem;
use super::security;

/// Paths that the app routes itself (web/src/app/route.ts).
const APP_PATHS: &[&str] = &[
    "/",
    "/index.html",
    "/clips",
    "/clips/{id}",
    "/links",
    "/activity",
    "/vehicles",
    "/trash",
    "/account",
    "/sign-in",
];
/// A page names its files by hash, so it is asked for anew each time, and they never are.
const ANEW: &str = "no-cache";
const FOREVER: &str = "public, max-age=31536000, immutable";

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Files;

/// The insurer's page, its files, and the picture of the tab.
const SHARE_PATH: &str = "/s/{id}";
const ASSET_PATH: &str = "/assets/{file}";
const ICON_PATH: &str = "/favicon.svg";

/// Every path of the pages; all of them know GET and HEAD.
pub(super) fn paths() -> impl Iterator<Item = &'static str> {
    APP_PATHS.iter().copied().chain([SHARE_PATH, ASSET_PATH, ICON_PATH])
}

/// Puts the pages in.
pub(super) fn configure(config: &mut ServiceConfig, route: impl Fn() -> Route) {
    for path in paths() {
        let route = route();
        let route = match path {
            ASSET_PATH => route.to(asset),
            SHARE_PATH => route.to(|request| answer(request, "share.html", StatusCode::OK)),
            ICON_PATH => route.to(|request| answer(request, "favicon.svg", StatusCode::OK)),
            _ => route.to(|request| answer(request, "index.html", StatusCode::OK)),
        };
        config.route(path, route);
    }
}

/// What a person sees who asks for a page that is not there.
pub(super) async fn lost(request: HttpRequest) -> Result<HttpResponse, Problem> {
    answer(request, "index.html", StatusCode::NOT_FOUND).await
}

async fn asset(request: HttpRequest, file: web::Path<String>) -> Result<HttpResponse, Problem> {
    let name = format!("assets/{file}");
    let file = Files::get(&name).ok_or_else(Problem::not_found)?;
    Ok(respond(&request, &name, file, StatusCode::OK, FOREVER))
}

async fn answer(request: HttpRequest, name: &'static str, status: StatusCode) -> Result<HttpResponse, Problem> {
    let file = Files::get(name).ok_or_else(Problem::not_found)?;
    Ok(respond(&request, name, file, status, ANEW))
}

fn respond(
    request: &HttpRequest,
    name: &str,
    file: EmbeddedFile,
    status: StatusCode,
    caching: &'static str,
) -> HttpResponse {
    let tag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CACHE_CONTROL, caching)).insert_header((
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(security::PAGE_POLICY),
    ));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.insert_header((header::ETAG, tag));
    }
    let known = request
        .headers()
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok());
    if status.is_success() && known.is_some_and(|known| known.split(',').any(|t| t.trim() == tag)) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    response.insert_header((header::CONTENT_TYPE, media_type(name)));
    response.body(Bytes::from(file.data.into_owned()))
}

/// The kinds of files that the build of the pages leaves.
fn media_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, extension)| extension) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
