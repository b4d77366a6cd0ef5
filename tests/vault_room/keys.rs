//! Custody: keyrings, owners, erasure.

use std::time::Duration;

use dashvault::model::OwnerId;
use dashvault::vault::{Config, OwnerProfile, Vault, VaultError};
use dashvault_keys::provider::{Keyring, ProviderConfig};
use dashvault_keys::receipt::{self, Receipt};

use crate::{MINUTE, Room, store};

#[tokio::test]
async fn a_restart_finds_the_same_tenant_owners_and_keys() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    let keys = room.keys(owner).await;
    let clip = room.clip(&keys).await;
    let envelope = room.envelope(&keys, &clip);
    let (tenant, receipts) = (room.vault.tenant(), room.vault.receipt_public_key().unwrap());
    let room = room.restart().await;
    assert_eq!(room.vault.tenant(), tenant);
    assert_eq!(room.vault.receipt_public_key().unwrap(), receipts);
    let keys = room.keys(owner).await;
    assert_eq!(keys.kek_version(), 1);
    assert!(room.vault.clip_keys(&keys, clip.clip(), &envelope, 0).is_ok());
    let profile = room.vault.profile(&keys).await.unwrap();
    assert_eq!(profile.email, "anna@example.org");
}

#[tokio::test]
async fn processes_that_start_together_on_a_new_catalogue_agree_on_one_tenant() {
    let room = Room::new().await;
    let fresh = room.scratch.path().join("fresh");
    let catalog = dashvault::catalog::Config::Sqlite { dir: fresh };
    let catalog = dashvault::catalog::Catalog::connect(&catalog).await.unwrap();
    let config = Config {
        root: ProviderConfig::keyring(&room.keyring),
    };
    let open = || {
        Vault::open(
            &config,
            catalog.clone(),
            store(&room.data, &room.staging, &room.keyplane),
            room.clock.clone(),
        )
    };
    let (a, b, c) = tokio::join!(open(), open(), open());
    let (a, b, c) = (a.unwrap(), b.unwrap(), c.unwrap());
    assert_eq!([a.tenant(), b.tenant()], [c.tenant(); 2]);
    assert_eq!(
        [a.receipt_public_key().unwrap(), b.receipt_public_key().unwrap()],
        [c.receipt_public_key().unwrap(); 2]
    );
}

#[tokio::test]
async fn another_vaults_keyring_is_refused_with_words_that_help() {
    let room = Room::new().await;
    let wrong = room.scratch.path().join("wrong");
    Keyring::create(&wrong).unwrap();
    let config = Config {
        root: ProviderConfig::keyring(&wrong),
    };
    let refused = Vault::open(
        &config,
        room.catalog.clone(),
        store(&room.data, &room.staging, &room.keyplane),
        room.clock.clone(),
    );
    let refused = refused.await.err().unwrap();
    let text = refused.to_string();
    assert!(matches!(refused, VaultError::Keyring { .. }), "{refused:?}");
    assert!(
        text.contains(&wrong.display().to_string()) && text.contains("belongs to"),
        "{text}"
    );
}

#[tokio::test]
async fn a_keyring_that_is_missing_or_damaged_is_refused_and_named() {
    let room = Room::new().await;
    let missing = room.scratch.path().join("missing");
    let damaged = room.scratch.path().join("damaged");
    let mut bytes = std::fs::read(&room.keyring).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&damaged, bytes).unwrap();
    std::os::unix::fs::chown(&damaged, None, None).unwrap();
    std::fs::set_permissions(&damaged, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    for keyring in [missing, damaged] {
        let store = store(&room.data, &room.staging, &room.keyplane);
        let config = Config {
            root: ProviderConfig::keyring(&keyring),
        };
        let refused = Vault::open(&config, room.catalog.clone(), store, room.clock.clone())
            .await
            .err()
            .unwrap();
        let named = refused.to_string().contains(&keyring.display().to_string());
        assert!(matches!(refused, VaultError::Keyring { .. }) && named, "{refused}");
    }
}

#[tokio::test]
async fn an_owner_under_a_version_that_the_keyring_lacks_is_refused_and_the_others_are_not() {
    let room = Room::new().await;
    let anna = room.owner("anna").await;
    let older = std::fs::read(&room.keyring).unwrap();
    Keyring::open(&room.keyring).unwrap().add_version().unwrap();
    let bert = room.owner("bert").await;
    let newest = std::fs::read(&room.keyring).unwrap();
    std::fs::write(&room.keyring, older).unwrap();
    let room = room.restart().await;
    let before = room.catalog.active_kek(bert).await.unwrap().unwrap().record;
    let refused = room.vault.owner_keys(bert).await.err().unwrap();
    let text = refused.to_string();
    assert!(
        matches!(refused, VaultError::Keyring { .. })
            && text.contains("of epoch 1 is not here")
            && text.contains("backup"),
        "{text}"
    );
    assert!(room.vault.owner_keys(anna).await.is_ok());
    assert_eq!(
        room.catalog.active_kek(bert).await.unwrap().unwrap().record,
        before,
        "nothing was changed"
    );
    std::fs::write(&room.keyring, newest).unwrap();
    assert!(room.vault.owner_keys(bert).await.is_ok());
}

