//! Rotation and the roll: everything opens afterwards, nothing of the bucket is touched, and what was erased stays behind.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use dashvault::catalog::{Catalog, Config as CatalogConfig, ErasureKind};
use dashvault::model::{ClipId, OwnerId};
use dashvault::vault::rotation::{Phase, Progress, SystemKey};
use dashvault::vault::{ClipKeys, Config, Vault, VaultError};
use dashvault_keys::kek::SealedKek;
use dashvault_keys::provider::{self, CredentialSource, Credentials, Keyring, KmsConfig, ProviderConfig, RootKey};
use dashvault_keys::receipt::{self, Receipt};
use dashvault_keys::system::trusted_from;
use dashvault_keys::token::LinkToken;
use dashvault_test_support::{Faulty, KmsFront};
use data_encoding::HEXLOWER;
use tokio::sync::Notify;

use crate::room::sqlite;
use crate::{MINUTE, NOW, Room, store};

/// Keys that a rotation takes at once.
const BATCH: u64 = 1000;

fn quiet(_: Progress) {}

async fn objects(store: &Faulty) -> BTreeMap<String, Bytes> {
    let mut found = BTreeMap::new();
    for name in store.names().await {
        let bytes = store.object(&name).await;
        found.insert(name, bytes);
    }
    found
}

/// Some owners with a ready clip each.
async fn owners_with_clips(room: &Room, names: &[&str]) -> Vec<(OwnerId, ClipId)> {
    let mut made = Vec::new();
    for name in names {
        let owner = room.owner(name).await;
        let clip = room.ready_clip(&room.keys(owner).await).await;
        made.push((owner, clip.clip()));
    }
    made
}

async fn reads(vault: &Vault, owner: OwnerId, clip: ClipId) -> Result<(), VaultError> {
    let keys: ClipKeys = vault.read_clip_keys(owner, clip).await?.ok_or(VaultError::Gone)?;
    let objects = vault.objects(&keys, None).await?;
    assert_eq!(objects.len(), 1, "the original is published");
    Ok(())
}

/// Takes a row away, and puts it back at the first call: so it comes behind what walked by meanwhile.
fn come_later(room: &Room, table: &'static str, (column, id): (&str, &[u8; 16])) -> impl Fn() + Send + Sync + use<> {
    let row = format!("FROM {table} WHERE {column} = x'{}'", HEXLOWER.encode(id));
    room.sqlite(&format!("CREATE TABLE late AS SELECT * {row}; DELETE {row}"));
    let (database, is_there) = (room.database(), AtomicBool::new(false));
    move || {
        if !is_there.swap(true, Ordering::Relaxed) {
            sqlite(
                &database,
                &format!("INSERT INTO {table} SELECT * FROM late; DROP TABLE late"),
            );
        }
    }
}

async fn all_read(room: &Room, clips: &[(OwnerId, ClipId)]) {
    for vault in [&room.vault, &room.second_process().await] {
        for (owner, clip) in clips {
            reads(vault, *owner, *clip).await.expect("it opens");
        }
    }
}

#[tokio::test]
async fn a_new_root_key_re_wraps_everything_and_touches_no_object() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert", "cora"]).await;
    let bucket = objects(&room.data).await;
    let done = room.vault.rotate_root(&quiet).await.unwrap();
    assert_eq!((done.rewrapped, done.failures.count), (3, 0));
    assert_eq!(done.already, 0, "nobody is counted twice");
    let newest = Keyring::open(&room.keyring).unwrap().state().unwrap();
    assert_eq!((newest.epoch, newest.version), (1, 2));
    for (owner, _) in &clips {
        let row = room.catalog.active_kek(*owner).await.unwrap().unwrap();
        let sealed = SealedKek::parse(&row.record).unwrap();
        assert!(sealed.wraps().iter().all(|wrap| wrap.reference == newest.reference));
        assert_eq!((row.revision, row.least_revision), (2, 2), "row and key plane agree");
    }
    all_read(&room, &clips).await;
    assert_eq!(objects(&room.data).await, bucket);
    let again = room.vault.rewrap_keks(&quiet).await.unwrap();
    assert_eq!((again.rewrapped, again.already), (0, 3), "there is nothing left to do");
}

