//! The command line of the watch over our own buckets.

use std::path::PathBuf;

use clap::Args;

/// How our own buckets are watched.
#[derive(Args, Clone, Default)]
pub(in crate::app) struct WatchArgs {
    /// Seconds from one look at our own buckets to the next (default: 60)
    #[arg(long, env = "DASHVAULT_WATCH_INTERVAL_SECS", value_name = "SECONDS")]
    pub(in crate::app) watch_interval_secs: Option<u64>,
    /// Another address of a bucket to look through, such as a CDN's: data=URL, staging=URL, keyplane=URL. May be given again
    #[arg(
        long,
        env = "DASHVAULT_WATCH_ADDRESS",
        value_name = "BUCKET=URL",
        value_delimiter = ','
    )]
    pub(in crate::app) watch_address: Vec<String>,
    /// Ask through this proxy, where nothing else leads out; without it none is used, whatever the variables say
    #[arg(long, env = "DASHVAULT_WATCH_PROXY", value_name = "URL")]
    pub(in crate::app) watch_proxy: Option<String>,
    /// A file with the access key id and the secret, a line each, of an account that has nothing to do with this vault: what any
    /// account of the store's service gets is looked at with it every 15 minutes; mode 0600
    #[arg(long, env = "DASHVAULT_WATCH_ACCOUNT_FILE", value_name = "FILE")]
    pub(in crate::app) watch_account_file: Option<PathBuf>,
    /// Whether a stranger's write is tried every 15 minutes (default: true)
    #[arg(long, env = "DASHVAULT_PROBE_WRITES", num_args = 0..=1, default_missing_value = "true")]
    pub(in crate::app) probe_writes: Option<bool>,
    /// A word for the place from which it looks; watches of one name speak for each other (default: serve, or watch)
    #[arg(long, env = "DASHVAULT_WATCH_NAME", value_name = "WORD")]
    pub(in crate::app) watch_name: Option<String>,
}
