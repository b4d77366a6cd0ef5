//! Formats, wraps, root-key providers, tokens and receipts; no network server, no SQL.
//!
//! [FORMAT.md](../FORMAT.md) is the specification of every byte that is written here.
#![forbid(unsafe_code)]

pub mod attestation;
mod bytes;
pub mod digest;
pub mod envelope;
pub mod field;
pub mod ingest;
pub mod kek;
pub mod mirror;
pub mod object;
mod part;
pub mod provider;
pub mod receipt;
mod secret;
mod signing;
mod stack;
pub mod system;
pub mod token;
pub mod tombstone;

pub use secret::{Secret32, WrongLength};
pub use zeroize::Zeroizing;