#[tokio::test]
async fn a_root_rotation_that_was_cut_off_goes_on_without_another_key() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert"]).await;
    // The new key was made, and nothing was re-wrapped yet.
    Keyring::open(&room.keyring).unwrap().add_version().unwrap();
    let done = room.vault.rotate_root(&quiet).await.unwrap();
    assert_eq!(done.rewrapped, 2);
    assert_eq!(Keyring::open(&room.keyring).unwrap().state().unwrap().version, 2);
    all_read(&room, &clips).await;
}

#[tokio::test]
async fn a_run_that_ends_between_two_batches_is_gone_on_with_and_wraps_each_key_once() {
    let room = Room::new().await;
    let mut owners = Vec::new();
    for n in 0..BATCH + 20 {
        owners.push(room.owner(&format!("owner-{n}")).await);
    }
    let first = Notify::new();
    let tell = |_| first.notify_one();
    tokio::select! {
        biased;
        () = first.notified() => {}
        done = room.vault.rotate_root(&tell) => panic!("it went to its end: {done:?}"),
    }
    let done = room.vault.rotate_root(&quiet).await.unwrap();
    assert_eq!(
        (done.rewrapped, done.already),
        (20, BATCH),
        "the first batch stood already"
    );
    let newest = Keyring::open(&room.keyring).unwrap().state().unwrap();
    assert_eq!(newest.version, 2, "the second run adds no key");
    for owner in owners {
        let row = room.catalog.active_kek(owner).await.unwrap().unwrap();
        let sealed = SealedKek::parse(&row.record).unwrap();
        assert!(sealed.wraps().iter().all(|wrap| wrap.reference == newest.reference));
        assert_eq!((row.revision, row.least_revision), (2, 2), "row and key plane agree");
        room.vault.owner_keys(owner).await.expect("it opens");
    }
}

#[tokio::test]
async fn a_key_that_comes_behind_the_walk_is_counted_and_walked_to() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert"]).await;
    // Another node, that had not heard of the new root key, commits an owner when the walk has passed.
    let late = clips[0].0;
    let come = come_later(&room, "keks", ("owner_id", late.as_bytes()));
    let tell = |_| come();
    let done = room.vault.rotate_root(&tell).await.unwrap();
    assert_eq!((done.rewrapped, done.failures.count), (2, 0));
    let newest = Keyring::open(&room.keyring).unwrap().state().unwrap();
    let row = room.catalog.active_kek(late).await.unwrap().unwrap();
    let sealed = SealedKek::parse(&row.record).unwrap();
    assert!(sealed.wraps().iter().all(|wrap| wrap.reference == newest.reference));
    all_read(&room, &clips).await;
}

#[tokio::test]
async fn an_owners_new_key_takes_the_clips_along_and_the_old_one_is_destroyed_everywhere() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert"]).await;
    let (anna, clip) = clips[0];
    let old = room.catalog.active_kek(anna).await.unwrap().unwrap();
    let before = room.catalog.clip(anna, clip).await.unwrap().unwrap();
    let bucket = objects(&room.data).await;
    let done = room.vault.rotate_owners(&[anna], &quiet).await.unwrap();
    assert_eq!((done.owners, done.envelopes, done.destroyed), (1, 1, 1));
    assert!(done.failures.is_empty(), "{:?}", done.failures);
    let rows = room.catalog.keks_of(anna).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.version).collect::<Vec<_>>(), [2]);
    let after = room.catalog.clip(anna, clip).await.unwrap().unwrap();
    assert_eq!(after.kek_version, Some(2));
    assert_eq!(
        after.sealed_details, before.sealed_details,
        "fields are not sealed anew"
    );
    assert_ne!(after.sha256_index, before.sha256_index, "its index is of the new key");
    all_read(&room, &clips).await;
    assert_eq!(objects(&room.data).await, bucket);
    room.vault.sweep_key_plane().await.unwrap();
    let records: Vec<_> = room
        .key_plane()
        .await
        .into_iter()
        .flat_map(|(_, records)| records)
        .collect();
    let old_id = old.id.as_bytes();
    assert!(
        !records.iter().any(|record| record.windows(16).any(|run| run == old_id)),
        "it is gone from the key plane"
    );
    // Its profile came along, so that the key plane alone still tells who the owner is.
    let profile = room.vault.profile(&room.keys(anna).await).await.unwrap();
    assert_eq!(profile.email, "anna@example.org");
}

