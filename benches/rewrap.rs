//! 100,000 owners' KEKs re-wrapped under a new root key, against what cannot be saved in the same run.
//!
//! Under the keyring the peer writes the same rows with the same compare-and-swap and no cryptography. Through a token (SoftHSM)
//! it asks the token for the same decryptions and encryptions, and there is no vault. The time for the key plane's mirror is told
//! apart and not counted, because no peer has one. `DASHVAULT_BENCH_OWNERS` makes it a quick look.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, ObjectClass};
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;
use dashvault::catalog::{Catalog, KekRow, MirrorRow, MirrorState, MirrorSubject, NewOwner};
use dashvault::model::{KekId, ObjectId, OwnerId, TenantId};
use dashvault_keys::kek::{self, KekHead, KekState, Profile, ProfileAbout};
use dashvault_keys::provider::{self, Pkcs11Config, ProviderConfig, RootKey, SecretSource};
use dashvault_keys::{Secret32, Zeroizing, digest};
use dashvault_test_support::softhsm::{LABEL, PIN, SoftHsm, module};

#[expect(dead_code, reason = "the bench needs only a part of the tests' room")]
#[path = "../tests/vault_room/room.rs"]
mod room;

use room::{NOW, Room};

const OWNERS: u64 = 100_000;
/// The owners of the largest leak that we know of a service like this.
const LARGE: f64 = 2_150_000.0;
const AIM: f64 = 0.5;
/// As the vault has it.
const BATCH: u32 = 1000;
/// Wraps and unwraps of the bare provider that stand for all of them.
const SAMPLE: u64 = 20_000;
/// Set in the process that has a token of its own: SoftHSM reads where it is when it is loaded.
const WITH_TOKEN: &str = "DASHVAULT_BENCH_WITH_TOKEN";
const TAG_BITS: u64 = 128;
/// The most threads of the bare calls, as many as the vault wraps with.
const MOST_THREADS: u64 = 4;

