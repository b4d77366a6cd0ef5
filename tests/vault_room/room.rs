//! A vault of its own for every test, and what the tests put into it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dashvault::catalog::{self, Catalog, ClipPublication, NewClip};
use dashvault::model::{ClipId, ClipState, Clock as _, FixedClock, ObjectId, ObjectKind, OwnerId};
use dashvault::store::{Backend, Store};
use dashvault::vault::{
    ClipDetails, ClipKeys, ClipSummary, Config, Holder, Manifest, OwnerKeys, OwnerProfile, SealedObject, StoredObject,
    UploadKey, Vault, VaultError,
};
use dashvault_keys::mirror::{MirrorKind, MirrorObject};
use dashvault_keys::provider::{self, ProviderConfig};
use dashvault_test_support::{Faulty, Scratch};

/// When the tests' clock begins.
pub const NOW: i64 = 1_800_000_000_000;
/// In milliseconds.
pub const MINUTE: i64 = 60_000;

/// Writes into a database as somebody does who has its file.
pub fn sqlite(database: &Path, statements: &str) {
    let done = std::process::Command::new("sqlite3")
        .arg(database)
        .arg(format!("PRAGMA busy_timeout = 5000; {statements}"))
        .output()
        .expect("sqlite3");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Seals a piece of which all is there.
pub async fn put_piece(
    vault: &Vault,
    key: &UploadKey,
    owner: OwnerId,
    (id, start): (ObjectId, u64),
    plain: &[u8],
) -> Result<[u8; 32], VaultError> {
    let mut piece = vault.begin_piece(key, owner, id, start).await?;
    piece.write(plain).await?;
    piece.finish().await
}

/// A vault of its own.
pub struct Room {
    pub vault: Vault,
    pub catalog: Catalog,
    pub data: Faulty,
    pub staging: Faulty,
    pub keyplane: Faulty,
    pub clock: Arc<FixedClock>,
    /// Where the root keys are.
    pub root: ProviderConfig,
    /// The file they are in, unless they are elsewhere.
    pub keyring: PathBuf,
    pub scratch: Scratch,
}

impl Room {
    /// A new vault: keyring, catalogue, empty store.
    pub async fn new() -> Self {
        let scratch = Scratch::new("vault-room");
        let root = ProviderConfig::keyring(scratch.path().join("keyring"));
        Self::made(scratch, root).await
    }

    /// A new vault whose root keys another provider has.
    pub async fn with_root(root: ProviderConfig) -> Self {
        Self::made(Scratch::new("vault-room"), root).await
    }

    async fn made(scratch: Scratch, root: ProviderConfig) -> Self {
        provider::create(&root).unwrap();
        let room = Self::over(scratch, root, std::array::from_fn(|_| Faulty::new())).await;
        room.expect("a new vault")
    }

    async fn over(scratch: Scratch, root: ProviderConfig, stores: [Faulty; 3]) -> Result<Self, VaultError> {
        let [data, staging, keyplane] = stores;
        let dir = scratch.path().join("catalogue");
        let catalog = Catalog::connect(&catalog::Config::Sqlite { dir }).await?;
        let clock = Arc::new(FixedClock::at(NOW));
        let config = Config { root: root.clone() };
        let vault = Vault::open(
            &config,
            catalog.clone(),
            store(&data, &staging, &keyplane),
            clock.clone(),
        );
        Ok(Self {
            vault: vault.await?,
            catalog,
            data,
            staging,
            keyplane,
            clock,
            keyring: root.keyring_path().map(Path::to_owned).unwrap_or_default(),
            root,
            scratch,
        })
    }

    /// The same vault after a restart, with what lies in folder and store now.
    pub async fn restart(self) -> Self {
        self.catalog.close().await;
        let room = Self::over(self.scratch, self.root, [self.data, self.staging, self.keyplane]).await;
        room.expect("the vault opens again")
    }

    /// The same vault after a restart before which `between` has its way with the files.
    pub async fn restart_after(self, between: impl FnOnce()) -> Self {
        self.catalog.close().await;
        between();
        self.restart().await
    }

    /// The database's file.
    pub fn database(&self) -> PathBuf {
        self.scratch.path().join("catalogue/vault.db")
    }

    /// Writes into the database as somebody does who has its file.
    pub fn sqlite(&self, statements: &str) {
        sqlite(&self.database(), statements);
    }

    /// Empties the table of mirrors, as in a database that is older than it.
    pub async fn forget_mirrors(&self) {
        self.sqlite("DELETE FROM mirrors; DELETE FROM erasures;");
        for name in self.keyplane.names().await {
            if !name.starts_with("tombstones/") {
                self.keyplane.remove(&name).await;
            }
        }
    }

    /// Another process on the same catalogue and store.
    pub async fn second_process(&self) -> Vault {
        let config = Config {
            root: self.root.clone(),
        };
        let store = store(&self.data, &self.staging, &self.keyplane);
        let vault = Vault::open(&config, self.catalog.clone(), store, self.clock.clone()).await;
        vault.expect("a second process")
    }

    /// A new owner with an address made of `name`.
    /// The name of a piece to come, for a minute.
    pub async fn piece_name(&self, upload: ClipId) -> ObjectId {
        let names = self.vault.name_pieces(upload, 1, self.clock.now_ms() + MINUTE);
        let mut tx = self.catalog.begin().await.unwrap();
        tx.insert_intent(self.vault.tenant(), &names[0], NOW).await.unwrap();
        tx.commit().await.unwrap();
        names[0].object
    }

    pub async fn owner(&self, name: &str) -> OwnerId {
        let owner = OwnerId::random();
        let profile = OwnerProfile {
            email: format!("{name}@example.org"),
            name: Some(name.to_owned()),
        };
        let made = self.vault.make_owner(owner, &profile).await.unwrap();
        let mut tx = self.catalog.begin().await.unwrap();
        self.vault.record_owner(&mut tx, &made).await.unwrap();
        tx.commit().await.unwrap();
        owner
    }

    pub async fn keys(&self, owner: OwnerId) -> OwnerKeys {
        self.vault.owner_keys(owner).await.unwrap()
    }

    /// A clip's row, still without envelope, and fresh keys for it.
    pub async fn clip(&self, owner: &OwnerKeys) -> ClipKeys {
        let clip = ClipId::random();
        let mut tx = self.catalog.begin().await.unwrap();
        tx.insert_clip(&NewClip {
            id: clip,
            tenant: self.vault.tenant(),
            owner: owner.owner(),
            device: None,
            created_at: NOW,
        })
        .await
        .unwrap();
        tx.commit().await.unwrap();
        self.vault.make_clip_keys(owner, clip)
    }

    /// A clip whose original is published, with its first envelope in row and key plane; its manifest names nothing.
    pub async fn ready_clip(&self, owner: &OwnerKeys) -> ClipKeys {
        self.clip_with(owner, |_| Manifest::default()).await
    }

    /// The same with its original in the manifest.
    pub async fn whole_clip(&self, owner: &OwnerKeys) -> ClipKeys {
        let manifest = |sealed: &SealedObject| Manifest {
            objects: vec![sealed.in_manifest(&sealed.about())],
            ..Manifest::default()
        };
        self.clip_with(owner, manifest).await
    }

    async fn clip_with(&self, owner: &OwnerKeys, manifest: impl FnOnce(&SealedObject) -> Manifest) -> ClipKeys {
        let keys = self.clip(owner).await;
        let sealed = self.sealed(&keys, "original", b"the bytes of a clip").await;
        let made = self
            .vault
            .seal_envelope(&keys, &manifest(&sealed), holder())
            .await
            .unwrap();
        let row = keys.clip();
        let mut tx = self.catalog.begin().await.unwrap();
        self.vault
            .publish(&mut tx, &keys, &sealed, &sealed.about(), None)
            .await
            .unwrap();
        assert!(
            tx.set_clip_state(row, &[ClipState::Uploading], ClipState::Queued, NOW)
                .await
                .unwrap()
        );
        let publication = ClipPublication {
            id: row,
            state: ClipState::Ready,
            incomplete: false,
            error_code: None,
            kek_version: made.kek_version.into(),
            envelope: &made.bytes,
            sealed_summary: &keys.seal(row.as_bytes(), &ClipSummary::default()),
            sealed_details: &keys.seal(row.as_bytes(), &ClipDetails::default()),
            sha256_index: None,
        };
        assert!(tx.publish_clip(&publication, NOW).await.unwrap());
        self.vault.record_mirror(&mut tx, &made.mirrored).await.unwrap();
        tx.commit().await.unwrap();
        keys
    }

    /// What lies in the key plane: every object whole, with its kind and its records.
    pub async fn key_plane(&self) -> Vec<(MirrorKind, Vec<Vec<u8>>)> {
        let mut found = Vec::new();
        for name in self.keyplane.names().await {
            let bytes = self.keyplane.object(&name).await;
            let id: ObjectId = name.rsplit('/').next().unwrap().parse().unwrap();
            let object = MirrorObject::parse(&bytes, id.as_bytes()).expect("a whole mirror object");
            assert_eq!(object.system, *self.vault.tenant().as_bytes());
            let records = object.records.iter().map(|record| record.to_vec()).collect();
            found.push((object.kind, records));
        }
        found
    }

    /// Objects of a kind in the key plane.
    pub async fn mirrored(&self, kind: MirrorKind) -> Vec<Vec<Vec<u8>>> {
        let objects = self.key_plane().await.into_iter();
        objects
            .filter(|(k, _)| *k == kind)
            .map(|(_, records)| records)
            .collect()
    }

    /// A clip's keys out of nothing: a new owner, a new clip.
    pub async fn new_clip(&self, name: &str) -> ClipKeys {
        let owner = self.owner(name).await;
        self.clip(&self.keys(owner).await).await
    }

    /// Seals an object and leaves it unpublished.
    pub async fn sealed(&self, keys: &ClipKeys, rendition: &str, plain: &[u8]) -> SealedObject {
        let mut writer = self
            .vault
            .create_object(keys, ObjectKind::Video, rendition, holder())
            .await
            .unwrap();
        // In uneven runs, as a decoder writes.
        for run in plain.chunks(100_003) {
            writer.write(run).await.unwrap();
        }
        writer.finish().await.unwrap()
    }

    /// Seals and publishes an object.
    pub async fn published(&self, keys: &ClipKeys, rendition: &str, plain: &[u8]) -> StoredObject {
        let sealed = self.sealed(keys, rendition, plain).await;
        let mut tx = self.catalog.begin().await.unwrap();
        let about = sealed.about();
        self.vault.publish(&mut tx, keys, &sealed, &about, None).await.unwrap();
        tx.commit().await.unwrap();
        let objects = self.vault.objects(keys, None).await.unwrap();
        objects
            .into_iter()
            .find(|object| object.id == sealed.id)
            .expect("what was published")
    }

    /// An envelope of a clip's keys.
    pub fn envelope(&self, owner: &OwnerKeys, keys: &ClipKeys) -> Vec<u8> {
        self.vault.envelope(owner, keys, 1, &Manifest::default()).unwrap()
    }
}

/// A store over memory that the tests keep hold of.
pub fn store(data: &Faulty, staging: &Faulty, keyplane: &Faulty) -> Store {
    let backend = |store: &Faulty| Backend::with_multipart(Arc::new(store.clone()));
    Store::over(backend(data), backend(staging), backend(keyplane))
}

/// A lease of ten minutes.
pub fn holder() -> Holder {
    Holder {
        id: [7; 16],
        lease: Duration::from_secs(600),
    }
}

/// An object's name in its store.
pub fn name(id: impl ToString) -> String {
    let id = id.to_string();
    format!("{}/{id}", &id[..2])
}

/// Bytes without a period, so that a wrong offset shows.
pub fn plain(length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 37) as u8)
        .collect()
}
