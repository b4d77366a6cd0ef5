//! The vault's rooms. Who may import whom is in docs/architecture.md; a test holds it against the source.

pub mod access;
pub mod app;
pub mod audit;
pub mod catalog;
pub mod exposure;
pub mod http;
pub mod ingest;
pub mod library;
pub mod media;
pub mod model;
pub mod pipeline;
pub mod post;
pub mod store;
pub mod vault;