fn main() -> ExitCode {
    let owners = std::env::var("DASHVAULT_BENCH_OWNERS").ok();
    let owners = owners.and_then(|n| n.parse().ok()).unwrap_or(OWNERS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    if std::env::var_os(WITH_TOKEN).is_some() {
        return verdict(runtime.block_on(through_a_token(owners)) >= AIM);
    }
    let keyring = runtime.block_on(under_the_keyring(owners));
    // Where SoftHSM is missing this says so and fails.
    let token = SoftHsm::new();
    let through = Command::new(std::env::current_exe().expect("this program"))
        .env("SOFTHSM2_CONF", token.configuration())
        .env(WITH_TOKEN, "1")
        .status()
        .expect("this program");
    verdict(keyring >= AIM && through.success())
}

fn verdict(reached: bool) -> ExitCode {
    match reached {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The ratio of ours to the catalogue's updates alone.
async fn under_the_keyring(owners: u64) -> f64 {
    let (ours, peer) = (Room::new().await, Room::new().await);
    for room in [&ours, &peer] {
        fill(room, owners).await;
    }
    let root = provider::open(&ours.root).expect("the room's keyring");
    let bare = bare(root.as_ref(), owners);
    let (counted, whole) = rotated(&ours, owners).await;
    let updates = updates(&peer.catalog, peer.vault.tenant()).await;
    let peer = "the same catalogue updates without cryptography";
    let ratio = tell("under the keyring", owners, (counted, whole), (peer, updates));
    println!("  the bare keyring would do {:.0}/s", rate(owners, bare));
    ratio
}

/// The ratio of ours to the token's own calls.
async fn through_a_token(owners: u64) -> f64 {
    let ours = Room::with_root(ProviderConfig::Pkcs11(Pkcs11Config {
        module: module(),
        token: LABEL.to_owned(),
        pin: SecretSource::given(Zeroizing::new(PIN.to_owned())),
        prefix: "bench".to_owned(),
    }));
    let ours = ours.await;
    fill(&ours, owners).await;
    let (calls, threads) = token_calls(owners);
    let (counted, whole) = rotated(&ours, owners).await;
    let peer =
        format!("the same decryptions and encryptions by bare calls of SoftHSM, at best with threads: {threads}");
    tell("through SoftHSM", owners, (counted, whole), (&peer, calls))
}

/// Rotates the root key; the time without the mirror's, and with it.
async fn rotated(room: &Room, owners: u64) -> (Duration, Duration) {
    let began = Instant::now();
    let done = room.vault.rotate_root(&|_| {}).await.expect("it is rotated");
    let whole = began.elapsed();
    assert_eq!((done.rewrapped, done.failures.count), (owners, 0));
    (whole.saturating_sub(done.mirror_time), whole)
}

fn tell(how: &str, owners: u64, (counted, whole): (Duration, Duration), (peer, peers): (&str, Duration)) -> f64 {
    let ratio = peers.as_secs_f64() / counted.as_secs_f64();
    println!(
        "re-wrapping {owners} owners' keys {how}: ours {:.0}/s, peer ({peer}) {:.0}/s, ratio {ratio:.2} (aim at least {AIM})",
        rate(owners, counted),
        rate(owners, peers)
    );
    println!(
        "  the key plane's mirror took {:.1} s beside that ({:.0}/s with it)",
        whole.saturating_sub(counted).as_secs_f64(),
        rate(owners, whole)
    );
    println!(
        "  2.15 million owners: {:.0} minutes, mirror included",
        LARGE / rate(owners, whole) / 60.0
    );
    ratio
}

fn rate(owners: u64, took: Duration) -> f64 {
    owners as f64 / took.as_secs_f64()
}

/// Owners with a KEK each, row and mirror row as a service makes them.
async fn fill(room: &Room, owners: u64) {
    let (catalog, tenant) = (&room.catalog, room.vault.tenant());
    let root = provider::open(&room.root).expect("the room's root key");
    let mut left = owners;
    while left > 0 {
        let mut tx = catalog.begin().await.expect("SQLite");
        let object = ObjectId::random();
        for n in 0..left.min(1_000) {
            // One after the other, as owners come.
            let made_at = NOW + i64::try_from(owners - left + n).expect("few");
            let owner = OwnerId::random();
            let kek = made(tenant, root.as_ref(), owner);
            let mut index = [0; 32];
            index[..16].copy_from_slice(owner.as_bytes());
            let new = NewOwner {
                id: owner,
                tenant,
                email_index: &index,
                index_version: 1,
                sealed_profile: &[0; 512],
                created_at: made_at,
            };
            tx.insert_owner(&new).await.expect("SQLite");
            tx.insert_kek(tenant, &kek, made_at).await.expect("SQLite");
            let mirror = MirrorRow {
                object,
                kind: MirrorSubject::Kek,
                subject: *kek.id.as_bytes(),
                revision: 1,
                state: MirrorState::Newest,
                packed: 1_000,
            };
            tx.insert_mirror(tenant, &mirror, made_at).await.expect("SQLite");
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
        let (rows, last) = catalog.keks_after(tenant, after, BATCH).await.expect("SQLite");
        if last.is_none() {
            return began.elapsed();
        }
        after = last;
        let mut tx = catalog.begin().await.expect("SQLite");
        tx.hold_epoch(tenant, 1).await.expect("SQLite");
        let next = rows.into_iter().map(|row| KekRow {
            revision: row.revision + 1,
            ..row
        });
        let next: Vec<_> = next.collect();
        let swaps: Vec<_> = next.iter().map(|row| (row, 1)).collect();
        let swapped = tx.rewrap_keks(&swaps).await.expect("SQLite");
        assert_eq!(swapped.len(), swaps.len());
        tx.commit().await.expect("SQLite");
    }
}

/// What the provider alone takes for as many unwraps and wraps, reckoned from a sample.
fn bare(root: &dyn RootKey, owners: u64) -> Duration {
    let sample = SAMPLE.min(owners);
    let wraps: Vec<_> = (0..sample)
        .map(|n| root.wrap(&[7; 32], &n.to_be_bytes()).expect("it wraps"))
        .collect();
    let began = Instant::now();
    for (n, wrap) in (0_u64..).zip(&wraps) {
        let key = root.unwrap(wrap, &n.to_be_bytes()).expect("it unwraps");
        root.wrap(&key, &n.to_be_bytes()).expect("it wraps");
    }
    began.elapsed().mul_f64(owners as f64 / sample as f64)
}

/// What the token alone takes for as many decryptions and encryptions, reckoned from a sample, with the number of threads that is
/// fastest; which that was.
fn token_calls(owners: u64) -> (Duration, u64) {
    let library = Pkcs11::new(module()).expect("SoftHSM");
    // The provider has begun it already.
    let _ = library.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let sample = SAMPLE.min(owners);
    let with = |threads: u64| {
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| calls_in_a_thread(&library, sample / threads));
            }
        });
        let made = sample / threads * threads;
        (began.elapsed().mul_f64(owners as f64 / made as f64), threads)
    };
    let measured = [1, cores.min(MOST_THREADS)].map(with);
    println!("  bare calls by threads: {measured:?}");
    measured.into_iter().min().expect("two")
}

/// Decrypts and encrypts in a session of its own.
fn calls_in_a_thread(library: &Pkcs11, count: u64) {
    let slots = library.get_slots_with_initialized_token().expect("slots");
    let session = library.open_rw_session(*slots.first().expect("a token"));
    let session = session.expect("a session");
    let _ = session.login(UserType::User, Some(&AuthPin::new(PIN.into())));
    let keys = session.find_objects(&[Attribute::Class(ObjectClass::SECRET_KEY)]);
    let key = *keys.expect("objects").first().expect("the root key");
    let encrypt = |mut nonce: [u8; 12], plain: &[u8]| {
        let params = GcmParams::new(&mut nonce, b"place", TAG_BITS.into()).expect("parameters");
        let sealed = session.encrypt(&Mechanism::AesGcm(params), key, plain);
        (nonce, sealed.expect("it encrypts"))
    };
    let decrypt = |mut nonce: [u8; 12], sealed: &[u8]| {
        let params = GcmParams::new(&mut nonce, b"place", TAG_BITS.into()).expect("parameters");
        let plain = session.decrypt(&Mechanism::AesGcm(params), key, sealed);
        plain.expect("it decrypts")
    };
    let (nonce, sealed) = encrypt(digest::random(), &[7; 32]);
    for _ in 0..count {
        encrypt(digest::random(), &decrypt(nonce, &sealed));
    }
}
