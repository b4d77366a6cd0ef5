//! What an owner keeps, and may keep.

use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::health::ProblemBody;
use crate::http::caller::Owner;
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::ingest::{KeptBy, Usage};
use crate::model::DeviceId;

/// What an owner keeps, and may keep.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct UsageBody {
    /// Sealed objects, and uploads as long as they were said to be.
    bytes: u64,
    /// Clips, those on their way and those in the trash included.
    clips: u64,
    open_uploads: u64,
    /// None: no limit. So with all the others.
    most_bytes: Option<u64>,
    most_clips: Option<u64>,
    /// Of each vehicle.
    most_vehicle_bytes: Option<u64>,
    most_vehicle_clips: Option<u64>,
    /// More are asked to come back when some have ended.
    most_open_uploads: u64,
    most_vehicle_open_uploads: u64,
    /// What each sender keeps.
    by_vehicle: Vec<VehicleUsageBody>,
}

/// What a vehicle keeps.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct VehicleUsageBody {
    /// None: the owner's apps.
    #[schema(value_type = Option<String>)]
    device_id: Option<DeviceId>,
    bytes: u64,
    clips: u64,
}

impl From<Usage> for UsageBody {
    fn from(usage: Usage) -> Self {
        Self {
            bytes: usage.kept.bytes,
            clips: usage.kept.clips,
            open_uploads: usage.open_uploads,
            most_bytes: usage.quotas.bytes,
            most_clips: usage.quotas.clips,
            most_vehicle_bytes: usage.quotas.bytes_each,
            most_vehicle_clips: usage.quotas.clips_each,
            most_open_uploads: usage.most_open,
            most_vehicle_open_uploads: usage.most_open_each,
            by_vehicle: usage.by_device.into_iter().map(VehicleUsageBody::from).collect(),
        }
    }
}

impl From<KeptBy> for VehicleUsageBody {
    fn from(by: KeptBy) -> Self {
        Self {
            device_id: by.device,
            bytes: by.kept.bytes,
            clips: by.kept.clips,
        }
    }
}

/// How much the owner keeps, by vehicle, and how much that may be.
#[utoipa::path(
    get, path = "/v1/usage", tag = "account",
    responses((status = 200, body = UsageBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn get(face: web::Data<Face>, Owner(session): Owner) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    let usage = face.ask(async move { rooms.ingest.usage(&session).await }).await?;
    Ok(HttpResponse::Ok().json(UsageBody::from(usage)))
}
