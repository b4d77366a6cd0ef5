//! 100,000 owners' KEKs re-wrapped under a new root key, against what cannot be saved in the same run.
//!
//! Under the keyring the peer writes the same rows with the same compare-and-swap and no cryptography; no other provider is
//! measured yet. The time for the key plane's mirror is told apart and not counted, because the peer has none. `DASHVAULT_BENCH_OWNERS` makes it a quick look.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashvault::catalog::{Catalog, KekRow, MirrorRow, MirrorState, MirrorSubject, NewOwner};
use dashvault::model::{KekId, ObjectId, OwnerId, TenantId};
use dashvault_keys::Secret32;
use dashvault_keys::kek::{self, KekHead, KekState, Profile, ProfileAbout};
use dashvault_keys::provider::{Keyring, RootKey};

#[expect(dead_code, reason = "the bench needs only a part of the tests' room")]
#[path = "../tests/vault_room/room.rs"]
mod room;

use room::{NOW, Room};

const OWNERS: u64 = 100_000;
/// The owners of the largest leak that we know of a service like this.
const LARGE: f64 = 2_150_000.0;
const AIM: f64 = 0.5;
const BATCH: u32 = 500;
/// Wraps and unwraps of the bare provider that stand for all of them.
const SAMPLE: u64 = 2_000;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(bench())
}

async fn bench() -> ExitCode {
    let owners = std::env::var("DASHVAULT_BENCH_OWNERS")
        .ok()
        .and_then(|n| n.parse().ok());
    let owners = owners.unwrap_or(OWNERS);
    let ours = Room::new().await;
    let root: Arc<dyn RootKey> = Arc::new(Keyring::open(&ours.keyring).expect("the room's keyring"));
    fill(&ours.catalog, ours.vault.tenant(), root.as_ref(), owners).await;
    let peer = Room::new().await;
    let peer_root = Keyring::open(&peer.keyring).expect("the room's keyring");
    fill(&peer.catalog, peer.vault.tenant(), &peer_root, owners).await;

    let bare = bare(root.as_ref(), owners);
    let began = Instant::now();
    let done = ours.vault.rotate_root(&|_| {}).await.expect("it is rotated");
    let whole = began.elapsed();
    assert_eq!((done.rewrapped, done.failures.count), (owners, 0));
    let counted = whole.saturating_sub(done.mirror_time);
    let updates = updates(&peer.catalog, peer.vault.tenant()).await;
    let ratio = updates.as_secs_f64() / counted.as_secs_f64();
    let rate = |took: Duration| owners as f64 / took.as_secs_f64();
    println!(
        "re-wrapping {owners} owners' keys under the keyring: ours {:.0}/s, peer (the same catalogue updates without cryptography) \
         {:.0}/s, ratio {ratio:.2} (aim at least {AIM})",
        rate(counted),
        rate(updates)
    );
    println!(
        "  the key plane's mirror took {:.1} s beside that ({:.0}/s with it); the bare keyring would do {:.0}/s",
        done.mirror_time.as_secs_f64(),
        rate(whole),
        rate(bare)
    );
    println!(
        "  2.15 million owners: {:.0} minutes, mirror included",
        LARGE / rate(whole) / 60.0
    );
    match ratio >= AIM {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Owners with a KEK each, row and mirror row as a service makes them.
async fn fill(catalog: &Catalog, tenant: TenantId, root: &dyn RootKey, owners: u64) {
    let mut left = owners;
    while left > 0 {
        let mut tx = catalog.begin().await.expect("SQLite");
        let object = ObjectId::random();
        for _ in 0..left.min(1_000) {
            let owner = OwnerId::random();
            let kek = made(tenant, root, owner);
            let mut index = [0; 32];
            index[..16].copy_from_slice(owner.as_bytes());
            let new = NewOwner {
                id: owner,
                tenant,
                email_index: &index,
                index_version: 1,
                sealed_profile: &[0; 512],
                created_at: NOW,
            };
            tx.insert_owner(&new).await.expect("SQLite");
            tx.insert_kek(tenant, &kek, NOW).await.expect("SQLite");
            let mirror = MirrorRow {
                object,
                kind: MirrorSubject::Kek,
                subject: *kek.id.as_bytes(),
                revision: 1,
                state: MirrorState::Newest,
                packed: 1_000,
            };
            tx.insert_mirror(tenant, &mirror, NOW).await.expect("SQLite");
        }
        tx.commit().await.expect("SQLite");
        left = left.saturating_sub(1_000);
    }
}

fn made(tenant: TenantId, root: &dyn RootKey, owner: OwnerId) -> KekRow {
    let (id, key) = (KekId::random(), Secret32::make_random());
    let head = KekHead {
        id: *id.as_bytes(),
        version: 1,
        revision: 1,
        state: KekState::Active,
    };
    let profile = Profile {
        owner: *owner.as_bytes(),
        field_key: Secret32::make_random(),
        about: ProfileAbout {
            email: "an.owner@example.org".to_owned(),
            ..ProfileAbout::default()
        },
    };
    let wrap = kek::wrap(tenant.as_bytes(), root, head.id, head.version, &key).expect("it wraps");
    KekRow {
        id,
        owner,
        version: 1,
        epoch: wrap.epoch,
        revision: 1,
        least_revision: 0,
        record: kek::seal(tenant.as_bytes(), &head, &key, &[wrap], &profile).expect("it is short"),
    }
}

/// The same reads and swaps with the bytes that are there.
async fn updates(catalog: &Catalog, tenant: TenantId) -> Duration {
    let began = Instant::now();
    let mut after = None;
    loop {
        let rows = catalog.keks_after(tenant, after, BATCH).await.expect("SQLite");
        let Some(last) = rows.last() else {
            return began.elapsed();
        };
        after = Some(last.id);
        let mut tx = catalog.begin().await.expect("SQLite");
        tx.hold_epoch(tenant, 1).await.expect("SQLite");
        for row in rows {
            let next = KekRow {
                revision: row.revision + 1,
                ..row
            };
            assert!(tx.rewrap_kek(&next, 1).await.expect("SQLite"));
        }
        tx.commit().await.expect("SQLite");
    }
}

/// What the provider alone takes for as many unwraps and wraps, reckoned from a sample.
fn bare(root: &dyn RootKey, owners: u64) -> Duration {
    let wraps: Vec<_> = (0..SAMPLE)
        .map(|n| root.wrap(&[7; 32], &n.to_be_bytes()).expect("it wraps"))
        .collect();
    let began = Instant::now();
    for (n, wrap) in (0_u64..).zip(&wraps) {
        let key = root.unwrap(wrap, &n.to_be_bytes()).expect("it unwraps");
        root.wrap(&key, &n.to_be_bytes()).expect("it wraps");
    }
    began.elapsed().mul_f64(owners as f64 / SAMPLE as f64)
}
