//! The vault's rooms. Who may import whom is in docs/architecture.md; a test holds it against the source.

pub mod catalog;
pub mod media;
pub mod model;
