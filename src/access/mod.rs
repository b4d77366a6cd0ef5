//! Sessions, tokens, vehicles and links; the only place that can make a grant to read.
//!
//! Authority is read from the rows for each request and never kept: what was revoked, ended or trashed a moment ago is
//! refused now, on every node.

mod authenticate;
mod copies;
mod decoys;
mod device_keys;
mod devices;
mod error;
mod grant;
mod line;
mod links;
mod owners;
mod pairing;
mod principal;
mod redeem;
mod wishes;
mod words;

use std::sync::Arc;

pub use dashvault_keys::token::NextKeyProof;
pub use decoys::{Decoy, DecoyMade, DecoySecret};
pub use devices::{Device, VehicleName};
pub use error::AccessError;
pub use grant::ReadGrant;
pub use links::{Link, LinkMade, LinkPage, LinkState, LinkWish, MAX_LINKS_A_PAGE};
pub use owners::{Owner, OwnerAdded, SignIn, SignedIn};
pub use pairing::{Paired, PairingCode};
pub use principal::{DeviceSession, LinkSession, LinkSpan, OwnerSession, Principal};
pub use redeem::Redeemed;
pub use wishes::Wish;

use crate::audit::Audit;
use crate::catalog::Catalog;
use crate::model::Clock;
use crate::vault::Vault;

/// What access has to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a one-time sign-in link can be redeemed: 15 to 60 minutes.
    pub sign_in_minutes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { sign_in_minutes: 30 }
    }
}

/// Who may do what. Cheap to clone.
#[derive(Clone)]
pub struct Access {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    vault: Vault,
    catalog: Catalog,
    audit: Audit,
    clock: Arc<dyn Clock>,
    decoy_uses: decoys::Uses,
    copy_alarms: copies::Alarms,
    line: line::Line,
}

impl Access {
    /// Access over the catalogue's rows, opened and signed with the vault's keys.
    pub fn new(config: Config, vault: Vault, catalog: Catalog, audit: Audit, clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Arc::new(Inner {
                config,
                vault,
                catalog,
                audit,
                clock,
                decoy_uses: decoys::Uses::default(),
                copy_alarms: copies::Alarms::default(),
                line: line::Line::default(),
            }),
        }
    }
}
