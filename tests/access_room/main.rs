//! Access and audit over a vault in memory and a catalogue on SQLite (races on PostgreSQL too), with a clock that the test
//! sets.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dashvault::access::{
    Access, AccessError, Config, DeviceSession, LinkMade, LinkSession, LinkSpan, LinkWish, OwnerSession, Principal,
    Redeemed,
};
use dashvault::audit::{Audit, EventKind, Happened};
use dashvault::catalog::{self, Catalog, ClipPublication, NewClip};
use dashvault::model::{ClipId, ClipState, Clock as _, FixedClock, OwnerId};
use dashvault::store::{self, Store};
use dashvault::vault::{self, ClipSummary, Manifest, Vault};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::{Postgres, Scratch};

mod decoys;
mod device_keys;
mod grants;
mod links;
mod owners;
mod races;
mod sessions_of_links;
mod vehicles;
mod viewings;
mod wishes;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-03-04T05:06:07.089Z.
const START: i64 = 1_772_600_767_089;
/// How long every clip here lasts.
const CLIP_MS: u64 = 10_000;

/// The rooms that access stands on.
struct House {
    access: Access,
    store: Store,
    keyring: PathBuf,
    audit: Audit,
    vault: Vault,
    catalog: Catalog,
    clock: Arc<FixedClock>,
    _scratch: Scratch,
}

impl House {
    async fn new() -> Self {
        let scratch = Scratch::new("access");
        let dir = scratch.path().join("catalogue");
        Self::over(scratch, catalog::Config::Sqlite { dir }).await
    }

    /// One on each database.
    async fn both() -> [Self; 2] {
        let url = Postgres::shared().database();
        let postgres = Self::over(Scratch::new("access"), catalog::Config::Postgres { url });
        [Self::new().await, postgres.await]
    }

    async fn over(scratch: Scratch, config: catalog::Config) -> Self {
        let keyring = scratch.path().join("keyring");
        Keyring::create(&keyring).expect("a keyring");
        let catalog = Catalog::connect(&config).await.expect("a catalogue");
        let store = Store::open(&store::Config::Memory).await.expect("a store");
        let clock = Arc::new(FixedClock::at(START));
        let (vault, audit, access) = open(&keyring, &catalog, &store, &clock).await;
        Self {
            access,
            store,
            keyring,
            audit,
            vault,
            catalog,
            clock,
            _scratch: scratch,
        }
    }

    /// Access of another process on the same catalogue and store: nothing in memory is shared.
    async fn another_node(&self) -> Access {
        open(&self.keyring, &self.catalog, &self.store, &self.clock).await.2
    }

    fn since_start(&self) -> i64 {
        self.clock.now_ms() - START
    }

    /// Adds an owner and shows the API token.
    async fn owner(&self, email: &str) -> OwnerSession {
        let added = self.access.add_owner(email, None).await.expect("a new owner");
        self.owner_by(&added.token).await.expect("a good token")
    }

    async fn owner_by(&self, bearer: &str) -> Result<OwnerSession, AccessError> {
        match self.access.authenticate(bearer).await? {
            Principal::Owner(session) => Ok(session),
            other => panic!("{other:?} is no owner"),
        }
    }

    async fn device_by(&self, bearer: &str) -> Result<DeviceSession, AccessError> {
        match self.access.authenticate(bearer).await? {
            Principal::Device(session) => Ok(session),
            other => panic!("{other:?} is no vehicle"),
        }
    }

    async fn link_by(&self, bearer: &str) -> Result<LinkSession, AccessError> {
        match self.access.authenticate(bearer).await? {
            Principal::Link(session) => Ok(session),
            other => panic!("{other:?} is no link's session"),
        }
    }

    /// A clip in a state: uploading, ready, trashed or erasing.
    async fn clip(&self, owner: OwnerId, state: ClipState) -> ClipId {
        let id = ClipId::random();
        let mut tx = self.catalog.begin().await.unwrap();
        tx.insert_clip(&NewClip {
            id,
            tenant: self.vault.tenant(),
            owner,
            device: None,
            created_at: START,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        if state == ClipState::Uploading {
            return id;
        }
        let owner_keys = self.vault.owner_keys(owner).await.unwrap();
        let keys = self.vault.make_clip_keys(&owner_keys, id);
        let summary = ClipSummary {
            duration_ms: Some(CLIP_MS),
            ..ClipSummary::default()
        };
        let envelope = self
            .vault
            .envelope(&owner_keys, &keys, 1, &Manifest::default())
            .unwrap();
        let mut tx = self.catalog.begin().await.unwrap();
        let moved = tx.set_clip_state(id, &[ClipState::Uploading], ClipState::Queued, START);
        assert!(moved.await.unwrap());
        let publication = ClipPublication {
            id,
            state: ClipState::Ready,
            incomplete: false,
            error_code: None,
            kek_version: 1,
            envelope: &envelope,
            sealed_summary: &keys.seal(id.as_bytes(), &summary),
            sealed_details: b"details",
            sha256_index: None,
        };
        assert!(tx.publish_clip(&publication, START).await.unwrap());
        match state {
            ClipState::Trashed => assert!(tx.trash_clip(owner, id, START, START + DAY).await.unwrap()),
            ClipState::Erasing => assert!(tx.erase_clip_keys(id, START).await.unwrap()),
            _ => {}
        }
        tx.commit().await.unwrap();
        id
    }

    async fn ready_clip(&self, owner: &OwnerSession) -> ClipId {
        self.clip(owner.owner(), ClipState::Ready).await
    }

    async fn link(&self, owner: &OwnerSession, clip: ClipId, wish: LinkWish) -> LinkMade {
        self.access.make_link(owner, clip, wish).await.expect("a link")
    }

    async fn redeem(&self, token: &str) -> Redeemed {
        self.access.redeem_link(token).await.expect("a good link")
    }

    /// What an owner's activity tells, oldest first.
    async fn events(&self, owner: OwnerId) -> Vec<Happened> {
        let mut events = self.audit.activity(owner, None, 200).await.unwrap().events;
        events.reverse();
        events
    }

    /// How many events of a kind an owner sees.
    async fn count(&self, owner: OwnerId, kind: EventKind) -> usize {
        self.events(owner)
            .await
            .iter()
            .filter(|event| event.kind == kind)
            .count()
    }
}

async fn open(keyring: &Path, catalog: &Catalog, store: &Store, clock: &Arc<FixedClock>) -> (Vault, Audit, Access) {
    let config = vault::Config {
        root: ProviderConfig::keyring(keyring),
    };
    let vault = Vault::open(&config, catalog.clone(), store.clone(), clock.clone()).await;
    let vault = vault.expect("a vault");
    let audit = Audit::new(vault.clone(), catalog.clone());
    let access = Access::new(
        Config::default(),
        vault.clone(),
        catalog.clone(),
        audit.clone(),
        clock.clone(),
    );
    (vault, audit, access)
}

/// Three openings within an hour, of four seconds without sound.
fn a_wish() -> LinkWish {
    LinkWish {
        recipient: "claims@insurer.example".to_owned(),
        expires_in_s: 3_600,
        span: LinkSpan {
            from_ms: 2_000,
            to_ms: 6_000,
            audio: false,
            location: false,
            download: true,
        },
        max_opens: 3,
    }
}

/// That a refusal is of this kind; tells which it was.
#[macro_export]
macro_rules! refused {
    ($outcome:expr, $($kind:tt)+) => {{
        let refused = $outcome.err().expect("a refusal");
        assert!(matches!(refused, dashvault::access::AccessError::$($kind)+), "{refused:?}");
    }};
}
