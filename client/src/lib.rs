//! The vehicle's side: pairing, tokens, resumable uploads, receipts.
//!
//! A vehicle pairs once ([`pair`]), which leaves a device file. With it a [`Client`] speaks to the vault, and a [`Courier`] brings
//! it all clips of a folder, or files that somebody names: each resumable over any number of cuts and restarts, in order of what
//! they are worth, and within what the vault lets go over a link that is paid for by the byte. A failure of any kind leads to the
//! same place: ask where the upload stands, and go on from there. A local file may be deleted only once a signed receipt for it
//! was verified ([`Uploaded::receipt`]), whatever status codes were met on the way.

mod answer;
mod ask;
mod budget;
mod claim;
mod client;
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
mod wishes;

pub use client::{Client, Progress, Stage, Uploaded};
pub use courier::{Clips, Courier, CourierOptions, News, Tell};
pub use device::{Device, decoy_device_file, pair};
pub use error::{ClientError, Doing};
pub use link::{Link, LinkSource};
pub use rekey::rotate_key;
