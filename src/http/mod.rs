//! The outside face: routes, typed headers, ranges, problems, pages.

mod around;
mod body;
mod caller;
mod client_address;
mod cookies;
mod cut;
mod face;
mod from_rooms;
mod limits;
mod media;
mod metrics;
mod pages;
mod problem;
mod public_url;
mod routes;
mod security;
mod server;
mod tls;
mod window;

pub use client_address::{Cidr, CidrError};
pub use face::{Attestations, PartState, Readiness, Reading, Readings, Rooms};
pub use public_url::{PublicUrl, PublicUrlError};
pub use routes::{ROUTES, RouteLine, Share, VehiclePolicy, Who};
pub use server::{Config, HttpError, Server};
pub use tls::TlsFiles;
