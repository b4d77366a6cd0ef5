//! Sealed pieces of uploads.
