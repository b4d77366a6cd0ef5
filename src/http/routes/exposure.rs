//! What an owner is told of the buckets: whether strangers get at what is stored, and when that was last proven.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::health::ProblemBody;
use crate::exposure::Standing;
use crate::http::caller::Owner;
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::library::Time;

/// Whether strangers get at what is stored; what is stored is sealed in any case.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ExposureBody {
    /// `private`, `exposed` or `unknown`: that of the worst bucket. A proof that is long ago is `unknown`.
    verdict: &'static str,
    /// When everything was last proven private; none if it never was.
    #[schema(value_type = Option<String>, format = DateTime)]
    private_at: Option<Time>,
    /// Since when strangers get at something, where they do.
    #[schema(value_type = Option<String>, format = DateTime)]
    open_since: Option<Time>,
    /// New clips are refused for it; those that are stored can be read.
    uploads_wait: bool,
    /// The service's time at which this was so.
    #[schema(value_type = String, format = DateTime)]
    at: Time,
}

impl From<Standing> for ExposureBody {
    fn from(standing: Standing) -> Self {
        Self {
            verdict: standing.verdict.as_str(),
            private_at: standing.private_at.map(Time),
            open_since: standing.open_since.map(Time),
            uploads_wait: standing.is_withholding,
            at: Time(standing.at),
        }
    }
}

/// Whether strangers get at what is stored.
#[utoipa::path(
    get, path = "/v1/exposure", tag = "account",
    responses((status = 200, body = ExposureBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn get(face: web::Data<Face>, Owner(_session): Owner) -> Result<HttpResponse, Problem> {
    let known = face.rooms.exposure.clone();
    let standing = face.ask(async move { known.standing().await }).await?;
    Ok(HttpResponse::Ok().json(ExposureBody::from(standing)))
}
