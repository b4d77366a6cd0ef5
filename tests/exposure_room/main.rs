//! The watch over our own buckets, against a real object store that is opened and shut beneath it, and against a fake one
//! with one switch a fault.

mod fake;
mod faults;
mod gateway;
mod proof;
mod servers;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use dashvault::catalog::{self, Catalog, NewClip};
use dashvault::exposure::{Address, Config, Watch, Watched};
use dashvault::model::{Bucket, ClipId, ObjectKind, OwnerId, SystemClock, UnixMs, Verdict};
use dashvault::store::{self, Location, Store};
use dashvault::vault::{self, Holder, OwnerKeys, OwnerProfile, Vault};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_test_support::Scratch;

/// A slow answer is one that takes longer.
const PATIENCE: Duration = Duration::from_millis(400);

struct House {
    catalog: Catalog,
    vault: Vault,
    _scratch: Scratch,
}

async fn house(store: store::Config) -> House {
    house_over(Store::open(&store).await.unwrap()).await
}

async fn house_over(store: Store) -> House {
    let scratch = Scratch::new("exposure");
    let keyring = scratch.path().join("keyring");
    Keyring::create(&keyring).unwrap();
    let dir = scratch.path().join("catalogue");
    let catalog = Catalog::connect(&catalog::Config::Sqlite { dir }).await.unwrap();
    let config = vault::Config {
        root: ProviderConfig::keyring(&keyring),
    };
    let vault = Vault::open(&config, catalog.clone(), store, Arc::new(SystemClock)).await;
    House {
        vault: vault.unwrap(),
        catalog,
        _scratch: scratch,
    }
}

fn config(bucket: Bucket, addresses: Vec<Address>, patience: Duration) -> Config {
    Config {
        watched: vec![Watched {
            bucket,
            addresses,
            folder: None,
            files: Vec::new(),
            keyring: None,
        }],
        interval: Duration::from_secs(1),
        patience,
        proxy: None,
        account: None,
        own: None,
        seldom: dashvault::exposure::SELDOM,
        tries_writes: true,
        watcher: "test".to_owned(),
    }
}

impl House {
    fn watch(&self, config: Config) -> Watch {
        Watch::new(
            config,
            self.catalog.clone(),
            Some(self.vault.clone()),
            Arc::new(SystemClock),
        )
        .unwrap()
    }

    async fn verdict(&self, bucket: Bucket) -> Option<Verdict> {
        let rows = self.catalog.verdicts().await.unwrap();
        rows.iter().find(|row| row.bucket == bucket).map(|row| row.verdict)
    }

    async fn canary(&self) -> String {
        let canaries = self.catalog.canaries().await.unwrap();
        let canary = canaries.iter().find(|canary| canary.bucket == Bucket::Data);
        vault::object_path(Bucket::Data, canary.expect("a canary").object)
    }
}

async fn an_owner(vault: &Vault, catalog: &Catalog) -> OwnerKeys {
    let owner = OwnerId::random();
    let profile = OwnerProfile {
        email: format!("{owner}@example.org"),
        name: Some("Anna Example".to_owned()),
    };
    let made = vault.make_owner(owner, &profile).await.unwrap();
    let mut tx = catalog.begin().await.unwrap();
    vault.record_owner(&mut tx, &made).await.unwrap();
    tx.commit().await.unwrap();
    vault.owner_keys(owner).await.unwrap()
}

/// The path of an object of a new clip of an owner's, published at a time.
async fn an_object(vault: &Vault, catalog: &Catalog, owner: &OwnerKeys, now: UnixMs) -> String {
    let clip = ClipId::random();
    let mut tx = catalog.begin().await.unwrap();
    tx.insert_clip(&NewClip {
        id: clip,
        tenant: vault.tenant(),
        owner: owner.owner(),
        device: None,
        created_at: now,
    })
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let keys = vault.make_clip_keys(owner, clip);
    let holder = Holder {
        id: *clip.as_bytes(),
        lease: Duration::from_secs(3_600),
    };
    let mut writer = vault
        .create_object(&keys, ObjectKind::Video, "original", holder)
        .await
        .unwrap();
    writer.write(&[7; 90_000]).await.unwrap();
    let sealed = writer.finish().await.unwrap();
    let mut tx = catalog.begin().await.unwrap();
    vault
        .publish(&mut tx, &keys, &sealed, &sealed.about(), None)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    Location::Data.name(sealed.id)
}

async fn round(watch: &Watch) -> Verdict {
    watch.round().await.unwrap()[0].set.verdict
}
