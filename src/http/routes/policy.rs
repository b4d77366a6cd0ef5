//! What vehicles may send over a link that is paid for by the byte, and what their owners wish, as one small document with a tag.
//!
//! A vehicle asks for it again and again, mostly over such a link: what it knows already costs it no body.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::health::ProblemBody;
use crate::access::Principal;
use crate::http::caller::Uploader;
use crate::http::face::Face;
use crate::http::media::knows_tag;
use crate::http::problem::Problem;
use crate::model::ClipId;

/// The form of the document; a client that does not know it keeps to its own defaults.
const VERSION: u32 = 1;
/// The kinds of clip (`kind` of `Upload-Metadata`) that go first and may use the reserve.
const EVENT_KINDS: [&str; 1] = ["event"];
/// How often a vehicle looks whether the document has changed: an owner waits so long, and a month of such questions costs some
/// five megabytes.
const REFRESH_SECS: u32 = 300;

/// How much of a clip may go over a cellular link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Share {
    /// Nothing: it waits for another link.
    None,
    /// Its small rendition only.
    Small,
    /// All of it.
    Full,
}

/// What vehicles may send over a cellular link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VehiclePolicy {
    /// Of events, and of what the owner asked for.
    pub event: Share,
    /// Of everything else.
    pub routine: Share,
    /// Bytes a vehicle may send within a day (UTC).
    pub day_bytes: u64,
    /// Bytes a vehicle may send within a month (UTC).
    pub month_bytes: u64,
    /// So much of either budget is kept for events. At most 100.
    pub event_reserve_percent: u8,
}

/// A vehicle's policy.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PolicyBody {
    /// 1: how the rest is to be read.
    version: u32,
    /// The kinds of clip that are events.
    event_kinds: [&'static str; 1],
    cellular: CellularBody,
    /// What the vehicle's owner asked for, to be sent before everything else: the rest of these clips, which the vehicle has
    /// sent. It answers each (`POST /v1/vehicle/wishes/{clip_id}`).
    wishes: Vec<PolicyWishBody>,
    /// To be asked for again after so many seconds, with `If-None-Match`.
    refresh_secs: u32,
}

/// A wish of the vehicle's owner.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PolicyWishBody {
    /// The clip of which there is more on the vehicle.
    #[schema(value_type = String)]
    clip_id: ClipId,
}

/// What may go over a cellular link. Bytes are those of clips, without headers.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct CellularBody {
    /// Of events, and of what the owner asked for.
    event: Share,
    /// Of everything else.
    routine: Share,
    /// Within a day (UTC).
    day_bytes: u64,
    /// Within a month (UTC).
    month_bytes: u64,
    /// So much of either budget is kept for events.
    event_reserve_percent: u8,
}

impl Default for VehiclePolicy {
    fn default() -> Self {
        Self {
            event: Share::Full,
            routine: Share::Small,
            // Two hours a day of a small rendition of 256 kbit/s, and half of it for events.
            day_bytes: 512 << 20,
            // What a plan of ten gigabytes leaves when headers and all else are paid.
            month_bytes: 8 << 30,
            event_reserve_percent: 50,
        }
    }
}

impl VehiclePolicy {
    fn body(&self, wishes: Vec<ClipId>) -> PolicyBody {
        PolicyBody {
            version: VERSION,
            event_kinds: EVENT_KINDS,
            cellular: CellularBody {
                event: self.event,
                routine: self.routine,
                day_bytes: self.day_bytes,
                month_bytes: self.month_bytes,
                event_reserve_percent: self.event_reserve_percent,
            },
            wishes: wishes.into_iter().map(|clip_id| PolicyWishBody { clip_id }).collect(),
            refresh_secs: REFRESH_SECS,
        }
    }

    /// The values themselves: two policies have one tag exactly when they say the same, on every node. Of the wishes, how many they
    /// are and all their random ids added up bit by bit.
    fn tag(&self, wishes: &[ClipId]) -> String {
        let Self {
            event,
            routine,
            day_bytes,
            month_bytes,
            event_reserve_percent,
        } = self;
        let [event, routine] = [event, routine].map(|share| *share as u8);
        let sum = wishes
            .iter()
            .fold(0, |sum, clip| sum ^ u128::from_be_bytes(*clip.as_bytes()));
        let count = wishes.len();
        format!(
            "\"{VERSION}-{event}{routine}-{day_bytes:x}-{month_bytes:x}-{event_reserve_percent:x}-{count:x}-{sum:x}\""
        )
    }
}

/// What a vehicle may send over which link, and what its owner wishes. With `If-None-Match` 304 when nothing has changed.
#[utoipa::path(
    get, path = "/v1/vehicle/policy", tag = "vehicles",
    params(("If-None-Match" = Option<String>, Header, description = "The ETag that is known")),
    responses(
        (status = 200, body = PolicyBody, headers(("ETag" = String))),
        (status = 304, description = "It has not changed"),
        (status = "4XX", body = ProblemBody),
    )
)]
pub(in crate::http) async fn get(
    face: web::Data<Face>,
    Uploader(principal): Uploader,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    let policy = &face.vehicle_policy;
    let rooms = face.rooms.clone();
    let wishes = match principal {
        Principal::Device(session) => {
            face.ask(async move { rooms.access.wishes_of_vehicle(&session).await })
                .await?
        }
        Principal::Owner(_) | Principal::Link(_) => Vec::new(),
    };
    let tag = policy.tag(&wishes);
    let mut response = HttpResponse::Ok();
    response
        .insert_header((header::ETAG, tag.as_str()))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"));
    if knows_tag(request.headers(), &tag) {
        return Ok(response.status(actix_web::http::StatusCode::NOT_MODIFIED).finish());
    }
    Ok(response.json(policy.body(wishes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_policy_changes_its_tag() {
        let policy = VehiclePolicy::default();
        let others = [
            VehiclePolicy {
                event: Share::Small,
                ..policy.clone()
            },
            VehiclePolicy {
                routine: Share::None,
                ..policy.clone()
            },
            VehiclePolicy {
                day_bytes: 1,
                ..policy.clone()
            },
            VehiclePolicy {
                month_bytes: 1,
                ..policy.clone()
            },
            VehiclePolicy {
                event_reserve_percent: 1,
                ..policy.clone()
            },
        ];
        let tags = others.iter().chain([&policy]).map(|policy| policy.tag(&[]));
        let [one, other] = [1, 2].map(|n| ClipId::from_bytes([n; 16]));
        let wished = [vec![one], vec![other], vec![one, other]].map(|wishes| policy.tag(&wishes));
        let tags: std::collections::BTreeSet<_> = tags.chain(wished).collect();
        assert_eq!(tags.len(), 9, "{tags:?}");
    }
}