#[tokio::test]
async fn an_address_is_found_however_it_is_written_and_taken_once() {
    let room = Room::new().await;
    let owner = room.owner("anna").await;
    for written in ["anna@example.org", " Anna@Example.ORG\n"] {
        assert_eq!(room.vault.find_owner(written).await.unwrap(), Some(owner), "{written}");
    }
    assert_eq!(room.vault.find_owner("bert@example.org").await.unwrap(), None);
    let again = OwnerProfile {
        email: "ANNA@example.org".to_owned(),
        name: None,
    };
    let taken = room.vault.make_owner(OwnerId::random(), &again).await;
    assert!(matches!(taken, Err(VaultError::EmailTaken)));
}

#[tokio::test]
async fn an_index_is_one_owners_alone() {
    let room = Room::new().await;
    let (anna, bert) = (room.owner("anna").await, room.owner("bert").await);
    let (anna, bert) = (room.keys(anna).await, room.keys(bert).await);
    assert_eq!(anna.index("vin", b"WVW1"), anna.index("vin", b"WVW1"));
    assert_ne!(anna.index("vin", b"WVW1"), anna.index("sha256", b"WVW1"));
    assert_ne!(anna.index("vin", b"WVW1"), bert.index("vin", b"WVW1"));
}

#[tokio::test]
async fn erasure_takes_effect_in_every_process_at_once_and_may_be_repeated() {
    let room = Room::new().await;
    let (anna, bert) = (room.owner("anna").await, room.owner("bert").await);
    let other = room.second_process().await;
    // Both have the keys in their caches.
    room.keys(anna).await;
    other.owner_keys(anna).await.unwrap();
    for _ in 0..2 {
        room.vault.erase_owner_keys(anna).await.unwrap();
        for vault in [&room.vault, &other] {
            assert!(matches!(vault.owner_keys(anna).await, Err(VaultError::Gone)));
            assert_eq!(vault.find_owner("anna@example.org").await.unwrap(), None);
        }
    }
    room.vault.owner_keys(bert).await.unwrap();
}

#[tokio::test]
async fn nothing_of_an_erased_owner_is_left_in_the_databases_files() {
    let room = Room::new().await;
    let anna = room.owner("anna").await;
    let record = room.catalog.active_kek(anna).await.unwrap().unwrap().record;
    let index = room.catalog.owner(anna).await.unwrap().unwrap().email_index.unwrap();
    let files = || {
        let folder = room.scratch.path().join("catalogue");
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| std::fs::read(file.unwrap().path()).unwrap());
        files.collect::<Vec<_>>()
    };
    // Any run of the record; a page's end may cut the whole of it.
    let holds = |needle: &[u8]| {
        files()
            .iter()
            .any(|file| file.windows(needle.len()).any(|window| window == needle))
    };
    let tail = &record[record.len() - 48..];
    assert!(holds(tail) && holds(&index), "it is there as long as the owner is");
    room.vault.erase_owner_keys(anna).await.unwrap();
    assert!(!holds(tail) && !holds(&index));
}

#[tokio::test]
async fn an_address_is_free_again_after_erasure() {
    let room = Room::new().await;
    let first = room.owner("anna").await;
    room.vault.erase_owner_keys(first).await.unwrap();
    let second = room.owner("anna").await;
    assert_eq!(room.vault.find_owner("anna@example.org").await.unwrap(), Some(second));
}

#[tokio::test]
async fn a_keks_record_under_another_owners_row_is_refused() {
    let room = Room::new().await;
    let (anna, bert) = (room.owner("anna").await, room.owner("bert").await);
    // Bert, who can write the database, puts Anna's record in his own row.
    let mut stolen = room.catalog.active_kek(anna).await.unwrap().unwrap();
    let mut tx = room.catalog.begin().await.unwrap();
    tx.destroy_keks(anna).await.unwrap();
    tx.destroy_keks(bert).await.unwrap();
    stolen.owner = bert;
    tx.insert_kek(room.vault.tenant(), &stolen, 0).await.unwrap();
    tx.commit().await.unwrap();
    let refused = room.vault.owner_keys(bert).await.err().unwrap();
    assert!(
        matches!(
            refused,
            VaultError::DamagedRow {
                table: "keks",
                column: "record"
            }
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn keys_are_opened_again_after_their_time_in_the_cache() {
    let room = Room::new().await;
    let anna = room.owner("anna").await;
    room.keys(anna).await;
    room.clock.advance(6 * MINUTE);
    tokio::time::timeout(Duration::from_secs(10), room.keys(anna))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_receipt_is_signed_by_the_key_that_vehicles_keep() {
    let room = Room::new().await;
    let receipt = Receipt {
        clip: [1; 16],
        sha256: [2; 32],
        length: 3,
        at_ms: 4,
    };
    let text = room.vault.receipt_signer().unwrap().sign(&receipt);
    assert_eq!(
        receipt::verify(&text, &room.vault.receipt_public_key().unwrap()),
        Some(receipt)
    );
}

#[tokio::test]
async fn a_ready_vault_says_so() {
    let room = Room::new().await;
    room.vault.ready().await.unwrap();
    room.catalog.close().await;
    assert!(matches!(room.vault.ready().await, Err(VaultError::Unavailable(_))));
}
