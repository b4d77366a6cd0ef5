//! How much owners and vehicles may keep.

use serde::Deserialize;

use super::super::cli::QuotaArgs;
use super::File;
use crate::ingest::Quotas;

/// The file's table `[quotas]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotasFile {
    bytes: Option<u64>,
    clips: Option<u64>,
    vehicle_bytes: Option<u64>,
    vehicle_clips: Option<u64>,
}

pub(super) fn compose(args: &QuotaArgs, file: &File) -> Quotas {
    let none = QuotasFile::default();
    let file = file.quotas.as_ref().unwrap_or(&none);
    Quotas {
        bytes: args.quota_bytes.or(file.bytes),
        clips: args.quota_clips.or(file.clips),
        bytes_each: args.quota_vehicle_bytes.or(file.vehicle_bytes),
        clips_each: args.quota_vehicle_clips.or(file.vehicle_clips),
    }
}
