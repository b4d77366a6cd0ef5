//! Flags for what vehicles may send over a cellular link.

use clap::{Args, ValueEnum};

/// What vehicles may send over a cellular link; each asks for it and keeps to it.
#[derive(Args, Clone, Default)]
pub(in crate::app) struct CellularArgs {
    /// What goes over cellular of events, and of what the owner asked for (default: full)
    #[arg(long, env = "DASHVAULT_CELLULAR_EVENT", value_name = "SHARE")]
    pub(in crate::app) cellular_event: Option<CellularShare>,
    /// What goes over cellular of all other clips (default: small)
    #[arg(long, env = "DASHVAULT_CELLULAR_ROUTINE", value_name = "SHARE")]
    pub(in crate::app) cellular_routine: Option<CellularShare>,
    /// Bytes that a vehicle may send over cellular within a day (default: 512 MiB)
    #[arg(long, env = "DASHVAULT_CELLULAR_DAY_BYTES", value_name = "BYTES")]
    pub(in crate::app) cellular_day_bytes: Option<u64>,
    /// The same within a month (default: 8 GiB)
    #[arg(long, env = "DASHVAULT_CELLULAR_MONTH_BYTES", value_name = "BYTES")]
    pub(in crate::app) cellular_month_bytes: Option<u64>,
    /// So much of either is kept for events (default: 50)
    #[arg(long, env = "DASHVAULT_CELLULAR_RESERVE_PERCENT", value_name = "PERCENT")]
    pub(in crate::app) cellular_reserve_percent: Option<u8>,
}

/// How much of a clip goes over cellular.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::app) enum CellularShare {
    /// Nothing
    None,
    /// Its small rendition
    Small,
    /// All of it
    Full,
}
