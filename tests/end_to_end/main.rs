//! The whole way through the real programs: round trips on both kinds of storage, cuts of power, outages, a full disk.

mod bad_input;
mod beside;
mod erasure;
mod exposure_proof;
mod fleet;
mod frozen;
mod memory;
mod memory_of_providers;
mod outage;
mod power_cut;
mod providers;
mod recovery;
mod root_key_outage;
mod root_key_start;
mod rotation;
mod round_trip;
mod tus;
mod vehicle;
mod wire;

use std::path::{Path, PathBuf};

use dashvault_test_support::{Postgres, Seaweed, Setup, Vault};

/// The road clip that comes with the project.
pub fn road_clip() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clips/carnd_solidWhiteRight_960x540.mp4")
}

/// The same drive in other bytes, written into `folder`: with a box behind it that players skip.
pub fn another_road_clip(folder: &Path) -> PathBuf {
    let mut bytes = std::fs::read(road_clip()).expect("the clip");
    bytes.extend_from_slice(b"\0\0\0\x0cfreedash");
    let file = folder.join("another_road_clip.mp4");
    std::fs::write(&file, bytes).expect("a copy");
    file
}

/// A vault on PostgreSQL and S3.
pub fn at_scale(postgres: &Postgres, seaweed: &Seaweed) -> (Setup, String) {
    let data = seaweed.bucket();
    let setup = Vault::setup()
        .env("DASHVAULT_DATABASE_URL", postgres.database())
        .on_s3(seaweed, &data);
    (setup, data)
}
