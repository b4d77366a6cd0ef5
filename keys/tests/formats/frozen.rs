//! One of every record, frozen when its version was new: it must open for ever.
//!
//! examples/freeze.rs made the set; a new version of a format freezes a new one beside it.

use dashvault_keys::Secret32;
use dashvault_keys::envelope::SealedEnvelope;
use dashvault_keys::field::{self, FieldPlace};
use dashvault_keys::ingest::IngestSecret;
use dashvault_keys::kek::{KekHead, KekState, SealedKek};
use dashvault_keys::object::{Opener, PRELUDE_BYTES, Pinned, Place, segment_span};
use dashvault_keys::provider::{Keyring, KeyringConfig, RootKey, SecretSource, Wrap};
use dashvault_keys::receipt::{self, ReceiptSigner};
use dashvault_keys::system::{SystemRecord, trusted_from};
use dashvault_keys::token::{self, DeviceKey, LinkVerifier};
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

fn set() -> Value {
    serde_json::from_str(include_str!("../vectors/records-v1.json")).expect("JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(text(value).as_bytes()).expect("hex")
}

fn array<const N: usize>(value: &Value) -> [u8; N] {
    bytes(value).try_into().expect("the length that the field has")
}

fn secret(value: &Value) -> Secret32 {
    Secret32::from_bytes(array(value))
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn number(value: &Value) -> u64 {
    value.as_u64().expect("a number")
}

/// The frozen keyring, written to a file.
fn keyring(set: &Value) -> (tempfile::TempDir, Keyring) {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("keyring");
    std::fs::write(&path, bytes(&set["keyring"])).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("its owner may");
    let keyring = Keyring::open(&path).expect("it opens");
    (dir, keyring)
}

fn opens_the_frozen_wrap(set: &Value, keyring: &Keyring) {
    let frozen = &set["wrap"];
    let wrap = Wrap {
        provider: number(&frozen["provider"]) as u8,
        reference: text(&frozen["reference"]).to_owned(),
        epoch: number(&frozen["epoch"]) as u32,
        blob: bytes(&frozen["blob"]),
    };
    let plain = keyring.unwrap(&wrap, &bytes(&frozen["aad"])).expect("it unwraps");
    assert_eq!(*plain, bytes(&frozen["plain"]));
}

#[test]
fn vectors_of_the_keyring_and_its_wraps_open() {
    let set = set();
    let (_dir, keyring) = keyring(&set);
    let state = keyring.state().expect("it is read");
    assert_eq!((state.epoch, state.version), (2, 2));
    assert_eq!(state.epochs, [1, 2]);
    opens_the_frozen_wrap(&set, &keyring);
}

#[test]
fn vectors_of_the_keyring_under_a_passphrase_open() {
    use std::os::unix::fs::PermissionsExt;
    let set: Value = serde_json::from_str(include_str!("../vectors/keyring-v2.json")).expect("JSON");
    let dir = tempfile::tempdir().expect("a folder");
    let config = KeyringConfig {
        path: dir.path().join("keyring"),
        passphrase: Some(SecretSource::given(text(&set["passphrase"]).to_owned().into())),
    };
    std::fs::write(&config.path, bytes(&set["keyring"])).expect("a file");
    std::fs::set_permissions(&config.path, std::fs::Permissions::from_mode(0o600)).expect("its owner may");
    let keyring = Keyring::open_as(&config).expect("it opens");
    assert_eq!(keyring.state().expect("it is read").epochs, [1, 2]);
    opens_the_frozen_wrap(&set, &keyring);
}

#[test]
fn vectors_of_the_keyring_s_backup_restore() {
    let set = set();
    let frozen = &set["keyring_backup"];
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("restored");
    let keyring = Keyring::restore(
        &bytes(&frozen["bytes"]),
        text(&frozen["passphrase"]),
        &KeyringConfig::plain(&path),
    )
    .expect("it restores");
    opens_the_frozen_wrap(&set, &keyring);
    assert_eq!(std::fs::read(&path).expect("it is there"), bytes(&set["keyring"]));
}

#[test]
fn vectors_of_the_system_record_open() {
    let set = set();
    let (_dir, keyring) = keyring(&set);
    let frozen = &set["system_record"];
    let record = SystemRecord::open(&bytes(&set["system"]), &bytes(&frozen["bytes"]), &keyring);
    let record = record.expect("it opens");
    let keys = [
        ("locator", &record.locator),
        ("index", &record.index.newest().key),
        ("token", &record.token.newest().key),
        ("link", &record.link.newest().key),
        ("receipt", &record.receipt.newest().key),
        ("ingest", record.ingest.secret()),
    ];
    for (name, key) in keys {
        assert_eq!(key.expose(), &array(&frozen[name]), "{name}");
    }
    for set in [&record.index, &record.token, &record.link, &record.receipt] {
        let only: Vec<_> = set.verifying(i64::MAX).map(|key| key.version).collect();
        assert_eq!(only, [1], "a key of version 1 has no end");
    }
    let receipts = ReceiptSigner::new(&record.receipt.newest().key).public_key();
    assert_eq!(record.receipt_keys[0].public_key, receipts);
}

#[test]
fn vectors_of_the_system_record_with_versions_open() {
    let set: Value = serde_json::from_str(include_str!("../vectors/system-v2.json")).expect("a set");
    let (_dir, keyring) = keyring(&set);
    let record = SystemRecord::open(&bytes(&set["system"]), &bytes(&set["bytes"]), &keyring).expect("it opens");
    assert_eq!(SystemRecord::revision_of(&bytes(&set["bytes"])), Some(9));
    assert_eq!(record.locator.expose(), &array(&set["locator"]));
    assert_eq!(record.ingest.secret().expose(), &array(&set["ingest"]));
    for (name, keys) in [
        ("index", &record.index),
        ("token", &record.token),
        ("link", &record.link),
        ("receipt", &record.receipt),
    ] {
        let mut found: Vec<_> = keys
            .verifying(i64::MIN)
            .map(|key| {
                json!({
                    "version": key.version, "since_ms": key.since_ms, "until_ms": key.until_ms,
                    "key": HEXLOWER.encode(key.key.expose()),
                })
            })
            .collect();
        found.reverse();
        assert_eq!(Value::from(found), set[name], "{name}");
    }
    let told = |key: &[u8; 32]| Value::from(HEXLOWER.encode(key));
    let public: Vec<_> = record.receipt_keys.iter().map(|key| told(&key.public_key)).collect();
    assert_eq!(Value::from(public), set["receipt_keys"]);
    let trusted = trusted_from(&record.receipt_keys[0].public_key, &record.receipt_keys);
    assert_eq!(
        trusted.len(),
        record.receipt_keys.len(),
        "each is endorsed by the one before"
    );
}

#[test]
fn vectors_of_the_kek_record_open() {
    let set = set();
    let (_dir, keyring) = keyring(&set);
    let (system, frozen) = (bytes(&set["system"]), &set["kek_record"]);
    let record = bytes(&frozen["bytes"]);
    let record = SealedKek::parse(&record).expect("a record");
    let head = KekHead {
        id: array(&frozen["id"]),
        version: number(&frozen["version"]) as u32,
        revision: number(&frozen["revision"]) as u32,
        state: KekState::Active,
    };
    assert_eq!(record.head(), head);
    assert_eq!(record.wraps().len() as u64, number(&frozen["wraps"]));
    let kek = record.unwrap(&system, &keyring).expect("it unwraps");
    assert_eq!(kek.expose(), &array(&frozen["kek"]));
    let profile = record.open_profile(&system, &kek).expect("it opens");
    assert_eq!(profile.owner, array(&frozen["owner"]));
    assert_eq!(profile.field_key.expose(), &array(&frozen["field_key"]));
    assert_eq!(serde_json::to_value(&profile.about).expect("JSON"), frozen["about"]);
}

#[test]
fn vectors_of_the_envelope_open() {
    let set = set();
    let (system, frozen) = (bytes(&set["system"]), &set["envelope"]);
    let envelope = bytes(&frozen["bytes"]);
    let envelope = SealedEnvelope::parse(&envelope)
        .and_then(|e| e.check(array(&frozen["clip"]), number(&frozen["revision"]) as u32))
        .expect("an envelope");
    let locator = secret(&set["system_record"]["locator"]);
    let located = envelope.locate(&system, &locator).expect("it tells its owner");
    assert_eq!(located.owner, array(&frozen["owner"]));
    assert_eq!(u64::from(located.kek_version), number(&frozen["kek_version"]));
    let dek = envelope
        .open_dek(&system, &located, &secret(&frozen["kek"]))
        .expect("it opens");
    assert_eq!(dek.expose(), &array(&frozen["dek"]));
    let manifest = envelope.open_manifest(&system, &dek).expect("it opens");
    assert_eq!(serde_json::to_value(&manifest).expect("JSON"), frozen["manifest"]);
}

#[test]
fn vectors_of_a_field_and_a_look_up_hold() {
    let set = set();
    let (system, frozen) = (bytes(&set["system"]), &set["field"]);
    let place = FieldPlace {
        system: &system,
        table: text(&frozen["table"]),
        column: text(&frozen["column"]),
        row: &array(&frozen["row"]),
    };
    let plain = field::open(&secret(&frozen["key"]), &place, &bytes(&frozen["bytes"])).expect("it opens");
    assert_eq!(*plain, text(&frozen["plain"]).as_bytes());
    let frozen = &set["index"];
    let index = field::index(
        &secret(&frozen["key"]),
        &system,
        text(&frozen["purpose"]),
        text(&frozen["value"]).as_bytes(),
    );
    assert_eq!(index, array(&frozen["index"]));
}

#[test]
fn vectors_of_what_is_sealed_to_the_ingest_key_open() {
    let set = set();
    let frozen = &set["ingest"];
    let ingest = IngestSecret::from_secret(secret(&set["system_record"]["ingest"]));
    assert_eq!(ingest.public().0, array(&frozen["public"]));
    let plain = ingest.open(
        text(&frozen["info"]).as_bytes(),
        text(&frozen["aad"]).as_bytes(),
        &bytes(&frozen["bytes"]),
    );
    assert_eq!(*plain.expect("it opens"), bytes(&frozen["plain"]));
}

#[test]
fn vectors_of_a_piece_open() {
    let set = set();
    let (system, frozen) = (bytes(&set["system"]), &set["object"]);
    let place = Place {
        system: &system,
        owner: array(&frozen["owner"]),
        clip: array(&frozen["clip"]),
        kind: number(&frozen["kind"]) as u8,
        rendition: text(&frozen["rendition"]),
    };
    let pinned = Pinned {
        suite: 1,
        log2_segment: number(&frozen["log2_segment"]) as u8,
        padded_length: number(&frozen["padded_length"]),
        commitment: array(&frozen["commitment"]),
    };
    let object = bytes(&frozen["bytes"]);
    let opener = Opener::new(
        &secret(&frozen["dek"]),
        &place,
        array(&frozen["object_id"]),
        &pinned,
        &object[..PRELUDE_BYTES],
    );
    let span = segment_span(0, pinned.padded_length, pinned.log2_segment);
    let mut segment = object[span.start as usize..span.end as usize].to_vec();
    let opener = opener.expect("it opens");
    assert_eq!(
        opener.open_segment(0, &mut segment).expect("it opens"),
        bytes(&frozen["plain"])
    );
}

#[test]
fn vectors_of_tokens_are_believed() {
    let set = set();
    let frozen = &set["device_token"];
    let key = DeviceKey::from_pkcs8(&bytes(&frozen["pkcs8"])).expect("a key");
    assert_eq!(key.public_key(), array(&frozen["public_key"]));
    let claims = token::parse_device_token(text(&frozen["text"]))
        .and_then(|token| token.verify(&key.public_key()))
        .expect("it is believed");
    assert_eq!(claims.device, array(&frozen["device"]));
    assert_eq!(claims.issued_at_ms, number(&frozen["issued_at_ms"]) as i64);
    assert_eq!(claims.expires_at_ms, number(&frozen["expires_at_ms"]) as i64);
    assert_eq!(claims.nonce, array(&frozen["nonce"]));

    let frozen = &set["pairing"];
    let code = text(&frozen["code"]);
    assert_eq!(token::pairing_code_finder(code).as_deref(), frozen["finder"].as_str());
    assert_eq!(
        token::pairing_code_hash(&secret(&set["system_record"]["token"]), code),
        array(&frozen["hash"])
    );
    assert!(token::verify_pairing_proof(
        &array(&frozen["public_key"]),
        code,
        text(&frozen["proof"])
    ));

    let frozen = &set["link_token"];
    let verifier: LinkVerifier = token::LinkSigner::new(&secret(&set["system_record"]["link"])).verifier();
    let link = verifier.verify(text(&frozen["text"])).expect("it is believed");
    assert_eq!(link.link, array(&frozen["link"]));
    assert_eq!(link.expires_at_ms, number(&frozen["expires_at_ms"]) as i64);
    assert_eq!(link.secret, array(&frozen["secret"]));

    let frozen = &set["bearer"];
    assert_eq!(token::bearer_hash(text(&frozen["text"])), array(&frozen["hash"]));
}

#[test]
fn vectors_of_a_receipt_are_believed() {
    let set = set();
    let frozen = &set["receipt"];
    let public_key = array(&frozen["public_key"]);
    let found = receipt::verify(text(&frozen["text"]), &public_key).expect("it is believed");
    assert_eq!(found.clip, array(&frozen["clip"]));
    assert_eq!(found.sha256, array(&frozen["sha256"]));
    assert_eq!(found.length, number(&frozen["length"]));
    assert_eq!(found.at_ms, number(&frozen["at_ms"]) as i64);
    assert_eq!(
        receipt::signed_by(text(&frozen["text"])),
        Some(receipt::key_id(&public_key))
    );
}