#[tokio::test]
async fn a_renewal_that_was_cut_off_is_finished_by_the_next_one() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert"]).await;
    let (anna, clip) = clips[0];
    let owners = [anna];
    let retired = {
        let rows = room.catalog.keks_of(anna).await.unwrap();
        rows[0].version
    };
    let stopped = tokio::time::timeout(
        std::time::Duration::from_millis(600),
        room.vault.rotate_owners(&owners, &quiet),
    );
    assert!(stopped.await.is_err(), "it was cut off while it let readers settle");
    assert_eq!(room.catalog.keks_of(anna).await.unwrap().len(), 2);
    // Old and new clips open meanwhile, and new ones are under the new key.
    reads(&room.vault, anna, clip).await.unwrap();
    let keys = room.keys(anna).await;
    assert_eq!(keys.kek_version(), retired + 1);
    let fresh = room.ready_clip(&keys).await.clip();
    reads(&room.vault, anna, fresh).await.unwrap();
    let done = room.vault.rotate_owners(&[], &quiet).await.unwrap();
    assert_eq!((done.owners, done.envelopes, done.destroyed), (0, 1, 1));
    all_read(&room, &[(anna, clip), (anna, fresh), clips[1]]).await;
}

#[tokio::test]
async fn a_clip_that_comes_behind_the_walk_gets_the_new_key_too() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let clips = [room.ready_clip(&keys).await, room.ready_clip(&keys).await].map(|keys| (owner, keys.clip()));
    // Another node commits the clip with the lower id while the other one is sealed anew.
    let late = clips[0].1.min(clips[1].1);
    let (come, is_renewed) = (
        come_later(&room, "clips", ("id", late.as_bytes())),
        Arc::new(AtomicBool::new(false)),
    );
    let renewed = is_renewed.clone();
    room.keyplane.fail(move |operation| {
        if operation.name == "put" && renewed.load(Ordering::Relaxed) {
            come();
        }
        None
    });
    let tell = |_| is_renewed.store(true, Ordering::Relaxed);
    let done = room.vault.rotate_owners(&[owner], &tell).await.unwrap();
    assert!(done.failures.is_empty(), "{done:?}");
    assert_eq!((done.envelopes, done.destroyed), (2, 1));
    assert_eq!(
        room.catalog.keks_of(owner).await.unwrap().len(),
        1,
        "the old one is destroyed"
    );
    room.keyplane.heal();
    all_read(&room, &clips).await;
}

#[tokio::test]
async fn a_clip_that_is_published_under_a_destroyed_key_is_refused_and_made_anew() {
    let room = Room::new().await;
    let anna = room.owner("anna").await;
    let old_keys = room.keys(anna).await;
    let clip = room.clip(&old_keys).await;
    // What a worker made before the rotation and commits after it.
    let late = room.envelope(&old_keys, &clip);
    room.vault.rotate_owners(&[anna], &quiet).await.unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    let refused = tx.replace_envelope(clip.clip(), &[], 1, &late).await;
    assert!(
        matches!(refused, Err(dashvault::catalog::CatalogError::Superseded)),
        "{refused:?}"
    );
    tx.rollback().await.unwrap();
    let fresh = room.ready_clip(&old_keys).await;
    reads(&room.vault, anna, fresh.clip())
        .await
        .expect("sealed under the newest key, whatever the worker held");
}

