//! Keys of uploads, sealed to the ingest key.
