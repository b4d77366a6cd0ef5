//! Whether the service lives and is ready, its description for programs, and its numbers for the operator.

use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::{Deserialize, Serialize};
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi, ToSchema};

use super::{account, clips, devices, exposure, links, policy, session, shared, uploads, usage, wishes};
use crate::http::face::Face;
use crate::http::problem::{KINDS, MEDIA_TYPE, Problem};

/// An RFC 9457 problem document.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ProblemBody {
    /// `urn:dashvault:problem:` and a slug that is never renamed.
    r#type: String,
    /// A short sentence, the same for every occurrence.
    title: String,
    /// The HTTP status.
    status: u16,
    /// About this occurrence.
    detail: Option<String>,
    /// The field, header or parameter that is wrong.
    field: Option<String>,
}

/// Whether the parts of the service are ready.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ReadyBody {
    ready: bool,
    /// Ready, and a part that the service can spare for a while is not: some requests are answered 503.
    degraded: bool,
    /// Each part, with `ok` or what is wrong.
    parts: std::collections::BTreeMap<&'static str, String>,
}

/// The process answers.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, description = "It lives")))]
pub(in crate::http) async fn livez() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("alive\n")
}

/// Catalogue, store, root key and worker answer; and whether strangers get at what is stored, which makes nothing unready.
#[utoipa::path(
    get, path = "/readyz", tag = "health",
    responses((status = 200, body = ReadyBody), (status = 503, body = ReadyBody))
)]
pub(in crate::http) async fn readyz(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let readiness = face.readiness.clone();
    let parts = face.ask(async move { Ok::<_, Problem>(readiness().await) }).await?;
    let ready = parts.iter().all(|part| part.fault.is_none() || part.is_spared) && !face.ending.is_cancelled();
    let degraded = ready && parts.iter().any(|part| part.fault.is_some());
    face.metrics.set_ready(ready, degraded);
    let parts = parts
        .into_iter()
        .map(|part| (part.name, part.fault.unwrap_or_else(|| "ok".to_owned())))
        .collect();
    let mut response = if ready {
        HttpResponse::Ok()
    } else {
        HttpResponse::ServiceUnavailable()
    };
    Ok(response.json(ReadyBody { ready, degraded, parts }))
}

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "health", responses((status = 200, description = "OpenAPI 3.1")))]
pub(in crate::http) async fn openapi() -> Result<HttpResponse, Problem> {
    let text = openapi_document().to_json().map_err(|_| Problem::internal())?;
    Ok(HttpResponse::Ok().content_type("application/json").body(text))
}

/// The routes of the admin listener, which only the operator reaches.
pub(in crate::http) fn admin(config: &mut ServiceConfig) {
    config
        .route("/metrics", web::get().to(metrics))
        .route("/attestations", web::get().to(attestations))
        .route("/livez", web::get().to(livez))
        .route("/readyz", web::get().to(readyz))
        .default_service(web::to(|_: HttpRequest| async {
            Err::<HttpResponse, _>(Problem::not_found())
        }));
}

/// Which statements are asked for.
#[derive(Deserialize)]
struct After {
    /// The number of the last one that is known.
    after: Option<u64>,
}

/// The chain of signed statements from one on, a line each, some at once: ask again after the last one.
async fn attestations(face: web::Data<Face>, asked: web::Query<After>) -> Result<HttpResponse, Problem> {
    let give = face.attestations.clone().ok_or_else(Problem::not_found)?;
    let after = asked.after.unwrap_or(0);
    let lines = face.ask(async move { Ok::<_, Problem>(give(after).await) }).await?;
    let lines = lines.ok_or_else(Problem::unavailable)?;
    let body: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Ok(HttpResponse::Ok().content_type("application/jsonl").body(body))
}

async fn metrics(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let readings = match face.readings.clone() {
        Some(readings) => face.ask(async move { Ok::<_, Problem>(readings().await) }).await?,
        None => Vec::new(),
    };
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(face.metrics.text(readings)))
}

/// The OpenAPI description, made from the routes' own.
pub(in crate::http) fn openapi_document() -> Document {
    #[derive(OpenApi)]
    #[openapi(
        info(title = "dashvault", description = "An encrypted dashcam video vault", license(name = "Apache-2.0", identifier = "Apache-2.0")),
        paths(
            session::sign_in, session::sign_out,
            devices::make_pairing_code, devices::pair, devices::list, devices::get, devices::rename, devices::revoke,
            devices::announce_key,
            policy::get,
            wishes::make, wishes::get, wishes::take_back, wishes::answer,
            uploads::options, uploads::options_of_one, uploads::create, uploads::status, uploads::append, uploads::terminate,
            uploads::receipt, uploads::receipt_keys,
            clips::list, clips::get, clips::delete, clips::erasure, clips::restore, clips::original, clips::poster, clips::rendition, clips::hls,
            links::make, links::list, links::revoke, links::redeem,
            shared::get, shared::poster, shared::rendition, shared::hls,
            account::activity, usage::get, exposure::get, account::me, account::erase, account::erasure,
            livez, readyz, openapi,
        ),
        modifiers(&Finish)
    )]
    struct Description;
    Description::openapi()
}

/// Adds what no single route can say: how callers show who they are, the problems there are.
struct Finish;

impl Modify for Finish {
    fn modify(&self, document: &mut Document) {
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .description(Some(
                        "An owner's token or session, a vehicle's signed token, or a link's session",
                    ))
                    .build(),
            ),
        );
        components.add_security_scheme(
            "owner_cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-dashvault-owner"))),
        );
        components.add_security_scheme(
            "link_cookie",
            SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-dashvault-link"))),
        );
        let problems: Vec<_> = KINDS
            .iter()
            .map(|k| format!("`{}` ({}): {}", k.slug, k.status, k.title))
            .collect();
        let text = format!(
            "An encrypted dashcam video vault. Refusals are `{MEDIA_TYPE}` documents; the last part of their type is one of:\n\n{}",
            problems.join("\n")
        );
        document.info.description = Some(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::ROUTES;
    use std::collections::BTreeSet;

    #[test]
    fn the_description_has_every_route_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(&openapi_document().to_json().unwrap()).unwrap();
        assert!(
            document["openapi"].as_str().unwrap().starts_with("3.1"),
            "{}",
            document["openapi"]
        );
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
        let routes: BTreeSet<_> = ROUTES.iter().map(|r| format!("{} {}", r.method, r.path)).collect();
        assert_eq!(described, routes);
    }
}