#[tokio::test]
async fn old_links_codes_and_receipts_stay_valid_until_they_end() {
    let room = Room::new().await;
    let link = LinkToken::make([1; 16], NOW + 30 * 24 * 60 * MINUTE);
    let receipt = Receipt {
        clip: [1; 16],
        sha256: [2; 32],
        length: 3,
        at_ms: NOW,
    };
    let old_link = room.vault.link_signer().unwrap().sign(&link);
    let old_code = room.vault.pairing_code_hash("70K1-M2XA-9TBE").unwrap();
    let (old_receipt, old_key) = (
        room.vault.receipt_signer().unwrap().sign(&receipt),
        room.vault.receipt_public_key().unwrap(),
    );
    let other = room.second_process().await;
    let failed = room.vault.rotate_system_keys(&SystemKey::ALL, &quiet).await.unwrap();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(
        room.vault.receipt_public_key().unwrap(),
        old_key,
        "the others have not heard of the new ones yet"
    );
    assert!(other.refresh_system().await.unwrap());
    room.clock.advance(11_000);
    for vault in [&room.vault, &other] {
        assert_ne!(vault.receipt_public_key().unwrap(), old_key);
        let new_link = vault.link_signer().unwrap().sign(&link);
        assert_ne!(new_link[..], old_link[..]);
        for text in [&old_link, &new_link] {
            assert!(vault.link_verifier().unwrap().verify(text).is_some());
        }
        assert!(vault.is_pairing_code("70K1-M2XA-9TBE", &old_code).unwrap());
        assert_ne!(vault.pairing_code_hash("70K1-M2XA-9TBE").unwrap(), old_code);
        // A vehicle that was paired before trusts the new key by the old one's word.
        let trusted = trusted_from(&old_key, &vault.receipt_keys().unwrap());
        let new_receipt = vault.receipt_signer().unwrap().sign(&receipt);
        for text in [&old_receipt, &new_receipt] {
            assert!(trusted.iter().any(|key| receipt::verify(text, key).is_some()));
        }
    }
    room.clock.advance(32 * 24 * 60 * MINUTE);
    assert!(
        room.vault.link_verifier().unwrap().verify(&old_link).is_none(),
        "no link is older than 30 days"
    );
    assert!(!room.vault.is_pairing_code("70K1-M2XA-9TBE", &old_code).unwrap());
    assert!(
        room.vault
            .receipt_keys()
            .unwrap()
            .iter()
            .any(|key| key.public_key == old_key),
        "for ever"
    );
}

#[tokio::test]
async fn addresses_are_found_before_during_and_after_a_new_index_key() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert"]).await;
    let index = room
        .catalog
        .owner(clips[0].0)
        .await
        .unwrap()
        .unwrap()
        .email_index
        .unwrap();
    let other = room.second_process().await;
    room.vault
        .rotate_system_keys(&[SystemKey::Index], &quiet)
        .await
        .unwrap();
    for vault in [&other, &room.vault] {
        assert_eq!(vault.find_owner("anna@example.org").await.unwrap(), Some(clips[0].0));
        let taken = dashvault::vault::OwnerProfile {
            email: "Bert@example.org".to_owned(),
            name: None,
        };
        let refused = vault.make_owner(OwnerId::random(), &taken).await;
        assert!(matches!(refused, Err(VaultError::EmailTaken)));
    }
    let by_old = room
        .catalog
        .owner_by_email(room.vault.tenant(), &index.try_into().unwrap())
        .await;
    assert!(by_old.unwrap().is_none(), "the old index finds nobody");
}

#[tokio::test]
async fn an_owner_that_comes_behind_the_walk_gets_the_new_index_too() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert"]).await;
    let come = come_later(&room, "owners", ("id", clips[0].0.as_bytes()));
    let tell = |_| come();
    let failures = room.vault.rotate_system_keys(&[SystemKey::Index], &tell).await.unwrap();
    assert!(failures.is_empty(), "{failures:?}");
    for (owner, name) in [(clips[0].0, "anna"), (clips[1].0, "bert")] {
        let found = room.vault.find_owner(&format!("{name}@example.org")).await.unwrap();
        assert_eq!(found, Some(owner), "{name}");
    }
}

