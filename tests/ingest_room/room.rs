//! A vault in memory with an owner and vehicles, and the ways to look at what it received.

use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashvault::access::{self, Access, Principal, VehicleName};
use dashvault::audit::Audit;
use dashvault::catalog::{self, Catalog};
use dashvault::ingest::{Body, Config, Ingest, IngestError, UploadStatus};
use dashvault::model::{ClipId, Clock as _, EventKind, FixedClock, JobKind, UploadState};
use dashvault::store::{Backend, Store};
use dashvault::vault::{self, PieceRef, Vault};
use dashvault_keys::digest;
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_keys::token::{DeviceClaims, DeviceKey, sign_device_token, sign_pairing_proof};
use dashvault_test_support::{Postgres, Scratch};
use futures_util::{Stream, StreamExt as _, stream};
use object_store::memory::InMemory;
use tokio::sync::mpsc;

use crate::store::{MoodyStore, Weather};

pub const START_MS: i64 = 1_700_000_000_000;
pub const WEEK_MS: i64 = 7 * 24 * 3600 * 1000;

pub struct Room {
    pub ingest: Ingest,
    pub vault: Vault,
    pub catalog: Catalog,
    pub access: Access,
    pub clock: Arc<FixedClock>,
    pub weather: Arc<Weather>,
    pub staging: Arc<InMemory>,
    pub owner: Principal,
    pub vehicle: Principal,
    config: Config,
    keyring: PathBuf,
    scratch: Scratch,
}

impl Room {
    pub async fn new() -> Self {
        Self::with(Config::default()).await
    }

    pub async fn with(config: Config) -> Self {
        let scratch = Scratch::new("ingest");
        let sqlite = catalog::Config::Sqlite {
            dir: scratch.path().join("catalogue"),
        };
        Self::over(scratch, config, sqlite).await
    }

    pub async fn on_postgres() -> Self {
        Self::on_postgres_with(Config::default()).await
    }

    pub async fn on_postgres_with(config: Config) -> Self {
        let url = Postgres::shared().database();
        Self::over(Scratch::new("ingest"), config, catalog::Config::Postgres { url }).await
    }

    async fn over(scratch: Scratch, config: Config, database: catalog::Config) -> Self {
        let keyring = scratch.path().join("keyring");
        Keyring::create(&keyring).expect("a keyring");
        let catalog = Catalog::connect(&database).await.expect("a catalogue");
        let (weather, staging) = (Arc::new(Weather::default()), Arc::new(InMemory::new()));
        let clock = Arc::new(FixedClock::at(START_MS));
        let (vault, audit, access) = open(&keyring, &catalog, &staging, &weather, &clock).await;
        let owner = an_owner(&access, "owner@example.org").await;
        let vehicle = a_vehicle(&access, &owner, &clock).await;
        let ingest = Ingest::new(config.clone(), vault.clone(), catalog.clone(), audit, clock.clone());
        Self {
            ingest,
            vault,
            catalog,
            access,
            clock,
            weather,
            staging,
            owner,
            vehicle,
            config,
            keyring,
            scratch,
        }
    }

    /// Another process on the same catalogue and store: nothing in memory is shared.
    pub async fn another_node(&self) -> Ingest {
        let (vault, audit, _) = open(&self.keyring, &self.catalog, &self.staging, &self.weather, &self.clock).await;
        Ingest::new(
            self.config.clone(),
            vault,
            self.catalog.clone(),
            audit,
            self.clock.clone(),
        )
    }

    /// What is not in memory is not to be had from then on.
    pub fn take_keyring_away(&self) {
        std::fs::rename(&self.keyring, self.scratch.path().join("away")).expect("a keyring");
    }

    pub fn bring_keyring_back(&self) {
        std::fs::rename(self.scratch.path().join("away"), &self.keyring).expect("a keyring");
    }

    pub async fn another_owner(&self) -> Principal {
        an_owner(&self.access, "other@example.org").await
    }

    pub async fn another_vehicle(&self, owner: &Principal) -> Principal {
        a_vehicle(&self.access, owner, &self.clock).await
    }

    pub async fn begin(&self, length: u64) -> ClipId {
        self.ingest
            .create(&self.vehicle, Some(length), None)
            .await
            .expect("an upload")
            .id
    }

    pub async fn append(&self, id: ClipId, offset: u64, bytes: &[u8]) -> Result<UploadStatus, IngestError> {
        let body = whole(bytes);
        self.ingest
            .append(
                &self.vehicle,
                id,
                Body {
                    announced_bytes: Some(bytes.len() as u64),
                    ..Body::at(offset, body)
                },
            )
            .await
    }

    pub async fn offset(&self, id: ClipId) -> u64 {
        self.ingest.offset(&self.vehicle, id).await.expect("an upload").offset
    }

