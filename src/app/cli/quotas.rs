//! Flags for how much owners and vehicles may keep.

use clap::Args;

/// How much may be kept; a vehicle that is told so keeps its clip and comes back later.
#[derive(Args, Clone, Default)]
pub(in crate::app) struct QuotaArgs {
    /// Bytes that each owner may keep, unless `owner quota` says something else (default: no limit)
    #[arg(long, env = "DASHVAULT_QUOTA_BYTES", value_name = "BYTES")]
    pub(in crate::app) quota_bytes: Option<u64>,
    /// Clips that each owner may keep (default: no limit)
    #[arg(long, env = "DASHVAULT_QUOTA_CLIPS", value_name = "CLIPS")]
    pub(in crate::app) quota_clips: Option<u64>,
    /// Bytes that each vehicle may keep (default: no limit)
    #[arg(long, env = "DASHVAULT_QUOTA_VEHICLE_BYTES", value_name = "BYTES")]
    pub(in crate::app) quota_vehicle_bytes: Option<u64>,
    /// Clips that each vehicle may keep (default: no limit)
    #[arg(long, env = "DASHVAULT_QUOTA_VEHICLE_CLIPS", value_name = "CLIPS")]
    pub(in crate::app) quota_vehicle_clips: Option<u64>,
    /// Uploads that each owner may have open at a time, the vehicles' included (default: 4096)
    #[arg(long, env = "DASHVAULT_QUOTA_OPEN_UPLOADS", value_name = "N")]
    pub(in crate::app) quota_open_uploads: Option<u64>,
    /// Uploads that each vehicle may have open at a time (default: 256)
    #[arg(long, env = "DASHVAULT_QUOTA_VEHICLE_OPEN_UPLOADS", value_name = "N")]
    pub(in crate::app) quota_vehicle_open_uploads: Option<u64>,
}
