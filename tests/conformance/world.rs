//! One server with an owner and vehicles, shared by all tables.

use std::path::Path;
use std::sync::OnceLock;

use dashvault_test_support::Vault;

use crate::row::Speaks;

/// Who asks.
pub struct World {
    /// Where the server is, as a host and a port.
    pub host: String,
    /// Before each path.
    pub url: String,
    /// One for each protocol: what one may have open, and send at once, is bounded.
    tus: String,
    six: String,
    eight: String,
    plain: String,
    pub other: String,
    pub owner: String,
    _vault: Vault,
}

impl World {
    /// The world, made once.
    pub fn shared() -> &'static Self {
        static WORLD: OnceLock<World> = OnceLock::new();
        WORLD.get_or_init(Self::make)
    }

    /// The token of the vehicle that speaks a protocol.
    pub fn vehicle(&self, speaks: Speaks) -> &str {
        match speaks {
            Speaks::Tus => &self.tus,
            Speaks::Draft("6") => &self.six,
            Speaks::Draft("8") => &self.eight,
            Speaks::Draft(_) => &self.plain,
        }
    }

    fn make() -> Self {
        let vault = Vault::setup().start();
        let owner = vault.owner("owner@example.org");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let [tus, six, eight, plain, other] = ["tus", "six", "eight", "plain", "other"].map(|label| {
            let device = runtime.block_on(vault.pair(&owner, label));
            token(&vault, &device)
        });
        let url = vault.url("");
        Self {
            host: url.strip_prefix("http://").expect("an address").to_owned(),
            url,
            tus,
            six,
            eight,
            plain,
            other,
            owner: owner.token,
            _vault: vault,
        }
    }
}

fn token(vault: &Vault, device: &Path) -> String {
    let lines = vault.run_json(["device", "token", "--device", device.to_str().expect("UTF-8"), "--json"]);
    lines[0]["token"].as_str().expect("a token").to_owned()
}
