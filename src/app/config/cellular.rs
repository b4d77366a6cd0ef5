//! What vehicles may send over a cellular link.

use serde::Deserialize;

use super::super::cli::{CellularArgs, CellularShare};
use super::{ConfigError, File};
use crate::http::{Share, VehiclePolicy};

/// The file's table `[cellular]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CellularFile {
    event: Option<CellularShare>,
    routine: Option<CellularShare>,
    day_bytes: Option<u64>,
    month_bytes: Option<u64>,
    reserve_percent: Option<u8>,
}

pub(super) fn compose(args: &CellularArgs, file: &File) -> Result<VehiclePolicy, ConfigError> {
    let none = CellularFile::default();
    let file = file.cellular.as_ref().unwrap_or(&none);
    let usual = VehiclePolicy::default();
    let share = |flag: Option<CellularShare>, in_file, usual| flag.or(in_file).map_or(usual, Share::from);
    let policy = VehiclePolicy {
        event: share(args.cellular_event, file.event, usual.event),
        routine: share(args.cellular_routine, file.routine, usual.routine),
        day_bytes: args.cellular_day_bytes.or(file.day_bytes).unwrap_or(usual.day_bytes),
        month_bytes: args
            .cellular_month_bytes
            .or(file.month_bytes)
            .unwrap_or(usual.month_bytes),
        event_reserve_percent: args
            .cellular_reserve_percent
            .or(file.reserve_percent)
            .unwrap_or(usual.event_reserve_percent),
    };
    if policy.event_reserve_percent > 100 {
        return Err(ConfigError::CellularReserve);
    }
    Ok(policy)
}

impl From<CellularShare> for Share {
    fn from(share: CellularShare) -> Self {
        match share {
            CellularShare::None => Self::None,
            CellularShare::Small => Self::Small,
            CellularShare::Full => Self::Full,
        }
    }
}
