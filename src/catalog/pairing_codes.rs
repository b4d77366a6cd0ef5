//! Vehicles' pairing codes.
