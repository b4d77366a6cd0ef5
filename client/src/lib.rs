//! The vehicle's side: pairing, tokens, resumable uploads, receipts.
//!
//! A vehicle pairs once ([`pair`]), which leaves a device file. With it a [`Client`] uploads files: each is resumable
//! over any number of cuts and restarts, and a local file may be deleted only once a signed receipt for it was verified
//! ([`Uploaded::receipt`]), whatever status codes were met on the way. A [`Courier`] does that for all clips of a folder, or
//! for files that somebody names, in order of what they are worth, and keeps to what its vault lets go over a link that is paid
//! for by the byte.

mod answer;
mod ask;
mod budget;
mod claim;
mod connection;
mod courier;
mod device;
mod error;
mod file;
mod files;
mod folder;
mod journal;
mod link;
mod mark;
mod memory;
mod pause;
mod pipe;
mod place;
mod policy;
mod receipt;
mod rekey;
mod run;
mod source;
mod upload;
mod wishes;

pub use courier::{Clips, Courier, CourierOptions, News, Tell};
pub use device::{Device, decoy_device_file, pair};
pub use error::{ClientError, Doing};
pub use link::{Link, LinkSource};
pub use rekey::rotate_key;
pub use upload::{Client, Options, Progress, Stage, Uploaded};