    /// What the pieces hold, opened; every piece begins where the one before it ends.
    pub async fn received(&self, id: ClipId) -> Vec<u8> {
        let row = self.catalog.upload(id).await.unwrap().expect("an upload");
        let keys = self.catalog.upload_keys_of(id).await.unwrap();
        let mut bytes = Vec::new();
        for piece in self.catalog.pieces_of(id, None, 100_000).await.unwrap() {
            assert_eq!(piece.start, bytes.len() as u64, "a hole or an overlap");
            let key = keys.iter().find(|key| key.id == piece.key).expect("the piece's key");
            let key = self.vault.open_upload_key(id, key.id, &key.sealed).await.unwrap();
            let piece = PieceRef {
                id: piece.id,
                start: piece.start,
                length: piece.length,
                commitment: piece.commitment,
            };
            bytes.extend_from_slice(&self.vault.open_piece(&key, row.owner, &piece).await.unwrap());
        }
        assert_eq!(
            row.received,
            bytes.len() as u64,
            "the offset is not what the pieces hold"
        );
        bytes
    }

    pub async fn state(&self, id: ClipId) -> UploadState {
        self.catalog.upload(id).await.unwrap().expect("an upload").state
    }

    pub async fn finish_jobs(&self, id: ClipId) -> usize {
        let jobs = self.catalog.jobs_of_clip(id).await.unwrap();
        jobs.iter().filter(|job| job.kind == JobKind::Finish).count()
    }

    /// The kinds of events about a clip, in the order of their words: the clock of these tests stands still.
    pub async fn events(&self, id: ClipId) -> Vec<EventKind> {
        let Principal::Owner(session) = &self.owner else {
            unreachable!("the owner is an owner")
        };
        let audit = Audit::new(self.vault.clone(), self.catalog.clone());
        let activity = audit.activity(session.owner(), None, 100).await.unwrap();
        let mut kinds: Vec<_> = activity
            .events
            .iter()
            .filter(|event| event.clip == Some(id))
            .map(|event| event.kind)
            .collect();
        kinds.sort_by_key(|kind| kind.as_str());
        kinds
    }

    pub async fn staged_objects(&self) -> usize {
        use object_store::ObjectStore as _;
        self.staging.list(None).count().await
    }

    /// The scratch folder, for what must not be found in it.
    pub fn folder(&self) -> &std::path::Path {
        self.scratch.path()
    }
}

async fn open(
    keyring: &std::path::Path,
    catalog: &Catalog,
    staging: &Arc<InMemory>,
    weather: &Arc<Weather>,
    clock: &Arc<FixedClock>,
) -> (Vault, Audit, Access) {
    let staging = Backend::new(Arc::new(MoodyStore {
        inner: staging.clone(),
        weather: weather.clone(),
    }));
    let memory = || Backend::new(Arc::new(InMemory::new()));
    let config = vault::Config {
        root: ProviderConfig::keyring(keyring),
    };
    let store = Store::over(memory(), staging, memory());
    let vault = Vault::open(&config, catalog.clone(), store, clock.clone())
        .await
        .expect("a vault");
    let audit = Audit::new(vault.clone(), catalog.clone());
    let access = Access::new(
        access::Config::default(),
        vault.clone(),
        catalog.clone(),
        audit.clone(),
        clock.clone(),
    );
    (vault, audit, access)
}

async fn an_owner(access: &Access, email: &str) -> Principal {
    let added = access.add_owner(email, None).await.expect("an owner");
    access.authenticate(&added.token).await.expect("the owner's token")
}

async fn a_vehicle(access: &Access, owner: &Principal, clock: &FixedClock) -> Principal {
    let Principal::Owner(owner) = owner else {
        panic!("only an owner pairs vehicles")
    };
    let name = VehicleName {
        label: "the van".to_owned(),
        vin: None,
        plate: None,
    };
    let code = access.make_pairing_code(owner, name).await.expect("a code").code;
    let key = DeviceKey::make();
    let proof = sign_pairing_proof(&key, &code);
    let paired = access.pair(&code, &key.public_key(), &proof).await.expect("a vehicle");
    let claims = DeviceClaims {
        device: *paired.device.as_bytes(),
        issued_at_ms: clock.now_ms(),
        expires_at_ms: clock.now_ms() + 60_000,
        nonce: digest::random(),
    };
    let token = sign_device_token(&key, &claims);
    access.authenticate(&token).await.expect("the vehicle's token")
}

/// Bytes that differ everywhere, so that a swap shows.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ length as u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A whole body in chunks as a socket gives them.
pub fn whole(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
    let chunks: Vec<_> = bytes.chunks(32 << 10).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(chunks)
}

/// A body that breaks off after these bytes.
pub fn cut(bytes: &[u8]) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let chunks: Vec<_> = bytes.chunks(32 << 10).map(Bytes::copy_from_slice).map(Ok).collect();
    stream::iter(chunks).chain(stream::iter([Err(io::ErrorKind::ConnectionReset.into())]))
}

/// A body that is sent by hand.
pub fn by_hand() -> (
    mpsc::UnboundedSender<Bytes>,
    impl Stream<Item = Result<Bytes, Infallible>> + Send,
) {
    let (send, receive) = mpsc::unbounded_channel();
    let body = stream::unfold(receive, |mut receive| async move {
        let bytes: Bytes = receive.recv().await?;
        Some((Ok(bytes), receive))
    });
    (send, body)
}

/// Waits until something holds; panics with its name when it never does.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
