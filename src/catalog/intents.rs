//! Objects that are being written.
