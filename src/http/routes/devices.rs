//! Vehicles: paired by a code, listed, renamed, revoked.

use actix_web::{HttpRequest, HttpResponse, web};
use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::health::ProblemBody;
use super::id;
use crate::access::{Device, NextKeyProof, Principal, VehicleName};
use crate::http::body;
use crate::http::caller::{Owner, Uploader};
use crate::http::face::Face;
use crate::http::problem::Problem;
use crate::library::Time;
use crate::model::DeviceId;

/// What the owner calls a vehicle that is to be paired.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct PairingWish {
    /// For people: 1 to 80 characters.
    label: String,
    /// Vehicle identification number.
    vin: Option<String>,
    /// Number plate.
    plate: Option<String>,
}

/// A pairing code.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PairingCodeBody {
    /// To be typed into the vehicle.
    code: String,
    /// It is of no use after that.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
}

/// A vehicle's side of pairing.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct PairBody {
    /// The code its owner was shown.
    code: String,
    /// The vehicle's Ed25519 public key: 32 bytes, base64url without padding.
    public_key: String,
    /// The vehicle's signature over the code, as keys/FORMAT.md says.
    proof: String,
}

/// What pairing brings the vehicle.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct PairedBody {
    /// The id for its tokens.
    #[schema(value_type = String)]
    device_id: DeviceId,
    /// The Ed25519 key that signs receipts: 32 bytes, base64url without padding.
    vault_public_key: String,
}

/// The key that a vehicle will sign with next, and that it holds both.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct NextKeyBody {
    /// An Ed25519 public key: 32 bytes, base64url without padding.
    public_key: String,
    /// The signature of the key that it has, as keys/FORMAT.md says.
    proof_by_current: String,
    /// The signature of the key that it will have, over the same.
    proof_by_next: String,
}

/// A vehicle.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DeviceBody {
    #[schema(value_type = String)]
    id: DeviceId,
    label: String,
    vin: Option<String>,
    plate: Option<String>,
    /// `active` or `revoked`.
    state: &'static str,
    #[schema(value_type = String, format = DateTime)]
    paired_at: Time,
    /// To within five minutes.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_seen_at: Option<Time>,
    #[schema(value_type = Option<String>, format = DateTime)]
    revoked_at: Option<Time>,
}

/// An owner's vehicles.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct DeviceListBody {
    /// Those that may speak, then the revoked ones; each newest first.
    devices: Vec<DeviceBody>,
}

/// A vehicle's new name.
#[derive(Deserialize, ToSchema)]
pub(in crate::http) struct RenameBody {
    label: String,
}

impl From<Device> for DeviceBody {
    fn from(device: Device) -> Self {
        Self {
            id: device.id,
            label: device.name.label,
            vin: device.name.vin,
            plate: device.name.plate,
            state: device.state.as_str(),
            paired_at: Time(device.paired_at),
            last_seen_at: device.last_seen_at.map(Time),
            revoked_at: device.revoked_at.map(Time),
        }
    }
}

