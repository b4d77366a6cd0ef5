//! The vehicle's side: pairing, tokens, resumable uploads, receipts.
//!
//! A vehicle pairs once ([`pair`]), which leaves a device file. With it a [`Client`] uploads files: each is resumable
//! over any number of cuts and restarts, and a local file may be deleted only once a signed receipt for it was verified
//! ([`Uploaded::receipt`]), whatever status codes were met on the way.

mod answer;
mod connection;
mod device;
mod error;
mod file;
mod memory;
mod pause;
mod run;
mod source;
mod upload;

pub use device::{Device, decoy_device_file, pair};
pub use error::{ClientError, Doing};
pub use upload::{Client, Options, Progress, Stage, Uploaded};
