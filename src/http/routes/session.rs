//! Signing in by a one-time link, and out.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::http::body;
use crate::http::caller::{Owner, wants_cookie};
use crate::http::cookies::Session;
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::library::Time;
use crate::model::OwnerId;

/// A sign-in link's token, or a link's.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct TokenBody {
    /// What stands after the `#` of the link.
    pub(super) token: String,
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct SessionBody {
    /// The session's secret, for `Authorization: Bearer`; left out where a cookie was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<String>,
    /// Who signed in.
    #[schema(value_type = String)]
    owner_id: OwnerId,
    /// When the session ends.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Time>,
}

/// Redeems a one-time sign-in link's token.
#[utoipa::path(
    post, path = "/v1/session", tag = "session", request_body = TokenBody,
    params(("Accept-Session" = Option<String>, Header, description = "`cookie`: the session comes as a cookie and not in the body; only from the vault's own pages")),
    responses((status = 200, body = SessionBody), (status = "4XX", body = super::health::ProblemBody))
)]
pub(in crate::http) async fn sign_in(
    face: web::Data<Face>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let cookie = wants_cookie(&request, &face)?;
    let TokenBody { token } = body::json(&request, payload).await?;
    let rooms = face.rooms.clone();
    let signed_in = face
        .ask(async move { rooms.access.redeem_sign_in(&token).await })
        .await?;
    let expires_at = signed_in.session.expires_at();
    let mut response = HttpResponse::Ok();
    let mut session = None;
    if cookie {
        let left_ms = expires_at.map_or(0, |end| end - face.rooms.clock.now_ms());
        response.insert_header((
            header::SET_COOKIE,
            Session::Owner.set(&signed_in.secret, left_ms / 1000, &face.public_url),
        ));
    } else {
        session = Some(signed_in.secret);
    }
    Ok(response.json(SessionBody {
        session,
        owner_id: signed_in.session.owner(),
        expires_at: expires_at.map(Time),
    }))
}

/// Ends the session, or gives up the API token, that the request shows.
#[utoipa::path(
    delete, path = "/v1/session", tag = "session",
    responses((status = 204), (status = "4XX", body = super::health::ProblemBody))
)]
pub(in crate::http) async fn sign_out(face: web::Data<Face>, Owner(session): Owner) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    face.ask(async move { rooms.access.sign_out(&session).await }).await?;
    let mut response = HttpResponse::NoContent();
    response.insert_header((header::SET_COOKIE, Session::Owner.clear(&face.public_url)));
    Ok(response.finish())
}
