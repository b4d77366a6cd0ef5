//! Every route: its method, its path, who may call it, and the function that answers.
//!
//! One table is read by the router, by the answer to a wrong method, and by the tests that ask each route as everybody who
//! may not.

mod account;
mod clips;
mod concat;
mod devices;
pub(super) mod digests;
mod exposure;
mod health;
mod links;
mod policy;
mod resumable;
mod session;
mod shared;
mod uploads;
mod usage;
mod wishes;

use std::str::FromStr;

use actix_web::dev::ResourceDef;
use actix_web::guard;
use actix_web::http::{Method, header};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route};
use serde::de::DeserializeOwned;

use super::pages;
use super::problem::Problem;

pub(super) use health::admin;
pub use policy::{Share, VehiclePolicy};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Anybody: what is shown is in the body, or there is nothing to protect.
    Anybody,
    /// An owner.
    Owner,
    /// An owner or a vehicle.
    Uploader,
    /// The holder of a link's session.
    Viewer,
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct RouteLine {
    /// The method.
    pub method: &'static str,
    /// The path, with its parameters in braces.
    pub path: &'static str,
    /// Who may call it.
    pub who: Who,
}

macro_rules! routes {
    ($($method:ident $path:literal $who:ident $answer:path;)*) => {
        /// Every route of the API.
        pub const ROUTES: &[RouteLine] = &[
            $(RouteLine { method: stringify!($method), path: $path, who: Who::$who },)*
        ];

        fn add_routes(config: &mut ServiceConfig) {
            $(config.route($path, route(Method::$method).to($answer));)*
        }
    };
}

routes! {
    POST    "/v1/session"                           Anybody  session::sign_in;
    DELETE  "/v1/session"                           Owner    session::sign_out;
    POST    "/v1/devices/pairing-codes"             Owner    devices::make_pairing_code;
    POST    "/v1/devices"                           Anybody  devices::pair;
    GET     "/v1/devices"                           Owner    devices::list;
    GET     "/v1/devices/{id}"                      Owner    devices::get;
    PATCH   "/v1/devices/{id}"                      Owner    devices::rename;
    DELETE  "/v1/devices/{id}"                      Owner    devices::revoke;
    GET     "/v1/vehicle/policy"                    Uploader policy::get;
    POST    "/v1/vehicle/key"                       Uploader devices::announce_key;
    POST    "/v1/vehicle/wishes/{id}"               Uploader wishes::answer;
    OPTIONS "/v1/uploads"                           Anybody  uploads::options;
    POST    "/v1/uploads"                           Uploader uploads::create;
    OPTIONS "/v1/uploads/{id}"                      Anybody  uploads::options;
    HEAD    "/v1/uploads/{id}"                      Uploader uploads::status;
    PATCH   "/v1/uploads/{id}"                      Uploader uploads::append;
    DELETE  "/v1/uploads/{id}"                      Uploader uploads::terminate;
    GET     "/v1/uploads/{id}/receipt"              Uploader uploads::receipt;
    GET     "/v1/receipt-keys"                      Anybody  uploads::receipt_keys;
    GET     "/v1/clips"                             Owner    clips::list;
    GET     "/v1/clips/{id}"                        Owner    clips::get;
    DELETE  "/v1/clips/{id}"                        Owner    clips::delete;
    GET     "/v1/clips/{id}/erasure"                Owner    clips::erasure;
    POST    "/v1/clips/{id}/restore"                Owner    clips::restore;
    POST    "/v1/clips/{id}/wish"                   Owner    wishes::make;
    GET     "/v1/clips/{id}/wish"                   Owner    wishes::get;
    DELETE  "/v1/clips/{id}/wish"                   Owner    wishes::take_back;
    GET     "/v1/clips/{id}/original"               Owner    clips::original;
    GET     "/v1/clips/{id}/poster.jpg"             Owner    clips::poster;
    GET     "/v1/clips/{id}/renditions/{name}.mp4"  Owner    clips::rendition;
    GET     "/v1/clips/{id}/hls/{file}"             Owner    clips::hls;
    POST    "/v1/clips/{id}/links"                  Owner    links::make;
    GET     "/v1/links"                             Owner    links::list;
    DELETE  "/v1/links/{id}"                        Owner    links::revoke;
    POST    "/v1/links/redeem"                      Anybody  links::redeem;
    GET     "/v1/shared"                            Viewer   shared::get;
    GET     "/v1/shared/poster.jpg"                 Viewer   shared::poster;
    GET     "/v1/shared/renditions/{name}.mp4"      Viewer   shared::rendition;
    GET     "/v1/shared/hls/{file}"                 Viewer   shared::hls;
    GET     "/v1/activity"                          Owner    account::activity;
    GET     "/v1/me"                                Owner    account::me;
    GET     "/v1/usage"                             Owner    usage::get;
    GET     "/v1/exposure"                          Owner    exposure::get;
    DELETE  "/v1/me"                                Owner    account::erase;
    GET     "/v1/erasures/{id}"                     Anybody  account::erasure;
    GET     "/livez"                                Anybody  health::livez;
    GET     "/readyz"                               Anybody  health::readyz;
    GET     "/openapi.json"                         Anybody  health::openapi;
}

/// Puts routes and pages in.
pub(super) fn configure(config: &mut ServiceConfig) {
    add_routes(config);
    pages::configure(config, || route(Method::GET));
    config.default_service(web::to(unknown));
}

/// A GET is a HEAD too (RFC 9110, 9.3.2): the server leaves the body out.
fn route(method: Method) -> Route {
    if method == Method::GET {
        web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
    } else {
        web::method(method)
    }
}

/// 405 where other methods are known, a page for people, else 404.
async fn unknown(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let mut allowed: Vec<Method> = Vec::new();
    for line in ROUTES
        .iter()
        .filter(|line| ResourceDef::new(line.path).is_match(request.path()))
    {
        let method = Method::from_str(line.method).map_err(|_| Problem::internal())?;
        if method == Method::GET {
            allowed.push(Method::HEAD);
        }
        allowed.push(method);
    }
    if pages::paths().any(|path| ResourceDef::new(path).is_match(request.path())) {
        allowed.extend([Method::HEAD, Method::GET]);
    }
    if !allowed.is_empty() {
        return Err(Problem::method_not_allowed_but(&allowed));
    }
    let accepts = request
        .headers()
        .get(header::ACCEPT)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    let for_people =
        request.method() == Method::GET && accepts.contains("text/html") && !request.path().starts_with("/v1/");
    if for_people {
        return pages::lost(request).await;
    }
    Err(Problem::not_found())
}

/// An id of the path. What is no id names nothing.
fn id<T: FromStr>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| Problem::not_found())
}

/// The query's parameters, each of which may be left out.
fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let read = |text: &str| web::Query::<T>::from_query(text).map(web::Query::into_inner);
    let text = request.query_string();
    read(text).map_err(|_| {
        // The one that cannot be read by itself; none when it is the same one twice.
        let wrong = text.split('&').find(|part| read(part).is_err());
        match wrong.and_then(|part| part.split('=').next()) {
            // A name of ours: what we do not know is passed over, and never wrong.
            Some(field) => Problem::bad_query()
                .with("field", field)
                .detail(format!("{field} cannot be read")),
            None => Problem::bad_query().detail("a parameter stands there twice"),
        }
    })
}
