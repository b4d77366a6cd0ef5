//! What the tests start and stop: PostgreSQL, SeaweedFS, a stand-in for AWS, a mail server, a store that fails on purpose, the vault's own programs.
//!
//! Everything listens on loopback, on free ports, in folders of its own, and ends with the value that stands for it;
//! whatever outlives a killed test program is ended by the kernel and swept up by a small watcher (see [`Scratch`]).
//! A tool that is missing panics and says what brings it; nothing is skipped.

mod child;
mod faulty;
mod http;
mod http_server;
mod kms_front;
mod mail;
pub mod memory;
mod moto;
mod postgres;
mod reader;
mod scratch;
mod seaweed;
pub mod softhsm;
mod tools;
mod vault;

pub use child::Child;
pub use faulty::{Fault, Faulty, Operation};
pub use http::{client, client_from, json};
pub use http_server::{HttpServer, Reply, Request};
pub use kms_front::{KmsFault, KmsFront};
pub use mail::Mail;
pub use moto::Moto;
pub use postgres::Postgres;
pub use reader::Reader;
pub use scratch::{Scratch, free_port};
pub use seaweed::Seaweed;
pub use softhsm::SoftHsm;
pub use tools::{caddy, chromium, nginx, peers, program, python, rclone, rounds, torture};
pub use vault::{Owner, Setup, Vault};
