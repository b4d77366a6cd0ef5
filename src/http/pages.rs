//! The web pages, embedded in the program: the owner's app and the insurer's page.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Resource, web};
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

/// The resources of the pages.
pub(super) fn resources() -> Vec<Resource> {
    let page = |path: &str, name: &'static str| {
        web::resource(path.to_owned())
            .route(web::get().to(move |request: HttpRequest| answer(request, name, StatusCode::OK)))
    };
    let mut resources: Vec<_> = APP_PATHS.iter().map(|path| page(path, "index.html")).collect();
    resources.push(page("/s/{id}", "share.html"));
    resources.push(page("/favicon.svg", "favicon.svg"));
    resources.push(web::resource("/assets/{file}").route(web::get().to(asset)));
    resources
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