/// Makes a code to pair a vehicle with.
#[utoipa::path(
    post, path = "/v1/devices/pairing-codes", tag = "vehicles", request_body = PairingWish,
    responses((status = 201, body = PairingCodeBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn make_pairing_code(
    face: web::Data<Face>,
    Owner(session): Owner,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let wish: PairingWish = body::json(&request, payload).await?;
    let name = VehicleName {
        label: wish.label,
        vin: wish.vin,
        plate: wish.plate,
    };
    let rooms = face.rooms.clone();
    let made = face
        .ask(async move { rooms.access.make_pairing_code(&session, name).await })
        .await?;
    Ok(HttpResponse::Created().json(PairingCodeBody {
        code: made.code,
        expires_at: Time(made.expires_at),
    }))
}

/// Pairs a vehicle: the code, its public key, and a proof that it has the private one.
#[utoipa::path(
    post, path = "/v1/devices", tag = "vehicles", request_body = PairBody,
    responses((status = 201, body = PairedBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn pair(
    face: web::Data<Face>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let PairBody {
        code,
        public_key,
        proof,
    } = body::json(&request, payload).await?;
    let public_key = key_bytes(&public_key)?;
    let rooms = face.rooms.clone();
    let paired = face
        .ask(async move { rooms.access.pair(&code, &public_key, &proof).await })
        .await?;
    Ok(HttpResponse::Created().json(PairedBody {
        device_id: paired.device,
        vault_public_key: BASE64URL_NOPAD.encode(&paired.vault_public_key),
    }))
}

/// The owner's vehicles.
#[utoipa::path(
    get, path = "/v1/devices", tag = "vehicles",
    responses((status = 200, body = DeviceListBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn list(face: web::Data<Face>, Owner(session): Owner) -> Result<HttpResponse, Problem> {
    let rooms = face.rooms.clone();
    let devices = face.ask(async move { rooms.access.devices(&session).await }).await?;
    let devices = devices.into_iter().map(DeviceBody::from).collect();
    Ok(HttpResponse::Ok().json(DeviceListBody { devices }))
}

/// One vehicle.
#[utoipa::path(
    get, path = "/v1/devices/{id}", tag = "vehicles", params(("id" = String, Path)),
    responses((status = 200, body = DeviceBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn get(
    face: web::Data<Face>,
    Owner(session): Owner,
    device: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let device: DeviceId = id(&device)?;
    let rooms = face.rooms.clone();
    let found = face
        .ask(async move { rooms.access.device(&session, device).await })
        .await?;
    let found = found.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(DeviceBody::from(found)))
}

/// Gives a vehicle another label.
#[utoipa::path(
    patch, path = "/v1/devices/{id}", tag = "vehicles", params(("id" = String, Path)), request_body = RenameBody,
    responses((status = 200, body = DeviceBody), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn rename(
    face: web::Data<Face>,
    Owner(session): Owner,
    device: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let device: DeviceId = id(&device)?;
    let RenameBody { label } = body::json(&request, payload).await?;
    let rooms = face.rooms.clone();
    let renamed = face
        .ask(async move { rooms.access.rename_device(&session, device, &label).await })
        .await?;
    Ok(HttpResponse::Ok().json(DeviceBody::from(renamed)))
}

/// Revokes a vehicle: its next request is refused, and one that it is sending is cut off within seconds.
#[utoipa::path(
    delete, path = "/v1/devices/{id}", tag = "vehicles", params(("id" = String, Path)),
    responses((status = 204), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn revoke(
    face: web::Data<Face>,
    Owner(session): Owner,
    device: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    let device: DeviceId = id(&device)?;
    let rooms = face.rooms.clone();
    face.ask(async move { rooms.access.revoke_device(&session, device).await })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Announces a vehicle's next key. The one that it has works until the next one is used; the same announcement may be made
/// again.
#[utoipa::path(
    post, path = "/v1/vehicle/key", tag = "vehicles", request_body = NextKeyBody,
    responses((status = 204), (status = "4XX", body = ProblemBody))
)]
pub(in crate::http) async fn announce_key(
    face: web::Data<Face>,
    Uploader(principal): Uploader,
    request: HttpRequest,
    payload: web::Payload,
) -> Result<HttpResponse, Problem> {
    let Principal::Device(session) = principal else {
        return Err(Problem::forbidden());
    };
    let NextKeyBody {
        public_key,
        proof_by_current: by_current,
        proof_by_next: by_next,
    } = body::json(&request, payload).await?;
    let (public_key, proof) = (key_bytes(&public_key)?, NextKeyProof { by_current, by_next });
    let rooms = face.rooms.clone();
    face.ask(async move { rooms.access.announce_device_key(&session, &public_key, &proof).await })
        .await?;
    Ok(HttpResponse::NoContent().finish())
}

fn key_bytes(text: &str) -> Result<Vec<u8>, Problem> {
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| {
        Problem::bad_value()
            .with("field", "public_key")
            .detail("public_key: 32 bytes in base64url are expected")
    })
}
