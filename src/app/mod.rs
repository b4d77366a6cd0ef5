//! Configuration, wiring, commands and telemetry.
