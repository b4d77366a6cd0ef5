//! How much owners and vehicles may keep.

use serde::Deserialize;

use super::super::cli::QuotaArgs;
use super::{ConfigError, File};
use crate::ingest::{self, Quotas};

/// The file's table `[quotas]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct QuotasFile {
    bytes: Option<u64>,
    clips: Option<u64>,
    vehicle_bytes: Option<u64>,
    vehicle_clips: Option<u64>,
    open_uploads: Option<u64>,
    vehicle_open_uploads: Option<u64>,
}

/// Puts what was said into the configuration of receiving.
pub(super) fn compose(ingest: &mut ingest::Config, args: &QuotaArgs, file: &File) -> Result<(), ConfigError> {
    let none = QuotasFile::default();
    let file = file.quotas.as_ref().unwrap_or(&none);
    let (of_owner, each) = (&mut ingest.max_open_of_owner, &mut ingest.max_open_each);
    *of_owner = args.quota_open_uploads.or(file.open_uploads).unwrap_or(*of_owner);
    let told = args.quota_vehicle_open_uploads.or(file.vehicle_open_uploads);
    *each = told.unwrap_or(*each);
    if *of_owner == 0 || *each == 0 {
        return Err(ConfigError::NoOpenUploads);
    }
    ingest.quotas = Quotas {
        bytes: args.quota_bytes.or(file.bytes),
        clips: args.quota_clips.or(file.clips),
        bytes_each: args.quota_vehicle_bytes.or(file.vehicle_bytes),
        clips_each: args.quota_vehicle_clips.or(file.vehicle_clips),
    };
    Ok(())
}