#[tokio::test]
async fn two_at_once_do_not_undo_each_other() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert", "cora"]).await;
    let other = room.second_process().await;
    let owners: Vec<_> = clips.iter().map(|(owner, _)| *owner).collect();
    let (a, b) = tokio::join!(room.vault.rotate_root(&quiet), other.rotate_root(&quiet));
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    let (a, b) = tokio::join!(
        room.vault.rotate_owners(&owners, &quiet),
        other.rotate_owners(&owners, &quiet)
    );
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.failures.is_empty() && b.failures.is_empty(), "{a:?} {b:?}");
    room.vault.rotate_owners(&[], &quiet).await.unwrap();
    let (a, b) = tokio::join!(
        room.vault.rotate_system_keys(&SystemKey::ALL, &quiet),
        other.rotate_system_keys(&SystemKey::ALL, &quiet)
    );
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");
    let (a, b) = tokio::join!(room.vault.roll_epoch(&quiet), other.roll_epoch(&quiet));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(a.failures.is_empty() || b.failures.is_empty(), "{a:?} {b:?}");
    room.vault.roll_epoch(&quiet).await.unwrap();
    all_read(&room, &clips).await;
    for (owner, _) in &clips {
        assert_eq!(room.catalog.keks_of(*owner).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_roll_refuses_while_a_key_does_not_open_and_destroys_nothing() {
    let room = Room::new().await;
    let clips = owners_with_clips(&room, &["anna", "bert"]).await;
    let bert = room.catalog.active_kek(clips[1].0).await.unwrap().unwrap();
    let mut damaged = bert.clone();
    let end = damaged.record.len() - 1;
    damaged.record[end] ^= 1;
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(tx.replace_kek(&damaged, bert.revision).await.unwrap());
    tx.commit().await.unwrap();
    let mut phases = std::sync::Mutex::new(Vec::new());
    let refused = room
        .vault
        .roll_epoch(&|progress: Progress| phases.lock().unwrap().push(progress.phase))
        .await
        .unwrap();
    assert!(phases.get_mut().unwrap().contains(&Phase::Verify));
    assert!(!refused.failures.is_empty() && refused.destroyed.is_empty());
    assert!(
        refused
            .failures
            .named
            .iter()
            .all(|named| named.contains(&clips[1].0.to_string())),
        "{:?}",
        refused.failures
    );
    assert_eq!(Keyring::open(&room.keyring).unwrap().state().unwrap().epochs, [1, 2]);
    // Mended from the key plane's copy, the roll goes on to its end.
    let mut tx = room.catalog.begin().await.unwrap();
    assert!(
        tx.replace_kek(&bert, damaged.revision).await.is_err(),
        "an old epoch is refused"
    );
    tx.rollback().await.unwrap();
    room.vault.erase_owner_keys(clips[1].0).await.unwrap();
    let done = room.vault.roll_epoch(&quiet).await.unwrap();
    assert!(done.resumed && done.failures.is_empty(), "{done:?}");
    assert_eq!((done.epoch, done.destroyed), (2, vec![1]));
    all_read(&room, &clips[..1]).await;
}

fn copy_catalogue(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn an_old_copy_beside_todays_keyring_opens_nothing_and_tests_for_nobody() {
    an_old_copy_beside_todays_root_key(Room::new().await).await;
}

#[tokio::test]
async fn an_old_copy_beside_todays_kms_opens_nothing_and_tests_for_nobody() {
    let front = KmsFront::start();
    let given = Credentials::new(front.access_key().to_owned(), front.secret_key().to_owned(), None);
    let root = ProviderConfig::AwsKms(KmsConfig {
        region: front.region().to_owned(),
        endpoint: Some(front.endpoint()),
        prefix: front.prefix(),
        pending_days: 7,
        credentials: CredentialSource::Given(Arc::new(given)),
    });
    an_old_copy_beside_todays_root_key(Room::with_root(root).await).await;
}

async fn an_old_copy_beside_todays_root_key(room: Room) {
    let clips = owners_with_clips(&room, &["anna", "bert", "cora"]).await;
    let (anna, bert) = (clips[0], clips[1]);
    let kept = room.ready_clip(&room.keys(bert.0).await).await.clip();
    let bert_index = room.keys(bert.0).await.clip_index(None, &[7; 32]);
    let old_index = room.catalog.owner(anna.0).await.unwrap().unwrap().email_index.unwrap();
    // The copy: catalogue, key plane and bucket as they are now.
    let room = room.restart().await;
    let (data, staging, keyplane) = (Faulty::new(), Faulty::new(), Faulty::new());
    for (from, to) in [(&room.data, &data), (&room.keyplane, &keyplane)] {
        for (name, bytes) in objects(from).await {
            to.replace(&name, bytes).await;
        }
    }
    let copied = room.scratch.path().join("copy");
    copy_catalogue(&room.scratch.path().join("catalogue"), &copied);
    // Anna and one of Bert's clips are erased; the rest lives on.
    room.vault.erase_owner_keys(anna.0).await.unwrap();
    let buried = room.vault.bury_clip(bert.0, bert.1).await.unwrap().unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    room.vault.record_burial(&mut tx, &buried).await.unwrap();
    assert!(tx.erase_clip_keys(bert.1, NOW).await.unwrap());
    tx.commit().await.unwrap();
    let done = room.vault.roll_epoch(&quiet).await.unwrap();
    assert!(done.failures.is_empty(), "{done:?}");
    assert_eq!((done.renewed, done.destroyed.clone()), (1, vec![1]));
    let stone = dashvault_keys::tombstone::Tombstone::epoch_subject(1);
    assert!(
        room.catalog
            .erasure_of(ErasureKind::Epoch, &stone)
            .await
            .unwrap()
            .is_some()
    );
    // Today's vault has everybody else's clips.
    all_read(&room, &[(bert.0, kept), clips[2]]).await;
    // Whoever holds the copy and today's root key: the system record does not open, and with it no look-up.
    let catalog = Catalog::connect(&CatalogConfig::Sqlite { dir: copied }).await.unwrap();
    let config = Config {
        root: room.root.clone(),
    };
    let opened = Vault::open(
        &config,
        catalog.clone(),
        store(&data, &staging, &keyplane),
        room.clock.clone(),
    )
    .await;
    let refused = opened.err().expect("no vault opens on the copy");
    assert!(matches!(refused, VaultError::Keyring { .. }), "{refused:?}");
    // No record of the copy opens, in the database or in the key plane, for anybody.
    let root = provider::open(&room.root).unwrap();
    let sys = *room.vault.tenant().as_bytes();
    let mut records = 0;
    for (owner, _) in &clips {
        let row = catalog.active_kek(*owner).await.unwrap().unwrap();
        assert!(
            SealedKek::parse(&row.record)
                .unwrap()
                .unwrap(&sys, root.as_ref())
                .is_err()
        );
        records += 1;
    }
    for (name, bytes) in objects(&keyplane).await {
        let id: dashvault::model::ObjectId = name.rsplit('/').next().unwrap().parse().unwrap();
        let object = dashvault_keys::mirror::MirrorObject::parse(&bytes, id.as_bytes()).unwrap();
        for record in &object.records {
            if let Ok(sealed) = SealedKek::parse(record) {
                assert!(sealed.unwrap(&sys, root.as_ref()).is_err());
                records += 1;
            }
        }
    }
    assert!(records >= 6, "both planes were looked at");
    // Nor can today's vault, with all its keys, say whether the copy's rows are of an address or of known footage.
    let tenant = room.vault.tenant();
    assert_eq!(room.vault.find_owner("anna@example.org").await.unwrap(), None);
    let again = room.owner("anna").await;
    let new_index = room.catalog.owner(again).await.unwrap().unwrap().email_index.unwrap();
    assert_ne!(new_index, old_index, "the same address has another index");
    let cora = room
        .catalog
        .owner_by_email(tenant, &old_index.try_into().unwrap())
        .await
        .unwrap();
    assert!(cora.is_none());
    assert_ne!(
        room.keys(bert.0).await.clip_index(None, &[7; 32]),
        bert_index,
        "the same footage has another index"
    );
    // And the erased clip's envelope, put back into today's row, opens for nobody.
    let old = catalog.clip(bert.0, bert.1).await.unwrap().unwrap();
    let stolen = room
        .vault
        .clip_keys(&room.keys(bert.0).await, bert.1, &old.envelope.unwrap(), 0);
    assert!(stolen.is_err());
}
